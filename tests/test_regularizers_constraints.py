"""Regularizers, constraints and activations: names, configurations, custom functions, errors, formulas."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from kcompile import activations, constraints, regularizers
from kcompile import backend as K

W = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, -0.25], [-1.5, 0.1, 2.0]], np.float32)


def value(function, x=W):
    return K.eval(function(K.variable(x)))


# ---- regularizers


@pytest.mark.parametrize(
    ("regularizer", "l1", "l2"),
    [
        (regularizers.l1(0.5), 0.5, 0),
        (regularizers.l1(l1=0.5), 0.5, 0),
        (regularizers.l2(0.0), 0, 0),
        (regularizers.l2(l2=0.5), 0, 0.5),
        (regularizers.l1_l2(0.1, 0.2), 0.1, 0.2),
        (regularizers.l1l2(l2=0.2), 0.01, 0.2),
        (regularizers.activity_l1(0.3), 0.3, 0),
        (regularizers.activity_l2(), 0, 0.01),
        (regularizers.activity_l1l2(), 0.01, 0.01),
        (regularizers.WeightRegularizer(l1=0.2), 0.2, 0),
        (regularizers.ActivityRegularizer(l2=0.2), 0, 0.2),
        (regularizers.L1(0.3), 0.3, 0),
        (regularizers.L2(), 0, 0.01),
        (regularizers.get("l1"), 0.01, 0),
        (regularizers.get("L1L2"), 0, 0),
        (regularizers.get("l1_l2"), 0.01, 0.01),
        (regularizers.get({"class_name": "L2", "config": {"l2": 0.25}}), 0, 0.25),
        (regularizers.get({"class_name": "l1", "config": {"l": 0.25}}), 0.25, 0),
    ],
)
def test_penalties(regularizer, l1: float, l2: float) -> None:
    expected = l1 * abs(W).sum() + l2 * (W**2).sum()
    np.testing.assert_allclose(value(regularizer), expected, rtol=1e-6)
    saved = json.loads(json.dumps(regularizers.serialize(regularizer)))
    np.testing.assert_allclose(value(regularizers.deserialize(saved)), expected, rtol=1e-6)


@pytest.mark.parametrize("mode", ["rows", "columns"])
def test_orthogonal_regularizer(mode: str) -> None:
    rows = (W if mode == "rows" else W.T).astype(np.float64)
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = [abs(rows[i] @ rows[j]) for i in range(3) for j in range(i)]
    regularizer = regularizers.OrthogonalRegularizer(0.3, mode)
    np.testing.assert_allclose(value(regularizer), 0.3 * np.mean(cosines), rtol=1e-5)
    np.testing.assert_allclose(value(regularizer, np.eye(3)), 0)


def test_custom_regularizers() -> None:
    def mine(w):
        return 0.01 * K.sum(K.abs(w))

    assert regularizers.get(mine) is mine
    assert regularizers.get(None) is None
    assert regularizers.deserialize("mine", {"mine": mine}) is mine

    class Mine(regularizers.Regularizer):
        def __init__(self, factor=2.0):
            self.factor = factor

        def __call__(self, x):
            return self.factor * K.sum(x)

        def get_config(self):
            return {"factor": self.factor}

    saved = regularizers.serialize(Mine(3.0))
    assert saved == {"class_name": "Mine", "config": {"factor": 3.0}}
    np.testing.assert_allclose(value(regularizers.deserialize(saved, {"Mine": Mine})), 3 * W.sum(), rtol=1e-6)


# ---- constraints


@pytest.mark.parametrize(
    "name",
    ["max_norm", "maxnorm", "MaxNorm", "non_neg", "nonneg", "NonNeg", "unit_norm", "unitnorm", "UnitNorm",
     "min_max_norm", "MinMaxNorm"],
)  # fmt: skip
def test_constraint_names_and_configurations(name: str) -> None:
    constraint = constraints.get(name)
    saved = json.loads(json.dumps(constraints.serialize(constraint)))
    again = constraints.deserialize(saved)
    assert type(again) is type(constraint)
    np.testing.assert_array_equal(value(again), value(constraint))
    assert type(constraints.get(getattr(constraints, name))) is type(constraint)


def test_constraints_reach_their_aim() -> None:
    norms = np.linalg.norm(W, axis=0)
    np.testing.assert_allclose(np.linalg.norm(value(constraints.UnitNorm()), axis=0), 1, rtol=1e-6)
    limited = np.linalg.norm(value(constraints.MaxNorm(m=2)), axis=0)
    np.testing.assert_allclose(limited, np.minimum(norms, 2), rtol=1e-6)
    ranged = np.linalg.norm(value(constraints.MinMaxNorm(low=2.2, high=2.5, axis=1)), axis=1)
    np.testing.assert_allclose(ranged, np.clip(np.linalg.norm(W, axis=1), 2.2, 2.5), rtol=1e-6)
    np.testing.assert_array_equal(value(constraints.NonNeg()), np.maximum(W, 0))
    # A column of zeros stays what it is.
    np.testing.assert_array_equal(value(constraints.UnitNorm(), np.zeros((3, 2))), np.zeros((3, 2)))


# ---- activations

X = np.linspace(-7, 7, 29, dtype=np.float32).reshape(1, -1)
_X = X.astype(np.float64)
_ERF = np.vectorize(math.erf)
_SIGMOID = 1 / (1 + np.exp(-_X))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("linear", _X),
        ("relu", np.maximum(_X, 0)),
        ("relu6", np.clip(_X, 0, 6)),
        ("leaky_relu", np.where(_X > 0, _X, 0.2 * _X)),
        ("elu", np.where(_X > 0, _X, np.expm1(_X))),
        ("selu", 1.05070098 * np.where(_X > 0, _X, 1.67326324 * np.expm1(_X))),
        ("softplus", np.log1p(np.exp(_X))),
        ("softsign", _X / (1 + abs(_X))),
        ("tanh", np.tanh(_X)),
        ("sigmoid", _SIGMOID),
        ("hard_sigmoid", np.clip(0.2 * _X + 0.5, 0, 1)),
        ("exponential", np.exp(_X)),
        ("softmax", np.exp(_X) / np.exp(_X).sum()),
        ("log_softmax", _X - np.log(np.exp(_X).sum())),
        ("swish", _X * _SIGMOID),
        ("silu", _X * _SIGMOID),
        ("hard_silu", _X * np.clip(_X + 3, 0, 6) / 6),
        ("hard_swish", _X * np.clip(_X + 3, 0, 6) / 6),
        ("gelu", _X * (1 + _ERF(_X / math.sqrt(2))) / 2),
        ("mish", _X * np.tanh(np.log1p(np.exp(_X)))),
    ],
)
def test_activation(name: str, expected: np.ndarray) -> None:
    activation = activations.get(name)
    np.testing.assert_allclose(value(activation, X), expected, rtol=2e-5, atol=2e-6)
    assert activations.get(activations.serialize(activation)) is activation


def test_activation_arguments() -> None:
    np.testing.assert_allclose(
        value(lambda x: activations.relu(x, alpha=0.1, max_value=4.0, threshold=1.0), X),
        np.where(_X >= 4, 4, np.where(_X >= 1, _X, 0.1 * (_X - 1))),
        rtol=1e-5,
        atol=1e-6,
    )
    flat = value(lambda x: activations.elu(x, 0.5), X)[0, 0]
    np.testing.assert_allclose(flat, 0.5 * np.expm1(-7), rtol=1e-5)
    tanh = np.tanh(math.sqrt(2 / math.pi) * (_X + 0.044715 * _X**3))
    np.testing.assert_allclose(
        value(lambda x: activations.gelu(x, approximate=True), X), 0.5 * _X * (1 + tanh), rtol=1e-5, atol=1e-5
    )
    table = np.arange(12.0).reshape(2, 3, 2) ** 1.5
    exponentials = np.exp(table - table.max(1, keepdims=True))
    np.testing.assert_allclose(
        value(lambda x: activations.softmax(x, axis=1), table),
        exponentials / exponentials.sum(1, keepdims=True),
        rtol=1e-5,
    )


def test_activations_of_other_kinds() -> None:
    def mine(x):
        return x * 2

    assert activations.get(None) is activations.linear
    assert activations.get(mine) is mine
    assert activations.deserialize("mine", {"mine": mine}) is mine
    from_keras3 = {"module": "builtins", "class_name": "function", "config": "tanh"}
    assert activations.get(from_keras3) is activations.tanh


# ---- errors


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: regularizers.get("l1_12"), ValueError, "Unknown regularizer 'l1_12'; did you mean 'l1_l2'"),
        (lambda: regularizers.get(0.01), TypeError, r"regularizer must be a name.*0.01 \(float\)"),
        (lambda: regularizers.l2("much"), TypeError, "l2 must be a number"),
        (lambda: regularizers.l2(factor=1), TypeError, "no argument 'factor'"),
        (lambda: regularizers.OrthogonalRegularizer()(K.variable([1.0])), ValueError, "works on matrices"),
        (lambda: constraints.get("max_nrom"), ValueError, "did you mean 'max_norm'"),
        (lambda: constraints.MaxNorm(-1), ValueError, "max_value must be a number of at least 0"),
        (lambda: constraints.MaxNorm(n=1), TypeError, "no argument 'n'"),
        (lambda: constraints.MinMaxNorm(2.0, 1.0), ValueError, "max_value must be a number of at least 2"),
        (lambda: activations.get("ReLuu"), ValueError, "did you mean 'relu'"),
        (lambda: activations.get(5), TypeError, "activation must be a name"),
        (lambda: activations.softmax(K.variable(np.ones(3))), ValueError, r"two axes or more.*\(3,\)"),
    ],
)
def test_bad_input(call, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()
