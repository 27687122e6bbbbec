"""Linear interpolation between the centres of elements, and its gradient, made of other ops.

The enlarged element ``i * factor + phase`` lies at ``i + offset(phase)`` on an axis, between ``x[i]`` and the element
before or after it. Beyond the ends an axis is continued by its last element.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from kcompile.ir.core import Array, Value, constant
from kcompile.ir.dims import Dim
from kcompile.ir.errors import IRError
from kcompile.ir.ops.arrays.slicing import pad, slice_axes, split, stack
from kcompile.ir.ops.elementwise.functions import add, mul
from kcompile.ir.ops.products.linalg import matmul
from kcompile.ir.ops.shapes.reshaping import reshape
from kcompile.ir.ops.spatial.convolution import conv

MOST_PHASES = 1024
"""The largest factor for which there is a sum of its own for each of the elements that are made of one."""


def offsets(factor: int) -> Iterator[float]:
    """Where the elements that are made of one lie, from its centre, in cells: between -0.5 and 0.5."""
    for phase in range(factor):
        yield (phase + 0.5) / factor - 0.5


def tent(factor: int) -> list[float]:
    """The shares that an element has in the enlarged ones, from the first that it has a part in to the last."""
    places = [shift + offset for shift in (-1, 0, 1) for offset in offsets(factor)]
    return [1 - abs(place) for place in places if abs(place) < 1]


def places(size: int, factor: int) -> tuple[Array, Array, Array]:
    """For each element of an enlarged axis the two elements between which it lies, and the share of the second."""
    centres = ((np.arange(size * factor) + 0.5) / factor - 0.5).clip(0, size - 1)
    before = centres.astype(np.int64)
    after = np.minimum(before + 1, size - 1)
    share = np.where(before == after, 0.5, centres - before)  # halves of one element: infinity stays what it is
    return before, after, share


def weights(size: int, factor: int) -> Array:
    """The share of each of ``size`` elements in each of the enlarged ones, in float64."""
    before, after, share = places(size, factor)
    table: Array = np.zeros((size, size * factor))
    np.add.at(table, (before, np.arange(size * factor)), 1 - share)
    np.add.at(table, (after, np.arange(size * factor)), share)
    return table


def check_factors(factors: Sequence[int]) -> None:
    """Raises IRError for a factor above :data:`MOST_PHASES`."""
    if max(factors) > MOST_PHASES:
        raise IRError(f"interpolating float64 takes an operator for each of {max(factors)} parts; use float32")


def interpolated(x: Value, factors: Sequence[int]) -> Value:
    """``x`` enlarged, as sums of shifted tensors; for any sizes and element types.

    Raises:
        IRError: a factor above 1024.
    """
    check_factors(factors)
    for axis, factor in enumerate(factors):
        if factor == 1:
            continue
        padded = pad(x, [(1, 1) if i == axis else (0, 0) for i in range(x.rank)], "edge")
        before = slice_axes(padded, [axis], [0], [-2])
        after = slice_axes(padded, [axis], [2], [None])
        phases = []
        for offset in offsets(factor):
            other, share = (before, -offset) if offset < 0 else (after, offset)
            phases.append(x if share == 0 else add(mul(x, 1 - share), mul(other, share)))
        shape = (*x.shape[:axis], x.shape[axis] * factor, *x.shape[axis + 1 :])
        x = reshape(stack(phases, axis + 1), shape)
    return x


def interpolated_grad(g: Value, factors: Sequence[int]) -> Value:
    """The gradient of :func:`interpolated`: the same sums, the other way round, with the same limit."""
    check_factors(factors)
    for axis, factor in enumerate(factors):
        if factor == 1:
            continue
        size = g.shape[axis] // factor
        apart = reshape(g, (*g.shape[:axis], size, factor, *g.shape[axis + 1 :]))
        total: Value | None = None
        for phase, offset in enumerate(offsets(factor)):
            part = reshape(
                slice_axes(apart, [axis + 1], [phase], [phase + 1]), (*g.shape[:axis], size, *g.shape[axis + 1 :])
            )
            shares = [(1, 1 - abs(offset)), (0 if offset < 0 else 2, abs(offset))]
            for start, share in shares:
                if share:
                    moved = pad(mul(part, share), [(start, 2 - start) if i == axis else (0, 0) for i in range(g.rank)])
                    total = moved if total is None else add(total, moved)
        assert total is not None
        g = folded(total, axis)
    return g


def by_products(g: Value, factors: Sequence[int]) -> Value:
    """The gradient for channels-first images of known height and width, from that of the enlarged ones."""
    height, width = g.type.with_shape(g.shape[2:]).static_shape
    if factors[1] != 1:
        g = matmul(g, constant(weights(width // factors[1], factors[1]).T, g.dtype))
    return g if factors[0] == 1 else matmul(constant(weights(height // factors[0], factors[0]), g.dtype), g)


def by_windows(g: Value, factors: Sequence[int]) -> Value:
    """The gradient for channels-first images from that of the enlarged ones: weighted sums over windows.

    Each channel is convolved by itself. The sums for the elements beyond the ends go to the last ones.
    """
    batch, channels, *sizes = g.shape
    if not isinstance(channels, int):
        g = reshape(g, (batch * channels, 1, *sizes))
    groups = channels if isinstance(channels, int) else 1
    for axis, factor in enumerate(factors):
        if factor != 1:
            kernel = np.expand_dims(tent(factor), (1 - axis, 2, 3))
            w = constant(np.broadcast_to(kernel, (*kernel.shape[:3], groups)), g.dtype)
            along = [(factor, beyond(factor)) if i == axis else (1, (0, 0)) for i in range(2)]
            strides, pads = zip(*along, strict=True)
            g = conv(g, w, strides, pads, groups=groups, data_format="channels_first")
    for axis, factor in enumerate(factors, 2):
        if factor != 1:
            g = folded(g, axis)
    return reshape(g, (batch, channels, *g.shape[2:]))


def beyond(factor: int) -> tuple[int, int]:
    """How far the windows of the elements before the first and after the last reach over the ends of an axis."""
    return (factor + factor // 2,) * 2


def folded(x: Value, axis: int) -> Value:
    """``x`` without the first and the last element along ``axis``, which are added to their neighbours."""
    size = x.shape[axis] - 2
    first, middle, last = split(x, [1, size, 1], axis)
    at_start: list[tuple[Dim, Dim]] = [(0, 0)] * x.rank
    at_end = list(at_start)
    at_start[axis], at_end[axis] = (0, size - 1), (size - 1, 0)
    return add(add(middle, pad(first, at_start)), pad(last, at_end))
