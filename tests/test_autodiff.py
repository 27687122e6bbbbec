"""Reverse-mode differentiation of whole graphs; ``tests/test_ops.py`` checks the rules of single ops."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcompile.ir import Graph, IRError, Value, constant, input_value, interpret, named, scope, toposort
from kcompile.ir.ops.arrays.cumulative import (
    cumprod,
    cumsum,
)
from kcompile.ir.ops.arrays.indexing import gather, top_k
from kcompile.ir.ops.arrays.multiplied import reduce_prod
from kcompile.ir.ops.arrays.reduction import (
    logsumexp,
    reduce_max,
    reduce_mean,
    reduce_sum,
)
from kcompile.ir.ops.arrays.shaping import concat, expand_dims, pad, reshape, slice_axes, split, transpose
from kcompile.ir.ops.elementwise.comparison import greater
from kcompile.ir.ops.elementwise.functions import (
    add,
    div,
    exp,
    log,
    maximum,
    mul,
    neg,
    sigmoid,
    stop_gradient,
    sub,
    tanh,
    where,
)
from kcompile.ir.ops.products.linalg import matmul
from kcompile.ir.ops.products.softmax import log_softmax, softmax
from kcompile.passes.autodiff import fit, gradients
from kcompile.passes.onnx.emit import emit

RNG = np.random.default_rng(11)


def evaluate(values: Sequence[Value], inputs: Sequence[Value], arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    feeds = {value.op.label: array for value, array in zip(inputs, arrays, strict=True)}
    return list(interpret(Graph(inputs, list(values)), feeds).outputs.values())


def check(output: Value, inputs: Sequence[Value], arrays: Sequence[np.ndarray], rtol: float = 1e-5) -> None:
    """The gradient of ``sum(output)`` along random directions equals central differences; float64."""
    found = gradients([output], inputs)
    total = reduce_sum(output)
    for index, gradient in enumerate(found):
        direction = RNG.standard_normal(arrays[index].shape)
        sums = []
        for step in (1e-6, -1e-6):
            moved = [a + step * direction if i == index else a for i, a in enumerate(arrays)]
            sums += evaluate([total], inputs, moved)
        expected = (sums[0] - sums[1]) / 2e-6
        along = 0.0 if gradient is None else (evaluate([gradient], inputs, arrays)[0] * direction).sum()
        np.testing.assert_allclose(along, expected, rtol, 1e-6 * max(1, abs(sums[0])))


def test_values_used_twice_collect_both_gradients() -> None:
    x = input_value("x", "float64", (3,))
    shared = exp(x)
    check(add(mul(shared, shared), shared), [x], [RNG.standard_normal(3)])
    assert gradients([x, x], [x])[0] is not None


def test_gradients_of_intermediate_values_and_of_several_outputs() -> None:
    x = input_value("x", "float64", (3,))
    y = mul(x, x)
    z, w = exp(y), tanh(y)
    array = RNG.standard_normal(3)
    for_y, for_x = gradients([z, w], [y, x])
    assert for_y is not None
    assert for_x is not None
    found_y, found_x = evaluate([for_y, for_x], [x], [array])
    expected = np.exp(array**2) + 1 - np.tanh(array**2) ** 2
    np.testing.assert_allclose(found_y, expected)
    np.testing.assert_allclose(found_x, expected * 2 * array)


def test_given_output_gradients_weigh_the_outputs() -> None:
    x, weight = input_value("x", "float64", (2, 3)), input_value("weight", "float64", (2, 1))
    (gradient,) = gradients([mul(x, x)], [x], [weight])
    assert gradient is not None
    assert gradient.type == x.type
    x_array, weights = RNG.standard_normal((2, 3)), RNG.standard_normal((2, 1))
    (found,) = evaluate([gradient], [x, weight], [x_array, weights])
    np.testing.assert_allclose(found, 2 * x_array * weights)


def test_no_smooth_path_is_none() -> None:
    x, y = input_value("x", "float32", (3,)), input_value("y", "float32", (3,))
    i = input_value("i", "int64", (2,))
    assert gradients([exp(x)], [y]) == [None]
    assert gradients([stop_gradient(exp(x))], [x]) == [None]
    assert gradients([gather(x, i)], [i]) == [None]
    assert gradients([where(greater(x, 0), y, y)], [x]) == [None]


def test_stop_gradient_stops_one_path_only() -> None:
    x = input_value("x", "float64", (3,))
    (gradient,) = gradients([mul(x, stop_gradient(exp(x)))], [x])
    array = RNG.standard_normal(3)
    assert gradient is not None
    np.testing.assert_allclose(evaluate([gradient], [x], [array])[0], np.exp(array))


def test_integers_cannot_be_differentiated() -> None:
    i = input_value("i", "int64", (2,))
    with pytest.raises(IRError, match="not a floating point value"):
        gradients([i], [i])


def test_gradient_nodes_carry_the_scope_of_their_forward_node() -> None:
    x = input_value("x", "float32", (3,))
    with scope("dense"):
        y = mul(exp(x), 2)
    (gradient,) = gradients([y], [x])
    assert gradient is not None
    assert {node.scope for node in toposort([gradient]) if node.inputs and node not in toposort([y])} == {"dense"}


@pytest.mark.parametrize(
    ("shape", "target"),
    [
        ((2, 3), (2, 3)),
        ((2, 3), (1, 3)),
        ((2, 3), (3,)),
        ((2, 3), ()),
        ((4, 2, 3), (2, 1)),
        ((3,), (2, 3)),
        ((), (2, 3)),
        ((1, 3), (2, 3)),
        ((2, 1, 3), (2, 4, 3)),
    ],
)
def test_fit_undoes_and_does_broadcasting(shape: tuple[int, ...], target: tuple[int, ...]) -> None:
    g, like = input_value("g", "float64", shape), input_value("like", "float64", target)
    fitted = fit(g, like.type)
    assert fitted.shape == target
    array = RNG.standard_normal(shape)
    wide = np.broadcast_to(array, np.broadcast_shapes(shape, target))
    extra = wide.ndim - len(target)
    axes = (*range(extra), *(a + extra for a, n in enumerate(target) if n == 1 != wide.shape[a + extra]))
    expected = wide.sum(axis=axes).reshape(target)
    np.testing.assert_allclose(evaluate([fitted], [g], [array])[0], expected)


def test_fit_expands_over_a_symbolic_batch() -> None:
    g = input_value("g", "float32", (1, 3))
    like = input_value("like", "float32", (named("batch"), 3))
    assert fit(g, like.type).type == like.type


@pytest.mark.parametrize(
    "function",
    [
        lambda x: exp(mul(x, x)),
        lambda x: div(1.0, add(exp(x), 1)),
        lambda x: log(add(mul(x, x), 1)),
        lambda x: softmax(mul(x, 2)),
        lambda x: mul(log_softmax(x), x),
        lambda x: mul(sigmoid(x), tanh(x)),
        lambda x: matmul(x, transpose(x)),
        lambda x: mul(logsumexp(x, 1, True), x),
        lambda x: reduce_prod(x, 1),
        lambda x: cumprod(x, 1, exclusive=True),
        lambda x: mul(cumsum(x, 0, reverse=True), x),
        lambda x: mul(reduce_max(x, 1, True), x),
        lambda x: mul(top_k(mul(x, x), 2)[0], slice_axes(x, [1], [0], [2])),
        lambda x: mul(pad(x, [(1, 0), (0, 2)], "edge"), pad(x, [(1, 0), (0, 2)], "reflect")),
    ],
)
def test_second_order(function: Callable[[Value], Value]) -> None:
    """Gradients are ordinary values: the gradient of a function of them is right too."""
    x = input_value("x", "float64", (3, 4))
    array = RNG.permutation(np.linspace(-1, 1.1, 12)).reshape(3, 4)
    (first,) = gradients([function(x)], [x])
    assert first is not None
    check(mul(first, constant(RNG.standard_normal((3, 4)))), [x], [array], rtol=1e-4)


def test_work_is_linear_in_the_number_of_nodes() -> None:
    """A long chain in which each value is used twice: neither recursion nor repeated walks."""

    def calls(length: int) -> int:
        x = y = input_value("x", "float32", (3,))
        for _ in range(length):
            y = add(mul(y, 0.5), y)
        count = 0

        def profile(frame: object, event: str, argument: object) -> None:
            nonlocal count
            count += event in ("call", "c_call")

        before = sys.getprofile()
        sys.setprofile(profile)
        try:
            (gradient,) = gradients([y], [x])
        finally:
            sys.setprofile(before)
        assert gradient is not None
        assert len(toposort([gradient])) < 6 * length
        return count

    calls(100)
    assert calls(4000) < 4.1 * calls(1000)


def test_a_dense_layer_on_rank_3_has_one_matrix_product_per_gradient() -> None:
    """All leading axes are contracted at once: three large products in all, none of them batched."""
    x, w = input_value("x", "float32", (named("batch"), 7, 6)), input_value("w", "float32", (6, 5))
    y = matmul(x, w)
    found = gradients([reduce_sum(mul(y, y))], [x, w])
    model = emit(Graph([x, w], {"dx": found[0], "dw": found[1]})).model
    products = [node.op_type for node in model.graph.node if node.op_type in ("MatMul", "Gemm")]
    assert sorted(products) == ["Gemm", "Gemm", "MatMul"]
    assert "Transpose" not in {node.op_type for node in model.graph.node}


# ---- random programs

ROWS, COLUMNS = 3, 4
STEPS: dict[str, Callable[[Value, Value], Value]] = {
    "add": add,
    "mul": mul,
    "sub": lambda x, y: sub(x, mul(y, 0.3)),
    "div": lambda x, y: div(x, add(mul(y, y), 1)),
    "tanh": lambda x, y: tanh(x),
    "sigmoid": lambda x, y: sigmoid(add(x, y)),
    "maximum": lambda x, y: maximum(x, mul(y, 1.7)),
    "where": lambda x, y: where(greater(x, 0.01), mul(x, 2.0), neg(y)),
    "softmax": lambda x, y: softmax(x),
    "mean": lambda x, y: sub(x, reduce_mean(y, 1, True)),
    "column sum": lambda x, y: mul(x, reduce_sum(y, 0)),
    "max": lambda x, y: add(x, reduce_max(y, 1, True)),
    "matmul": lambda x, y: matmul(matmul(x, y, False, True), x),
    "reshape": lambda x, y: transpose(reshape(mul(x, y), (COLUMNS, ROWS))),
    "swap": lambda x, y: concat(split(x, (1, 3), 1)[::-1], 1),
    "slice": lambda x, y: pad(slice_axes(x, [1], [0], [None], [2]), [(0, 0), (1, 1)]),
    "gather": lambda x, y: gather(x, constant([3, 0, 0, -1]), 1),
    "cumsum": lambda x, y: cumsum(mul(x, 0.5), 1, reverse=True),
    "outer": lambda x, y: reduce_mean(mul(expand_dims(x, 1), expand_dims(y, 0)), 1),
}


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 9), st.integers(0, 9)),
        min_size=1,
        max_size=8,
    ),
    st.integers(0, 1000),
)
def test_random_programs(program: list[tuple[str, int, int]], seed: int) -> None:
    """Any DAG of ops on matrices: the gradient of both inputs equals finite differences."""
    inputs = [input_value(label, "float64", (ROWS, COLUMNS)) for label in ("x", "y")]
    values = list(inputs)
    for name, left, right in program:
        values.append(STEPS[name](values[left % len(values)], values[right % len(values)]))
    random = np.random.default_rng(seed)
    arrays = [random.standard_normal((ROWS, COLUMNS)) for _ in inputs]
    output = mul(tanh(values[-1]), constant(random.standard_normal((ROWS, COLUMNS))))
    check(output, inputs, arrays, rtol=1e-3)
