"""A step that gives no numbers is told by what made them: an operation, where it stands, and what helps there."""

import numpy as np
import pytest

import kcompile as keras
from kcompile import backend as K
from kcompile.training.evaluation import NonFiniteLoss

X, Y = np.float32([[1, 2], [3, 4]]), np.float32([[1, 0], [0, 1]])


def of_loss(function, last="linear", **options):
    """A model whose predictions are 0, or after ``last`` of 0."""
    return lambda: network([keras.layers.Activation(last, name="out")], function, **options)


def network(rest, loss, optimizer="sgd", **options):
    x = keras.layers.Input((2,))
    y = keras.layers.Dense(2, kernel_initializer="zeros", name="first")(x)
    for layer in rest:
        y = layer(y)
    model = keras.models.Model(x, y)
    model.compile(optimizer, loss, **options)
    return model


def mean(y, p):
    return K.mean(p, -1)


LOSS, GRADIENT = "the loss of output 'out' ", "the gradient of the loss of output 'out' "
SQRT = "takes the derivative of a square root at 0, which is infinite: .*sqrt"
CASES = {
    "rows of zeros": (of_loss("categorical_crossentropy", "relu"), LOSS + "divides 0 by 0: a row .* sums to 0"),
    "0/0": (of_loss(lambda y, p: K.mean(p / p, -1)), LOSS + "divides 0 by 0: .*K.maximum"),
    "1/0": (of_loss(lambda y, p: K.mean(1.0 / p, -1)), LOSS + "divides by 0: .*K.maximum"),
    "0 to a negative power": (of_loss(lambda y, p: K.mean(K.pow(p, -1.5), -1)), LOSS + "raises 0 to a negative power"),
    "power": (of_loss(lambda y, p: K.mean(K.pow(p - 1, 1.5), -1)), LOSS + "raises a negative number to a fractional"),
    "log of 0": (of_loss(lambda y, p: K.mean(K.log(p), -1)), LOSS + "takes the logarithm of 0: .*K.log"),
    "log below 0": (of_loss(lambda y, p: K.mean(K.log(p - 1), -1)), LOSS + "takes the logarithm of a negative number"),
    "exp": (of_loss(lambda y, p: K.mean(K.exp(p + 1000), -1)), LOSS + "overflows: .*learning rate"),
    "slope of sqrt": (of_loss(lambda y, p: K.sqrt(K.sum(p * p, -1))), "weight first/kernel, where " + GRADIENT + SQRT),
    "slope of a norm": (of_loss(lambda y, p: K.sum(K.sqrt(K.square(p)), -1)), GRADIENT + SQRT),
    "in a layer": (
        lambda: network([keras.layers.Lambda(lambda t: t / K.abs(t), name="own")], mean),
        "layer 'own' divides 0 by 0",
    ),
    "in an activation": (of_loss(mean, lambda t: K.log(t)), "layer 'out' takes the logarithm of 0"),
    "several steps at once": (of_loss(lambda y, p: K.mean(p / p, -1), steps_per_execution=2), LOSS + "divides 0 by 0"),
    "variance below 0": (
        lambda: network([keras.layers.BatchNormalization(
            moving_variance_initializer=keras.initializers.Constant(-1), trainable=False, name="norm")], "mse"),
        "layer 'norm' takes the square root of a negative number: its variance is",
    ),
    "variance 0": (
        lambda: network([keras.layers.BatchNormalization(epsilon=0.0, name="norm")], "mse"),
        "layer 'norm' divides by a variance of 0: give it an epsilon",
    ),
    "rate": (of_loss("mse", optimizer=keras.optimizers.SGD(1e35)), "overflows: lower the learning rate"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*expects probabilities", "ignore:.*this loss expects")
@pytest.mark.parametrize("name", CASES)
def test_cause(name):
    build, words = CASES[name]
    model = build()
    with pytest.raises(NonFiniteLoss, match=words) as caught:
        model.fit(X, Y, batch_size=1, epochs=5, shuffle=False, verbose=0)
    assert ("learning rate" in str(caught.value)) == ("learning rate" in words)
    assert all(np.isfinite(w).all() for w in model.get_weights())
