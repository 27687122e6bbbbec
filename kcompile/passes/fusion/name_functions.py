"""Functions that a user wrote in parts, as the operators that ONNX has for them.

For inference: gradients share the parts. What the front end knows by name is an op from the beginning.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kcompile.ir.core import Graph, Node, Value, apply, constant_of
from kcompile.ir.ops.elementwise.activations import HARD_SIGMOID_V3, Gelu, HardSigmoid, HardSwish, Mish
from kcompile.ir.ops.elementwise.arithmetic import Add, Div, Maximum, Minimum, Mul, Neg, Sub, Where
from kcompile.ir.ops.elementwise.comparison import Greater, GreaterEqual
from kcompile.ir.ops.elementwise.functions import Erf, Relu, Softplus, Tanh
from kcompile.ir.ops.elementwise.rectifiers import Limited, PRelu, leaky_relu, limited, prelu
from kcompile.passes.machinery.rewrite import Rules, is_number, rewrite, same_type, uniform_of

RULES = Rules()
CLOSE = 1e-6
"""Factors such as 1/6 and the square root of 1/2 are what users rounded them to."""


def name_functions(graph: Graph) -> Graph:
    """Write limits, rectifiers, gelu, hard swish and mish that consist of plain ops as one op."""
    return rewrite(graph, RULES)


# ---- limits


def _limits(value: Value) -> tuple[Value, float, float] | None:
    """``(x, low, high)`` if ``value`` is ``x`` limited from one side or both."""
    match value.op:
        case Limited():
            return value.node.inputs[0], *value.op.limits
        case Relu():
            return value.node.inputs[0], 0, math.inf
        case Maximum() | Minimum():
            for x, y in (value.node.inputs, value.node.inputs[::-1]):
                limit = uniform_of(y)
                if limit is not None and not math.isnan(limit) and same_type(x, value.node):
                    return (x, limit, math.inf) if isinstance(value.op, Maximum) else (x, -math.inf, limit)
    return None


def _is_limited(value: Value, *limits: float) -> bool:
    return isinstance(value.op, Limited) and tuple(value.op.limits) == limits


@RULES.on(Maximum, Minimum, Relu, Limited)
def limited_twice(node: Node) -> Value | None:
    """min(max(x, a), b) -> clip(x, a, b); the same for all that limits, one after the other."""
    outer = _limits(node.outputs[0])
    inner = _limits(outer[0]) if outer is not None else None
    if outer is None or inner is None:
        return None
    x, low, high = inner
    low, high = (min(max(limit, outer[1]), outer[2]) for limit in (low, high))
    return limited(x, low, high) if math.isfinite(low) and math.isfinite(high) else None


# ---- rectifiers


@RULES.on(Maximum)
def maximum_of_multiple(node: Node) -> Value | None:
    """max(x, x * a) -> leaky_relu(x), for a below 1."""
    for x, y in (node.inputs, node.inputs[::-1]):
        a = _multiple(y, x)
        if a is not None and x.type.is_float and 0 < a < 1:
            return leaky_relu(x, a)
    return None


@RULES.on(Where)
def choice_of_multiple(node: Node) -> Value | None:
    """where(x > 0, x, x * a) -> leaky_relu(x)."""
    condition, x, y = node.inputs
    if not isinstance(condition.op, (Greater, GreaterEqual)) or not x.type.is_float:
        return None
    compared, zero = condition.node.inputs
    a = _multiple(y, x)
    fits = compared is x and is_number(zero, 0) and same_type(x, node)
    return leaky_relu(x, a) if fits and a is not None and math.isfinite(a) else None


def _multiple(value: Value, x: Value) -> Any:
    """The number by which ``x`` is multiplied to give ``value``, or ``None``."""
    if not isinstance(value.op, Mul) or value.node.inputs[0] is not x:
        return None
    return uniform_of(value.node.inputs[1])


@RULES.on(Sub)
def difference_of_relus(node: Node) -> Value | None:
    """relu(x) - relu(-x) * a -> prelu(x, a)."""
    positive, product = node.inputs
    if not isinstance(positive.op, Relu) or not isinstance(product.op, Mul):
        return None
    (x,) = positive.node.inputs
    for negative, a in (product.node.inputs, product.node.inputs[::-1]):
        if isinstance(negative.op, Relu) and isinstance(negative.node.inputs[0].op, Neg):
            fits = negative.node.inputs[0].node.inputs[0] is x and same_type(x, node) and x.type.is_float
            array = constant_of(a)
            if fits and array is not None and np.isfinite(array).all():
                return prelu(x, a)
    return None


@RULES.on(PRelu)
def one_slope(node: Node) -> Value | None:
    """prelu(x, a) -> leaky_relu(x) where all slopes are the same."""
    x, slopes = node.inputs
    array = constant_of(slopes)
    if array is None or not array.size or not np.isfinite(array).all() or (array != array.flat[0]).any():
        return None
    return leaky_relu(x, array.flat[0].item())


# ---- products with a function of x


def _product(value: Value) -> tuple[float, list[Value]]:
    """The number and the other factors of which ``value`` is the product."""
    if isinstance(value.op, (Mul, Div)) and value.type.is_float:
        x, y = value.node.inputs
        number = uniform_of(y)
        if number is not None and same_type(x, value.node) and not (isinstance(value.op, Div) and number == 0):
            factor, rest = _product(x)
            return (factor * number if isinstance(value.op, Mul) else factor / number), rest
        if isinstance(value.op, Mul):
            (a, left), (b, right) = _product(x), _product(y)
            return a * b, left + right
    return 1.0, [value]


def _close(number: float, wanted: float) -> bool:
    return abs(number - wanted) <= CLOSE * abs(wanted)


def _scaled(value: Value, x: Value) -> float | None:
    """The factor if ``value`` is ``x`` times a number."""
    factor, rest = _product(value)
    return factor if rest == [x] else None


@RULES.on(Mul, Div)
def product_by_name(node: Node) -> Value | None:
    """x * (1 + erf(x / sqrt(2))) / 2 -> gelu(x); the same for hard_sigmoid, hard_swish and mish."""
    factor, rest = _product(node.outputs[0])
    if len(rest) == 1:
        return _sixth_of_relu6(rest[0], factor)
    if len(rest) != 2:
        return None
    for x, other in (rest, rest[::-1]):
        if not same_type(x, node):
            continue
        found = _times_function(x, other, factor)
        if found is not None:
            return found
    return None


def _times_function(x: Value, other: Value, factor: float) -> Value | None:
    """``x * other * factor`` by its name."""
    match other.op:
        case HardSigmoid(alpha=alpha, beta=beta) if _close(alpha, HARD_SIGMOID_V3.alpha) and beta == 0.5:
            if other.node.inputs[0] is x and factor == 1:
                return apply(HardSwish(), x)
        case Tanh() if isinstance(other.node.inputs[0].op, Softplus) and factor == 1:
            if other.node.inputs[0].node.inputs[0] is x:
                return apply(Mish(), x)
        case Limited():
            named = _sixth_of_relu6(other, factor)
            if named is not None and named.node.inputs[0] is x:
                return apply(HardSwish(), x)
        case Add() if is_number(other.node.inputs[1], 1) and _close(factor, 0.5):
            return _gelu(x, other.node.inputs[0])
    return None


def _sixth_of_relu6(value: Value, factor: float) -> Value | None:
    """relu6(x + 3) / 6 -> hard_sigmoid(x)."""
    if not _is_limited(value, 0, 6) or not _close(factor, 1 / 6):
        return None
    (shifted,) = value.node.inputs
    if not isinstance(shifted.op, Add) or not is_number(shifted.node.inputs[1], 3):
        return None
    x = shifted.node.inputs[0]
    return apply(HARD_SIGMOID_V3, x) if x.type == value.type and x.type.is_float else None


def _gelu(x: Value, inner: Value) -> Value | None:
    """``x`` times half of 1 + ``inner``, if that is gelu."""
    if isinstance(inner.op, Erf):
        factor = _scaled(inner.node.inputs[0], x)
        return apply(Gelu(), x) if factor is not None and _close(factor, math.sqrt(0.5)) else None
    if isinstance(inner.op, Tanh):
        return apply(Gelu(approximate=True), x) if _is_cubic(inner.node.inputs[0], x) else None
    return None


def _is_cubic(value: Value, x: Value) -> bool:
    """Whether ``value`` is ``sqrt(2 / pi) * (x + 0.044715 * x^3)``."""
    factor, rest = _product(value)
    if len(rest) != 1 or not isinstance(rest[0].op, Add) or not _close(factor, math.sqrt(2 / math.pi)):
        return False
    for a, b in (rest[0].node.inputs, rest[0].node.inputs[::-1]):
        cubic, factors = _product(b)
        if a is x and factors == [x, x, x] and _close(cubic, 0.044715):
            return True
    return False


@RULES.on(Limited)
def limited_line(node: Node) -> Value | None:
    """clip(x * a + b, 0, 1) -> hard_sigmoid(x)."""
    (line,) = node.inputs
    if not _is_limited(node.outputs[0], 0, 1) or not isinstance(line.op, Add) or not line.type.is_float:
        return None
    product, shift = line.node.inputs
    beta = uniform_of(shift)
    factor, rest = _product(product)
    if beta is None or not math.isfinite(beta) or not math.isfinite(factor) or len(rest) != 1:
        return None
    fits = rest[0].type == node.outputs[0].type and rest[0] is not product
    return apply(HardSigmoid(factor, beta), rest[0]) if fits else None
