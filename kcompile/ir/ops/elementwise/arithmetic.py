"""Elementwise arithmetic with NumPy broadcasting: signs, the four operations, extremes, casts, and choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from kcompile.ir.core import Array, Builder, Gradients, Node, Operand, Value, apply, as_value, constant
from kcompile.ir.errors import IRError
from kcompile.ir.ops.elementwise.base import Elementwise, binary, unary
from kcompile.ir.ops.elementwise.comparison import greater_equal, less_equal
from kcompile.ir.types import TensorType, broadcast_shapes, dtype_name

# ---- one operand


class Unary(Elementwise, abstract=True):
    """``float_only`` ops are defined on floating point numbers."""

    float_only: ClassVar[bool] = True

    def infer(self, x: TensorType) -> TensorType:  # type: ignore[override]
        if self.float_only and not x.is_float:
            raise IRError(f"needs a floating point tensor, got {x}; cast it first")
        return x

    def derivative(self, x: Value, y: Value) -> Value | None:
        """dy/dx, elementwise; ``None`` where it is zero everywhere."""
        raise NotImplementedError(type(self).__name__)

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        slope = self.derivative(inputs[0], outputs[0])
        (g,) = grads
        return [None if slope is None or g is None else mul(g, slope)]


@dataclass(frozen=True)
class Neg(Unary):
    half = True
    float_only, onnx, compute = False, "Neg", np.negative

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        return [None if g is None else neg(g) for g in grads]


@dataclass(frozen=True)
class Abs(Unary):
    half = True
    float_only, onnx, compute = False, "Abs", np.abs

    def derivative(self, x: Value, y: Value) -> Value:
        return sign(x)


@dataclass(frozen=True)
class Sign(Unary):
    float_only, onnx, compute = False, "Sign", np.sign

    def derivative(self, x: Value, y: Value) -> None:
        return None


@dataclass(frozen=True)
class StopGradient(Unary):
    """The value itself; gradients stop here."""

    exact_on_sizes = True

    float_only, onnx = False, "Identity"

    @staticmethod
    def compute(x: Array) -> Array:
        return x

    def derivative(self, x: Value, y: Value) -> None:
        return None


@dataclass(frozen=True)
class Cast(Unary):
    """Conversion of the element type; to bool: whether it is not zero; to integers: truncation."""

    exact_on_sizes = True

    dtype: str
    float_only, onnx = False, "Cast"

    def infer(self, x: TensorType) -> TensorType:  # type: ignore[override]
        return x.with_dtype(dtype_name(self.dtype))

    def evaluate(self, *arrays: Array) -> Array:
        return arrays[0].astype(self.dtype)

    def on_sizes(self, *arrays: Array) -> Array:
        return arrays[0]

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (g,) = grads
        smooth = inputs[0].type.is_float and outputs[0].type.is_float
        return [cast(g, inputs[0].dtype) if smooth and g is not None else None]

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        return b.op("Cast", names[0], to=self.dtype)


# ---- two operands


class Binary(Elementwise, abstract=True):
    """Both operands have one element type; shapes broadcast."""

    def infer(self, x: TensorType, y: TensorType) -> TensorType:  # type: ignore[override]
        if x.dtype != y.dtype:
            raise IRError(f"operands are {x.dtype} and {y.dtype}; cast one of them")
        if x.dtype == "bool":
            raise IRError("needs numbers, got bool; cast it first")
        return x.with_shape(broadcast_shapes(x.shape, y.shape))

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        output = node.outputs[0].type
        scalars = [value.rank == 0 for value in node.inputs]
        ends_in_one = output.rank > 1 and output.is_static and output.shape[-1] == 1
        if b.target.portable or not any(scalars) or not ends_in_one:
            return super().lower(b, node, *names)
        # ONNX Runtime goes through such a tensor one number at a time, 25 times as slowly: as a vector it does not.
        flat = (prod(output.static_shape),)
        operands = [
            name if scalar else b.reshape(name, value.type, flat)
            for name, value, scalar in zip(names, node.inputs, scalars, strict=True)
        ]
        return b.reshape(super().lower(b, node, *operands), output.with_shape(flat), output.shape)


@dataclass(frozen=True)
class Add(Binary):
    exact_on_sizes = True
    commutative = True
    half = True
    onnx, compute = "Add", np.add

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (g,) = grads
        return [g, g]


@dataclass(frozen=True)
class Sub(Binary):
    exact_on_sizes = True
    half = True
    onnx, compute = "Sub", np.subtract

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (g,) = grads
        return [g, None if g is None else neg(g)]


@dataclass(frozen=True)
class Mul(Binary):
    exact_on_sizes = True
    commutative = True
    half = True
    onnx, compute = "Mul", np.multiply

    def in_half(self, node: Node) -> bool:
        return node.inputs[0] is not node.inputs[1]  # squares leave the range first

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (x, y), (g,) = inputs, grads
        return [None, None] if g is None else [mul(g, y), mul(g, x)]


def _divide(x: Array, y: Array) -> Array:
    if x.dtype.kind == "f":
        return x / y
    # Integers truncate towards zero, as in ONNX; the magnitude is exact for the whole range.
    quotient = x // y
    return quotient + ((quotient < 0) & (quotient * y != x)).astype(quotient.dtype)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Div(Binary):
    """Quotient; of integers, truncated towards zero."""

    exact_on_sizes = True

    half = True

    onnx, compute = "Div", _divide

    def on_sizes(self, *arrays: Array) -> Array | None:
        """By positive integers. The op truncates where sizes round down, so that no number below zero is divided."""
        dividends, divisors = arrays
        if not all(isinstance(number, int) and number > 0 for number in divisors.flat):
            return None
        if any(isinstance(number, int) and number < 0 for number in dividends.flat):
            return None
        quotients: Array = dividends // divisors
        return quotients

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        y, (g,) = inputs[1], grads
        if g is None:
            return [None, None]
        scaled = div(g, y)
        return [scaled, neg(mul(scaled, outputs[0]))]


@dataclass(frozen=True)
class Maximum(Binary):
    """Of equal operands the gradient goes to the first."""

    half = True

    onnx, compute = "Max", np.maximum

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (x, y), (g,) = inputs, grads
        if g is None:
            return [None, None]
        zero, first = zeros_like(g), greater_equal(x, y)
        return [where(first, g, zero), where(first, zero, g)]


@dataclass(frozen=True)
class Minimum(Binary):
    """Of equal operands the gradient goes to the first."""

    half = True

    onnx, compute = "Min", np.minimum

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (x, y), (g,) = inputs, grads
        if g is None:
            return [None, None]
        zero, first = zeros_like(g), less_equal(x, y)
        return [where(first, g, zero), where(first, zero, g)]


# ---- three operands


@dataclass(frozen=True)
class Where(Elementwise):
    """``x`` where ``condition``, else ``y``."""

    half = True

    onnx, compute = "Where", np.where

    def infer(self, condition: TensorType, x: TensorType, y: TensorType) -> TensorType:  # type: ignore[override]
        if condition.dtype != "bool" or x.dtype != y.dtype:
            raise IRError("needs a bool condition and two operands of one element type")
        return x.with_shape(broadcast_shapes(condition.shape, x.shape, y.shape))

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        condition, (g,) = inputs[0], grads
        if g is None:
            return [None, None, None]
        zero = zeros_like(g)
        return [None, where(condition, g, zero), where(condition, zero, g)]


# ---- functions

neg, absolute, sign, stop_gradient = unary(Neg()), unary(Abs()), unary(Sign()), unary(StopGradient())
add, sub, mul, div = binary(Add()), binary(Sub()), binary(Mul()), binary(Div())
maximum, minimum = binary(Maximum()), binary(Minimum())


def square(x: Value) -> Value:
    """x * x."""
    return mul(x, x)


def cast(x: Value, dtype: str) -> Value:
    """``x`` in another element type; ``x`` itself if it has that type."""
    return x if x.dtype == dtype_name(dtype) else apply(Cast(dtype_name(dtype)), x)


def where(condition: Value, x: Operand, y: Operand) -> Value:
    """``x`` where ``condition``, else ``y``."""
    like = x if isinstance(x, Value) else y
    if not isinstance(like, Value):
        raise TypeError("where needs at least one IR value among its branches")
    return apply(Where(), condition, as_value(x, like), as_value(y, like))


def clip(x: Value, low: Operand | None, high: Operand | None) -> Value:
    """``x`` limited to ``[low, high]``; the gradient is zero outside."""
    if low is not None:
        x = maximum(x, low)
    return x if high is None else minimum(x, high)


def zeros_like(x: Value) -> Value:
    """A scalar zero of the element type of ``x``, to be broadcast."""
    return constant(0, x.dtype)
