"""The gradient of max pooling by comparisons of whole runs of elements, one spatial axis after the other.

ONNX Runtime's own way, the places that MaxPool gives, looks at single elements and takes several times as long.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce

import numpy as np

from kcompile.ir import costs
from kcompile.ir.core import Value
from kcompile.ir.dims import product
from kcompile.ir.ops.arrays.shaping import concat, pad, reshape, slice_axes
from kcompile.ir.ops.elementwise.comparison import greater
from kcompile.ir.ops.elementwise.functions import add, cast, maximum, mul, sub
from kcompile.ir.ops.spatial.pooling import MaxPoolGrad
from kcompile.ir.ops.spatial.pooling_base import Pooling
from kcompile.ir.ops.spatial.spatial import integers, spatial_sizes
from kcompile.ir.types import TensorType


def compares_runs(op: Pooling, x: TensorType) -> bool:
    """Whether the gradient of ``op`` for ``x`` is found so: sizes are known, windows leave no gaps and are small."""
    sizes = spatial_sizes(x.shape, op.data_format)
    if not all(isinstance(dim, int) for dim in (*sizes, *(dim for pair in op.pads for dim in pair))):
        return False
    few = isinstance(x.size, int) and x.size < costs.COMPARED
    widest = max(costs.WIDE, min(costs.WIDEST, math.prod(op.window) // costs.WIDE))
    axes = zip(integers(sizes), op.window, op.strides, map(integers, op.pads), strict=True)
    return not few and all(
        stride <= size <= min(widest, length) and max(pads) < length for length, size, stride, pads in axes
    )


def compares_images(op: Pooling, x: TensorType) -> bool:
    """The same of images in blocked order, where channels count as first."""
    return op.data_format == "channels_first" and x.rank == 4 and compares_runs(op, x)


def grad_by_runs(op: MaxPoolGrad, g: Value, x: Value) -> Value:
    """What ``op`` computes from ``g`` and ``x``, both with channels last."""
    levels = [x]
    for axis in range(len(op.window), 0, -1):
        size, stride, before = op.window[axis - 1], op.strides[axis - 1], integers(op.pads[axis - 1])[0]
        (count,) = g.type.with_shape(g.shape[axis : axis + 1]).static_shape
        values, shape = lines(levels[-1], axis), levels[-1].shape
        best = reduce(maximum, [part(values, at, stride, before, count) for at in range(size)])
        levels.append(reshape(best, (*shape[:axis], count, *shape[axis + 1 :])))
    return grad_of_levels(op, g, levels)


def grad_of_levels(op: MaxPoolGrad, g: Value, levels: Sequence[Value]) -> Value:
    """The gradient of the first of ``levels``, with channels last; the others are it, pooled along the last spatial
    axis, the last two, ..., all of them.

    It goes to the first row (slice, ...) of the window that has the maximum, then to the first element of that row.
    """
    geometry = zip(op.window, op.strides, map(integers, op.pads), levels[:0:-1], levels[-2::-1], strict=True)
    for axis, (size, stride, pads, best, x) in enumerate(geometry, start=1):
        along, source, largest = (lines(value, axis) for value in (g, x, best))
        g = reshape(to_first_best(along, source, largest, size, stride, pads), x.shape)
    return g


def lines(value: Value, axis: int) -> Value:
    """``value`` as (all before ``axis``, ``axis``, all behind it)."""
    shape = value.shape
    return reshape(value, (product(shape[:axis]), shape[axis], product(shape[axis + 1 :])))


def part(x: Value, at: int, stride: int, before: int, count: int) -> Value:
    """Element ``at`` of each window along axis 1 of ``x``, behind ``before`` elements of padding."""
    (length,) = x.type.with_shape(x.shape[1:2]).static_shape
    start = at - before
    missing = max(0, -(start // stride))
    last = min(count - 1, (length - 1 - start) // stride)
    found = slice_axes(x, (1,), (start + missing * stride,), (start + last * stride + 1,), (stride,))
    return pad(found, [(0, 0), (missing, count - 1 - last), (0, 0)], value=-np.inf)


def to_first_best(g: Value, x: Value, best: Value, size: int, stride: int, pads: Sequence[int]) -> Value:
    """Of each window along axis 1 of ``x``, the first element that equals ``best`` gets ``g``, the others nothing."""
    if size == 1:
        return g
    (count,) = best.type.with_shape(best.shape[1:2]).static_shape
    (length,) = x.type.with_shape(x.shape[1:2]).static_shape
    pieces = []
    for at in range(size - 1):
        rest = mul(g, cast(greater(best, part(x, at, stride, pads[0], count)), g.dtype))
        pieces.append(sub(g, rest))
        g = rest
    pieces.append(g)
    # Place ``at`` of window i is element at % stride of group i + at // stride.
    first = pads[0] // stride
    end = min(-(-(pads[0] + length) // stride), count + (size - 1) // stride)
    lanes = []
    for lane in range(stride):
        shifts = range((size - 1 - lane) // stride + 1)
        met = [moved(pieces[lane + shift * stride], shift - first, end - count - shift) for shift in shifts]
        lanes.append(reduce(add, met))
    outer, _, inner = g.shape
    dx = reshape(concat(lanes, 2), (outer, (end - first) * stride, inner)) if stride > 1 else lanes[0]
    return moved(dx, first * stride - pads[0], pads[0] + length - end * stride)


def moved(value: Value, before: int, after: int) -> Value:
    """``value`` with zeros before and after it along axis 1; less than none cuts off."""
    if max(before, after) > 0:
        return pad(value, [(0, 0), (before, after), (0, 0)])
    return slice_axes(value, (1,), (-before,), (value.shape[1] + after,))
