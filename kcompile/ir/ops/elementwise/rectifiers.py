"""Functions of pieces of straight lines: limits, and rectifiers other than relu."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kcompile.ir.core import Array, Builder, Gradients, Node, Value, apply, constant_of
from kcompile.ir.errors import IRError
from kcompile.ir.ops.elementwise.activation_base import Activation, runs_here
from kcompile.ir.ops.elementwise.arithmetic import Binary, Unary, maximum, minimum, mul, where, zeros_like
from kcompile.ir.ops.elementwise.base import Elementwise
from kcompile.ir.ops.elementwise.comparison import greater, less
from kcompile.ir.ops.elementwise.functions import ReluGrad
from kcompile.ir.ops.shapes.reshaping import expand
from kcompile.ir.types import TensorType, broadcast_shapes

STEEP = 3e38
"""Even the smallest (normal) float32 number times this slope is above 1."""

# ---- limits


class Limited(Unary, abstract=True):
    """``x`` limited to ``[low, high]``."""

    float_only = False

    @property
    def limits(self) -> tuple[float, float]:
        """(low, high)."""
        raise NotImplementedError(type(self).__name__)

    def infer(self, x: TensorType) -> TensorType:  # type: ignore[override]
        low, high = self.limits
        if not low <= high:
            raise IRError(f"limits are ordered numbers, got {low} and {high}")
        return super().infer(x)

    def evaluate(self, *arrays: Array) -> Array:
        (x,) = arrays
        low, high = (np.asarray(limit, x.dtype) for limit in self.limits)
        return np.minimum(np.maximum(x, low), high)  # type: ignore[no-any-return]

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        low, high = (b.constant(limit, node.outputs[0].dtype) for limit in self.limits)
        return b.op("Clip", names[0], low, high)


@dataclass(frozen=True)
class Clip(Limited):
    """``x`` limited to ``[low, high]``; the gradient is that of ``x`` within and at the limits, else zero."""

    half = True

    low: float
    high: float

    @property
    def limits(self) -> tuple[float, float]:
        return self.low, self.high

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (g,) = grads
        return [None if g is None else apply(EqualGrad(), g, inputs[0], outputs[0])]


@dataclass(frozen=True)
class CappedRelu(Limited):
    """Relu that does not exceed ``cap``.

    The slope at 0 is 0, at ``cap`` 1: Keras clips what relu gives. But of relu6, a function of its own in Keras'
    backends, it is 0 there too.
    """

    half = True

    cap: float

    @property
    def limits(self) -> tuple[float, float]:
        return 0, self.cap

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        ((x,), (y,), (g,)) = inputs, outputs, grads
        if g is None:
            return [None]
        if self.cap == 6:
            return [apply(BetweenGrad(0, self.cap), g, y)]
        return [apply(ReluGrad(), apply(EqualGrad(), g, x, y), y)]


class MaskedGrad(Elementwise, abstract=True):
    """The first operand where the others are such and such, else 0: a gradient."""

    def infer(self, g: TensorType, *others: TensorType) -> TensorType:  # type: ignore[override]
        if any(other.dtype != g.dtype for other in others):
            raise IRError(f"the gradient is {g.dtype}, others {', '.join(other.dtype for other in others)}")
        return g.with_shape(broadcast_shapes(g.shape, *(other.shape for other in others)))

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (g,), others = grads, inputs[1:]
        return [None if g is None else apply(self, g, *others), *(None for _ in others)]

    def masked(self, b: Builder, node: Node, g: str, mask: str) -> str:
        """``g`` where ``mask``, else 0."""
        dtype = node.outputs[0].dtype
        if runs_here(b, dtype):
            # Where takes longer. An infinite gradient gives NaN here, not 0; fit refuses such a step.
            return b.op("Mul", g, b.op("Cast", mask, to=dtype))
        return b.op("Where", mask, g, b.constant(0, dtype))


@dataclass(frozen=True)
class EqualGrad(MaskedGrad):
    """``g`` where ``x`` equals ``y``, else 0: the gradient of a function that leaves some numbers as they are."""

    def evaluate(self, *arrays: Array) -> Array:
        g, x, y = arrays
        return np.where(x == y, g, np.zeros((), g.dtype))

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        return self.masked(b, node, names[0], b.op("Equal", *names[1:]))


@dataclass(frozen=True)
class BetweenGrad(MaskedGrad):
    """``g`` where ``low < y < high``, else 0: the gradient of a function that ends there, given its output."""

    low: float
    high: float

    def evaluate(self, *arrays: Array) -> Array:
        g, y = arrays
        low, high = np.asarray(self.low, y.dtype), np.asarray(self.high, y.dtype)
        return np.where((y > low) & (y < high), g, np.zeros((), g.dtype))

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        g, y = names
        low, high = (b.constant(limit, node.inputs[1].dtype) for limit in (self.low, self.high))
        return self.masked(b, node, g, b.op("And", b.op("Greater", y, low), b.op("Less", y, high)))


# ---- rectifiers


@dataclass(frozen=True)
class LeakyRelu(Activation):
    """``x`` above 0, ``alpha * x`` elsewhere; the slope at 0 is ``alpha``, as in Keras' backends."""

    half = True

    alpha: float
    onnx = "LeakyRelu"

    def evaluate(self, *arrays: Array) -> Array:
        (x,) = arrays
        return np.where(x >= 0, x, np.asarray(self.alpha, x.dtype) * x)

    def attributes(self) -> dict[str, Any]:
        return {"alpha": self.alpha}

    def in_parts(self, x: Value) -> Value:
        return maximum(x, mul(x, self.alpha)) if 0 < self.alpha <= 1 else where(less(x, 0), mul(x, self.alpha), x)

    def derivative(self, x: Value, y: Value) -> Value:
        # The output has the sign of the input, which need not be kept then.
        return apply(LeakySlope(self.alpha), y if self.alpha > 0 else x)


