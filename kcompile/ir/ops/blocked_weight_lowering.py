"""ONNX nodes for the filter gradient of a convolution, as a convolution on blocked tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kcompile.ir.builder import Builder
from kcompile.ir.dims import Dim, floor_divide
from kcompile.ir.ops.blocked_lowering import DOMAIN, integers
from kcompile.ir.ops.spatial import span
from kcompile.ir.types import TensorType

if TYPE_CHECKING:
    from kcompile.ir.ops.blocked import BlockedConvWeightGrad

CACHE = 700_000
"""Bytes of filter that the kernel goes through for one block of images: it should stay in the second-level cache."""

FILTER_BLOCKS = 4
"""Blocks of outputs that the kernel computes at a time."""


def conv_weight_grad(
    b: Builder, op: BlockedConvWeightGrad, x_type: TensorType, g_type: TensorType, x: str, g: str
) -> str:
    """A blocked Conv whose "input channels" are the images of the batch, so that its inner loop sums over them.

    The gradient is the filter. Each row of the input has its channels side by side (channels last), and
    the filter is dilated by their number: along the width of the result lie the kernel columns, each with
    all channels, and along its height the kernel rows. Nothing is computed that is not wanted.

    The kernel goes through the whole filter for each few results, so images are cut into bands of rows that
    are summed like further images. The kernel splits its work by groups and by rows of the result; groups of
    images, summed at the end, give more threads something to do.
    """
    rows, columns = g_type.with_shape(g_type.shape[2:]).static_shape
    height, width, channels = x_type.with_shape(x_type.shape[1:]).static_shape
    out = g_type.with_shape(g_type.shape[1:2]).static_shape[0]
    size, batch = op.block, x_type.shape[0]
    (row_stride, column_stride), (row_step, column_step) = op.strides, op.dilations
    (top, _), (left, _) = op.pads
    assert isinstance(top, int)
    assert isinstance(left, int)
    reach = [span(extent, step) for extent, step in zip(op.kernel, op.dilations, strict=True)]

    # Padding, here because the kernel is slow at borders: of rows and columns, and to whole blocks of images.
    missing: Dim = floor_divide(batch + size - 1, size) * size - batch
    bottom = max((rows - 1) * row_stride + reach[0] - top - height, 0)
    right = max((columns - 1) * column_stride + reach[1] - left - width, 0)
    x = b.op("Reshape", x, integers(b, [-1, height, width * channels]))
    around = [0, top, left * channels, missing, bottom, right * channels]
    if any(pad != 0 for pad in around):
        x = b.op("Pad", x, b.dims(around))
    if missing != 0:
        g = b.op("Pad", g, b.dims([0, 0, 0, 0, missing, 0, 0, 0]))
    height, line = height + top + bottom, (width + left + right) * channels

    # The input as (1, images and bands, rows of a band, columns and channels).
    band = band_height(rows, op.kernel[0], columns * size * min(out, FILTER_BLOCKS * size) * 4)
    x = b.op("ReorderInput", b.op("Reshape", x, integers(b, [1, -1, height, line])), domain=DOMAIN)
    if band < rows:
        tall = (band - 1) * row_stride + reach[0]
        wanted = [start * row_stride + i for start in range(0, rows, band) for i in range(tall)]
        x = b.op("Reshape", x, integers(b, [-1, height, line * size]))
        x = b.op("Gather", x, integers(b, wanted), axis=1)
        x = b.op("Reshape", x, integers(b, [1, -1, tall, line]))

    # The gradient as a filter, (groups * outputs, images and bands, rows of a band, columns).
    groups = image_groups(batch, size)
    g = b.op("Reshape", g, integers(b, [groups, -1, size, out // size, rows * columns, size]))
    g = b.op("Transpose", g, perm=[0, 3, 1, 4, 2, 5])
    filters = b.op("Reshape", g, integers(b, [groups * out, -1, band, columns]))

    y = b.op(
        "Conv", x, filters, domain=DOMAIN, kernel_shape=[band, columns], strides=[row_step, 1],
        dilations=[row_stride, column_stride * channels], pads=[0, 0, 0, 0], group=groups,
    )  # fmt: skip
    y = b.op(
        "Reshape",
        y,
        integers(b, [groups, out // size, -1, line // channels - (columns - 1) * column_stride, channels, size]),
    )
    y = b.op("ReduceSum", y, integers(b, [0]), keepdims=0)
    bounds = [0, 0], [op.kernel[0], reach[1]], [1, 2], [1, column_step]
    y = b.op("Slice", y, *(integers(b, item) for item in bounds))
    y = b.op("Transpose", y, perm=[1, 2, 3, 0, 4])
    return b.op("Reshape", y, integers(b, [*op.kernel, channels, out]))


def band_height(rows: int, kernel: int, row_bytes: int) -> int:
    """How many rows of windows make a band: they divide ``rows``, and overlap little.

    ``row_bytes`` is the size of a row of the filter.
    """
    if rows * row_bytes <= CACHE:
        return rows
    fitting = [n for n in range(kernel, rows) if rows % n == 0 and n * row_bytes <= CACHE]
    return max(fitting, default=rows)


def image_groups(batch: Dim, block: int) -> int:
    """Into how many groups to divide the blocks of images: as many as divide them, up to 8."""
    if not isinstance(batch, int):
        return 1
    blocks = -(-batch // block)
    return int(np.gcd(blocks, 8))
