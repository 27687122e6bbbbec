"""How the filter gradient of a convolution is computed where images may be blocked: three ways, by their costs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from kcompile.ir import costs
from kcompile.ir.core import Node, Value, apply, constant
from kcompile.ir.dims import product
from kcompile.ir.ops.arrays.indexing import gather
from kcompile.ir.ops.arrays.shaping import reshape, transpose
from kcompile.ir.ops.arrays.slicing import concat, pad, slice_axes
from kcompile.ir.ops.blocked.base import padded
from kcompile.ir.ops.blocked.blocked import BlockedConvWeightGrad
from kcompile.ir.ops.blocked.tiles import WindowSum, cheapest_tiling
from kcompile.ir.ops.blocked.upright import upright_sum
from kcompile.ir.ops.products.linalg import MatMul
from kcompile.ir.ops.spatial.convolution import ConvWeightGrad
from kcompile.ir.ops.spatial.spatial import span
from kcompile.ir.types import TensorType

TILES, EXCHANGED, WINDOWS = "tiles", "exchanged", "windows"
"""Tiles of the gradient, which is the filter, on tiles of the input; the same with their parts exchanged; a matrix
product with a table of windows."""


def cheapest_way(node: Node, block: int) -> str:
    """One of the three ways for a filter gradient of channels-first images of known sizes and any batch."""
    op, (x, g) = node.op, (value.type for value in node.inputs)
    assert isinstance(op, ConvWeightGrad)
    seconds = seconds_by_way(op, x, g, block)
    return min(seconds, key=lambda way: seconds[way])


def seconds_by_way(op: ConvWeightGrad, x: TensorType, g: TensorType, block: int) -> dict[str, float]:
    """What each way takes that can compute the filter gradient."""
    batch = x.shape[0] if isinstance(x.shape[0], int) else None
    (channels, *sizes), (outputs, *windows) = (_known(type.shape[1:]) for type in (x, g))
    images = costs.USUAL_SIZE if batch is None else batch
    pixels, positions = math.prod(sizes), math.prod(windows)
    rows = math.prod(op.kernel) * channels
    table = rows * positions * images
    if op.kernel == (1, 1):
        return {WINDOWS: costs.window_table(table, rows, outputs)}
    kernel, strides, dilations = _pair(op.kernel), _pair(op.strides), _pair(op.dilations)
    tiles = WindowSum(batch, _pair(windows), channels, outputs, kernel, strides, dilations, block)
    converted = images * (pixels * channels + positions * padded(outputs, block))
    seconds = {TILES: _seconds_of_tiles(tiles, images * pixels * channels) + costs.copies(converted)}
    if strides == (1, 1) and _exchanged_pads(op) is not None:
        exchanged = WindowSum(batch, _pair(sizes), outputs, channels, kernel, strides, dilations, block)
        converted = images * (pixels * padded(channels, block) + positions * outputs)
        seconds[EXCHANGED] = cheapest_tiling(upright_sum(exchanged))[0] + costs.copies(converted)
    # Blocked gradients are multiplied as they are; of others, a table is made where it is small for each image.
    if table <= costs.TABLE_OF_BATCH and (outputs % block == 0 or rows * positions <= costs.TABLE_OF_IMAGE):
        seconds[WINDOWS] = costs.window_table(table, rows, outputs)
    return seconds


def _seconds_of_tiles(tiles: WindowSum, elements: int) -> float:
    """For the whole filter, or column by column, from an input of so many elements."""
    if not _columns_lie_apart(tiles):
        return cheapest_tiling(upright_sum(tiles))[0]
    return tiles.kernel[1] * (cheapest_tiling(_one_column(tiles))[0] + costs.copies(elements))


def _columns_lie_apart(tiles: WindowSum) -> bool:
    """Whether columns of the filter are dilated, so that what lies between them would be computed too."""
    return tiles.dilations[1] > 1 and tiles.kernel[1] > 1 and upright_sum(tiles) is tiles


def _one_column(tiles: WindowSum) -> WindowSum:
    return dataclasses.replace(tiles, kernel=(tiles.kernel[0], 1), dilations=(tiles.dilations[0], 1))


def is_product_of_pixels(node: Node) -> bool:
    """Whether the filter gradient of single pixels is computed as one matrix product, for which the gradient has its
    channels last too, and not image by image.
    """
    op, (x, g) = node.op, (value.type for value in node.inputs)
    assert isinstance(op, ConvWeightGrad)
    single = op.kernel == op.strides == (1, 1) and all(pair == (0, 0) for pair in op.pads)
    if not single or not x.with_shape((*x.shape[1:], *g.shape[1:])).is_static:
        return False
    channels, *sizes = x.with_shape(x.shape[1:]).static_shape
    return costs.pixels_as_rows(math.prod(sizes), channels, g.with_shape(g.shape[1:2]).static_shape[0])


def product_of_pixels(x: Value, g: Value) -> Value:
    """The sum over all pixels of the products of each channel of ``x`` with each of ``g``, both channels-last."""
    rows = [reshape(image, (product(image.shape[:3]), image.shape[3])) for image in (x, g)]
    dw = apply(MatMul(transpose_x=True), *rows)
    return reshape(dw, (1, 1, *dw.shape))


def by_tiles(op: ConvWeightGrad, x: Value, g: Value, outputs: int, block: int, parts: int = 1) -> Value:
    """The filter gradient from a channels-last ``x``, or the parts of one, and a blocked ``g`` of so many outputs."""
    channels, padded_outputs, *windows = x.type.with_shape((x.shape[3], *g.shape[1:])).static_shape
    kernel, strides, dilations = _pair(op.kernel), _pair(op.strides), _pair(op.dilations)
    tiles = WindowSum(None, _pair(windows), channels, padded_outputs, kernel, strides, dilations, block)
    if not _columns_lie_apart(tiles):
        return _first(apply(BlockedConvWeightGrad(strides, op.pads, dilations, block, kernel, parts), x, g), outputs)
    around = pad(x, [(0, 0), *op.pads, (0, 0)])
    width = (windows[1] - 1) * strides[1] + 1
    each = BlockedConvWeightGrad(strides, ((0, 0), (0, 0)), (dilations[0], 1), block, (kernel[0], 1), parts)
    found = []
    for start in range(0, kernel[1] * dilations[1], dilations[1]):
        found.append(apply(each, slice_axes(around, (2,), (start,), (start + width,), (1,)), g))
    return _first(concat(found, 1), outputs)


def by_exchanged_tiles(op: ConvWeightGrad, x: Value, g: Value, channels: int, block: int, parts: int = 1) -> Value:
    """The filter gradient from a blocked ``x`` of so many channels and a channels-last ``g`` or its parts, for strides
    of 1.

    Each pixel of the input is a window on the gradient, which it meets in reversed order.
    """
    pads = _exchanged_pads(op)
    assert pads is not None
    dw = _first(apply(BlockedConvWeightGrad((1, 1), pads, op.dilations, block, op.kernel, parts), g, x), channels)
    height, width, outputs, _ = dw.type.static_shape
    backwards = constant(np.arange(height * width)[::-1].astype(np.int64))
    turned = gather(reshape(dw, (height * width, outputs, channels)), backwards)
    return reshape(transpose(turned, (0, 2, 1)), (height, width, channels, outputs))


def _exchanged_pads(op: ConvWeightGrad) -> tuple[tuple[int, int], ...] | None:
    """The pads of the gradient under which each pixel of the input is a window; ``None``: they would be negative."""
    reach = [span(extent, step) - 1 for extent, step in zip(op.kernel, op.dilations, strict=True)]
    pads = [_known(pair) for pair in op.pads]
    if any(max(pair) > far for pair, far in zip(pads, reach, strict=True)):
        return None
    return tuple((far - before, far - after) for far, (before, after) in zip(reach, pads, strict=True))


def _first(dw: Value, outputs: int) -> Value:
    """The filter without the outputs that padding added."""
    return dw if dw.shape[3] == outputs else slice_axes(dw, (3,), (0,), (outputs,), (1,))


def _known(dims: Sequence[object]) -> list[int]:
    return [dim for dim in dims if isinstance(dim, int)]


def _pair(values: Sequence[int]) -> tuple[int, int]:
    first, second = values
    return first, second
