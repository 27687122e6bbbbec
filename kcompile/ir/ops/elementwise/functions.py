"""Elementwise functions: powers, trigonometry, activations and rounding; and arithmetic, under one name with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kcompile.ir import costs
from kcompile.ir.core import Array, Builder, Gradients, Node, Value, apply
from kcompile.ir.errors import IRError
from kcompile.ir.ops.elementwise.activation_base import KERNELS, in_parts, runs_here
from kcompile.ir.ops.elementwise.arithmetic import (
    Abs,
    Add,
    Binary,
    Cast,
    Div,
    Maximum,
    Minimum,
    Mul,
    Neg,
    Sign,
    StopGradient,
    Sub,
    Unary,
    Where,
    absolute,
    add,
    cast,
    clip,
    div,
    maximum,
    minimum,
    mul,
    neg,
    sign,
    square,
    stop_gradient,
    sub,
    where,
    zeros_like,
)  # fmt: skip
from kcompile.ir.ops.elementwise.base import Elementwise, binary, unary
from kcompile.ir.ops.elementwise.comparison import greater
from kcompile.ir.types import TensorType, broadcast_shapes

# ---- powers, exponentials, trigonometry


@dataclass(frozen=True)
class Exp(Unary):
    element_cost = costs.FUNCTION
    onnx, compute = "Exp", np.exp

    def derivative(self, x: Value, y: Value) -> Value:
        return y


@dataclass(frozen=True)
class Log(Unary):
    element_cost = costs.FUNCTION
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
class Pow(Binary):
    element_cost = costs.FUNCTION
    onnx, compute = "Pow", np.power

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (x, y), (g,) = inputs, grads
        if g is None:
            return [None, None]
        by_exponent = where(greater(x, 0), log(maximum(x, float(np.finfo(x.dtype).tiny))), zeros_like(x))
        return [mul(g, mul(y, power(x, sub(y, 1)))), mul(g, mul(outputs[0], by_exponent))]


@dataclass(frozen=True)
class Sin(Unary):
    element_cost = costs.FUNCTION
    onnx, compute = "Sin", np.sin

    def derivative(self, x: Value, y: Value) -> Value:
        return cos(x)


@dataclass(frozen=True)
class Cos(Unary):
    element_cost = costs.FUNCTION
    onnx, compute = "Cos", np.cos

    def derivative(self, x: Value, y: Value) -> Value:
        return neg(sin(x))


@dataclass(frozen=True)
class Tan(Unary):
    element_cost = costs.FUNCTION
    onnx, compute = "Tan", np.tan

    def derivative(self, x: Value, y: Value) -> Value:
        return add(mul(y, y), 1)


@dataclass(frozen=True)
class Asin(Unary):
    element_cost = costs.FUNCTION
    onnx, compute = "Asin", np.arcsin

    def derivative(self, x: Value, y: Value) -> Value:
        return reciprocal(sqrt(sub(1, mul(x, x))))


@dataclass(frozen=True)
class Acos(Unary):
    element_cost = costs.FUNCTION
    onnx, compute = "Acos", np.arccos

    def derivative(self, x: Value, y: Value) -> Value:
        return neg(reciprocal(sqrt(sub(1, mul(x, x)))))


@dataclass(frozen=True)
class Atan(Unary):
    element_cost = costs.FUNCTION
    onnx, compute = "Atan", np.arctan

    def derivative(self, x: Value, y: Value) -> Value:
        return reciprocal(add(mul(x, x), 1))


@dataclass(frozen=True)
class Sinh(Unary):
    element_cost = costs.FUNCTION
    onnx, compute = "Sinh", np.sinh

    def derivative(self, x: Value, y: Value) -> Value:
        return cosh(x)


@dataclass(frozen=True)
class Cosh(Unary):
    element_cost = costs.FUNCTION
    onnx, compute = "Cosh", np.cosh

    def derivative(self, x: Value, y: Value) -> Value:
        return sinh(x)


@dataclass(frozen=True)
class Tanh(Unary):
    element_cost = costs.FUNCTION
    half = True
    onnx, compute = "Tanh", np.tanh

    def derivative(self, x: Value, y: Value) -> Value:
        return sub(1, mul(y, y))


@dataclass(frozen=True)
class Erf(Unary):
    element_cost = costs.FUNCTION
    half = True
    onnx = "Erf"

    @staticmethod
    def compute(x: Array) -> Array:
        return np.vectorize(math.erf, otypes=[x.dtype])(x)  # type: ignore[no-any-return]

    def derivative(self, x: Value, y: Value) -> Value:
        return mul(exp(neg(mul(x, x))), 2 / math.sqrt(math.pi))


# ---- activations


def _sigmoid(x: Array) -> Array:
    return np.where(x >= 0, 1, np.exp(np.minimum(x, 0))) / (1 + np.exp(-np.abs(x)))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Sigmoid(Unary):
    element_cost = costs.FUNCTION
    half = True
    onnx, compute = "Sigmoid", _sigmoid

    def derivative(self, x: Value, y: Value) -> Value:
        return mul(y, sub(1, y))


@dataclass(frozen=True)
class Softplus(Unary):
    """log(1 + exp(x))."""

    element_cost = costs.FUNCTION

    onnx = "Softplus"

    @staticmethod
    def compute(x: Array) -> Array:
        return np.logaddexp(x, np.zeros_like(x))

    def derivative(self, x: Value, y: Value) -> Value:
        return sigmoid(x)

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        dtype = node.outputs[0].dtype
        if dtype in KERNELS and not runs_here(b, dtype):
            return b.op("Softplus", names[0])
        # ONNX Runtime's kernel takes three times as long as these.
        return in_parts(b, node.inputs[0], names[0], softplus_in_parts)


def softplus_in_parts(x: Value) -> Value:
    """max(x, 0) + log(1 + exp(-|x|)), with what rounding 1 + exp(-|x|) loses."""
    power = exp(neg(absolute(x)))
    total = add(power, 1)
    lost = div(sub(power, sub(total, 1)), total)
    return add(relu(x), add(log(total), lost))


@dataclass(frozen=True)
class Softsign(Unary):
    """x / (1 + |x|)."""

    half = True

    onnx = "Softsign"

    @staticmethod
    def compute(x: Array) -> Array:
        return x / (1 + np.abs(x))  # type: ignore[no-any-return]

    def derivative(self, x: Value, y: Value) -> Value:
        slope = sub(1, absolute(y))
        return mul(slope, slope)


@dataclass(frozen=True)
class Relu(Unary):
    """max(x, 0); the slope at 0 is 0, as in Keras' backends."""

    half = True

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
        if runs_here(b, dtype):
            # 1 or 0 in one pass: even the smallest (normal) number times this slope is above 1. Where takes longer.
            # Where y is 0 an infinite gradient (of sqrt(relu(x)), say) gives NaN here, not 0; fit refuses such a step.
            positive = b.op("HardSigmoid", y, alpha=3e38, beta=0.0)
            return b.op("Mul", g, positive)
        zero = b.constant(0, dtype)
        return b.op("Where", b.op("Greater", y, zero), g, zero)


