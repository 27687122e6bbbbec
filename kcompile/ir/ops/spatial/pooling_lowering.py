"""ONNX nodes for the pooling ops, on channels-first tensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kcompile.ir import costs
from kcompile.ir.core import Array, Builder
from kcompile.ir.dims import as_integers, product
from kcompile.ir.errors import IRError
from kcompile.ir.ops.spatial.enlarging_lowering import nearest
from kcompile.ir.ops.spatial.pooling_base import Pooling
from kcompile.ir.ops.spatial.spatial import Pads, balanced, lower_pad, offsets, padded_type, static_pads
from kcompile.ir.types import TensorType


def lowest(dtype: str) -> float:
    """The padding that is never a maximum."""
    return float(np.finfo(dtype).min)


def max_pool(b: Builder, op: Pooling, x_type: TensorType, x: str) -> str:
    """ONNX MaxPool; symbolic pads become a Pad."""
    pads = static_pads(op.pads)
    if pads is None:
        x = lower_pad(b, x, x_type.dtype, op.pads, lowest(x_type.dtype))
    return b.op("MaxPool", x, kernel_shape=op.window, strides=op.strides, pads=pads)


def places(b: Builder, op: Pooling, x_type: TensorType, x: str) -> tuple[str, TensorType]:
    """Where in the flattened input (padded, if its pads are symbolic) the maxima are, and its type."""
    pads = static_pads(op.pads)
    if pads is None:
        x = lower_pad(b, x, x_type.dtype, op.pads, lowest(x_type.dtype))
        x_type = padded_type(x_type, op.pads)
    _, indices = b.multi("MaxPool", x, outputs=2, kernel_shape=op.window, strides=op.strides, pads=pads)
    return indices, x_type


def max_pool_grad(b: Builder, op: Pooling, x_type: TensorType, g_type: TensorType, g: str, x: str) -> str:
    """Put the gradient where MaxPool says that the maxima are; where windows overlap, several add up."""
    indices, source = places(b, op, x_type, x)
    overlap = any(stride < size for stride, size in zip(op.strides, op.window, strict=True))
    if source is x_type and not overlap and b.target.provider == "cpu" and x_type.dtype == "float32":
        shape = b.dims(x_type.shape)
        pads = static_pads(op.pads)
        return b.op("MaxUnpool", g, indices, shape, kernel_shape=op.window, strides=op.strides, pads=pads)
    flat = b.constant([-1], "int64")
    size = b.dims([product(source.shape)])
    zeros = b.op("Expand", b.constant(0, g_type.dtype), size)
    dx = b.op(
        "ScatterElements", zeros, b.op("Reshape", indices, flat), b.op("Reshape", g, flat),
        axis=0, reduction="add" if overlap else "none",
    )  # fmt: skip
    dx = b.reshape(dx, source.with_shape((product(source.shape),)), source.shape)
    if source is x_type:
        return dx
    return lower_pad(b, dx, g_type.dtype, tuple((before * -1, after * -1) for before, after in op.pads))


def max_pool_gather(b: Builder, op: Pooling, x_type: TensorType, t: str, x: str) -> str:
    """Gather at the places of the maxima."""
    indices, source = places(b, op, x_type, x)
    if source is not x_type:
        t = lower_pad(b, t, x_type.dtype, op.pads)
    return b.op("Gather", b.op("Reshape", t, b.constant([-1], "int64")), indices, axis=0)


def average_pool(b: Builder, op: Pooling, x_type: TensorType, x: str) -> str:
    """ONNX AveragePool. Where it cannot take the pads: the mean with zeros, divided by the share of real elements."""
    pads = static_pads(op.pads) if b.target.provider == "cpu" or balanced(op.pads) else None
    if pads is not None and slow_kernel(b, x_type):
        if not any(pads):
            return as_convolution(b, x_type, x, op.window, op.strides, pads)
        if x_type.with_shape(x_type.shape[2:]).is_static and (share := real_share(op, x_type)).all():
            mean = as_convolution(b, x_type, x, op.window, op.strides, pads)
            return b.op("Div", mean, b.constant(share, x_type.dtype))
    if pads is not None and has_kernel(b, x_type.dtype):
        return b.op("AveragePool", x, kernel_shape=op.window, strides=op.strides, pads=pads, count_include_pad=0)
    padded = lower_pad(b, x, x_type.dtype, op.pads)
    mean = window_mean(b, padded_type(x_type, op.pads), padded, op.window, op.strides)
    return b.op("Div", mean, members(b, op, x_type)) if any(pair != (0, 0) for pair in op.pads) else mean


def has_kernel(b: Builder, dtype: str) -> bool:
    """Whether there is an AveragePool kernel for the element type."""
    return dtype != "float64" or b.target.provider != "cpu"


def slow_kernel(b: Builder, x_type: TensorType) -> bool:
    """Whether ONNX Runtime's AveragePool is several times slower than a convolution of each channel.

    It has a new kernel from opset 19 on, which takes ten times as long as the old one (44 channels of 28 x 28), except
    where the CPU's blocked kernels step in: for images with whole blocks of channels.
    """
    channels = x_type.shape[1]
    if b.target.provider != "cpu" or b.target.opset < 19 or x_type.dtype != "float32" or not isinstance(channels, int):
        return False
    return x_type.rank != 4 or channels % costs.PORTABLE_BLOCK != 0


def as_convolution(
    b: Builder, x_type: TensorType, x: str, window: Sequence[int], strides: Sequence[int], pads: Sequence[int]
) -> str:
    """The mean of each window, zeros of the padding included, by a convolution of each channel for itself."""
    (channels,) = x_type.with_shape(x_type.shape[1:2]).static_shape
    w = np.full((channels, 1, *window), 1 / float(np.prod(window)))
    return b.op("Conv", x, b.constant(w, x_type.dtype), kernel_shape=window, strides=strides, pads=pads, group=channels)


def real_share(op: Pooling, x_type: TensorType) -> Array:
    """The share of the elements of each window that are not padding, for known sizes and pads: (1, 1, windows...)."""
    share = np.ones((1, 1))
    for size, extent, step, pair in zip(x_type.shape[2:], op.window, op.strides, op.pads, strict=True):
        inside = np.pad(np.ones(as_integers([size])), as_integers(pair))
        count = (len(inside) - extent) // step + 1
        along = [inside[step * i : step * i + extent].mean() for i in range(count)]
        share = share[..., None] * np.array(along)
    return share


def window_mean(b: Builder, x_type: TensorType, x: str, window: Sequence[int], strides: Sequence[int]) -> str:
    """The mean of each window of an image without padding.

    Raises:
        IRError: there is no kernel for the element type, and sizes are symbolic.
    """
    if slow_kernel(b, x_type):
        return as_convolution(b, x_type, x, window, strides, [0] * (2 * len(window)))
    if has_kernel(b, x_type.dtype):
        return b.op("AveragePool", x, kernel_shape=window, strides=strides)
    if not x_type.with_shape(x_type.shape[2:]).is_static:
        raise IRError(f"ONNX Runtime averages {x_type.dtype} only on images of known size, got {x_type}; use float32")
    sizes = x_type.with_shape(x_type.shape[2:]).static_shape
    counts = [(size - extent) // step + 1 for size, extent, step in zip(sizes, window, strides, strict=True)]
    total = ""
    for _, (_, _, *where) in offsets(window, counts, strides, (1,) * len(window)):
        bounds = ([at.start for at in where], [at.stop for at in where], range(2, x_type.rank), strides)
        part = b.op("Slice", x, *(b.constant(item, "int64") for item in bounds))
        total = b.op("Add", total, part) if total else part
    return b.op("Div", total, b.constant(np.prod(window), x_type.dtype))


def members(b: Builder, op: Pooling, x_type: TensorType) -> str:
    """The share of the elements of each window that are not padding: (1, 1, windows...)."""
    single = x_type.with_shape((1, 1, *x_type.shape[2:]))
    ones = b.op("Expand", b.constant(1, x_type.dtype), b.dims(single.shape))
    padded = lower_pad(b, ones, x_type.dtype, op.pads)
    return window_mean(b, padded_type(single, op.pads), padded, op.window, op.strides)


def average_pool_grad(b: Builder, op: Pooling, g_type: TensorType, output: TensorType, g: str) -> str:
    """Each window's gradient, divided by its members, goes to all of them."""
    if any(pair != (0, 0) for pair in op.pads):
        g = b.op("Div", g, members(b, op, output))
    if op.strides == op.window and all(pair == (0, 0) for pair in op.pads):
        return tiled(b, op, g_type, output, g)
    return slid(b, op, g_type, output, g)


