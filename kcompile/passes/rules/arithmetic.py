"""Elementwise arithmetic: neutral operands, signs, powers, products with constants."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from kcompile.ir.core import Node, Value, apply, constant, constant_of
from kcompile.ir.ops.elementwise.functions import (
    Abs,
    Add,
    Div,
    Maximum,
    Minimum,
    Mul,
    Neg,
    Pow,
    Relu,
    StopGradient,
    Sub,
    absolute,
    add,
    mul,
    neg,
    reciprocal,
    relu,
    sub,
)
from kcompile.passes.machinery.rewrite import Rules, exactly, is_number, same_type, uniform_of

RULES = Rules()


@RULES.on(Add, Mul)
def constant_second(node: Node) -> Value | None:
    """c + x -> x + c, so that the other rules look for constants in one place."""
    x, y = node.inputs
    return apply(node.op, y, x) if constant_of(x) is not None and constant_of(y) is None else None


@RULES.on(Add, Sub)
def plus_zero(node: Node) -> Value | None:
    """x + 0 -> x, x - 0 -> x."""
    x, y = node.inputs
    return x if is_number(y, 0) and same_type(x, node) else None


@RULES.on(Add)
def plus_itself(node: Node) -> Value | None:
    """x + x -> x * 2; (x + y * c) + y * c -> x + y * 2c, which is what gradients of squares look like."""
    x, y = node.inputs
    if x is y:
        return mul(x, 2)
    if isinstance(y.op, Mul) and constant_of(y.node.inputs[1]) is not None and isinstance(x.op, Add):
        for other, same in (x.node.inputs, x.node.inputs[::-1]):
            if same is y and same_type(other, node):
                return add(other, mul(y, 2))
    return None


@RULES.on(Sub)
def zero_minus(node: Node) -> Value | None:
    """0 - x -> -x."""
    x, y = node.inputs
    return neg(y) if is_number(x, 0) and same_type(y, node) else None


@RULES.on(Mul, Div)
def times_one(node: Node) -> Value | None:
    """x * 1 -> x, x / 1 -> x, x * -1 -> -x, x / -1 -> -x."""
    x, y = node.inputs
    if not same_type(x, node):
        return None
    return x if is_number(y, 1) else neg(x) if is_number(y, -1) else None


# ---- signs


def _negated(value: Value) -> Value | None:
    """-value, if that takes no operation more than ``value`` does."""
    match value.op:
        case Neg():
            return value.node.inputs[0]
        case Mul() | Div():
            x, y = value.node.inputs
            if isinstance(x.op, Neg):
                return apply(value.op, x.node.inputs[0], y)
            if isinstance(y.op, Neg):
                return apply(value.op, x, y.node.inputs[0])
    return None


@RULES.on(Neg)
def negated_negative(node: Node) -> Value | None:
    """--x -> x, -(x - y) -> y - x, -(x * c) -> x * -c, -(-x * y) -> x * y."""
    (x,) = node.inputs
    match x.op:
        case Sub():
            left, right = x.node.inputs
            return sub(right, left)
        case Mul() if (c := constant_of(x.node.inputs[1])) is not None:
            return mul(x.node.inputs[0], constant(-c))
    return _negated(x)


@RULES.on(Add)
def plus_negative(node: Node) -> Value | None:
    """x + -y -> x - y, -x + y -> y - x; also where y is a product."""
    x, y = node.inputs
    if (positive := _negated(y)) is not None:
        return sub(x, positive)
    return sub(y, positive) if (positive := _negated(x)) is not None else None


@RULES.on(Sub)
def minus_negative(node: Node) -> Value | None:
    """x - -y -> x + y; also where y is a product."""
    x, y = node.inputs
    return add(x, positive) if (positive := _negated(y)) is not None else None


@RULES.on(Mul, Div)
def product_of_negatives(node: Node) -> Value | None:
    """-x * -y -> x * y, -x * c -> x * -c; the same for quotients."""
    x, y = node.inputs
    if not isinstance(x.op, Neg):
        return None
    if isinstance(y.op, Neg):
        return apply(node.op, x.node.inputs[0], y.node.inputs[0])
    c = constant_of(y)
    return apply(node.op, x.node.inputs[0], constant(-c)) if c is not None else None


@RULES.on(Abs)
def absolute_of_signed(node: Node) -> Value | None:
    """|-x| -> |x|, ||x|| -> |x|."""
    (x,) = node.inputs
    signed = not x.dtype.startswith("uint")  # -1 is 255 there
    return absolute(x.node.inputs[0]) if signed and isinstance(x.op, (Neg, Abs)) else None


# ---- constants


@RULES.on(Div)
def divided_by_power_of_two(node: Node) -> Value | None:
    """x / 2**k -> x * 2**-k, which is exact, and faster."""
    x, y = node.inputs
    c = uniform_of(y)
    if not isinstance(c, float) or not math.isfinite(c) or abs(math.frexp(c)[0]) != 0.5:
        return None
    inverse = exactly(1 / c, x.dtype)
    return mul(x, constant(np.broadcast_to(inverse, y.type.static_shape))) if inverse is not None else None


@RULES.on(Mul)
def product_of_constants(node: Node) -> Value | None:
    """(x * a) * b -> x * (a * b) where a * b is exact.

    Of floating point numbers only where x * a overflows no sooner than the result, so that no infinity (or
    NaN) gets lost.
    """
    x, y = node.inputs
    if not isinstance(x.op, Mul):
        return None
    inner, scale = x.node.inputs
    a, b = uniform_of(scale), uniform_of(y)
    if a is None or b is None or y.rank > x.rank or scale.rank > inner.rank or constant_of(inner) is not None:
        return None
    if not node.outputs[0].type.is_float:
        with np.errstate(over="ignore"):
            return _times(inner, np.asarray(a, x.dtype) * np.asarray(b, x.dtype), node)
    if not (abs(a) <= 1 or abs(b) >= 1):
        return None
    total = exactly(a * b, x.dtype)
    return _times(inner, total, node) if total is not None else None


def _times(x: Value, factor: ArrayLike, node: Node) -> Value | None:
    result = mul(x, constant(factor, x.dtype))
    return result if same_type(result, node) else None


@RULES.on(Pow)
def power_as_product(node: Node) -> Value | None:
    """x**1 -> x, x**2 -> x * x, x**3 -> x * x * x, x**-1 -> 1 / x."""
    x, y = node.inputs
    if not same_type(x, node):
        return None
    match uniform_of(y):
        case 1:
            return x
        case 2:
            return mul(x, x)
        case 3:
            return mul(mul(x, x), x)
        case -1 if x.type.is_float:
            return reciprocal(x)
    return None


@RULES.on(Maximum, Minimum)
def limits_merged(node: Node) -> Value | None:
    """max(max(x, a), b) -> max(x, max(a, b)); the same for min."""
    x, y = node.inputs
    if type(x.op) is not type(node.op):
        return None
    a, b = uniform_of(x.node.inputs[1]), uniform_of(y)
    if a is None or b is None or math.isnan(a) or math.isnan(b):
        return None
    limit = max(a, b) if isinstance(node.op, Maximum) else min(a, b)
    result = apply(node.op, x.node.inputs[0], constant(limit, x.dtype))
    return result if same_type(result, node) else None


@RULES.on(Relu, StopGradient)
def applied_twice(node: Node) -> Value | None:
    """f(f(x)) -> f(x) where f does nothing the second time."""
    (x,) = node.inputs
    return x if type(x.op) is type(node.op) else None


# ---- only once gradients are taken

AFTER_GRADIENTS = Rules()


@AFTER_GRADIENTS.on(StopGradient)
def no_gradient_to_stop(node: Node) -> Value:
    """stop_gradient(x) -> x."""
    return node.inputs[0]


@AFTER_GRADIENTS.on(Maximum)
def maximum_with_zero(node: Node) -> Value | None:
    """max(x, 0) -> relu(x). Their gradients at 0 differ."""
    x, y = node.inputs
    if x.type.is_float and is_number(y, 0) and same_type(x, node):
        return relu(x)
    return relu(y) if y.type.is_float and is_number(x, 0) and same_type(y, node) else None
