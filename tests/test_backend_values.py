"""K: what creates tensors, element types, updates, and random numbers of a seed.

The values are those of tf_keras 2.21's backend for the same calls, but where a comment says so.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kcompile import backend as K
from kcompile import layers
from kcompile.models import Model, Sequential, load_model

SQUARE = np.array([[1.0, 2.0], [3.0, 4.0]])

MADE: dict[str, tuple[Callable[[], Any], str, Any]] = {
    "constant of integers": (lambda: K.constant([1, 2]), "float32", [1, 2]),
    "constant, a type": (lambda: K.constant([1, 2], dtype="int32"), "int32", [1, 2]),
    "constant of booleans": (lambda: K.constant([True, False]), "float32", [1, 0]),
    "constant of float64": (lambda: K.constant(np.arange(3.0)), "float32", [0, 1, 2]),
    "constant, reshaped": (lambda: K.constant([1, 2, 3, 4, 5, 6], shape=(2, 3)), "float32", [[1, 2, 3], [4, 5, 6]]),
    "constant, flattened": (lambda: K.constant(SQUARE, shape=(4,)), "float32", [1, 2, 3, 4]),
    "constant, filled": (lambda: K.constant(3, shape=(2, 3)), "float32", np.full((2, 3), 3)),
    "constant, filled from a list": (lambda: K.constant([7], shape=[2]), "float32", [7, 7]),
    "constant, scalar of a list": (lambda: K.constant([2], shape=()), "float32", 2),
    "variable of integers": (lambda: K.variable(np.array([1, 2])), "float32", [1, 2]),
    "variable, a type": (lambda: K.variable([1, 2], dtype="int64"), "int64", [1, 2]),
    "zeros": (lambda: K.zeros((2,), dtype="bool"), "bool", [False, False]),
    "ones": (lambda: K.ones((), dtype="int64"), "int64", 1),
    "eye": (lambda: K.eye(2, dtype="int32"), "int32", [[1, 0], [0, 1]]),
    "zeros_like": (lambda: K.zeros_like(K.variable([1, 2]), dtype="int64"), "int64", [0, 0]),
    "ones_like": (lambda: K.ones_like(np.array([1, 2])), "int64", [1, 1]),
    "arange": (lambda: K.arange(1, 7, 2), "int32", [1, 3, 5]),
    "arange, down": (lambda: K.arange(5, 0, -2), "int32", [5, 3, 1]),
    "arange of fractions": (lambda: K.arange(0.5, 2.5, 0.5), "float32", [0.5, 1, 1.5, 2]),
    "arange, empty": (lambda: K.arange(-3), "int32", np.zeros(0)),
    "cast": (lambda: K.cast(K.variable([1.7, -1.7]), "int32"), "int32", [1, -1]),
    "cast to bool": (lambda: K.cast(K.variable([0.0, 2.0]), "bool"), "bool", [False, True]),
    "cast of an array": (lambda: K.cast(np.array([1, 2]), "float32"), "float32", [1, 2]),
}


@pytest.mark.parametrize("name", MADE)
def test_made(name: str) -> None:
    make, dtype, expected = MADE[name]
    tensor = make()
    assert K.dtype(tensor) == dtype
    array = np.asarray(K.get_value(tensor))
    assert array.shape == np.shape(expected)
    np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("count", [2, 3, 7])
def test_a_constant_of_another_size_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=rf"shape \({count},\) does not fill shape \(2, 3\)"):
        K.constant(np.ones(count), shape=(2, 3))


UPDATES: dict[str, tuple[Callable[[Any], Any], list[float]]] = {
    "update": (lambda v: K.update(v, v * 2), [2, 4]),
    "update to a list": (lambda v: K.update(v, [5.0, 6.0]), [5, 6]),
    "update_add": (lambda v: K.update_add(v, [1.0, 1.0]), [2, 3]),
    "update_sub": (lambda v: K.update_sub(v, [1.0, 1.0]), [0, 1]),
    "moving_average_update": (lambda v: K.moving_average_update(v, K.constant([3.0, 4.0]), 0.9), [1.2, 2.2]),
}
EVALUATED: dict[str, Callable[[Any], Any]] = {
    "eval": K.eval,
    "get_value": K.get_value,
    "numpy": lambda update: update.numpy(),
    "asarray": np.asarray,
    "function": lambda update: K.function([], [update])([])[0],
    "updates of a function": lambda update: K.function([], [update[1]], updates=[update])([])[0],
}


@pytest.mark.parametrize("way", EVALUATED)
@pytest.mark.parametrize("name", UPDATES)
def test_an_update_changes_the_variable_when_it_is_evaluated(name: str, way: str) -> None:
    make, expected = UPDATES[name]
    variable = K.variable([1.0, 2.0])
    update = make(variable)
    np.testing.assert_array_equal(K.get_value(variable), [1, 2])
    np.testing.assert_allclose(EVALUATED[way](update), expected, rtol=1e-6)
    np.testing.assert_allclose(K.get_value(variable), expected, rtol=1e-6)


def test_an_update_starts_from_the_present_value() -> None:
    variable = K.variable(1.0)
    double = K.update(variable, variable * 2)
    assert [float(K.eval(double)) for _ in range(3)] == [2, 4, 8]
    target, value = double
    assert target is variable
    assert float(K.eval(value)) == 16
    assert float(K.get_value(variable)) == 8


def test_updates_that_do_not_fit() -> None:
    variable = K.variable([1.0, 2.0], name="v")
    with pytest.raises(ValueError, match=r"variable 'v' has shape \(2,\); its update has shape \(3,\)"):
        K.update(variable, [1.0, 2.0, 3.0])
    with pytest.raises(TypeError, match=r"K\.update needs a variable"):
        K.update(K.constant([1.0]), [2.0])


# ---- weights of a layer's type

TYPES = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint32", "bool")


class Counting(layers.Layer):
    """Counts the samples that training showed it."""

    def build(self, input_shape: Any) -> None:
        self.seen = self.add_weight(name="seen", shape=(), trainable=False)
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        self.add_update(K.update_add(self.seen, K.cast(K.shape(inputs)[0], K.dtype(self.seen))))
        return inputs


@pytest.mark.parametrize("dtype", TYPES)
def test_a_weight_has_the_layers_type(dtype: str) -> None:
    layer = layers.Layer(dtype=dtype)
    weights = [layer.add_weight(name=f"w{i}", shape=(2,), initializer=init) for i, init in enumerate(("ones", "zeros"))]
    assert [w.dtype for w in (*weights, layer.add_weight(name="own", shape=(2,), dtype="float32"))] == [
        dtype, dtype, "float32",
    ]  # fmt: skip
    if dtype.startswith("float"):
        return
    np.testing.assert_array_equal(K.get_value(layer.add_weight(name="plain", shape=(2,))), [0, 0])
    with pytest.raises(TypeError, match=f"initializer of weight 'kernel', makes fractions but its dtype is {dtype}"):
        layers.Dense(2, dtype=dtype).build((None, 3))


def test_an_embedding_of_integers_has_weights_of_fractions() -> None:
    """Its type is that of the indices, as files say it."""
    layer = layers.Embedding(3, 2, dtype="int32")
    layer.build((None, 4))
    assert layer.embeddings.dtype == "float32"


@pytest.mark.parametrize("file", ["model.h5", "model.keras"])
def test_large_integers_are_counted_exactly(file: str, tmp_path: Path) -> None:
    model = Sequential([Counting(dtype="int64", input_shape=(2,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.layers[0].set_weights([np.int64(2**53)])
    model.fit(np.ones((9, 2)), np.ones((9, 1)), batch_size=3, verbose=0)
    model.save(tmp_path / file)
    loaded = load_model(tmp_path / file, custom_objects={"Counting": Counting})
    for each in (model, loaded):
        (count,) = each.layers[0].get_weights()
        assert count == 2**53 + 9
        assert count.dtype == np.int64


# ---- random numbers

DRAWN = {
    "random_normal": lambda seed: K.random_normal((3,), seed=seed),
    "random_uniform": lambda seed: K.random_uniform((3,), seed=seed),
    "truncated_normal": lambda seed: K.truncated_normal((3,), seed=seed),
    "random_binomial": lambda seed: K.random_binomial((64,), 0.5, seed=seed),
    "dropout": lambda seed: K.dropout(K.ones((64,)), 0.5, seed=seed),
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_seed_gives_the_same_numbers_whatever_was_drawn_before(name: str) -> None:
    """A tensor has its numbers, as in tf.keras; a new one has the same, and a function draws on, as in Keras 2.3.1."""
    draw = DRAWN[name]
    x, y = draw(1), draw(1)
    first = K.eval(x)
    np.testing.assert_array_equal(K.eval(x), first)
    K.eval(draw(2))
    np.testing.assert_array_equal([K.eval(y), K.eval(y)], [first, first])
    function = K.function([], [draw(1)])
    np.testing.assert_array_equal(function([])[0], first)
    assert not np.array_equal(function([])[0], first)
    assert not np.array_equal(K.eval(draw(2)), first)
    np.random.seed(0)
    unseeded = K.eval(draw(None))
    assert not np.array_equal(K.eval(draw(None)), unseeded)
    np.random.seed(0)
    np.testing.assert_array_equal(K.eval(draw(None)), unseeded)


def test_predictions_of_a_seed_are_the_same_in_every_model() -> None:
    def noise() -> Model:
        x = layers.Input((2,))
        return Model(x, layers.Lambda(lambda t: t + K.random_normal(K.shape(t), seed=3))(x))

    data = np.zeros((4, 2))
    model = noise()
    runs = [model.predict(data) for _ in range(2)]
    assert not np.array_equal(*runs)
    other = noise()
    np.testing.assert_array_equal([other.predict(data) for _ in range(2)], runs)


class Slope(layers.Layer):
    """An activation of a user's own, whose parameters are weights."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def build(self, input_shape: Any) -> None:
        self.a = self.add_weight(name="a", shape=(), initializer="ones")

    def call(self, inputs: Any) -> Any:
        return self.function(inputs, self.a * 0.5)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (K.elu, [-0.4323, 0, 2]),
        (lambda x, a: K.relu(x, alpha=a), [-1, 0, 2]),
        (lambda x, a: K.relu(x, threshold=a), [0, 0, 2]),
        (lambda x, a: K.clip(x, -a, a), [-0.5, 0, 0.5]),
    ],
)
def test_parameters_of_activations_may_be_weights(function: Callable[..., Any], expected: list[float]) -> None:
    model = Sequential([layers.InputLayer((3,)), Slope(function)])
    np.testing.assert_allclose(model.predict(np.float32([[-2, 0, 2]])), [expected], atol=1e-4)
