"""Initializers, regularizers and constraints give Keras' values, or values of Keras' distribution."""

from math import prod, sqrt

import numpy as np
import pytest

import kcompile as keras
from kcompile import backend as K
from tests.golden import load
from tests.golden.cases.rules import (
    CONSTRAINTS,
    EXACT_INITIALIZERS,
    ORTHOGONAL_INITIALIZERS,
    RANDOM_INITIALIZERS,
    REGULARIZERS,
    RuleCase,
)
from tests.golden.compare import assert_close

GOLDEN = load("rules")


def by_name(case: RuleCase) -> str:
    return case.name


@pytest.mark.parametrize("case", REGULARIZERS, ids=by_name)
def test_regularizer(case: RuleCase) -> None:
    golden = GOLDEN[case.name]
    weight = K.variable(golden.weight[0])
    penalty = getattr(keras.regularizers, case.rule)(**case.arguments)(weight)
    assert_close(K.eval(penalty), golden.value[0], "penalty")
    assert_close(K.eval(K.gradients(penalty, [weight])[0]), golden.gradient[0], "gradient")


@pytest.mark.parametrize("case", CONSTRAINTS, ids=by_name)
def test_constraint(case: RuleCase) -> None:
    golden = GOLDEN[case.name]
    constrained = getattr(keras.constraints, case.rule)(**case.arguments)(K.variable(golden.weight[0]))
    assert_close(K.eval(constrained), golden.value[0], "constrained weight")


@pytest.mark.parametrize("case", EXACT_INITIALIZERS, ids=by_name)
def test_exact_initializer(case: RuleCase) -> None:
    value = K.eval(getattr(keras.initializers, case.rule)(**case.arguments)(case.shape))
    assert value.dtype == np.float32
    assert_close(value, GOLDEN[case.name].value[0], "value")


@pytest.mark.parametrize("case", ORTHOGONAL_INITIALIZERS, ids=by_name)
def test_orthogonal_initializer(case: RuleCase) -> None:
    value = K.eval(keras.initializers.Orthogonal(**case.arguments)(case.shape))
    assert value.shape == case.shape
    matrix = value.reshape(-1, case.shape[-1])
    matrix = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    gain = case.arguments.get("gain", 1.0)
    assert_close(matrix.T @ matrix, gain**2 * np.eye(matrix.shape[1]), "W'W", 1e-4)


@pytest.mark.parametrize("case", RANDOM_INITIALIZERS, ids=by_name)
def test_random_initializer(case: RuleCase) -> None:
    """Bounds hold; mean and deviation lie within five standard errors; a seed repeats, another differs."""
    expected = GOLDEN[case.name].statistics
    make = getattr(keras.initializers, case.rule)
    value = K.eval(make(**case.arguments, seed=7)(case.shape))
    assert value.shape == case.shape
    assert value.dtype == np.float32
    count, stddev = prod(case.shape), expected["stddev"]
    rounding = 1e-6 * (abs(expected["mean"]) + stddev)
    assert value.min() >= expected["minimum"] - rounding
    assert value.max() <= expected["maximum"] + rounding
    assert abs(value.mean() - expected["mean"]) < 5 * stddev / sqrt(count)
    assert value.std() == pytest.approx(stddev, rel=5 / sqrt(2 * count))
    if np.isfinite(expected["maximum"]):  # not merely inside the bounds, but filling them
        assert value.max() - value.min() > 0.98 * (expected["maximum"] - expected["minimum"])
    np.testing.assert_array_equal(K.eval(make(**case.arguments, seed=7)(case.shape)), value)
    assert not np.array_equal(K.eval(make(**case.arguments, seed=8)(case.shape)), value)
