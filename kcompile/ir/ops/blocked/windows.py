"""Computations on blocked tensors made of ordinary ops: pooling with its gradient, small filter gradients.

In a blocked tensor every pixel is a run of ``block`` neighbouring elements, so that windows are cut out in
whole runs; on a plain image the same would move single elements.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kcompile.ir.core import Value, apply, constant
from kcompile.ir.dims import Dim
from kcompile.ir.ops.arrays.reduction import reduce_mean, reduce_sum
from kcompile.ir.ops.arrays.shaping import concat, pad, reshape, slice_axes, transpose
from kcompile.ir.ops.blocked.blocked import BlockedAffine, BlockedMaxPool, BlockedMean
from kcompile.ir.ops.elementwise.functions import add, div, mul, neg, sqrt
from kcompile.ir.ops.products.linalg import matmul
from kcompile.ir.ops.spatial.pooling import MaxPoolGrad
from kcompile.ir.ops.spatial.pooling_base import Pooling
from kcompile.ir.ops.spatial.spatial import offsets
from kcompile.ir.ops.spatial.window_maxima import grad_of_levels


def staged_max(op: Pooling, x: Value, block: int) -> tuple[Value, ...]:
    """``x``, ``x`` pooled along rows, that pooled along columns: what the gradient of max pooling looks at."""
    found = [x]
    for axis in (1, 0):
        window, strides = [1, 1], [1, 1]
        pads: list[tuple[Dim, Dim]] = [(0, 0), (0, 0)]
        window[axis], strides[axis], pads[axis] = op.window[axis], op.strides[axis], op.pads[axis]
        pool = BlockedMaxPool(tuple(window), tuple(strides), tuple(pads), block)
        found.append(found[-1] if op.window[axis] == 1 else apply(pool, found[-1]))
    return tuple(found)


def blocked_max_grad(op: MaxPoolGrad, g: Value, x: Value, block: int) -> Value:
    """The gradient of max pooling for a blocked ``g`` and ``x``."""

    def pixels(value: Value) -> Value:
        """Every block as an image with channels last."""
        batch, channels, height, width = value.shape
        assert isinstance(channels, int)
        return reshape(value, (batch * (channels // block), height, width, block))

    dx = grad_of_levels(op, pixels(g), [pixels(level) for level in staged_max(op, x, block)])
    return reshape(dx, x.shape)


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
