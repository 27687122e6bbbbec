"""ONNX nodes for enlarging and its gradient."""

from __future__ import annotations

from kcompile.ir import costs
from kcompile.ir.core import Builder, Graph, input_value
from kcompile.ir.dims import Dim
from kcompile.ir.ops.shapes.kernel_types import narrowed, widened
from kcompile.ir.ops.spatial import interpolation
from kcompile.ir.ops.spatial.spatial import permuted_type, to_channels_first, to_channels_last
from kcompile.ir.types import TensorType

RESIZED = ("float16", "float32", "int32", "int8", "uint8")
"""Element types that ONNX Runtime's Resize takes on every device; for float16 it casts by itself on a CPU."""

FAST_RANK = 4
"""ONNX Runtime resizes tensors with more axes ten times as slowly."""


def nearest(b: Builder, factors: tuple[int, ...], x_type: TensorType, x: str) -> str:
    """ONNX Resize where it has kernels; else an Expand of axes of size 1."""
    shape, scales = joined(x_type.shape, factors)
    whole = tuple(n * factor for n, factor in zip(x_type.shape, factors, strict=True))
    joined_type = x_type.with_shape(tuple(n * factor for n, factor in zip(shape, scales, strict=True)))
    if x_type.dtype in RESIZED:
        y = resize(b, scales, b.reshape(x, x_type, shape), mode="nearest", nearest_mode="floor")
        return b.reshape(y, joined_type, whole)
    apart: list[Dim] = []
    repeats: list[int] = []
    for n, factor in zip(x_type.shape, factors, strict=True):
        apart += [n] if factor == 1 else [n, 1]
        repeats += [1] if factor == 1 else [1, factor]
    y = b.op("Expand", b.reshape(x, x_type, apart), b.constant(repeats, "int64"))
    wide = tuple(n * count for n, count in zip(apart, repeats, strict=True))
    return b.reshape(y, x_type.with_shape(wide), whole)


def joined(shape: tuple[Dim, ...], factors: tuple[int, ...]) -> tuple[tuple[Dim, ...], tuple[int, ...]]:
    """The same elements on fewer axes, if there are many: an axis that stays and its neighbour are enlarged as one."""
    while len(shape) > FAST_RANK and 1 in factors[:-1]:
        pairs = [i for i, factor in enumerate(factors[:-1]) if factor == 1]
        at = next((i for i in pairs if factors[i + 1] == 1), pairs[0])
        shape = (*shape[:at], shape[at] * shape[at + 1], *shape[at + 2 :])
        factors = (*factors[:at], *factors[at + 1 :])
    return shape, factors


def resize(b: Builder, factors: tuple[int, ...], x: str, mode: str, nearest_mode: str | None = None) -> str:
    """ONNX Resize by constant scales, which do for symbolic sizes too."""
    return b.op(
        "Resize", x, "", b.constant(factors, "float32"), mode=mode, nearest_mode=nearest_mode,
        coordinate_transformation_mode="half_pixel" if mode == "linear" else "asymmetric",
    )  # fmt: skip


def linear(b: Builder, factors: tuple[int, ...], x_type: TensorType, x: str) -> str:
    """ONNX Resize of channels-first images, which every provider knows; for float64 sums of shifted images."""
    if x_type.dtype not in RESIZED:
        value = input_value("x", x_type.dtype, x_type.shape)
        return b.inline(Graph([value], [interpolation.interpolated(value, factors)]), [x])[0]
    if factors[1] == 1:
        return resize(b, factors, x, mode="linear")
    scales = tuple(factors[axis] for axis in to_channels_first(4))
    y = resize(b, scales, b.op("Transpose", x, perm=to_channels_first(4)), mode="linear")
    return b.op("Transpose", y, perm=to_channels_last(4))


def nearest_grad(b: Builder, factors: tuple[int, ...], g_type: TensorType, g: str) -> str:
    """The sum over what each element was repeated to."""
    apart: list[Dim] = []
    summed: list[int] = []
    for n, factor in zip(g_type.shape, factors, strict=True):
        if factor == 1:
            apart.append(n)
        else:
            apart += [n // factor, factor]
            summed.append(len(apart) - 1)
    parts = widened(b, b.reshape(g, g_type, apart), g_type.dtype)
    return narrowed(b, b.op("ReduceSum", parts, b.constant(summed, "int64"), keepdims=0), g_type.dtype)


def linear_grad(b: Builder, factors: tuple[int, ...], g_type: TensorType, x_type: TensorType, g: str) -> str:
    """Products with the weights of the interpolation for small images, sums over windows for others."""
    last = factors[1] != 1
    order = to_channels_first(4)
    if last:
        g, factors = b.op("Transpose", g, perm=order), tuple(factors[axis] for axis in order)
        g_type, x_type = permuted_type(g_type, order), permuted_type(x_type, order)
    value = input_value("g", g_type.dtype, g_type.shape)
    sizes = g_type.with_shape(g_type.shape[2:])
    if sizes.is_static and max(sizes.static_shape) <= costs.RESIZED_BY_PRODUCTS:
        dx = interpolation.by_products(value, factors[2:])
    elif g_type.dtype == "float64":
        dx = interpolation.interpolated_grad(value, factors)
    else:
        dx = interpolation.by_windows(value, factors[2:])
    (y,) = b.inline(Graph([value], [dx]), [g])
    return b.op("Transpose", y, perm=to_channels_last(4)) if last else y
