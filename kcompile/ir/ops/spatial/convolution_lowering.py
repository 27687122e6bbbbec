"""ONNX nodes for the convolution ops, on channels-first tensors."""

from __future__ import annotations

from collections.abc import Sequence

from kcompile.ir.core import Builder
from kcompile.ir.ops.spatial import convolution_table as table
from kcompile.ir.ops.spatial.convolution_base import Convolution
from kcompile.ir.ops.spatial.spatial import balanced, lower_pad, span, static_pads
from kcompile.ir.types import TensorType


def onnx_filter(b: Builder, w: str, rank: int) -> str:
    """From Keras' order (spatial..., in, out) to ONNX's (out, in, spatial...)."""
    return b.op("Transpose", w, perm=[rank - 1, rank - 2, *range(rank - 2)])


def conv(
    b: Builder, op: Convolution, types: Sequence[TensorType], output: TensorType, x: str, w: str, *bias: str
) -> str:
    """ONNX Conv; symbolic pads become a Pad."""
    if table.needed(op, types[0], b.target.provider):
        return table.conv(b, op, types, output, x, w, *bias)
    pads = static_pads(op.pads)
    if pads is None:
        x = lower_pad(b, x, types[0].dtype, op.pads)
    return b.op(
        "Conv", x, onnx_filter(b, w, types[1].rank), *bias,
        kernel_shape=types[1].static_shape[:-2], strides=op.strides, dilations=op.dilations,
        pads=pads or [0] * (2 * len(op.pads)), group=op.groups,
    )  # fmt: skip


def conv_input_grad(
    b: Builder, op: Convolution, types: Sequence[TensorType], output: TensorType, g: str, w: str, *bias: str
) -> str:
    """ONNX ConvTranspose; where it cannot take the pads, or needs a size that is symbolic, crop the full result.

    A kernel of single pixels is a Conv with its channels swapped.
    """
    if table.needed(op, types[0], b.target.provider) and table.needed(op, output, b.target.provider):
        return table.conv_input_grad(b, op, types, output, g, w, *bias)
    kernel = types[1].static_shape[:-2]
    if max(kernel) == max(op.strides) == op.groups == 1 and all(pair == (0, 0) for pair in op.pads):
        # ConvTranspose would write the product elsewhere first, and move it to where it belongs.
        filters = b.op("Reshape", w, b.constant([*types[1].static_shape[-2:], *kernel], "int64"))
        return b.op("Conv", g, filters, *bias, kernel_shape=kernel)
    geometry = zip(types[0].shape[2:], kernel, op.strides, op.dilations, strict=True)
    full = [(count - 1) * stride + span(size, dilation) for count, size, stride, dilation in geometry]
    ends = [size + before - whole for size, (before, _), whole in zip(output.shape[2:], op.pads, full, strict=True)]
    rest = [end + after for end, (_, after) in zip(ends, op.pads, strict=True)]
    known = [size for size in rest if isinstance(size, int)]
    takes = len(known) == len(rest) and (b.target.provider == "cpu" or balanced(op.pads))
    pads = static_pads(op.pads) if takes else None
    y = b.op(
        "ConvTranspose", g, onnx_filter(b, w, types[1].rank), *(bias if pads else ()),
        kernel_shape=kernel, strides=op.strides, dilations=op.dilations, group=op.groups,
        pads=pads or [0] * (2 * len(kernel)), output_padding=known if pads else None,
    )  # fmt: skip
    if pads:
        return y
    crops = tuple((before * -1, end) for (before, _), end in zip(op.pads, ends, strict=True))
    y = lower_pad(b, y, types[0].dtype, crops)
    for name in bias:  # what no window meets gets it too
        y = b.op("Add", y, table.bias_column(b, output, name))
    return y
