"""ONNX nodes for the normalization of rows."""

from __future__ import annotations

from kcompile.ir.core import Builder
from kcompile.ir.types import TensorType

RMS_SINCE = 23
"""The first opset that has RMSNormalization."""


def layer_norm(
    b: Builder, first: int, epsilon: float, x_type: TensorType, x: str, scale: str, offset: str
) -> tuple[str, str, str]:
    """The mean is taken away first, since the kernel of ONNX Runtime's CPU computes the variance as mean(x^2) - mean^2.

    Of rows around 100 with deviation 1 that leaves 4 digits. It costs half of the kernel's time again, and the
    deviations are what the gradient needs.
    """
    mean = b.op("ReduceMean", x, _axes(b, first, x_type), keepdims=1)
    deviation = b.op("Sub", x, mean)
    if x_type.dtype != "float32":
        y, inverse = _rms_in_parts(b, first, epsilon, x_type, deviation, scale)
        return b.op("Add", y, offset), deviation, inverse
    y, _, inverse = b.multi(
        "LayerNormalization", deviation, scale, offset, outputs=3, axis=first - x_type.rank, epsilon=epsilon
    )
    return y, deviation, inverse


def rms_norm(b: Builder, first: int, epsilon: float, x_type: TensorType, x: str, scale: str) -> tuple[str, str]:
    """ONNX Runtime's own operator gives ``inverse`` too; ONNX's does not, nor do older opsets have it."""
    if x_type.dtype == "float32":
        axis = first - x_type.rank
        if not b.target.portable and b.target.provider == "cpu":
            y, inverse = b.multi("SimplifiedLayerNormalization", x, scale, outputs=2, axis=axis, epsilon=epsilon)
            return y, inverse
        if b.target.opset >= RMS_SINCE:
            # What is not asked for is dropped.
            inverse = _inverse(b, first, epsilon, x_type, x)
            return b.op("RMSNormalization", x, scale, axis=axis, epsilon=epsilon), inverse
    return _rms_in_parts(b, first, epsilon, x_type, x, scale)


def _rms_in_parts(b: Builder, first: int, epsilon: float, x_type: TensorType, x: str, scale: str) -> tuple[str, str]:
    inverse = _inverse(b, first, epsilon, x_type, x)
    return b.op("Mul", b.op("Mul", x, inverse), scale), inverse


def _inverse(b: Builder, first: int, epsilon: float, x_type: TensorType, x: str) -> str:
    """1 / sqrt(mean(x^2) + epsilon) of each row."""
    square = b.op("ReduceMean", b.op("Mul", x, x), _axes(b, first, x_type), keepdims=1)
    return b.op("Reciprocal", b.op("Sqrt", b.op("Add", square, b.constant(epsilon, x_type.dtype))))


def _axes(b: Builder, first: int, x_type: TensorType) -> str:
    return b.constant(range(first, x_type.rank), "int64")
