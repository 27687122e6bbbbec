"""Computations on blocked tensors made of ordinary ops: pooling with its gradient, small filter gradients.

In a blocked tensor every pixel is a run of ``block`` neighbouring elements, so that windows are cut out in
whole runs; on a plain image the same would move single elements.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kcompile.ir.core import Value, apply, constant
from kcompile.ir.dims import Dim
from kcompile.ir.ops.blocked import BlockedAffine, BlockedMaxPool, BlockedMean
from kcompile.ir.ops.comparison import greater
from kcompile.ir.ops.elementwise import add, cast, div, mul, neg, sqrt, sub
from kcompile.ir.ops.linalg import matmul
from kcompile.ir.ops.reduction import reduce_mean, reduce_sum
from kcompile.ir.ops.shaping import concat, pad, reshape, slice_axes, transpose
from kcompile.ir.ops.spatial import offsets


def tile_max(x: Value, window: Sequence[int], block: int) -> Value:
    """Max pooling with windows side by side; a ragged end is left out."""
    return _pooled(_pooled(x, (1, window[1]), block), (window[0], 1), block)


def tile_max_grad(g: Value, x: Value, window: Sequence[int], block: int) -> Value:
    """The gradient of :func:`tile_max`: it goes to the first maximum of each window.

    First to the first row of the window that has the maximum, then to the first column of that row.
    """
    _, channels, height, width = x.shape
    assert isinstance(channels, int)
    images = x.shape[0] * (channels // block)
    narrow = _pooled(x, (1, window[1]), block)
    best = _pooled(narrow, (window[0], 1), block)
    _, _, rows, columns = best.type.with_shape((1, 1, *best.shape[2:])).static_shape

    def lines(value: Value, count: Dim) -> Value:
        return reshape(value, (images, count, columns * block))

    by_row = _to_first_best(lines(g, rows), lines(narrow, height), lines(best, rows), window[0])

    def pixels(value: Value, count: Dim) -> Value:
        return reshape(value, (images * height, count, block))

    dx = _to_first_best(pixels(by_row, columns), pixels(x, width), pixels(narrow, columns), window[1])
    return reshape(dx, x.shape)


def _pooled(x: Value, window: tuple[int, int], block: int) -> Value:
    return x if window == (1, 1) else apply(BlockedMaxPool(window, window, ((0, 0), (0, 0)), block), x)


def _to_first_best(g: Value, x: Value, best: Value, size: int) -> Value:
    """Of each ``size`` neighbours on axis 1 of ``x``, the first that equals ``best`` gets ``g``, the others zero."""
    if size == 1:
        return g
    (count,) = best.type.with_shape(best.shape[1:2]).static_shape
    (length,) = x.type.with_shape(x.shape[1:2]).static_shape
    pieces = []
    for start in range(size - 1):
        part = slice_axes(x, (1,), (start,), ((count - 1) * size + start + 1,), (size,))
        rest = mul(g, cast(greater(best, part), g.dtype))
        pieces.append(sub(g, rest))
        g = rest
    pieces.append(g)
    dx = reshape(concat(pieces, 2), (g.shape[0], count * size, g.shape[2]))
    return pad(dx, [(0, 0), (0, length - count * size), (0, 0)]) if length > count * size else dx


def crop_channels(vectors: Value, channels: int) -> Value:
    """The first ``channels`` entries of the last axis."""
    last = vectors.rank - 1
    return vectors if vectors.shape[last] == channels else slice_axes(vectors, (last,), (0,), (channels,), (1,))


def batch_norm(x: Value, scale: Value, offset: Value, epsilon: float, block: int) -> tuple[Value, Value, Value]:
    """(y, mean, variance) of batch norm in training: the mean, what is left of ``x``, the mean of its squares."""
    (channels,) = scale.type.static_shape
    mean = crop_channels(reduce_mean(apply(BlockedMean(block), x), [0]), channels)
    ones = constant(np.ones(channels, x.dtype))
    centered = apply(BlockedAffine(block), x, ones, neg(mean))
    variance = crop_channels(reduce_mean(apply(BlockedMean(block), mul(centered, centered)), [0]), channels)
    factor = div(scale, sqrt(add(variance, epsilon)))
    return apply(BlockedAffine(block), centered, factor, offset), mean, variance


def channel_sums(x: Value, block: int) -> Value:
    """The sum of each channel of a blocked tensor over batch, height and width."""
    height, width = x.type.with_shape(x.shape[2:]).static_shape
    return mul(reduce_sum(apply(BlockedMean(block), x), [0]), height * width)


def weight_grad_by_windows(
    x: Value,
    g: Value,
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    pads: Sequence[tuple[int, int]],
    dilations: tuple[int, ...],
    block: int,
) -> Value:
    """The filter gradient from a plain ``x`` of few channels and a blocked ``g``, as one batched matmul.

    For each kernel position the input that it meets is a row; rows times the gradient, summed over the batch.
    """
    batch, channels, *_ = x.shape
    _, out, rows, columns = g.shape
    assert isinstance(channels, int)
    assert isinstance(out, int)
    assert isinstance(rows, int)
    assert isinstance(columns, int)
    if any(pair != (0, 0) for pair in pads):
        x = pad(x, [(0, 0), (0, 0), *pads])
    met = []
    for _, (_, _, down, across) in offsets(kernel, (rows, columns), strides, dilations):
        met.append(slice_axes(x, (2, 3), (down.start, across.start), (down.stop, across.stop), strides))
    table = reshape(concat(met, 1), (batch, 1, len(met) * channels, rows * columns))
    gradient = reshape(g, (batch, out // block, rows * columns, block))
    products = reduce_sum(matmul(table, gradient), [0])
    dw = transpose(products, (1, 0, 2))
    return reshape(dw, (*kernel, channels, out))
