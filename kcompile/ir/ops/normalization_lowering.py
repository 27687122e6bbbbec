"""ONNX nodes for batch normalization."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kcompile.ir.builder import Builder
from kcompile.ir.types import TensorType

if TYPE_CHECKING:
    from kcompile.ir.ops.normalization import (
        BatchNormGrad,
        BatchNormInference,
        BatchNormTraining,
        Normalization,
    )


def along(b: Builder, vector: str, axis: int, rank: int) -> str:
    """A vector as a tensor that broadcasts along ``axis``."""
    if axis == rank - 1:
        return vector
    return b.op("Reshape", vector, b.constant([-1 if i == axis else 1 for i in range(rank)], "int64"))


def inverse_deviation(b: Builder, op: Normalization, dtype: str, variance: str) -> str:
    """1 / sqrt(variance + epsilon)."""
    return b.op("Reciprocal", b.op("Sqrt", b.op("Add", variance, b.constant(op.epsilon, dtype))))


def inference(
    b: Builder,
    op: BatchNormInference,
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
    factor = b.op("Mul", scale, inverse_deviation(b, op, x_type.dtype, variance))
    shift = b.op("Sub", offset, b.op("Mul", mean, factor))
    scaled = b.op("Mul", x, along(b, factor, op.axis, x_type.rank))
    return b.op("Add", scaled, along(b, shift, op.axis, x_type.rank))


def training(
    b: Builder, op: BatchNormTraining, x_type: TensorType, x: str, scale: str, offset: str
) -> tuple[str, str, str]:
    """Two passes for the statistics (mean, then mean of squared deviations), one to normalize."""
    axes = b.constant(op.others(x_type.rank), "int64")
    mean = b.op("ReduceMean", x, axes, keepdims=0)
    deviation = b.op("Sub", x, along(b, mean, op.axis, x_type.rank))
    variance = b.op("ReduceMean", b.op("Mul", deviation, deviation), axes, keepdims=0)
    return normalize(b, op, x_type, x, scale, offset, mean, variance), mean, variance


def gradient(
    b: Builder, op: BatchNormGrad, x_type: TensorType, g: str, x: str, scale: str, mean: str, variance: str
) -> tuple[str, str, str]:
    """dx as ``g * a + (x - mean) * b + c`` with vectors a, b, c made of the two sums."""
    rank, axis = x_type.rank, op.axis
    axes = b.constant(op.others(rank), "int64")
    inverse = inverse_deviation(b, op, x_type.dtype, variance)
    deviation = b.op("Sub", x, along(b, mean, axis, rank))
    product = b.op("Mul", g, deviation)
    doffset, total = b.op("ReduceSum", g, axes, keepdims=0), b.op("ReduceSum", product, axes, keepdims=0)
    dscale = b.op("Mul", total, inverse)
    g_mean, product_mean = (
        b.op("ReduceMean", g, axes, keepdims=0),
        b.op("ReduceMean", product, axes, keepdims=0),
    )
    a = b.op("Mul", scale, inverse)
    slope = b.op("Mul", b.op("Mul", a, product_mean), b.op("Mul", inverse, inverse))
    shift = b.op("Mul", a, g_mean)
    scaled = b.op("Sub", b.op("Mul", g, along(b, a, axis, rank)), along(b, shift, axis, rank))
    dx = b.op("Sub", scaled, b.op("Mul", deviation, along(b, slope, axis, rank)))
    return dx, dscale, doffset
