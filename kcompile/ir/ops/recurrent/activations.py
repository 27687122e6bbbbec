"""The activations of recurrent ops: those that ONNX's LSTM, GRU and RNN know, with their Keras names.

Their derivatives are functions of their results, which are stored anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kcompile.ir.core import Array, Value, apply, constant
from kcompile.ir.errors import IRError
from kcompile.ir.ops.elementwise.activations import Elu, elu, hard_sigmoid
from kcompile.ir.ops.elementwise.comparison import greater, less, logical_and
from kcompile.ir.ops.elementwise.functions import (
    Relu,
    Sigmoid,
    Softplus,
    Softsign,
    Tanh,
    absolute,
    add,
    cast,
    exp,
    mul,
    neg,
    relu,
    sigmoid,
    softplus,
    softsign,
    sub,
    tanh,
)
from kcompile.ir.ops.elementwise.rectifiers import LeakySlope, leaky_relu
from kcompile.ir.ops.shapes.reshaping import expand


@dataclass(frozen=True)
class Activation:
    """An elementwise function, in NumPy and on values, and its derivative ``slope(y)`` where its result is ``y``.

    ``relative(y)`` is ``slope(y) / y``, if that is simpler.
    """

    evaluate: Callable[[Array], Array]
    apply: Callable[[Value], Value]
    slope: Callable[[Value], Value]
    relative: Callable[[Value], Value] | None = None

    def through_factor(self, y: Value, other: Value, g: Value, g_other: Value, extra: Value | None) -> Value:
        """The gradient before the activation, where its result ``y`` is multiplied with ``other``.

        ``g`` is the gradient of the product, ``g_other`` that of ``other`` (``g * y``, needed anyway), ``extra`` what
        ``y`` gets from elsewhere.
        """
        if self.relative is None or extra is not None:
            through = mul(g, other)
            return mul(through if extra is None else add(through, extra), self.slope(y))
        return mul(mul(g_other, other), self.relative(y))


def activation_named(name: str) -> Activation:
    """The activation of that name.

    Raises:
        IRError: there is none.
    """
    if name not in ACTIVATIONS:
        raise IRError(f"no recurrent activation {name!r}; there are {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


def _hard_sigmoid(slope: float) -> Activation:
    """``slope * x + 0.5`` limited to [0, 1]; 0.2 in Keras 2, 1/6 in Keras 3."""

    def evaluate(x: Array) -> Array:
        result: Array = np.clip(np.asarray(slope, x.dtype) * x + np.asarray(0.5, x.dtype), 0, 1)
        return result

    def of_value(x: Value) -> Value:
        return hard_sigmoid(x, slope)

    def derivative(y: Value) -> Value:
        return mul(cast(logical_and(greater(y, 0), less(y, 1)), y.dtype), slope)

    return Activation(evaluate, of_value, derivative)


def _rectifier(slope: float) -> Activation:
    """``x`` above 0, ``slope * x`` below."""

    def evaluate(x: Array) -> Array:
        return np.where(x > 0, x, np.asarray(slope, x.dtype) * x)

    def of_value(x: Value) -> Value:
        return leaky_relu(x, slope)

    def derivative(y: Value) -> Value:
        return apply(LeakySlope(slope), y)

    return Activation(evaluate, of_value, derivative)


ACTIVATIONS: dict[str, Activation] = {
    "tanh": Activation(Tanh.compute, tanh, lambda y: sub(1, mul(y, y))),
    "sigmoid": Activation(Sigmoid.compute, sigmoid, lambda y: mul(y, sub(1, y)), lambda y: sub(1, y)),
    "relu": Activation(Relu.compute, relu, lambda y: cast(greater(y, 0), y.dtype)),
    "linear": Activation(lambda x: x, lambda x: x, lambda y: expand(constant(1, y.dtype), y.shape)),
    "hard_sigmoid": _hard_sigmoid(0.2),
    "hard_sigmoid_v3": _hard_sigmoid(1 / 6),
    "elu": Activation(Elu().evaluate, elu, lambda y: hard_sigmoid(y, 1.0, 1.0)),
    "leaky_relu": _rectifier(0.2),
    "softsign": Activation(Softsign.compute, softsign, lambda y: mul(sub(1, absolute(y)), sub(1, absolute(y)))),
    "softplus": Activation(Softplus.compute, softplus, lambda y: sub(1, exp(neg(y)))),
}
"""``hard_sigmoid`` is that of Keras 2, ``hard_sigmoid_v3`` that of Keras 3; ``leaky_relu`` has Keras 3's slope 0.2."""
