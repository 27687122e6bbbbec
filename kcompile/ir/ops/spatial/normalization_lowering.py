"""ONNX nodes for batch normalization."""

from __future__ import annotations

from kcompile.ir.core import Builder
from kcompile.ir.dims import product
from kcompile.ir.ops.spatial.normalization_base import Normalization
from kcompile.ir.types import TensorType


def along(b: Builder, vector: str, axis: int, rank: int) -> str:
    """A vector as a tensor that broadcasts along ``axis``."""
    if axis == rank - 1:
        return vector
    return b.op("Reshape", vector, b.constant([-1 if i == axis else 1 for i in range(rank)], "int64"))


def inverse_deviation(b: Builder, epsilon: float, dtype: str, variance: str) -> str:
    """1 / sqrt(variance + epsilon)."""
    return b.op("Reciprocal", b.op("Sqrt", b.op("Add", variance, b.constant(epsilon, dtype))))


def inference(
    b: Builder,
    op: Normalization,
    x_type: TensorType,
    x: str,
    scale: str,
    offset: str,
    mean: str,
    variance: str,
) -> str:
    """ONNX BatchNormalization where the channels are on its axis 1, else a multiplication and an addition."""
    return normalize(b, op, x_type, x, scale, offset, mean, variance)


def normalize(
    b: Builder,
    op: Normalization,
    x_type: TensorType,
    x: str,
    scale: str,
    offset: str,
    mean: str,
    variance: str,
) -> str:
    """``(x - mean) * scale / sqrt(variance + epsilon) + offset`` in as few passes over ``x`` as possible."""
    if op.axis == 1:
        return b.op("BatchNormalization", x, scale, offset, mean, variance, epsilon=op.epsilon)
    factor = b.op("Mul", scale, inverse_deviation(b, op.epsilon, x_type.dtype, variance))
    shift = b.op("Sub", offset, b.op("Mul", mean, factor))
    scaled = b.op("Mul", x, along(b, factor, op.axis, x_type.rank))
    return b.op("Add", scaled, along(b, shift, op.axis, x_type.rank))


def training(
    b: Builder, op: Normalization, x_type: TensorType, x: str, scale: str, offset: str
) -> tuple[str, str, str]:
    """Two passes for the statistics (mean, then mean of squared deviations), one to normalize.

    The CPU has one kernel for all of it. With momentum 0 its "running" statistics are those of the batch. It
    writes them over the old ones that it is given, so that these must be tensors of its own: here made of an
    element of each channel.
    """
    if op.axis == 1 and b.target.provider == "cpu" and not b.target.portable:
        channels = x_type.shape[1:2]
        rest = [0] * x_type.rank, [1, 2**31, *[1] * (x_type.rank - 2)], [*range(x_type.rank)]
        element = b.op("Slice", x, *(b.constant(item, "int64") for item in rest))
        old_mean = b.reshape(element, x_type.with_shape((1, *channels, *[1] * (x_type.rank - 2))), channels)
        y, mean, variance = b.multi(
            "BatchNormalization", x, scale, offset, old_mean, b.op("Neg", old_mean), outputs=3,
            epsilon=op.epsilon, momentum=0.0, training_mode=1,
        )  # fmt: skip
        return y, mean, variance
    axes = b.constant(op.others(x_type.rank), "int64")
    mean = b.op("ReduceMean", x, axes, keepdims=0)
    deviation = b.op("Sub", x, along(b, mean, op.axis, x_type.rank))
    variance = b.op("ReduceMean", b.op("Mul", deviation, deviation), axes, keepdims=0)
    return normalize(b, op, x_type, x, scale, offset, mean, variance), mean, variance


def gradient(
    b: Builder, op: Normalization, x_type: TensorType, g: str, x: str, scale: str, mean: str, variance: str
) -> tuple[str, str, str]:
    """Sums over each channel, then dx as ``g * a + x * b + c`` with a number a, b and c for each channel.

    Of images, the sum of ``g * (x - mean)`` is taken as that of ``g * x`` minus ``mean`` times that of
    ``g``, which saves a pass over ``x``; elsewhere ``x`` may be far from zero (years, prices), and is small,
    so it is centered.
    """
    rank, axis, dtype = x_type.rank, op.axis, x_type.dtype
    axes = b.constant(op.others(rank), "int64")
    inverse = inverse_deviation(b, op.epsilon, dtype, variance)
    center = rank == 2
    if center:
        x = b.op("Sub", x, along(b, mean, axis, rank))
    product = b.op("Mul", g, x)
    doffset, total = b.op("ReduceSum", g, axes, keepdims=0), b.op("ReduceSum", product, axes, keepdims=0)
    if not center:
        total = b.op("Sub", total, b.op("Mul", mean, doffset))
    count = b.op("Cast", element_count(b, op, x_type), to=dtype)
    dscale, factors = coefficients(b, total, doffset, scale, inverse, count, "" if center else mean)
    from_g, from_x, shift = factors
    if axis == 1:
        scaled = affine(b, g, dtype, from_g, shift)
    else:
        scaled = b.op("Add", b.op("Mul", g, along(b, from_g, axis, rank)), along(b, shift, axis, rank))
    return b.op("Add", scaled, b.op("Mul", x, along(b, from_x, axis, rank))), dscale, doffset


def element_count(b: Builder, op: Normalization, x_type: TensorType) -> str:
    """How many elements each channel has, as a tensor int64[1]."""
    return b.dims([product(x_type.shape[axis] for axis in op.others(x_type.rank))])


def coefficients(
    b: Builder, total: str, doffset: str, scale: str, inverse: str, count: str, mean: str
) -> tuple[str, tuple[str, str, str]]:
    """dscale, and the factors of ``g``, ``x`` and 1 in dx; ``mean`` is empty if ``x`` is centered."""
    dscale = b.op("Mul", total, inverse)
    from_g = b.op("Mul", scale, inverse)
    share = b.op("Div", b.op("Neg", from_g), count)
    from_x = b.op("Mul", share, b.op("Mul", dscale, inverse))
    shift = b.op("Mul", share, doffset)
    if mean:
        shift = b.op("Sub", shift, b.op("Mul", from_x, mean))
    return dscale, (from_g, from_x, shift)


def affine(b: Builder, x: str, dtype: str, factor: str, shift: str) -> str:
    """``x * factor + shift`` along axis 1 in one pass: batch normalization with mean 0 and variance 1."""
    mean = b.op("Mul", factor, b.constant(0, dtype))
    variance = b.op("Add", mean, b.constant(1, dtype))
    return b.op("BatchNormalization", x, factor, shift, mean, variance, epsilon=0.0)
