"""Convolutions as matrix products with a table of windows, on channels-first tensors.

A column of the table is a window, a row what one kernel position and channel meets in all windows. That is the
fastest way to some filter gradients, and the only one for element types for which there is no Conv kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from kcompile.ir import costs
from kcompile.ir.core import Builder
from kcompile.ir.dims import Dim
from kcompile.ir.errors import IRError
from kcompile.ir.ops.spatial.convolution_base import Convolution, FilterGradient
from kcompile.ir.ops.spatial.spatial import lower_pad, offsets, static_pads
from kcompile.ir.types import TensorType

WITHOUT_KERNEL = ("float64",)
"""Element types that ONNX Runtime's CPU cannot convolve."""


def needed(op: Convolution, x_type: TensorType, provider: str) -> bool:
    """Whether there is no kernel, so that the table must do it.

    Raises:
        IRError: not even the table can, since sizes are symbolic.
    """
    if x_type.dtype not in WITHOUT_KERNEL or provider != "cpu":
        return False
    if not x_type.with_shape(x_type.shape[1:]).is_static or static_pads(op.pads) is None:
        check_kernel(x_type, provider)
    return True


def check_kernel(x_type: TensorType, provider: str) -> None:
    """Raises IRError if the provider has no kernel for the element type."""
    if x_type.dtype in WITHOUT_KERNEL and provider == "cpu":
        raise IRError(f"ONNX Runtime convolves {x_type.dtype} only on images of known size, got {x_type}; use float32")


def window_table(
    b: Builder, op: Convolution, x_type: TensorType, kernel: Sequence[int], counts: Sequence[int], x: str
) -> str:
    """The table of ``x``: (batch, group, kernel positions and channels of the group, windows)."""
    batch, channels = x_type.shape[0], x_type.with_shape(x_type.shape[1:2]).static_shape[0]
    pointwise = prod(kernel) == 1 and prod(op.strides) == 1
    x = lower_pad(b, x, x_type.dtype, op.pads)
    met = []
    for _, (_, _, *where) in offsets(kernel, counts, op.strides, op.dilations):
        bounds = ([at.start for at in where], [at.stop for at in where], range(2, x_type.rank), op.strides)
        part = x if pointwise else b.op("Slice", x, *(b.constant(item, "int64") for item in bounds))
        part_type = x_type.with_shape((batch, channels, *counts))
        met.append(b.reshape(part, part_type, (batch, op.groups, channels // op.groups, prod(counts))))
    return b.op("Concat", *met, axis=2) if len(met) > 1 else met[0]


def grouped_filter(b: Builder, op: Convolution, w_type: TensorType, w: str) -> str:
    """A filter in Keras' order as (group, kernel positions and channels in, channels out of the group)."""
    *kernel, inner, out = w_type.static_shape
    shape = [prod(kernel) * inner, op.groups, out // op.groups]
    return b.op("Transpose", b.op("Reshape", w, b.constant(shape, "int64")), perm=[1, 0, 2])


def conv(
    b: Builder, op: Convolution, types: Sequence[TensorType], output: TensorType, x: str, w: str, *bias: str
) -> str:
    """The filter times the table."""
    counts = output.with_shape(output.shape[2:]).static_shape
    table = window_table(b, op, types[0], types[1].static_shape[:-2], counts, x)
    filters = b.op("Transpose", grouped_filter(b, op, types[1], w), perm=[0, 2, 1])
    out = types[1].static_shape[-1]
    flat = output.with_shape((output.shape[0], op.groups, out // op.groups, prod(counts)))
    y = b.reshape(b.op("MatMul", filters, table), flat, output.shape)
    for name in bias:
        y = b.op("Add", y, bias_column(b, output, name))
    return y


def bias_column(b: Builder, output: TensorType, bias: str) -> str:
    """A bias in a shape that broadcasts to the channels-first ``output``."""
    return b.op("Reshape", bias, b.constant([-1, *(1 for _ in output.shape[2:])], "int64"))


def conv_input_grad(
    b: Builder, op: Convolution, types: Sequence[TensorType], output: TensorType, g: str, w: str, *bias: str
) -> str:
    """The filter times the gradient is a table, whose rows are added up where they were taken from."""
    out, *counts = types[0].with_shape(types[0].shape[1:]).static_shape
    kernel, inner = types[1].static_shape[:-2], types[1].static_shape[-2]
    sizes = output.with_shape(output.shape[2:]).static_shape
    n = output.shape[0]
    gradient = b.reshape(g, types[0], (n, op.groups, out // op.groups, prod(counts)))
    table = b.op("MatMul", grouped_filter(b, op, types[1], w), gradient)
    places = list(offsets(kernel, counts, op.strides, op.dilations))
    rows = b.multi("Split", table, outputs=len(places), axis=2, num_outputs=len(places))
    total = ""
    for row, (_, (_, _, *where)) in zip(rows, places, strict=True):
        row_type = output.with_shape((n, op.groups, inner, prod(counts)))
        channels: tuple[Dim, ...] = (n, inner * op.groups)
        apart = tuple(dim for count in counts for dim in (count, 1))
        part = b.reshape(row, row_type, (*channels, *apart))
        after = [0, 0, *(dim for stride in op.strides for dim in (0, stride - 1))]
        if any(after):
            part = b.op("Pad", part, b.constant([0] * len(after) + after, "int64"), mode="constant")
        spread = [count * stride for count, stride in zip(counts, op.strides, strict=True)]
        wide = tuple(dim for pair in zip(counts, op.strides, strict=True) for dim in pair)
        part = b.reshape(part, output.with_shape((*channels, *wide)), (*channels, *spread))
        begins = [at.start - before for at, (before, _) in zip(where, op.pads, strict=True)]
        ends = [size - begin - extent for size, begin, extent in zip(sizes, begins, spread, strict=True)]
        part = lower_pad(b, part, output.dtype, tuple(zip(begins, ends, strict=True)))
        total = b.op("Add", total, part) if total else part
    for name in bias:
        total = b.op("Add", total, bias_column(b, output, name))
    return total


def conv_weight_grad(b: Builder, op: FilterGradient, x_type: TensorType, g_type: TensorType, x: str, g: str) -> str:
    """The table times the gradient of each image, summed."""
    batch, groups = x_type.shape[0], op.groups
    channels = x_type.with_shape(x_type.shape[1:2]).static_shape[0]
    out, *counts = g_type.with_shape(g_type.shape[1:]).static_shape
    table = window_table(b, op, x_type, op.kernel, counts, x)
    gradient = b.reshape(g, g_type, (batch, groups, out // groups, prod(counts)))
    rows, columns = prod(op.kernel) * channels // groups, out // groups
    turned = columns < min(rows, costs.FEW_COLUMNS)
    left, right = (gradient, table) if turned else (table, gradient)
    if b.target.portable or x_type.dtype != "float32":
        products = b.op("MatMul", left, b.op("Transpose", right, perm=[0, 1, 3, 2]))
    else:
        products = b.op("FusedMatMul", left, right, domain="com.microsoft", transB=1)
    summed = b.op("ReduceSum", products, b.constant([0], "int64"), keepdims=0)
    order = [2, 0, 1] if turned else [1, 0, 2]  # from (group, rows of the table, channels out), or the last two turned
    if groups > 1 or turned:
        summed = b.op("Transpose", summed, perm=order)
    return b.op("Reshape", summed, b.constant([*op.kernel, channels // groups, out], "int64"))
