"""Random loops for properties of the passes on ``scan`` (a hypothesis strategy), in float64."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from kcompile.ir import Graph, Value, input_value, named
from kcompile.ir.ops.arrays.reduction import reduce_max, reduce_mean, reduce_sum
from kcompile.ir.ops.arrays.shaping import concat, expand, expand_dims, reshape, slice_axes, split, transpose
from kcompile.ir.ops.elementwise import functions as e
from kcompile.ir.ops.elementwise.comparison import greater
from kcompile.ir.ops.loops.control import scan, select
from kcompile.ir.ops.products.linalg import matmul
from kcompile.ir.ops.products.softmax import softmax

BATCH, TIME, WIDTH = named("batch"), named("time"), 3
ROWS, MATRIX, VECTOR = (BATCH, WIDTH), (WIDTH, WIDTH), (WIDTH,)

UNARY = [e.tanh, e.sigmoid, e.neg, e.square, e.relu, softmax, lambda x: e.mul(x, 0.5), lambda x: e.sub(1, x)]
BINARY = [e.add, e.add, e.sub, e.mul, e.mul, e.maximum, lambda x, y: e.where(greater(x, y), x, e.mul(y, 0.5))]


@st.composite
def loops(draw: st.DrawFn) -> Graph:
    """A loop with sequences, states, sums and values from outside; perhaps another one over what it stacks."""
    inputs = {
        "x": input_value("x", "float64", (TIME, *ROWS)),
        "y": input_value("y", "float64", (TIME, *VECTOR)),
        "h": input_value("h", "float64", ROWS),
        "w": input_value("w", "float64", MATRIX),
        "v": input_value("v", "float64", VECTOR),
    }
    outputs = _loop(draw, inputs, inputs["x"])
    stacked = [value for value in outputs if value.shape == (TIME, *ROWS)]
    if stacked and draw(st.booleans()):
        outputs += _loop(draw, inputs, draw(st.sampled_from(stacked)))
    kept = draw(st.lists(st.sampled_from(outputs), min_size=1, unique_by=id))
    return Graph(list(inputs.values()), kept)


def _loop(draw: st.DrawFn, inputs: dict[str, Value], sequence: Value) -> list[Value]:
    h, w, v = inputs["h"], inputs["w"], inputs["v"]

    def step(
        s: Value, t: Value, products: Value, sums: Value, a: Value, b: Value
    ) -> tuple[Sequence[Value], Sequence[Value]]:
        values = [w, v, b, a, s, t]
        for _ in range(draw(st.integers(2, 10))):
            values.append(_next(draw, draw(st.sampled_from(values[-5:])), values))
        of = {shape: [x for x in values if x.shape == shape] for shape in (ROWS, MATRIX, VECTOR)}
        rows, other = draw(st.sampled_from(of[ROWS])), draw(st.sampled_from(of[ROWS]))
        after = [e.tanh(rows), draw(st.sampled_from([t, e.tanh(other), e.add(t, other), a]))]
        added = draw(st.sampled_from([matmul(rows, other, True), draw(st.sampled_from(of[MATRIX]))]))
        after.append(e.add(products, added) if draw(st.booleans()) else e.sub(products, added))
        after.append(e.add(reduce_sum(other, 0), e.add(draw(st.sampled_from(of[VECTOR])), sums)))
        if draw(st.booleans()):
            values.append(sums)  # whose running value is then read
        return after, draw(st.lists(st.sampled_from(values[-6:]), min_size=1, max_size=3))

    finals, stacked = scan(step, [h, e.neg(h), w, v], [sequence, inputs["y"]], reverse=draw(st.booleans()))
    return [*finals, *stacked]


def _next(draw: st.DrawFn, x: Value, values: Sequence[Value]) -> Value:
    """A value of the shape of ``x``, of a row of it, or a square matrix."""
    rows = [y for y in values if y.shape == ROWS]
    match draw(st.integers(0, 7)):
        case 0 | 1:
            return draw(st.sampled_from(UNARY))(x)
        case 2 | 3:
            fits = [y for y in values if y.shape in (x.shape, VECTOR)]
            pair = [x, draw(st.sampled_from(fits))]
            return draw(st.sampled_from(BINARY))(*draw(st.permutations(pair)))
        case 4:
            matrices = [y for y in values if y.shape == MATRIX]
            flag = draw(st.booleans())
            return matmul(draw(st.sampled_from(rows)), draw(st.sampled_from(matrices)), False, flag)
        case 5:
            return draw(st.sampled_from([reduce_sum, reduce_max, reduce_mean]))(draw(st.sampled_from(rows)), 0)
        case 6:
            return matmul(draw(st.sampled_from(rows)), draw(st.sampled_from(rows)), True)
    if x.rank < 2:
        return select(greater(reduce_sum(x), 0.0), x, e.mul(x, 2.0))
    match draw(st.integers(0, 2)):
        case 0:
            first, last = split(x, [1, WIDTH - 1], 1)
            return concat([last, first], 1)
        case 1:
            row = slice_axes(expand(expand_dims(x, 0), (2, *x.shape)), [0, 2], [1, 1], [2, 2])
            return e.add(x, reshape(row, (x.shape[0], 1)))
    return transpose(e.mul(transpose(x), 2.0))
