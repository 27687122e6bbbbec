"""Functions of keras.backend compute what Keras computes, and so do their gradients."""

import numpy as np
import pytest

from kcompile import backend as K
from tests.golden import Golden, load
from tests.golden.cases.backend import CASES, BackendCase
from tests.golden.compare import assert_all_close, assert_close

GOLDEN = load("backend")
PARAMETERS = [pytest.param(case, GOLDEN[case.name], id=case.name) for case in CASES]


def call(case: BackendCase, tensors: list):
    if case.function == "switch":
        tensors = [K.cast(tensors[0], "bool"), *tensors[1:]]
    arguments = [tensors] if case.as_list else tensors
    return getattr(K, case.function)(*arguments, **case.arguments)


@pytest.mark.parametrize(("case", "golden"), PARAMETERS)
def test_value_and_gradients(case: BackendCase, golden: Golden) -> None:
    placeholders = [K.placeholder(shape=x.shape, dtype=x.dtype.name) for x in golden.inputs]
    value = call(case, placeholders)
    expected = golden.value[0]
    assert tuple(K.int_shape(value)) == expected.shape
    if "gradients" not in golden:
        (actual,) = K.function(placeholders, [value])(golden.inputs)
        np.testing.assert_array_equal(actual, expected)
        return
    floats = [p for p, x in zip(placeholders, golden.inputs, strict=True) if x.dtype == np.float32]
    total = K.sum(value * K.constant(golden.cotangent[0]))
    # A function without a gradient (sign, round, zeros_like) has None for it, which stands for zero.
    gradients = [K.zeros_like(x) if g is None else g for x, g in zip(floats, K.gradients(total, floats), strict=True)]
    actual, *actual_gradients = K.function(placeholders, [value, *gradients])(golden.inputs)
    assert_close(actual, expected, "value")
    assert_all_close(actual_gradients, golden.gradients, "gradients")


@pytest.mark.parametrize("name", ["sum_axis", "dot", "batch_dot", "conv2d_same", "softmax_axis1"])
def test_unknown_sizes(name: str) -> None:
    """The same values when the first dimension is unknown until the function is called."""
    case, golden = next(case for case in CASES if case.name == name), GOLDEN[name]
    first = golden.inputs[0]
    x = K.placeholder(shape=(None, *first.shape[1:]))
    others = [
        K.placeholder(shape=((None, *y.shape[1:]) if case.function == "batch_dot" else y.shape))
        for y in golden.inputs[1:]
    ]
    (actual,) = K.function([x, *others], [call(case, [x, *others])])(golden.inputs)
    assert_close(actual, golden.value[0], "value")
