"""Slices as in NumPy, sizes that values hold, reshapes under permutation, and what ops refuse."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcompile.ir import Graph, IRError, Value, constant, input_value, interpret, named
from kcompile.ir.dims import Dim
from kcompile.ir.ops.arrays.cumulative import cumsum
from kcompile.ir.ops.arrays.indexing import gather, gather_elements, gather_nd, scatter_add, scatter_nd_add, top_k
from kcompile.ir.ops.arrays.multiplied import reduce_prod
from kcompile.ir.ops.arrays.reduction import (
    arg_max,
    reduce_any,
    reduce_max,
    reduce_mean,
    reduce_sum,
)
from kcompile.ir.ops.arrays.shaping import (
    concat,
    dims_of,
    dims_vector,
    expand,
    expand_dims,
    iota,
    pad,
    reshape,
    slice_axes,
    split,
    squeeze,
    tile,
    transpose,
)
from kcompile.ir.ops.elementwise.functions import add, cast, div, mul, sub
from kcompile.ir.ops.products.linalg import dot_general, matmul
from kcompile.ir.ops.products.softmax import softmax
from tests.op_checks import check_permuted

batch, time = named("batch"), named("time")
bounds = st.none() | st.integers(-8, 8)


@given(st.integers(0, 6), bounds, bounds, st.sampled_from([-3, -2, -1, 1, 2, 3]))
def test_slices_are_those_of_numpy(n: int, start: int | None, end: int | None, step: int) -> None:
    x = input_value("x", "int64", (2, n))
    sliced = slice_axes(x, [1], [start], [end], [step])
    array = np.arange(2 * n).reshape(2, n)
    expected = array[:, start:end:step]
    assert sliced.shape == expected.shape
    found = interpret(Graph([x], [sliced]), {"x": array}).outputs["output"]
    np.testing.assert_array_equal(found, expected)


@given(
    st.lists(st.sampled_from([1, 2, 3, 4]), min_size=1, max_size=4),
    st.lists(st.booleans(), min_size=3, max_size=3),
    st.integers(0, 4),
    st.booleans(),
)
def test_permuted_reshapes(shape: list[int], merges: list[bool], place: int, swap: bool) -> None:
    """Axes that are merged, split or new: whenever there is a permuted reshape, it is right."""
    target: list[int] = []
    for axis, n in enumerate(shape):
        if target and merges[axis - 1]:
            target[-1] *= n
        else:
            target.append(n)
    target.insert(place % (len(target) + 1), 1)
    if swap:
        shape, target = target, shape
    x = input_value("x", "float64", tuple(shape))
    y = reshape(x, target)
    if y is not x:
        check_permuted(y.node, [np.arange(np.prod(shape), dtype=float).reshape(shape)])


image = input_value("image", "float32", (batch, 8, time, 3))
SIZES: list[tuple[Value, tuple[Dim, ...] | None]] = [
    (dims_vector(image.shape), (batch, 8, time, 3)),
    (gather(dims_vector(image.shape), constant(0)), (batch,)),
    (gather(dims_vector(image.shape), constant([-1, 0])), (3, batch)),
    (slice_axes(dims_vector(image.shape), [0], [1], [None]), (8, time, 3)),
    (reduce_prod(slice_axes(dims_vector(image.shape), [0], [1], [3])), (8 * time,)),
    (mul(cast(gather(dims_vector(image.shape), constant(2)), "int32"), 2), (time * 2,)),
    (div(add(gather(dims_vector(image.shape), constant(2)), 1), 2), ((time + 1) // 2,)),
    (sub(dims_vector((batch, time)), constant([1, 2])), (batch - 1, time - 2)),
    (concat([dims_vector((batch,)), constant([-1, 4])], 0), (batch, -1, 4)),
    (reshape(dims_vector((batch * 2,)), ()), (batch * 2,)),
    (split(dims_vector((batch, time, 3)), (1, 2), 0)[1], (time, 3)),
    (iota(3), (0, 1, 2)),
    (constant([5, 6]), (5, 6)),
    (gather(constant([5, 6]), dims_vector((batch,))), None),
    (div(constant(7), gather(dims_vector((batch,)), constant(0))), None),
    (div(constant([-3, 3]), 2), None),  # truncates, where sizes round down
    (cast(dims_vector((batch,)), "float32"), None),
    (cast(dims_vector((batch,)), "bool"), None),
    (constant([1.0]), None),
    (iota(batch), None),
    (input_value("n", "int64", ()), None),
]


@pytest.mark.parametrize(("value", "expected"), SIZES, ids=lambda item: str(item).replace("kcompile", ""))
def test_dims_of(value: Value, expected: tuple[Dim, ...] | None) -> None:
    assert dims_of(value) == expected


def test_reshape_finds_the_missing_size() -> None:
    x = input_value("x", "float32", (batch, time, 4))
    assert reshape(x, (-1, 4)).shape == (batch * time, 4)
    assert reshape(x, (batch, -1)).shape == (batch, time * 4)
    assert reshape(x, (batch, time, -1, 2)).shape == (batch, time, 2, 2)
    assert reshape(x, x.shape) is x


def test_matmul_keeps_symbolic_leading_axes() -> None:
    x, w = input_value("x", "float32", (batch, time, 4)), input_value("w", "float32", (4, 5))
    assert matmul(x, w).shape == (batch, time, 5)


f = input_value("f", "float32", (2, 3))
cube = input_value("cube", "float32", (2, 3, 4))
i = input_value("i", "int64", (5,))
flags = input_value("flags", "bool", (2, 3))

REFUSED: list[tuple[Callable[[], object], str]] = [
    (lambda: reduce_sum(f, [2]), "axis 2 does not exist; the axes are from -2 to 1"),
    (lambda: reduce_sum(f, [0, -2]), "name an axis twice"),
    (lambda: reduce_sum(flags), "cast it first"),
    (lambda: reduce_mean(i), "needs a floating point tensor"),
    (lambda: reduce_max(flags), "cast it first"),
    (lambda: reduce_any(f), "needs a bool tensor"),
    (lambda: arg_max(f, 5), "axis 5 does not exist"),
    (lambda: cumsum(flags, 0), "needs numbers, got bool"),
    (lambda: reshape(f, (4, 2)), "f32[2, 3] has 6 elements, the shape (4, 2) has 8"),
    (lambda: reshape(f, (4, -1)), "the -1 stands for no whole size"),
    (lambda: reshape(f, (-1, -1)), "the -1 stands for no whole size"),
    (lambda: transpose(f, (0, 0)), "is not a permutation of 2 axes"),
    (lambda: transpose(f, (0, 2)), "axis 2 does not exist"),
    (lambda: expand(f, (2, 4)), "f32[2, 3] does not broadcast to (2, 4)"),
    (lambda: expand(f, (3,)), "does not broadcast"),
    (lambda: squeeze(f, [0]), "axis 0 has size 2, not 1"),
    (lambda: expand_dims(f, 4), "axis 4 does not exist"),
    (lambda: concat([f, cube], 0), "differ in element type or number of axes"),
    (lambda: concat([f, transpose(f)], 0), "operands have sizes 3 and 2 on axis 1"),
    (lambda: concat([], 0), "at least one value"),
    (lambda: split(f, (1, 1), 1), "do not add up to the 3 of axis 1"),
    (lambda: slice_axes(f, [1], [0], [2], [0]), "step 0"),
    (lambda: pad(f, [(1, 1)]), "a pair of pads for each of 2 axes"),
    (lambda: pad(f, [(0, 0), (1, 1)], "wrap"), "mode 'wrap' is unknown; use one of constant, reflect, edge"),
    (lambda: pad(f, [(0, 0), (3, 0)], "reflect"), "too short to be reflected by 3"),
    (lambda: pad(f, [(0, 0), (-1, 0)], "edge"), "cannot remove elements"),
    (lambda: pad(f, [(0, 0), (-2, -2)]), "remove more than"),
    (lambda: tile(f, (2,)), "needs 2 repeats"),
    (lambda: gather(f, cube), "cast them to int32 or int64"),
    (lambda: gather_elements(f, i, 0), "do not have the number of axes"),
    (lambda: gather_nd(f, constant([[0, 0, 0]])), "must list 1 to 2 places"),
    (lambda: scatter_add(i, f, 3), "do not start with the shape of the indices"),
    (lambda: scatter_nd_add(f, constant([[0]]), f), "takes f32[1, 3]"),
    (lambda: top_k(f, 4), "k is 4, the last axis has 3 elements"),
    (lambda: matmul(f, f), "the contracted sizes of f32[2, 3] and f32[2, 3] are 3 and 2"),
    (lambda: matmul(f, i), "needs two operands of one number type"),
    (lambda: dot_general(f, cube, ([0], [1])), "axis 0 of f32[2, 3] does not fit axis 1"),
    (lambda: dot_general(f, cube, ([0, 1], [0])), "do not pair the axes"),
    (lambda: softmax(i), "needs a floating point tensor"),
]


@pytest.mark.parametrize(("build", "message"), REFUSED, ids=[message[:40] for _, message in REFUSED])
def test_what_is_not_defined_is_refused_in_one_sentence(build: Callable[[], object], message: str) -> None:
    with pytest.raises(IRError, match=re.escape(message)) as error:
        build()
    assert "\n" not in str(error.value)
