"""K: activations, and those functions behind the layers and names of activations that Keras' backend lacks."""

from __future__ import annotations

from kcompile.backend.numbers import finite
from kcompile.ir.ops.elementwise import activations, comparison, rectifiers
from kcompile.ir.ops.elementwise import functions as elementwise
from kcompile.ir.ops.products import softmax as softmax_ops
from kcompile.symbolic.tensor import Tensor, TensorLike, as_float, promote


def relu(x: TensorLike, alpha: float | Tensor = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Tensor:
    """``x`` above ``threshold`` (at most ``max_value``), ``alpha * (x - threshold)`` below it."""
    value = as_float(x).value
    off, from_zero = (not isinstance(number, Tensor) and number == 0 for number in (alpha, threshold))
    if off and from_zero and finite(max_value) and max_value >= 0:
        return Tensor(rectifiers.capped_relu(value, max_value))
    if off and from_zero:
        y = elementwise.relu(value)
    elif off and finite(threshold):
        y = rectifiers.thresholded_relu(value, threshold)
    elif off:
        y = elementwise.where(comparison.greater(value, threshold), value, 0)
    elif from_zero and finite(alpha):
        y = rectifiers.leaky_relu(value, alpha)
    else:
        slope, shifted = promote(alpha, Tensor(elementwise.sub(value, threshold)))
        y = elementwise.where(comparison.greater_equal(value, threshold), value, elementwise.mul(slope, shifted))
    if max_value is not None:
        y = (
            elementwise.minimum(y, max_value)
            if threshold <= max_value
            else elementwise.maximum(elementwise.minimum(y, max_value), 0)
        )
    return Tensor(y)


def prelu(x: Tensor, alpha: Tensor) -> Tensor:
    """``x`` above 0, ``alpha * x`` elsewhere, for slopes ``alpha`` that broadcast to ``x``."""
    return Tensor(rectifiers.prelu(*promote(as_float(x), alpha)))


def elu(x: TensorLike, alpha: float = 1.0) -> Tensor:
    """``x`` above 0, ``alpha * (exp(x) - 1)`` below."""
    value = as_float(x).value
    if finite(alpha):
        return Tensor(activations.elu(value, alpha))
    negative = elementwise.mul(elementwise.sub(elementwise.exp(elementwise.minimum(value, 0)), 1), alpha)
    return Tensor(elementwise.where(comparison.greater(value, 0), value, negative))


def selu(x: TensorLike) -> Tensor:
    """An elu whose alpha and scale keep mean 0 and variance 1 from layer to layer."""
    return Tensor(activations.selu(as_float(x).value))


def sigmoid(x: TensorLike) -> Tensor:
    """1 / (1 + exp(-x))."""
    return Tensor(elementwise.sigmoid(as_float(x).value))


def hard_sigmoid(x: TensorLike) -> Tensor:
    """``0.2 * x + 0.5`` limited to [0, 1] (Keras 1 and 2)."""
    return Tensor(activations.hard_sigmoid(as_float(x).value))


def hard_sigmoid_v3(x: TensorLike) -> Tensor:
    """``relu6(x + 3) / 6``."""
    return Tensor(activations.hard_sigmoid(as_float(x).value, 1 / 6))


def swish(x: TensorLike) -> Tensor:
    """``x * sigmoid(x)``."""
    return Tensor(activations.swish(as_float(x).value))


def hard_silu(x: TensorLike) -> Tensor:
    """``x * relu6(x + 3) / 6``."""
    return Tensor(activations.hard_swish(as_float(x).value))


def gelu(x: TensorLike, approximate: bool = False) -> Tensor:
    """``x`` times the normal distribution function of ``x``, or of the formula with tanh."""
    return Tensor(activations.gelu(as_float(x).value, approximate))


def mish(x: TensorLike) -> Tensor:
    """``x * tanh(softplus(x))``."""
    return Tensor(activations.mish(as_float(x).value))


def tanh(x: TensorLike) -> Tensor:
    """The hyperbolic tangent."""
    return Tensor(elementwise.tanh(as_float(x).value))


def softplus(x: TensorLike) -> Tensor:
    """log(1 + exp(x))."""
    return Tensor(elementwise.softplus(as_float(x).value))


def softsign(x: TensorLike) -> Tensor:
    """``x / (1 + |x|)``."""
    return Tensor(elementwise.softsign(as_float(x).value))


def softmax(x: TensorLike, axis: int = -1) -> Tensor:
    """exp(x) / sum(exp(x)) along ``axis``."""
    return Tensor(softmax_ops.softmax(as_float(x).value, axis))


def log_softmax(x: TensorLike, axis: int = -1) -> Tensor:
    """log(softmax(x)) along ``axis``, without overflow."""
    return Tensor(softmax_ops.log_softmax(as_float(x).value, axis))


def erf(x: TensorLike) -> Tensor:
    """The error function."""
    return Tensor(elementwise.erf(as_float(x).value))
