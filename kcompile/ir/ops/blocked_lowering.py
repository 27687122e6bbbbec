"""ONNX nodes for convolutions on blocked tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kcompile.ir.builder import Builder
from kcompile.ir.dims import product
from kcompile.ir.ops.normalization_lowering import coefficients, inverse_deviation
from kcompile.ir.ops.spatial import Pads, span, static_pads
from kcompile.ir.types import TensorType

if TYPE_CHECKING:
    from kcompile.ir.ops.blocked import (
        BlockedBatchNormGrad,
        BlockedConv,
        BlockedConvInputGrad,
        BlockedConvWeightGrad,
        BlockedPool,
    )

DOMAIN = "com.microsoft.nchwc"


def fixed(pads: Pads) -> list[int]:
    """ONNX's ``pads`` attribute; the pass blocks no op with symbolic ones."""
    flat = static_pads(pads)
    assert flat is not None
    return flat


def integers(b: Builder, values: Sequence[int]) -> str:
    return b.constant(list(values), "int64")


def conv(
    b: Builder, op: BlockedConv, x_type: TensorType, w_type: TensorType, x: str, w: str, *bias: str
) -> str:
    """The blocked Conv kernel; its filter is blocked by outputs, and by inputs unless these are plain."""
    height, width, inner, out = w_type.static_shape
    size = op.block
    if op.takes_plain(x_type):
        split = b.op("Reshape", w, integers(b, [height, width, inner, out // size, size]))
        turned = b.op("Transpose", split, perm=[3, 2, 0, 1, 4])
    else:
        split = b.op("Reshape", w, integers(b, [height, width, inner // size, size, out // size, size]))
        turned = b.op("Transpose", split, perm=[4, 2, 0, 1, 3, 5])
    filters = b.op("Reshape", turned, integers(b, [out, inner, height, width]))
    return b.op(
        "Conv", x, filters, *bias, domain=DOMAIN, kernel_shape=[height, width], strides=op.strides,
        pads=fixed(op.pads), dilations=op.dilations, group=1, activation="Relu" if op.relu else None,
    )  # fmt: skip


def conv_input_grad(b: Builder, op: BlockedConvInputGrad, w_type: TensorType, g: str, w: str) -> str:
    """A blocked Conv of the gradient, padded so far that the reversed filter meets every input."""
    height, width, inner, out = w_type.static_shape
    size = op.block
    if height * width > 1:
        ends = integers(b, [-(2**31)] * 2)
        w = b.op("Slice", w, integers(b, [-1, -1]), ends, integers(b, [0, 1]), integers(b, [-1, -1]))
    split = b.op("Reshape", w, integers(b, [height, width, inner // size, size, out // size, size]))
    turned = b.op("Transpose", split, perm=[2, 4, 0, 1, 5, 3])
    filters = b.op("Reshape", turned, integers(b, [inner, out, height, width]))
    reach = [span(size, dilation) - 1 for size, dilation in zip((height, width), op.dilations, strict=True)]
    pads = [extent - pad for extent, pad in zip(reach * 2, fixed(op.pads), strict=True)]
    return b.op(
        "Conv", g, filters, domain=DOMAIN, kernel_shape=[height, width], strides=[1, 1], pads=pads,
        dilations=op.dilations, group=1,
    )  # fmt: skip


def channel_sums(b: Builder, x_type: TensorType, x: str) -> str:
    """The sum of each channel over height and width, then batch: the pooling kernel reads fastest."""
    means = b.op("ReduceSum", b.op("GlobalAveragePool", x, domain=DOMAIN), integers(b, [0, 2, 3]), keepdims=0)
    pixels = b.op("Cast", b.dims([product(x_type.shape[2:])]), to=x_type.dtype)
    return b.op("Mul", means, pixels)


def batch_norm_grad(
    b: Builder,
    op: BlockedBatchNormGrad,
    x_type: TensorType,
    g: str,
    x: str,
    scale: str,
    mean: str,
    variance: str,
) -> tuple[str, str, str]:
    """As on plain images; ``factor * x + shift`` is a Conv of each channel with a single weight."""
    dtype, channels = x_type.dtype, x_type.with_shape(x_type.shape[1:2]).static_shape[0]
    inverse = inverse_deviation(b, op.epsilon, dtype, variance)
    doffset = channel_sums(b, x_type, g)
    total = b.op("Sub", channel_sums(b, x_type, b.op("Mul", g, x)), b.op("Mul", mean, doffset))
    count = b.op("Cast", b.dims([product((x_type.shape[0], *x_type.shape[2:]))]), to=dtype)
    dscale, (from_g, from_x, shift) = coefficients(b, total, doffset, scale, inverse, count, mean)
    single = integers(b, [channels, 1, 1, 1])
    attributes: dict[str, Any] = {"domain": DOMAIN, "kernel_shape": [1, 1], "group": channels}
    scaled = b.op("Conv", x, b.op("Reshape", from_x, single), shift, **attributes)
    # The last operand is added to the result, in place.
    return b.op("Conv", g, b.op("Reshape", from_g, single), "", scaled, **attributes), dscale, doffset


def pool(b: Builder, op_type: str, op: BlockedPool, x: str, **attributes: Any) -> str:
    """The blocked pooling kernel."""
    return b.op(
        op_type,
        x,
        domain=DOMAIN,
        kernel_shape=op.window,
        strides=op.strides,
        pads=fixed(op.pads),
        **attributes,
    )


def conv_weight_grad(
    b: Builder, op: BlockedConvWeightGrad, x_type: TensorType, g_type: TensorType, x: str, g: str
) -> str:
    """A blocked Conv whose "input channels" are the columns of all images.

    A block of neighbouring columns of an image makes a block of channels, the gradient is the filter, and
    the channels of the input lie side by side along the width of the output. So the reduction over images,
    rows and columns runs in the kernel's inner loop. Kernel rows come out as the height of the output; for
    each kernel column the input is shifted. Where a row of windows is much shorter than a whole number of
    blocks, the image is cut into ``folds`` bands that lie side by side.
    """
    rows, columns = g_type.with_shape(g_type.shape[2:]).static_shape
    channels, height, width = x_type.with_shape(x_type.shape[1:]).static_shape
    out = g_type.with_shape(g_type.shape[1:2]).static_shape[0]
    batch, size = x_type.shape[0], op.block
    (row_stride, column_stride), (row_step, column_step) = op.strides, op.dilations
    (top, _), (left, _) = op.pads
    assert isinstance(top, int)
    assert isinstance(left, int)
    folds = bands(rows, columns, size)
    band, whole = rows // folds, folds * columns
    blocks = -(-whole // size)
    spare = blocks * size - whole

    # The input as (batch, height, channels, width). A single band leaves padding of rows to the kernel.
    turned = b.op("Transpose", x, perm=[0, 2, 1, 3])
    below = max((rows - 1) * row_stride + (op.kernel[0] - 1) * row_step + 1 - top - height, 0)
    count = columns if folds > 1 else blocks * size
    band_height, pads = height, [top, 0, below, 0]
    if folds > 1:
        band_height, pads = (band - 1) * row_stride + (op.kernel[0] - 1) * row_step + 1, [0, 0, 0, 0]
        if top or below:
            turned = b.op("Pad", turned, integers(b, [0, top, 0, 0, 0, below, 0, 0]), mode="constant")

    # The gradient as a filter: (outputs / block, batch, rows, columns of all bands, block).
    depth = columns * size
    parts = g_type.with_shape((batch, out // size, folds, band, depth))
    filters = b.op("Transpose", b.reshape(g, g_type, parts.shape), perm=[1, 0, 3, 2, 4])
    turned_type = parts.with_shape((out // size, batch, band, folds, depth))
    if spare:
        wide = turned_type.with_shape((out // size, batch, band, folds * depth))
        filters = b.reshape(filters, turned_type, wide.shape)
        filters = b.op("Pad", filters, integers(b, [0, 0, 0, 0, 0, 0, 0, spare * size]), mode="constant")
        turned_type = wide.with_shape((out // size, batch, band, folds * depth + spare * size))
    filters = b.reshape(filters, turned_type, (out, batch * size, band, blocks))

    tall = (band_height + pads[0] + pads[2] - ((band - 1) * row_stride + 1)) // row_step + 1
    results = []
    for column in range(op.kernel[1]):
        first = column * column_step - left
        pieces = []
        for fold in range(folds):
            start = fold * band * row_stride
            piece = turned
            if folds > 1:
                bounds = ([start], [start + band_height], [1])
                piece = b.op("Slice", turned, *(integers(b, item) for item in bounds))
            pieces.append(columns_from(b, piece, width, first, count, column_stride))
        shifted = b.op("Concat", *pieces, axis=3) if folds > 1 else pieces[0]
        if spare and folds > 1:
            shifted = b.op("Pad", shifted, integers(b, [0] * 7 + [spare]), mode="constant")
        source = x_type.with_shape((batch, band_height, channels, blocks * size))
        side_by_side = b.reshape(shifted, source, (1, batch * size, band_height, channels * blocks))
        y = b.op(
            "Conv", side_by_side, filters, domain=DOMAIN, kernel_shape=[band, blocks],
            strides=[row_step, blocks], dilations=[row_stride, 1], pads=pads, group=1,
        )  # fmt: skip
        results.append(b.op("Reshape", y, integers(b, [out // size, tall, 1, channels, size])))
    dw = b.op("Concat", *results, axis=2) if len(results) > 1 else results[0]
    if tall > op.kernel[0]:
        dw = b.op("Slice", dw, integers(b, [0]), integers(b, [op.kernel[0]]), integers(b, [1]))
    dw = b.op("Transpose", dw, perm=[1, 2, 3, 0, 4])
    return b.op("Reshape", dw, integers(b, [*op.kernel, channels, out]))


def columns_from(b: Builder, x: str, width: int, first: int, count: int, stride: int) -> str:
    """``count`` columns (axis 3) of ``x`` from ``first`` on, with zeros where there are none."""
    last = first + (count - 1) * stride + 1
    if first < 0 or last > width or stride == 1:
        around = [-first, last - width]
        if any(around):
            x = b.op("Pad", x, integers(b, [0, 0, 0, around[0], 0, 0, 0, around[1]]), mode="constant")
        first, last = 0, last - first
    if stride > 1:
        x = b.op("Slice", x, *(integers(b, item) for item in ([first], [last], [3], [stride])))
    return x


def bands(rows: int, columns: int, block: int) -> int:
    """Into how many bands to cut an image, so that few of the columns in whole blocks are empty."""
    best, least = 1, 1.0
    for folds in (1, 2, 4):
        waste = -(-folds * columns // block) * block / (folds * columns)
        if (rows % folds == 0 and waste < least - 0.1) or folds == 1:
            best, least = folds, waste
    return best