def tiled(b: Builder, op: Pooling, g_type: TensorType, output: TensorType, g: str) -> str:
    """Windows side by side: each element is repeated over its window; elements in no window get zero."""
    g = b.op("Mul", g, b.constant(1 / float(np.prod(op.window)), g_type.dtype))
    factors = (1, 1, *op.window)
    whole = tuple(count * size for count, size in zip(g_type.shape[2:], op.window, strict=True))
    g = nearest(b, factors, g_type, g)
    ends = tuple((0, size - extent) for size, extent in zip(output.shape[2:], whole, strict=True))
    return lower_pad(b, g, g_type.dtype, ends)


def slid(b: Builder, op: Pooling, g_type: TensorType, output: TensorType, g: str) -> str:
    """Any windows: spread the gradient apart by the strides, then average with stride 1 over zero padding."""
    ones = (1,) * len(op.window)
    counts = g_type.shape[2:]
    if op.strides != ones:
        apart = g_type.with_shape((*g_type.shape[:2], *(dim for count in counts for dim in (count, 1))))
        g = b.reshape(g, g_type, apart.shape)
        after = [0, 0, *(pad for stride in op.strides for pad in (0, stride - 1))]
        g = b.op("Pad", g, b.constant([0] * len(after) + after, "int64"), mode="constant")
        strided = [(count, stride) for count, stride in zip(counts, op.strides, strict=True)]
        wide = apart.with_shape((*g_type.shape[:2], *(dim for pair in strided for dim in pair)))
        g = b.reshape(g, wide, (*g_type.shape[:2], *(count * stride for count, stride in strided)))
    # Output element i averages the gradients i + before - window + 1 ... i + before.
    geometry = zip(counts, op.strides, op.window, op.pads, output.shape[2:], strict=True)
    pads = tuple(
        (size - 1 - before, extent + before - count * stride) for count, stride, size, (before, _), extent in geometry
    )
    spread = [count * stride for count, stride in zip(counts, op.strides, strict=True)]
    source = g_type.with_shape((*g_type.shape[:2], *spread))
    if (around := kernel_pads(b, op.window, pads)) is not None and has_kernel(b, g_type.dtype):
        if slow_kernel(b, source):
            return as_convolution(b, source, g, op.window, ones, around)
        return b.op("AveragePool", g, kernel_shape=op.window, strides=ones, pads=around, count_include_pad=1)
    return window_mean(b, padded_type(source, pads), lower_pad(b, g, g_type.dtype, pads), op.window, ones)


def kernel_pads(b: Builder, window: Sequence[int], pads: Pads) -> list[int] | None:
    """``pads`` for an AveragePool that counts them, where its kernel takes them."""
    fixed = static_pads(pads) if b.target.provider == "cpu" or balanced(pads) else None
    fits = fixed is not None and all(0 <= pad < size for pad, size in zip(fixed, (*window, *window), strict=True))
    return fixed if fits else None
