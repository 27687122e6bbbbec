"""Adding rows at repeated indices, in ONNX Runtime.

The CPU kernel of ScatterND shares out the rows among threads, and loses sums where two of them meet (seen in
ONNX Runtime 1.31 with two threads and repeated indices). It stays on one thread while the number of elements,
which is what it takes for the cost, is below about 210,000, so larger updates go in several nodes. Where
sizes are symbolic ScatterElements does it, which is sequential, and some twenty times slower.
"""

from __future__ import annotations

from collections.abc import Sequence

from kcompile.ir import costs
from kcompile.ir.core import Builder
from kcompile.ir.dims import Dim, product
from kcompile.ir.types import TensorType

ELEMENTS_ON_ONE_THREAD = 180_000
"""So many are not shared out among threads, with a margin. No matter of speed: sums would be lost."""


def lower_scatter_nd_add(
    b: Builder, x: str, x_type: TensorType, indices: str, indices_type: TensorType, updates: str
) -> str:
    """``x`` with ``updates`` added at the int64 ``indices``, which list places on its first axes."""
    depth = indices_type.shape[-1]
    assert isinstance(depth, int)
    rows, slice_shape = product(indices_type.shape[:-1]), x_type.shape[depth:]
    width = product(slice_shape)
    if b.target.provider != "cpu":
        return b.op("ScatterND", x, indices, updates, reduction="add")
    if isinstance(rows, int) and isinstance(width, int):
        if rows <= 1 or rows * width <= ELEMENTS_ON_ONE_THREAD:
            return b.op("ScatterND", x, indices, updates, reduction="add")
        per_node = max(1, ELEMENTS_ON_ONE_THREAD // width)
        count = -(-rows // per_node)
        if count <= costs.MOST_SCATTERS:
            sizes = [per_node] * (count - 1) + [rows - per_node * (count - 1)]
            updates_type = x_type.with_shape((*indices_type.shape[:-1], *slice_shape))
            index_parts = _parts(b, b.reshape(indices, indices_type, (rows, depth)), sizes)
            update_parts = _parts(b, b.reshape(updates, updates_type, (rows, *slice_shape)), sizes)
            for index_part, update_part in zip(index_parts, update_parts, strict=True):
                x = b.op("ScatterND", x, index_part, update_part, reduction="add")
            return x
    return _scatter_elements(b, x, x_type, indices, depth, updates)


def sum_rows(b: Builder, zeros: str, x_type: TensorType, column: str, rows: Dim, updates: str) -> str:
    """``zeros`` with ``updates`` [rows, ...] added at the rows that the int64 ``column`` [rows, 1] names.

    Every ScatterND copies its table, so where it would take many they add to smaller ones: to some columns at a time,
    or to one that has a row for each update.
    """
    size, width = x_type.shape[0], product(x_type.shape[1:])
    column_type = TensorType("int64", (rows, 1))
    if b.target.provider == "cpu" and isinstance(rows, int) and isinstance(width, int) and isinstance(size, int):
        count = -(-rows * width // ELEMENTS_ON_ONE_THREAD)
        own, columns, chain = size + count * rows, costs.COLUMN_PASSES * size, count * size
        if 1 < count <= costs.MOST_SCATTERS and min(own, columns) < chain:
            if own < columns:
                return _by_own_rows(b, zeros, x_type, column, rows, updates)
            if count <= width:
                return _by_columns(b, x_type, column, rows, updates, count)
    return lower_scatter_nd_add(b, zeros, x_type, column, column_type, updates)


def _by_own_rows(b: Builder, zeros: str, x_type: TensorType, column: str, rows: int, updates: str) -> str:
    """Updates of one place share the row of the last of them. The sums then go to their places by one ScatterND, which
    may write a place several times, but always the same.
    """
    numbers = b.op("Expand", b.constant(0, "int64"), b.dims(x_type.shape[:1]))
    last = b.op("ScatterND", numbers, column, b.constant(range(rows), "int64"))
    places = b.op("Gather", last, column, axis=0)
    small = x_type.with_shape((rows, *x_type.shape[1:]))
    empty = b.op("Expand", b.constant(0, x_type.dtype), b.dims(small.shape))
    sums = lower_scatter_nd_add(b, empty, small, places, TensorType("int64", (rows, 1)), updates)
    return b.op("ScatterND", zeros, column, b.op("GatherND", sums, places))


def _by_columns(b: Builder, x_type: TensorType, column: str, rows: int, updates: str, count: int) -> str:
    """``count`` tables of some columns each."""
    size, width = x_type.shape[0], product(x_type.shape[1:])
    assert isinstance(width, int)
    each = -(-width // count)
    sizes = [min(each, width - start) for start in range(0, width, each)]
    updates = b.reshape(updates, x_type.with_shape((rows, *x_type.shape[1:])), (rows, width))
    parts = b.multi("Split", updates, b.dims(sizes), outputs=len(sizes), axis=1)
    empty = {n: b.op("Expand", b.constant(0, x_type.dtype), b.dims((size, n))) for n in set(sizes)}
    tables = [b.op("ScatterND", empty[n], column, part, reduction="add") for n, part in zip(sizes, parts, strict=True)]
    return b.reshape(b.op("Concat", *tables, axis=1), x_type.with_shape((size, width)), x_type.shape)


def _parts(b: Builder, name: str, sizes: Sequence[int]) -> tuple[str, ...]:
    return b.multi("Split", name, b.dims(sizes), outputs=len(sizes), axis=0)


def _scatter_elements(b: Builder, x: str, x_type: TensorType, indices: str, depth: int, updates: str) -> str:
    outer, slice_shape = x_type.shape[:depth], x_type.shape[depth:]
    width = product(slice_shape)
    if depth > 1:
        # The places on the first axes become one place on their product.
        strides: list[Dim] = [product(outer[axis + 1 :]) for axis in range(depth)]
        wrapped = b.op("Mod", indices, b.dims(outer))
        flat = b.op("ReduceSum", b.op("Mul", wrapped, b.dims(strides)), b.constant([-1], "int64"), keepdims=1)
    else:
        flat = indices
    column = b.op("Reshape", flat, b.constant([-1, 1], "int64"))
    places = b.op("Expand", column, b.dims((1, width)))
    table = b.reshape(x, x_type, (product(outer), width))
    rows = b.op("Reshape", updates, b.op("Shape", places))
    added = b.op("ScatterElements", table, places, rows, axis=0, reduction="add")
    return b.reshape(added, x_type.with_shape((product(outer), width)), x_type.shape)
