"""Losses and metrics called on arrays: ranks that differ by a last axis of size 1 are made equal, nothing else is."""

import numpy as np
import pytest

import kcompile as keras
from kcompile import backend as K
from tests.golden import load
from tests.golden.cases.called import CASES, METRICS, REDUCTIONS, arguments
from tests.golden.compare import assert_close

GOLDEN = load("called")


def computed(module, name, y_true, y_pred, w, reduction="none"):
    if module == "losses":
        return K.eval(keras.losses.get(name).__class__(reduction=reduction)(y_true, y_pred, sample_weight=w))
    metric = getattr(keras.metrics, name)(**arguments(name))
    metric.update_state(y_true, y_pred, sample_weight=w)
    return K.eval(metric.result())


@pytest.mark.parametrize("shape", list(dict.fromkeys(shape for *_, (shape, _) in CASES)))
@pytest.mark.parametrize("module", ["losses", "metrics"])
def test_as_keras(module, shape):
    """Every class; where Keras refuses weights of vectors, they weight samples as those of columns do."""
    checked = 0
    for name in [name for found, name, (other, _) in CASES if (found, other) == (module, shape)]:
        golden = GOLDEN[f"{module}/{name}/{shape}"]
        y_true, y_pred, weight = golden.y_true[0], golden.y_pred[0], golden.weight[0]
        column = (y_true.reshape(5, -1), y_pred.reshape(5, -1)) if not name.startswith("Sparse") else (y_true, y_pred)
        for reduction in REDUCTIONS if module == "losses" else ("none",):
            for kind, w in (("plain", None), ("weighted", weight)):
                field = f"{kind}_{reduction}" if module == "losses" else kind
                what = f"{name} {field}"
                if field in golden:
                    assert_close(computed(module, name, y_true, y_pred, w, reduction), golden[field][0], what)
                elif w is not None:
                    expected = computed(module, name, *column, w, reduction)
                    assert_close(computed(module, name, y_true, y_pred, w, reduction), expected, what)
                checked += field in golden
    assert checked >= 6 if module == "losses" else checked >= 3


REFUSED = [((5, 3), (5, 1)), ((5, 1), (5, 3)), ((5,), (5, 1, 1)), ((5,), (5, 3)), ((5, 3), (4, 3)), ((1, 3), (5, 3))]


@pytest.mark.parametrize(("target", "prediction"), REFUSED)
@pytest.mark.parametrize("module", ["losses", "metrics"])
def test_what_would_broadcast_is_refused(module, target, prediction):
    names = METRICS if module == "metrics" else [name for found, name, _ in CASES if found == "losses"]
    for name in [name for name in names if not name.startswith("Sparse")]:
        with pytest.raises(ValueError, match=r"targets of shape \(.*predictions of shape"):
            computed(module, name, np.zeros(target, np.float32), np.full(prediction, 0.5, np.float32), None)


@pytest.mark.parametrize("name", ["SparseCategoricalCrossentropy", "SparseCategoricalAccuracy"])
@pytest.mark.parametrize(("target", "advice"), [((5, 3), "one-hot"), ((4,), "numbers"), ((5, 2), "numbers")])
def test_class_numbers_of_another_shape(name, target, advice):
    module = "losses" if name.endswith("entropy") else "metrics"
    with pytest.raises(ValueError, match=advice):
        computed(module, name, np.zeros(target, np.float32), np.full((5, 3), 0.5, np.float32), None)


@pytest.mark.parametrize("module", ["losses", "metrics"])
def test_a_number_is_the_target_of_all(module):
    y = np.arange(6, dtype=np.float32).reshape(3, 2)
    assert np.mean(computed(module, "MeanSquaredError", 1.0, y, None)) == pytest.approx(np.mean((y - 1) ** 2))


@pytest.mark.parametrize("weight", [(4,), (5, 3), (5, 1, 1)])
def test_weights_of_another_shape(weight):
    y = np.zeros((5, 3), np.float32)
    with pytest.raises(ValueError, match="sample_weight of shape"):
        keras.losses.MeanSquaredError()(y, y, sample_weight=np.ones(weight, np.float32))


def test_in_add_loss():
    """The loss of a model that adds it itself: targets of shape (n,), predictions of shape (n, 1)."""
    x, target = keras.layers.Input((2,)), keras.layers.Input(())
    output = keras.layers.Dense(1, kernel_initializer="ones")(x)
    model = keras.models.Model([x, target], output)
    model.add_loss(keras.losses.MeanSquaredError()(target, output))
    model.compile("sgd")
    data, y = np.float32([[1, 2], [3, 4], [5, 6]]), np.float32([3, 5, 11])
    assert model.evaluate([data, y], verbose=0) == pytest.approx(np.mean([0, 4, 0]))


def test_in_add_loss_a_mask_counts():
    """Steps that the mask leaves out do not count, as in tf.keras."""
    x, target = keras.layers.Input((3, 1)), keras.layers.Input((3, 1))
    output = keras.layers.Masking()(x)
    model = keras.models.Model([x, target], output)
    model.add_loss(keras.losses.MeanAbsoluteError()(target, output))
    model.compile("sgd")
    data = np.float32([[[1], [2], [0]]])
    assert model.evaluate([data, np.full_like(data, 4)], verbose=0) == pytest.approx((3 + 2) / 2)


def test_a_loss_of_one_number_meets_weights():
    """Of a user's own: as in Keras, times the mean of the weights; it was the same with and without them."""
    x = keras.layers.Input((1,))
    model = keras.models.Model(x, keras.layers.Activation("linear")(x))
    model.compile("sgd", loss=lambda y, p: K.mean(K.square(y - p)))
    data = np.float32([[1], [2]])
    assert model.evaluate(data, data * 0, sample_weight=np.float32([1, 3]), verbose=0) == pytest.approx(2.5 * 2)
