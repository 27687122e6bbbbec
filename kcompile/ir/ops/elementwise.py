"""Elementwise arithmetic with NumPy broadcasting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from kcompile.ir.builder import Builder
from kcompile.ir.core import Array, Gradients, Node, Operand, Value, apply, as_value, constant
from kcompile.ir.errors import IRError
from kcompile.ir.ops.comparison import greater, greater_equal, less_equal
from kcompile.ir.ops.elementwise_base import Elementwise, binary, unary
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
    float_only, onnx, compute = False, "Neg", np.negative

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        return [None if g is None else neg(g) for g in grads]


@dataclass(frozen=True)
class Abs(Unary):
    float_only, onnx, compute = False, "Abs", np.abs

    def derivative(self, x: Value, y: Value) -> Value:
        return sign(x)


@dataclass(frozen=True)
class Sign(Unary):
    float_only, onnx, compute = False, "Sign", np.sign

    def derivative(self, x: Value, y: Value) -> None:
        return None


@dataclass(frozen=True)
class Exp(Unary):
    onnx, compute = "Exp", np.exp

    def derivative(self, x: Value, y: Value) -> Value:
        return y


@dataclass(frozen=True)
class Log(Unary):
    onnx, compute = "Log", np.log

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        return [None if g is None else div(g, inputs[0]) for g in grads]


@dataclass(frozen=True)
class Sqrt(Unary):
    onnx, compute = "Sqrt", np.sqrt

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        return [None if g is None else div(mul(g, 0.5), outputs[0]) for g in grads]


@dataclass(frozen=True)
class Reciprocal(Unary):
    onnx, compute = "Reciprocal", np.reciprocal

    def derivative(self, x: Value, y: Value) -> Value:
        return neg(mul(y, y))


@dataclass(frozen=True)
class Sin(Unary):
    onnx, compute = "Sin", np.sin

    def derivative(self, x: Value, y: Value) -> Value:
        return cos(x)


@dataclass(frozen=True)
class Cos(Unary):
    onnx, compute = "Cos", np.cos

    def derivative(self, x: Value, y: Value) -> Value:
        return neg(sin(x))


@dataclass(frozen=True)
class Tan(Unary):
    onnx, compute = "Tan", np.tan

    def derivative(self, x: Value, y: Value) -> Value:
        return add(mul(y, y), 1)


@dataclass(frozen=True)
class Asin(Unary):
    onnx, compute = "Asin", np.arcsin

    def derivative(self, x: Value, y: Value) -> Value:
        return reciprocal(sqrt(sub(1, mul(x, x))))


@dataclass(frozen=True)
class Acos(Unary):
    onnx, compute = "Acos", np.arccos

    def derivative(self, x: Value, y: Value) -> Value:
        return neg(reciprocal(sqrt(sub(1, mul(x, x)))))


@dataclass(frozen=True)
class Atan(Unary):
    onnx, compute = "Atan", np.arctan

    def derivative(self, x: Value, y: Value) -> Value:
        return reciprocal(add(mul(x, x), 1))


@dataclass(frozen=True)
class Sinh(Unary):
    onnx, compute = "Sinh", np.sinh

    def derivative(self, x: Value, y: Value) -> Value:
        return cosh(x)


@dataclass(frozen=True)
class Cosh(Unary):
    onnx, compute = "Cosh", np.cosh

    def derivative(self, x: Value, y: Value) -> Value:
        return sinh(x)


@dataclass(frozen=True)
class Tanh(Unary):
    onnx, compute = "Tanh", np.tanh

    def derivative(self, x: Value, y: Value) -> Value:
        return sub(1, mul(y, y))


def _sigmoid(x: Array) -> Array:
    return np.where(x >= 0, 1, np.exp(np.minimum(x, 0))) / (1 + np.exp(-np.abs(x)))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Sigmoid(Unary):
    onnx, compute = "Sigmoid", _sigmoid

    def derivative(self, x: Value, y: Value) -> Value:
        return mul(y, sub(1, y))


@dataclass(frozen=True)
class Softplus(Unary):
    """log(1 + exp(x))."""

    onnx = "Softplus"

    @staticmethod
    def compute(x: Array) -> Array:
        return np.logaddexp(x, np.zeros_like(x))

    def derivative(self, x: Value, y: Value) -> Value:
        return sigmoid(x)


@dataclass(frozen=True)
class Softsign(Unary):
    """x / (1 + |x|)."""

    onnx = "Softsign"

    @staticmethod
    def compute(x: Array) -> Array:
        return x / (1 + np.abs(x))  # type: ignore[no-any-return]

    def derivative(self, x: Value, y: Value) -> Value:
        slope = sub(1, absolute(y))
        return mul(slope, slope)


@dataclass(frozen=True)
class Erf(Unary):
    onnx = "Erf"

    @staticmethod
    def compute(x: Array) -> Array:
        return np.vectorize(math.erf, otypes=[x.dtype])(x)  # type: ignore[no-any-return]

    def derivative(self, x: Value, y: Value) -> Value:
        return mul(exp(neg(mul(x, x))), 2 / math.sqrt(math.pi))


@dataclass(frozen=True)
class Relu(Unary):
    """max(x, 0); the slope at 0 is 0, as in Keras' backends."""

    float_only, onnx = False, "Relu"

    @staticmethod
    def compute(x: Array) -> Array:
        return np.maximum(x, np.zeros((), x.dtype))

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (g,) = grads
        return [None if g is None else apply(ReluGrad(), g, outputs[0])]


