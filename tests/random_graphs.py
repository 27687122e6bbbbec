"""Random graphs for properties of passes (a hypothesis strategy).

In float64, from ops that are continuous, so that the last bit, which a pass may change, does not grow into a
visible difference.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

from kcompile.ir import Graph, Value, constant, input_value, named, scope, variable_value
from kcompile.ir.ops.arrays.reduction import reduce_max, reduce_mean, reduce_sum
from kcompile.ir.ops.arrays.shaping import (
    concat,
    expand,
    expand_dims,
    pad,
    reshape,
    reverse,
    slice_axes,
    split,
    transpose,
)
from kcompile.ir.ops.elementwise import functions as e
from kcompile.ir.ops.elementwise.comparison import greater, logical_not
from kcompile.ir.ops.loops.control import cond, learning_phase, select
from kcompile.ir.ops.products.linalg import matmul
from kcompile.ir.ops.products.softmax import log_softmax, softmax

UNARY: list[Callable[[Value], Value]] = [
    e.neg, e.absolute, e.tanh, e.sigmoid, e.relu, e.softplus, e.stop_gradient, e.square,
    lambda x: e.sqrt(e.absolute(x)),
    lambda x: e.exp(e.tanh(x)),
    lambda x: e.power(x, 3),
    lambda x: e.cast(e.cast(x, "float32"), "float64"),
    lambda x: e.clip(e.clip(x, -3, 3), -2, 4),
]  # fmt: skip
BINARY: list[Callable[[Value, Value], Value]] = [
    e.add, e.sub, e.mul, e.maximum, e.minimum,
    lambda x, y: e.div(x, e.add(e.square(y), 1)),
    lambda x, y: e.where(logical_not(greater(x, y)), x, y),
    lambda x, y: select(learning_phase(), x, y),
]  # fmt: skip
NUMBERS = [0.0, -0.0, 1.0, -1.0, 2.0, 0.5, -3.0, 0.1, float("nan"), float("inf")]
BATCH = named("batch")


@st.composite
def graphs(draw: st.DrawFn, steps: int = 20) -> Graph:
    """A graph over inputs with a symbolic size, variables, constants, several outputs and an update."""
    inputs = [input_value("x", "float64", (BATCH, 4)), input_value("in/y", "float64", (4,))]
    weight = variable_value("dense/w", "float64", (3, 4))
    values = [*inputs, weight]
    for step in range(draw(st.integers(steps // 2, steps))):
        x = draw(st.sampled_from(values[-4:]))
        with scope(f"layer_{step % 3}" if draw(st.booleans()) else ""):
            values += draw(st.sampled_from(STEPS))(draw, x, values)
    # The last values depend on the most.
    outputs = [*values[-2:], draw(st.sampled_from(values))]
    shaped = [value for value in values if value.shape == weight.shape]
    update = draw(st.sampled_from(shaped))
    named_outputs = {f"out/{i}": value for i, value in enumerate(outputs)} if draw(st.booleans()) else outputs
    assert weight.node.op is not None
    return Graph(inputs, named_outputs, {weight.op: update})  # type: ignore[dict-item]


def _unary(draw: st.DrawFn, x: Value, values: list[Value]) -> list[Value]:
    return [draw(st.sampled_from(UNARY))(x)]


def _binary(draw: st.DrawFn, x: Value, values: list[Value]) -> list[Value]:
    fits = [y for y in values if y.shape == x.shape or y.rank == 0 or (y.rank == 1 and y.shape == x.shape[-1:])]
    operands = [x, draw(st.sampled_from(fits))]
    if draw(st.booleans()):
        operands.reverse()
    return [draw(st.sampled_from(BINARY))(*operands)]


def _with_number(draw: st.DrawFn, x: Value, values: list[Value]) -> list[Value]:
    number = constant(draw(st.sampled_from(NUMBERS)), "float64")
    if draw(st.booleans()) and x.rank and isinstance(x.shape[-1], int):
        number = constant([number.op.array] * x.shape[-1], "float64")  # type: ignore[attr-defined]
    return [draw(st.sampled_from([e.add, e.sub, e.mul, lambda a, b: e.sub(b, a), lambda a, b: e.mul(b, a)]))(x, number)]


def _reduced(draw: st.DrawFn, x: Value, values: list[Value]) -> list[Value]:
    axes = draw(st.lists(st.sampled_from(range(x.rank)), unique=True)) if x.rank else []
    reduce = draw(st.sampled_from([reduce_sum, reduce_mean, reduce_max]))
    return [reduce(x, axes, keepdims=draw(st.booleans()))]


def _moved(draw: st.DrawFn, x: Value, values: list[Value]) -> list[Value]:
    match draw(st.integers(0, 5)):
        case 0:
            return [transpose(x, draw(st.permutations(range(x.rank))))]
        case 1:
            return [reshape(x, (-1,))]
        case 2:
            return [expand_dims(x, draw(st.integers(0, x.rank)))]
        case 3 if x.rank < 4:
            return [expand(x, (draw(st.integers(1, 2)), *x.shape))]
        case 4 if x.rank:
            return [reverse(x, draw(st.integers(0, x.rank - 1)))]
        case _:
            return [transpose(x)]


def _cut(draw: st.DrawFn, x: Value, values: list[Value]) -> list[Value]:
    if not x.rank or not isinstance(x.shape[-1], int) or x.shape[-1] < 2:
        return [concat([x, x], 0)] if x.rank else [e.neg(x)]
    n = x.shape[-1]
    match draw(st.integers(0, 3)):
        case 0:
            return list(split(x, [1, n - 1], -1))
        case 1:
            return [slice_axes(x, [-1], [draw(st.integers(-n, n))], [None], [draw(st.sampled_from([1, 2]))])]
        case 2:
            return [pad(x, [(0, 0)] * (x.rank - 1) + [(1, 2)], value=draw(st.sampled_from([0.0, 1.0])))]
        case _:
            return [concat(split(x, [1, n - 1], -1), -1)]


def _rows(draw: st.DrawFn, x: Value, values: list[Value]) -> list[Value]:
    if x.rank < 2:
        return [e.neg(x)]
    match draw(st.integers(0, 2)):
        case 0 if x.shape[-1] != 0:
            return [draw(st.sampled_from([softmax, log_softmax]))(x)]
        case 1 if x.rank == 2:
            return [matmul(x, transpose(x))]
        case _:
            return [matmul(transpose(x), x)] if x.rank == 2 else [e.neg(x)]


def _branch(draw: st.DrawFn, x: Value, values: list[Value]) -> list[Value]:
    predicate = draw(st.sampled_from([learning_phase(), constant(True), greater(reduce_sum(x), 0.0)]))
    return list(cond(predicate, lambda a: [e.mul(a, 1.0)], lambda a: [e.neg(e.neg(a))], [x]))


STEPS = [_unary, _unary, _binary, _binary, _with_number, _with_number, _reduced, _moved, _moved, _cut, _rows, _branch]