# ---- rounding and remainders


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


# ---- functions

exp, log, sqrt, reciprocal, power = unary(Exp()), unary(Log()), unary(Sqrt()), unary(Reciprocal()), binary(Pow())
sin, cos, tan = unary(Sin()), unary(Cos()), unary(Tan())
asin, acos, atan = unary(Asin()), unary(Acos()), unary(Atan())
sinh, cosh, tanh, erf = unary(Sinh()), unary(Cosh()), unary(Tanh()), unary(Erf())
sigmoid, softplus, softsign, relu = unary(Sigmoid()), unary(Softplus()), unary(Softsign()), unary(Relu())
floor, ceil, round_even, mod = unary(Floor()), unary(Ceil()), unary(Round()), binary(Mod())

__all__ = [
    "Abs", "Acos", "Add", "Asin", "Atan", "Binary", "Cast", "Ceil", "Cos", "Cosh", "Div", "Erf", "Exp", "Floor",
    "Log", "Maximum", "Minimum", "Mod", "Mul", "Neg", "Pow", "Reciprocal", "Relu", "ReluGrad", "Round", "Sigmoid",
    "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "StopGradient", "Sub", "Tan", "Tanh", "Unary", "Where",
    "absolute", "acos", "add", "asin", "atan", "cast", "ceil", "clip", "cos", "cosh", "div", "erf", "exp", "floor",
    "log", "maximum", "minimum", "mod", "mul", "neg", "power", "reciprocal", "relu", "round_even", "sigmoid", "sign",
    "sin", "sinh", "softplus", "softsign", "sqrt", "square", "stop_gradient", "sub", "tan", "tanh", "where",
    "zeros_like",
]  # fmt: skip