@dataclass(frozen=True)
class ReluGrad(Elementwise):
    """``g`` where ``y > 0``, else 0: the gradient of relu, given its output."""

    onnx = "Where"

    @staticmethod
    def compute(g: Array, y: Array) -> Array:
        return np.where(y > 0, g, np.zeros((), g.dtype))

    def infer(self, g: TensorType, y: TensorType) -> TensorType:  # type: ignore[override]
        if g.dtype != y.dtype:
            raise IRError(f"the gradient is {g.dtype}, the output {y.dtype}")
        return g.with_shape(broadcast_shapes(g.shape, y.shape))

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (g,) = grads
        return [None if g is None else apply(ReluGrad(), g, inputs[1]), None]

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        g, y = names
        dtype = node.outputs[0].dtype
        if b.target.provider == "cpu" and not b.target.portable and dtype == "float32":
            # 1 or 0 in one pass: even the smallest (normal) number times this slope is above 1. Where takes longer.
            positive = b.op("HardSigmoid", y, alpha=3e38, beta=0.0)
            return b.op("Mul", g, positive)
        zero = b.constant(0, dtype)
        return b.op("Where", b.op("Greater", y, zero), g, zero)


@dataclass(frozen=True)
class Floor(Unary):
    onnx, compute = "Floor", np.floor

    def derivative(self, x: Value, y: Value) -> None:
        return None


@dataclass(frozen=True)
class Ceil(Unary):
    onnx, compute = "Ceil", np.ceil

    def derivative(self, x: Value, y: Value) -> None:
        return None


@dataclass(frozen=True)
class Round(Unary):
    """To the nearest whole number, halves to even."""

    onnx, compute = "Round", np.round

    def derivative(self, x: Value, y: Value) -> None:
        return None


@dataclass(frozen=True)
class StopGradient(Unary):
    """The value itself; gradients stop here."""

    float_only, onnx = False, "Identity"

    @staticmethod
    def compute(x: Array) -> Array:
        return x

    def derivative(self, x: Value, y: Value) -> None:
        return None


@dataclass(frozen=True)
class Cast(Unary):
    """Conversion of the element type; to bool: whether it is not zero; to integers: truncation."""

    dtype: str
    float_only, onnx = False, "Cast"

    def infer(self, x: TensorType) -> TensorType:  # type: ignore[override]
        return x.with_dtype(dtype_name(self.dtype))

    def evaluate(self, *arrays: Array) -> Array:
        return arrays[0].astype(self.dtype)

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


@dataclass(frozen=True)
class Add(Binary):
    onnx, compute = "Add", np.add

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (g,) = grads
        return [g, g]


@dataclass(frozen=True)
class Sub(Binary):
    onnx, compute = "Sub", np.subtract

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (g,) = grads
        return [g, None if g is None else neg(g)]


@dataclass(frozen=True)
class Mul(Binary):
    onnx, compute = "Mul", np.multiply

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

    onnx, compute = "Div", _divide

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        y, (g,) = inputs[1], grads
        if g is None:
            return [None, None]
        scaled = div(g, y)
        return [scaled, neg(mul(scaled, outputs[0]))]


@dataclass(frozen=True)
class Pow(Binary):
    onnx, compute = "Pow", np.power

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (x, y), (g,) = inputs, grads
        if g is None:
            return [None, None]
        by_exponent = where(greater(x, 0), log(maximum(x, float(np.finfo(x.dtype).tiny))), zeros_like(x))
        return [mul(g, mul(y, power(x, sub(y, 1)))), mul(g, mul(outputs[0], by_exponent))]


@dataclass(frozen=True)
class Maximum(Binary):
    """Of equal operands the gradient goes to the first."""

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

    onnx, compute = "Min", np.minimum

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (x, y), (g,) = inputs, grads
        if g is None:
            return [None, None]
        zero, first = zeros_like(g), less_equal(x, y)
        return [where(first, g, zero), where(first, zero, g)]


@dataclass(frozen=True)
class Mod(Binary):
    """The remainder with the sign of the divisor, as in Python."""

    onnx, compute = "Mod", np.mod

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (x, y), (g,) = inputs, grads
        if g is None:
            return [None, None]
        return [g, neg(mul(g, floor(div(x, y))))]

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        x, y = names
        if not node.outputs[0].type.is_float:
            return b.op("Mod", x, y)
        # ONNX's floating point Mod is exact, but has the sign of the dividend.
        rest, zero = b.op("Mod", x, y, fmod=1), b.constant(0, node.outputs[0].dtype)
        differ = b.op("Xor", b.op("Less", rest, zero), b.op("Less", y, zero))
        other_sign = b.op("And", differ, b.op("Not", b.op("Equal", rest, zero)))
        return b.op("Where", other_sign, b.op("Add", rest, y), rest)


# ---- three operands


@dataclass(frozen=True)
class Where(Elementwise):
    """``x`` where ``condition``, else ``y``."""

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

neg, absolute, sign, exp, log = unary(Neg()), unary(Abs()), unary(Sign()), unary(Exp()), unary(Log())
sqrt, reciprocal, sin, cos = unary(Sqrt()), unary(Reciprocal()), unary(Sin()), unary(Cos())
tan, asin, acos, atan = unary(Tan()), unary(Asin()), unary(Acos()), unary(Atan())
sinh, cosh, tanh, sigmoid = unary(Sinh()), unary(Cosh()), unary(Tanh()), unary(Sigmoid())
softplus, softsign, erf, relu = unary(Softplus()), unary(Softsign()), unary(Erf()), unary(Relu())
floor, ceil, round_even = unary(Floor()), unary(Ceil()), unary(Round())
stop_gradient = unary(StopGradient())
add, sub, mul, div, power = binary(Add()), binary(Sub()), binary(Mul()), binary(Div()), binary(Pow())
maximum, minimum, mod = binary(Maximum()), binary(Minimum()), binary(Mod())


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
