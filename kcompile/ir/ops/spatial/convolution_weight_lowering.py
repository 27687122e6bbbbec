"""ONNX nodes for the filter gradient of a convolution, on channels-first tensors: four ways, by size."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from numpy import ndindex

from kcompile.ir import costs
from kcompile.ir.core import Builder
from kcompile.ir.dims import product
from kcompile.ir.ops.spatial import convolution_table as table
from kcompile.ir.ops.spatial.convolution_base import FilterGradient
from kcompile.ir.ops.spatial.spatial import lower_pad, padded_type, span, static_pads
from kcompile.ir.types import TensorType


def conv_weight_grad(
    b: Builder, op: FilterGradient, types: Sequence[TensorType], output: TensorType, x: str, g: str
) -> str:
    """The fastest way for these sizes; the last one works for all."""
    x_type, g_type = types
    known = x_type.with_shape((*x_type.shape[1:], *g_type.shape[1:])).is_static
    pads = static_pads(op.pads)
    if known and pads is not None:
        channels = x_type.with_shape(x_type.shape[1:2]).static_shape[0]
        windows = prod(g_type.with_shape(g_type.shape[2:]).static_shape)
        copied = prod(op.kernel) * channels * windows if max(op.kernel) > 1 else 0
        small = copied <= costs.TABLE_OF_IMAGE
        if (small and op.groups <= costs.GROUPS_IN_TABLE) or x_type.dtype in table.WITHOUT_KERNEL:
            return table.conv_weight_grad(b, op, x_type, g_type, x, g)
        if op.groups == 1 and len(op.kernel) == 2:
            return side_by_side(b, op, x_type, g_type, x, g)
    table.check_kernel(x_type, b.target.provider)
    if b.target.provider == "cpu" and op.groups <= costs.GROUPS_IN_TABLE:
        return by_positions(b, op, x_type, g_type, x, g)
    return with_roles_swapped(b, op, types, output, x, g)


def by_positions(b: Builder, op: FilterGradient, x_type: TensorType, g_type: TensorType, x: str, g: str) -> str:
    """A matrix product for each position of the kernel: the input that it meets times the gradient, of any size.

    One part of the input is copied at a time, so that this takes little memory.
    """
    batch, groups, counts = x_type.shape[0], op.groups, g_type.shape[2:]
    channels, outputs = x_type.with_shape((x_type.shape[1], g_type.shape[1])).static_shape
    x = lower_pad(b, x, x_type.dtype, op.pads)
    windows = product(counts)
    gradient = b.reshape(g, g_type, (batch, groups, outputs // groups, windows))
    native = not b.target.portable and x_type.dtype == "float32"
    if not native:
        gradient = b.op("Transpose", gradient, perm=[0, 1, 3, 2])
    part_type = x_type.with_shape((batch, channels, *counts))
    axes = b.constant(list(range(2, x_type.rank)), "int64")
    steps = b.constant(list(op.strides), "int64")
    found = []
    for position in ndindex(*op.kernel):
        starts = [place * step for place, step in zip(position, op.dilations, strict=True)]
        axis_sizes = zip(starts, counts, op.strides, strict=True)
        ends = [start + (count - 1) * stride + 1 for start, count, stride in axis_sizes]
        part = x
        if prod(op.kernel) * prod(op.strides) > 1:
            part = b.op("Slice", x, b.constant(starts, "int64"), b.dims(ends), axes, steps)
        part = b.reshape(part, part_type, (batch, groups, channels // groups, windows))
        if native:
            products = b.op("FusedMatMul", part, gradient, domain="com.microsoft", transB=1)
        else:
            products = b.op("MatMul", part, gradient)
        found.append(b.op("ReduceSum", products, b.constant([0], "int64"), keepdims=1))
    dw = b.op("Concat", *found, axis=0) if len(found) > 1 else found[0]
    dw = b.op("Transpose", dw, perm=[0, 2, 1, 3])  # from (positions, group, channels in, channels out)
    return b.op("Reshape", dw, b.constant([*op.kernel, channels // groups, outputs], "int64"))


def side_by_side(b: Builder, op: FilterGradient, x_type: TensorType, g_type: TensorType, x: str, g: str) -> str:
    """A convolution for each kernel row, of one tall image whose channels are the batch and which has the
    channels of the input one below the other; the gradient is the filter.
    """
    batch = x_type.shape[0]
    channels, _, width = x_type.with_shape(x_type.shape[1:]).static_shape
    rows, columns = g_type.with_shape(g_type.shape[2:]).static_shape
    ((top, bottom), (left, _)), (row_step, column_step) = op.pads, op.dilations
    assert isinstance(left, int)
    x = lower_pad(b, x, x_type.dtype, ((top, bottom), (0, 0)))
    reach = (columns - 1) * op.strides[1] + span(op.kernel[1], column_step)
    right = max(reach - left - width, 0)
    filters = b.op("Transpose", g, perm=[1, 0, 2, 3])
    found = []
    for row in range(op.kernel[0]):
        start = row * row_step
        bounds = ([start], [start + (rows - 1) * op.strides[0] + 1], [2], [op.strides[0]])
        lines = b.op("Slice", x, *(b.constant(item, "int64") for item in bounds))
        lines_type = x_type.with_shape((batch, channels, rows, width))
        tall = b.reshape(lines, lines_type, (1, batch, channels * rows, width))
        found.append(
            b.op(
                "Conv", tall, filters, kernel_shape=[rows, columns], strides=[rows, column_step],
                dilations=[1, op.strides[1]], pads=[0, left, 0, right],
            )
        )  # fmt: skip
    dw = b.op("Concat", *found, axis=0) if len(found) > 1 else found[0]
    if (width + left + right - (columns - 1) * op.strides[1] - 1) // column_step + 1 > op.kernel[1]:
        bounds = ([0], [op.kernel[1]], [3], [1])
        dw = b.op("Slice", dw, *(b.constant(item, "int64") for item in bounds))
    return b.op("Transpose", dw, perm=[0, 3, 2, 1])


def with_roles_swapped(
    b: Builder, op: FilterGradient, types: Sequence[TensorType], output: TensorType, x: str, g: str
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


def exact(op: FilterGradient, types: Sequence[TensorType]) -> bool:
    """Whether the windows of ``types[0]`` counted by ``types[1]`` use every element, without a ragged end."""
    axes = zip(types[0].shape[2:], types[1].shape[2:], op.kernel, op.strides, op.pads, op.dilations, strict=True)
    return all(
        size + pads[0] + pads[1] == (count - 1) * stride + span(extent, dilation)
        for size, count, extent, stride, pads, dilation in axes
    )
