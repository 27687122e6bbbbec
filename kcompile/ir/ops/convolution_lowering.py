"""ONNX nodes for the convolution ops, on channels-first tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kcompile.ir.builder import Builder
from kcompile.ir.ops.spatial import lower_pad, padded_type, span, static_pads
from kcompile.ir.types import TensorType

if TYPE_CHECKING:
    from kcompile.ir.ops.convolution import Conv, ConvInputGrad, ConvWeightGrad


def onnx_filter(b: Builder, w: str, rank: int) -> str:
    """From Keras' order (spatial..., in, out) to ONNX's (out, in, spatial...)."""
    return b.op("Transpose", w, perm=[rank - 1, rank - 2, *range(rank - 2)])


def conv(
    b: Builder, op: Conv, types: Sequence[TensorType], output: TensorType, x: str, w: str, *bias: str
) -> str:
    """ONNX Conv; symbolic pads become a Pad."""
    pads = static_pads(op.pads)
    if pads is None:
        x = lower_pad(b, x, types[0].dtype, op.pads)
    return b.op(
        "Conv", x, onnx_filter(b, w, types[1].rank), *bias,
        kernel_shape=types[1].static_shape[:-2], strides=op.strides, dilations=op.dilations,
        pads=pads or [0] * (2 * len(op.pads)), group=op.groups,
    )  # fmt: skip


def conv_input_grad(
    b: Builder, op: ConvInputGrad, types: Sequence[TensorType], output: TensorType, g: str, w: str
) -> str:
    """ONNX ConvTranspose; where pads or the ragged end are symbolic, crop the full result."""
    kernel = types[1].static_shape[:-2]
    geometry = zip(types[0].shape[2:], kernel, op.strides, op.dilations, strict=True)
    full = [(count - 1) * stride + span(size, dilation) for count, size, stride, dilation in geometry]
    ends = [
        size + before - whole
        for size, (before, _), whole in zip(output.shape[2:], op.pads, full, strict=True)
    ]
    rest = [end + after for end, (_, after) in zip(ends, op.pads, strict=True)]
    known = [size for size in rest if isinstance(size, int)]
    pads = static_pads(op.pads) if len(known) == len(rest) else None
    y = b.op(
        "ConvTranspose", g, onnx_filter(b, w, types[1].rank),
        kernel_shape=kernel, strides=op.strides, dilations=op.dilations, group=op.groups,
        pads=pads or [0] * (2 * len(kernel)), output_padding=known if pads else None,
    )  # fmt: skip
    if pads:
        return y
    crops = tuple((before * -1, end) for (before, _), end in zip(op.pads, ends, strict=True))
    return lower_pad(b, y, types[0].dtype, crops)


def conv_weight_grad(
    b: Builder, op: ConvWeightGrad, types: Sequence[TensorType], output: TensorType, x: str, g: str
) -> str:
    """A Conv in which batch and channels change places, the gradient is the filter, strides are dilations."""
    rank, spatial = types[0].rank, tuple(range(2, types[0].rank))
    pads = static_pads(op.pads)
    if pads is None:
        x = lower_pad(b, x, types[0].dtype, op.pads)
    batch = types[0].shape[0]
    if op.groups == 1:
        x = b.op("Transpose", x, perm=[1, 0, *spatial])
    else:
        source = padded_type(types[0], op.pads) if pads is None else types[0]
        inner = output.shape[-2]
        sizes = list(source.shape[2:])
        parts = source.with_shape((batch, op.groups, inner, *sizes))
        x = b.op("Transpose", b.reshape(x, source, parts.shape), perm=[2, 1, 0, *range(3, rank + 1)])
        swapped = parts.with_shape((inner, op.groups, batch, *sizes))
        x = b.reshape(x, swapped, (inner, op.groups * batch, *sizes))
    dw = b.op(
        "Conv", x, b.op("Transpose", g, perm=[1, 0, *spatial]),
        strides=op.dilations, dilations=op.strides, pads=pads or [0] * (2 * len(spatial)), group=op.groups,
    )  # fmt: skip
    if not exact(op, types):
        ends = b.constant(op.kernel, "int64")
        dw = b.op("Slice", dw, b.constant([0] * len(spatial), "int64"), ends, b.constant(spatial, "int64"))
    return b.op("Transpose", dw, perm=[*spatial, 0, 1])


def exact(op: ConvWeightGrad, types: Sequence[TensorType]) -> bool:
    """Whether the windows of ``types[0]`` counted by ``types[1]`` use every element, without a ragged end."""
    axes = zip(
        types[0].shape[2:], types[1].shape[2:], op.kernel, op.strides, op.pads, op.dilations, strict=True
    )
    return all(
        size + pads[0] + pads[1] == (count - 1) * stride + span(extent, dilation)
        for size, count, extent, stride, pads, dilation in axes
    )