@dataclass(frozen=True)
class LeakySlope(Unary):
    """1 above 0, ``alpha`` elsewhere."""

    alpha: float

    def evaluate(self, *arrays: Array) -> Array:
        (y,) = arrays
        return np.where(y > 0, np.ones((), y.dtype), np.asarray(self.alpha, y.dtype))

    def derivative(self, x: Value, y: Value) -> None:
        return None

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        (y,), dtype = names, node.outputs[0].dtype
        one, alpha = b.constant(1, dtype), b.constant(self.alpha, dtype)
        if runs_here(b, dtype) and 0 <= self.alpha < 1:
            return b.op("Clip", b.op("Mul", y, b.constant(STEEP, dtype)), alpha, one)  # faster than a choice
        return b.op("Where", b.op("Greater", y, b.constant(0, dtype)), one, alpha)


@dataclass(frozen=True)
class PRelu(Binary):
    """``x`` above 0, ``alpha * x`` below, with ``alpha`` that broadcasts to ``x``; the slope at 0 is 0, as in Keras."""

    half = True

    name, onnx = "prelu", "PRelu"

    def infer(self, x: TensorType, alpha: TensorType) -> TensorType:  # type: ignore[override]
        result = super().infer(x, alpha)
        if result.shape != x.shape or not x.is_float:
            raise IRError(f"alpha broadcasts to x, floating point numbers, got {alpha} and {x}")
        return result

    def evaluate(self, *arrays: Array) -> Array:
        x, alpha = arrays
        return np.where(x >= 0, x, alpha * x)

    def batched(self, inputs: Sequence[Value], stacked: Sequence[bool]) -> tuple[Value, ...]:
        x, alpha = inputs
        if not stacked[0]:  # alpha may have no axis that x lacks
            x = expand(x, (alpha.shape[0], *x.shape))
        return super().batched([x, alpha], [True, stacked[1]])

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (x, alpha), (g,) = inputs, grads
        return [None, None] if g is None else [mul(g, apply(PReluSlope(), x, alpha)), mul(g, minimum(x, 0))]

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        x, alpha = names
        if b.target.provider != "cpu":
            return b.op("PRelu", x, alpha)
        # ONNX Runtime's kernel for the CPU takes two to five times as long as these.
        slopes, zero = constant_of(node.inputs[1]), b.constant(0, node.outputs[0].dtype)
        if slopes is not None and np.all((slopes > 0) & (slopes <= 1)):
            return b.op("Max", x, b.op("Mul", x, alpha))
        return b.op("Add", b.op("Relu", x), b.op("Mul", b.op("Min", x, zero), alpha))


@dataclass(frozen=True)
class PReluSlope(Binary):
    """1 where ``x`` is above 0, ``alpha`` where it is below, else 0."""

    name = "prelu_slope"

    def evaluate(self, *arrays: Array) -> Array:
        x, alpha = arrays
        return np.where(x > 0, np.ones((), x.dtype), np.where(x < 0, alpha, np.zeros((), x.dtype)))

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (x, _), (g,) = inputs, grads
        return [None, None if g is None else where(less(x, 0), g, zeros_like(g))]

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        (x, alpha), dtype = names, node.outputs[0].dtype
        if runs_here(b, dtype):
            above, below = (b.op("HardSigmoid", x, alpha=slope, beta=0.0) for slope in (STEEP, -STEEP))
        else:
            zero = b.constant(0, dtype)
            above, below = (b.op("Cast", b.op(name, x, zero), to=dtype) for name in ("Greater", "Less"))
        return b.op("Add", above, b.op("Mul", below, alpha))


@dataclass(frozen=True)
class ThresholdedRelu(Activation):
    """``x`` above ``theta``, 0 elsewhere, of NaN too."""

    half = True

    theta: float
    onnx = "ThresholdedRelu"

    def evaluate(self, *arrays: Array) -> Array:
        (x,) = arrays
        return np.where(x > np.asarray(self.theta, x.dtype), x, np.zeros((), x.dtype))

    def attributes(self) -> dict[str, Any]:
        return {"alpha": self.theta}

    def in_parts(self, x: Value) -> Value:
        return where(greater(x, self.theta), x, 0)

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (x,), (g,) = inputs, grads
        return [None if g is None else where(greater(x, self.theta), g, zeros_like(g))]


# ---- functions


def limited(x: Value, low: float, high: float) -> Value:
    """``x`` limited to ``[low, high]``, numbers that its element type holds."""
    number = float if x.type.is_float else int
    return apply(Clip(number(low), number(high)), x)


def capped_relu(x: Value, cap: float) -> Value:
    """max(x, 0), at most ``cap``."""
    return apply(CappedRelu(float(cap)), x)


def leaky_relu(x: Value, alpha: float) -> Value:
    """``x`` above 0, ``alpha * x`` elsewhere."""
    return apply(LeakyRelu(float(alpha)), x)


def prelu(x: Value, alpha: Value) -> Value:
    """``x`` above 0, ``alpha * x`` elsewhere; ``alpha`` broadcasts to ``x``."""
    return apply(PRelu(), x, alpha)


def thresholded_relu(x: Value, theta: float) -> Value:
    """``x`` above ``theta``, 0 elsewhere."""
    return apply(ThresholdedRelu(float(theta)), x)
