"""Adding rows at repeated indices, in ONNX Runtime.

The CPU kernel of ScatterND shares out the rows among threads, and loses sums where two of them meet (seen in
ONNX Runtime 1.31 with two threads and repeated indices). It stays on one thread while the number of elements,
which is what it takes for the cost, is below about 210,000, so larger updates go in several nodes. Where
sizes are symbolic ScatterElements does it, which is sequential, and some twenty times slower.
"""

from __future__ import annotations

from collections.abc import Sequence

from kcompile.ir.builder import Builder
from kcompile.ir.dims import Dim, product
from kcompile.ir.types import TensorType

ELEMENTS_ON_ONE_THREAD = 180_000
_MOST_NODES = 64


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
        if count <= _MOST_NODES:
            sizes = [per_node] * (count - 1) + [rows - per_node * (count - 1)]
            updates_type = x_type.with_shape((*indices_type.shape[:-1], *slice_shape))
            index_parts = _parts(b, b.reshape(indices, indices_type, (rows, depth)), sizes)
            update_parts = _parts(b, b.reshape(updates, updates_type, (rows, *slice_shape)), sizes)
            for index_part, update_part in zip(index_parts, update_parts, strict=True):
                x = b.op("ScatterND", x, index_part, update_part, reduction="add")
            return x
    return _scatter_elements(b, x, x_type, indices, depth, updates)


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
