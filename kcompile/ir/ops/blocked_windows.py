"""Computations on blocked tensors made of ordinary ops: pooling with its gradient, small filter gradients.

In a blocked tensor every pixel is a run of ``block`` neighbouring elements, so that windows are cut out in
whole runs; on a plain image the same would move single elements.
"""

from __future__ import annotations

from collections.abc import Sequence

from kcompile.ir.core import Value, apply
from kcompile.ir.ops.blocked import BlockedMean
from kcompile.ir.ops.comparison import equal, logical_and, logical_not
from kcompile.ir.ops.elementwise import maximum, mul, where
from kcompile.ir.ops.linalg import matmul
from kcompile.ir.ops.reduction import reduce_sum
from kcompile.ir.ops.shaping import concat, pad, reshape, slice_axes, transpose
from kcompile.ir.ops.spatial import offsets


def pixels(x: Value, block: int) -> Value:
    """A blocked tensor as (batch * channels / block, height, width, block)."""
    batch, channels, height, width = x.shape
    assert isinstance(channels, int)
    return reshape(x, (batch * (channels // block), height, width, block))


def window_parts(x: Value, window: Sequence[int], block: int) -> list[Value]:
    """For each position in windows that lie side by side: the pixels at that position, of all windows."""
    image = pixels(x, block)
    _, height, width, _ = image.type.with_shape((1, *image.shape[1:])).static_shape
    counts = (height // window[0], width // window[1])
    parts = []
    for _, (_, _, rows, columns) in offsets(window, counts, window, (1, 1)):
        starts, ends = (rows.start, columns.start), (rows.stop, columns.stop)
        parts.append(slice_axes(image, (1, 2), starts, ends, tuple(window)))
    return parts


def tile_max(x: Value, window: Sequence[int], block: int) -> Value:
    """Max pooling with windows side by side; a ragged end is left out."""
    best, *rest = window_parts(x, window, block)
    for part in rest:
        best = maximum(best, part)
    _, rows, columns, _ = best.shape
    return reshape(best, (*x.shape[:2], rows, columns))


def tile_max_grad(g: Value, x: Value, window: Sequence[int], block: int) -> Value:
    """The gradient of :func:`tile_max`: it goes to the first maximum of each window."""
    gradient, best = pixels(g, block), pixels(tile_max(x, window, block), block)
    _, rows, columns, _ = best.shape
    parts = window_parts(x, window, block)
    pieces: list[Value] = []
    free: Value | None = None
    for index, part in enumerate(parts):
        if index + 1 == len(parts) and free is not None:
            chosen = free  # no other was the maximum
        else:
            hit = equal(part, best)
            chosen = hit if free is None else logical_and(hit, free)
            missed = logical_not(hit)
            free = missed if free is None else logical_and(free, missed)
        pieces.append(where(chosen, gradient, 0.0))
    lines = []
    for start in range(0, len(pieces), window[1]):
        line = concat(pieces[start : start + window[1]], 3)
        lines.append(reshape(line, (line.shape[0], rows, 1, columns * window[1] * block)))
    _, _, height, width = x.shape
    whole = (rows * window[0], columns * window[1])
    dx = reshape(concat(lines, 2), (gradient.shape[0], *whole, block))
    if whole != (height, width):
        dx = pad(dx, [(0, 0), (0, height - whole[0]), (0, width - whole[1]), (0, 0)])
    return reshape(dx, x.shape)


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
