"""Activations with exponentials, and their pieces of straight lines, for which ONNX has operators."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kcompile.ir.core import Array, Builder, Gradients, Node, Value, apply, constant
from kcompile.ir.ops.elementwise.activation_base import KERNELS, Activation, in_parts, runs_here
from kcompile.ir.ops.elementwise.base import unary
from kcompile.ir.ops.elementwise.comparison import greater, less
from kcompile.ir.ops.elementwise.functions import (
    Erf,
    Sigmoid,
    add,
    clip,
    div,
    erf,
    exp,
    maximum,
    minimum,
    mul,
    relu,
    sigmoid,
    sub,
    tanh,
    where,
)
from kcompile.ir.ops.elementwise.rectifiers import BetweenGrad, EqualGrad, LeakySlope
from kcompile.ir.target import Target

SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


def _below_zero(x: Value, factor: float) -> Value:
    """``factor * (exp(x) - 1)`` below 0, else 0."""
    y = sub(exp(minimum(x, 0)), 1)
    return y if factor == 1 else mul(y, factor)


@dataclass(frozen=True)
class Elu(Activation):
    """``x`` above 0, ``alpha * (exp(x) - 1)`` elsewhere."""

    alpha: float = 1.0
    onnx = "Elu"

    def evaluate(self, *arrays: Array) -> Array:
        (x,) = arrays
        return np.where(x > 0, x, np.asarray(self.alpha, x.dtype) * np.expm1(np.minimum(x, 0)))

    def attributes(self) -> dict[str, Any]:
        return {"alpha": None if self.alpha == 1 else self.alpha}

    def has_operator(self, target: Target, dtype: str) -> bool:
        # ONNX Runtime's kernel takes twice as long as the four that a choice without comparison needs.
        return super().has_operator(target, dtype) and (target.portable or target.provider != "cpu")

    def in_parts(self, x: Value) -> Value:
        if self.alpha <= 1:  # the curve lies above the line below 0
            return maximum(x, _below_zero(x, self.alpha))
        return add(relu(x), _below_zero(x, self.alpha))

    def derivative(self, x: Value, y: Value) -> Value:
        if self.alpha == 1:
            return hard_sigmoid(y, 1.0, 1.0)  # y + 1 up to 1, as y is no less than -1
        if 0 < self.alpha < 1:
            return maximum(hard_sigmoid(y, 1.0, self.alpha), apply(LeakySlope(0.0), y))
        if self.alpha > 1:
            return where(greater(y, 0), constant(1, y.dtype), add(y, self.alpha))
        return where(greater(x, 0), constant(1, x.dtype), mul(exp(minimum(x, 0)), self.alpha))


@dataclass(frozen=True)
class Selu(Activation):
    """``1.0507 * x`` above 0, ``1.7581 * (exp(x) - 1)`` elsewhere; Klambauer et al. (2017)."""

    onnx = "Selu"

    def evaluate(self, *arrays: Array) -> Array:
        (x,) = arrays
        scale, limit = (np.asarray(number, x.dtype) for number in (SELU_SCALE, SELU_SCALE * SELU_ALPHA))
        return np.where(x > 0, scale * x, limit * np.expm1(np.minimum(x, 0)))

    def has_operator(self, target: Target, dtype: str) -> bool:
        return super().has_operator(target, dtype) and (target.portable or target.provider != "cpu")  # as of Elu

    def in_parts(self, x: Value) -> Value:
        return add(mul(relu(x), SELU_SCALE), _below_zero(x, SELU_SCALE * SELU_ALPHA))

    def derivative(self, x: Value, y: Value) -> Value:
        return where(less(y, 0), add(y, SELU_SCALE * SELU_ALPHA), constant(SELU_SCALE, y.dtype))


@dataclass(frozen=True)
class Swish(Activation):
    """``x * sigmoid(x)``; Ramachandran et al. (2017)."""

    half = True

    def evaluate(self, *arrays: Array) -> Array:
        (x,) = arrays
        return x * Sigmoid.compute(x)

    def in_parts(self, x: Value) -> Value:
        return mul(x, sigmoid(x))

    def derivative(self, x: Value, y: Value) -> Value:
        s = sigmoid(x)
        return add(s, mul(y, sub(1, s)))

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        if runs_here(b, node.outputs[0].dtype):
            return b.op("QuickGelu", names[0], domain="com.microsoft", alpha=1.0)
        # ONNX Runtime takes opset 24's Swish apart, and three times as long as for these, which it joins.
        return in_parts(b, node.inputs[0], names[0], self.in_parts)


@dataclass(frozen=True)
class HardSigmoid(Activation):
    """``alpha * x + beta`` limited to [0, 1].

    The slope where it meets a limit is ``alpha``, as of what Keras 2 limits by a clip; or 0, in Keras 3's function, as
    of the relu6 that it is made of.
    """

    half = True

    alpha: float
    beta: float
    onnx = "HardSigmoid"

    def evaluate(self, *arrays: Array) -> Array:
        (x,) = arrays
        line = np.asarray(self.alpha, x.dtype) * x + np.asarray(self.beta, x.dtype)
        return np.clip(line, np.zeros((), x.dtype), np.ones((), x.dtype))  # type: ignore[no-any-return]

    def attributes(self) -> dict[str, Any]:
        return {"alpha": self.alpha, "beta": self.beta}

    def in_parts(self, x: Value) -> Value:
        return clip(add(mul(x, self.alpha), self.beta), 0, 1)

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        ((x,), (y,), (g,)) = inputs, outputs, grads
        if g is None:
            return [None]
        if self == HARD_SIGMOID_V3:
            return [apply(BetweenGrad(0, 1), mul(g, self.alpha), y)]
        return [apply(EqualGrad(), mul(g, self.alpha), add(mul(x, self.alpha), self.beta), y)]


@dataclass(frozen=True)
class HardSwish(Activation):
    """``x * hard_sigmoid(x)`` with slope 1/6; Howard et al. (2019)."""

    half = True

    onnx, since = "HardSwish", 14

    def evaluate(self, *arrays: Array) -> Array:
        (x,) = arrays
        return x * HARD_SIGMOID_V3.evaluate(x)

    def in_parts(self, x: Value) -> Value:
        return mul(x, apply(HARD_SIGMOID_V3, x))

    def derivative(self, x: Value, y: Value) -> Value:
        inside = apply(HARD_SIGMOID_V3, x)
        return add(inside, apply(BetweenGrad(0, 1), mul(x, HARD_SIGMOID_V3.alpha), inside))


HARD_SIGMOID_V3 = HardSigmoid(1 / 6, 0.5)
"""``relu6(x + 3) / 6``, what ``hard_sigmoid`` is in Keras 3."""


@dataclass(frozen=True)
class Gelu(Activation):
    """``x`` times the normal distribution function of ``x``, or of a formula with tanh; Hendrycks and Gimpel (2016)."""

    half = True

    approximate: bool = False
    onnx, since = "Gelu", 20

    def evaluate(self, *arrays: Array) -> Array:
        (x,) = arrays
        inner = np.tanh(_TANH_SLOPE * (x + _CUBE * (x * x * x))) if self.approximate else Erf.compute(x * _ERF_SLOPE)
        return (x * np.asarray(0.5, x.dtype) * (1 + inner)).astype(x.dtype)  # type: ignore[no-any-return]

    def attributes(self) -> dict[str, Any]:
        return {"approximate": "tanh" if self.approximate else None}

    def _distribution(self, x: Value) -> tuple[Value, Value]:
        """The distribution function, and its slope."""
        if self.approximate:
            square = mul(x, x)
            t = tanh(mul(x, add(mul(square, _CUBE * _TANH_SLOPE), _TANH_SLOPE)))
            inner = add(mul(square, 3 * _CUBE * _TANH_SLOPE), _TANH_SLOPE)
            slope = mul(mul(sub(1, mul(t, t)), inner), 0.5)
        else:
            t = erf(mul(x, _ERF_SLOPE))
            slope = mul(exp(mul(mul(x, x), -0.5)), 1 / math.sqrt(2 * math.pi))
        return mul(add(t, 1), 0.5), slope

    def in_parts(self, x: Value) -> Value:
        if self.approximate:
            t = tanh(mul(x, add(mul(mul(x, x), _CUBE * _TANH_SLOPE), _TANH_SLOPE)))
        else:
            t = erf(mul(x, _ERF_SLOPE))
        return mul(mul(x, 0.5), add(t, 1))

    def derivative(self, x: Value, y: Value) -> Value:
        distribution, slope = self._distribution(x)
        return add(distribution, mul(x, slope))


_ERF_SLOPE, _TANH_SLOPE, _CUBE = math.sqrt(0.5), math.sqrt(2 / math.pi), 0.044715


@dataclass(frozen=True)
class Mish(Activation):
    """``x * tanh(softplus(x))``; Misra (2019)."""

    onnx, since = "Mish", 18

    def evaluate(self, *arrays: Array) -> Array:
        (x,) = arrays
        return x * np.tanh(np.logaddexp(x, np.zeros_like(x)))

    def in_parts(self, x: Value) -> Value:
        # With e = exp(x), tanh(softplus(x)) is ((1 + e)^2 - 1) / ((1 + e)^2 + 1).
        n = self._numerator(self._power(x))
        return mul(x, div(n, add(n, 2)))

    def derivative(self, x: Value, y: Value) -> Value:
        e = self._power(x)
        n = self._numerator(e)
        t = div(n, add(n, 2))
        slope = mul(div(e, add(e, 1)), mul(div(2, add(n, 2)), add(t, 1)))  # that of softplus, that of tanh
        return add(t, mul(x, slope))

    def _power(self, x: Value) -> Value:
        """exp(x), which need be no larger than so that tanh is 1."""
        return exp(minimum(x, 5 if x.dtype == "float16" else 20))

    def _numerator(self, e: Value) -> Value:
        return mul(e, add(e, 2))

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        if runs_here(b, node.outputs[0].dtype):
            # ONNX Runtime's kernel of softplus is slow: the operator takes five times as long as a quotient.
            return in_parts(b, node.inputs[0], names[0], self.in_parts)
        if b.target.opset < self.since and node.outputs[0].dtype in KERNELS:
            return b.op("Mul", names[0], b.op("Tanh", b.op("Softplus", names[0])))
        return super().lower(b, node, *names)


# ---- functions

selu, swish, hard_swish, mish = unary(Selu()), unary(Swish()), unary(HardSwish()), unary(Mish())


def elu(x: Value, alpha: float = 1.0) -> Value:
    """``x`` above 0, ``alpha * (exp(x) - 1)`` elsewhere."""
    return apply(Elu(float(alpha)), x)


def hard_sigmoid(x: Value, alpha: float = 0.2, beta: float = 0.5) -> Value:
    """``alpha * x + beta`` limited to [0, 1]."""
    return apply(HardSigmoid(float(alpha), float(beta)), x)


def gelu(x: Value, approximate: bool = False) -> Value:
    """``x`` times the normal distribution function of ``x``, or of a formula with tanh."""
    return apply(Gelu(bool(approximate)), x)
