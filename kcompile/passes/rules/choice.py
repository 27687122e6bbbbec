"""Casts, logic, and choices whose condition is known."""

from __future__ import annotations

import numpy as np

from kcompile.ir.core import (
    Node,
    Value,
    apply,
    apply_multi,
    constant,
)
from kcompile.ir.ops.arrays.shaping import expand
from kcompile.ir.ops.elementwise.comparison import LogicalAnd, LogicalNot, LogicalOr, logical_not
from kcompile.ir.ops.elementwise.functions import Cast, Where, cast
from kcompile.ir.ops.loops.control import Cond, Select
from kcompile.ir.rebuilding import inline
from kcompile.passes.machinery.rewrite import Rules, same_type, uniform_of

RULES = Rules()


@RULES.on(Cast)
def cast_to_same(node: Node) -> Value | None:
    """cast(x, dtype of x) -> x."""
    return node.inputs[0] if same_type(node.inputs[0], node) else None


@RULES.on(Cast)
def cast_of_lossless_cast(node: Node) -> Value | None:
    """cast(cast(x, wider), dtype) -> cast(x, dtype), where the wider type holds every value of x."""
    (x,) = node.inputs
    if not isinstance(x.op, Cast):
        return None
    (source,) = x.node.inputs
    return cast(source, node.outputs[0].dtype) if _lossless(source.dtype, x.dtype) else None


def _lossless(source: str, wider: str) -> bool:
    # NumPy calls 64-bit integers to float64 safe, though it rounds.
    rounds = source in ("int64", "uint64") and wider.startswith("float")
    return np.can_cast(source, wider, "safe") and not rounds


@RULES.on(LogicalNot)
def not_not(node: Node) -> Value | None:
    """not not x -> x."""
    (x,) = node.inputs
    return x.node.inputs[0] if isinstance(x.op, LogicalNot) else None


@RULES.on(LogicalAnd, LogicalOr)
def logic_with_constant(node: Node) -> Value | None:
    """x and True -> x, x and False -> False, x or False -> x, x or True -> True."""
    neutral = isinstance(node.op, LogicalAnd)
    for x, y in (node.inputs, node.inputs[::-1]):
        known = uniform_of(y)
        if known is neutral and same_type(x, node):
            return x
        if known is (not neutral):
            return expand(constant(known), node.outputs[0].shape)
    return None


@RULES.on(Where, Select)
def where_known(node: Node) -> Value | None:
    """where(True, x, y) -> x, where(False, x, y) -> y."""
    condition, x, y = node.inputs
    known = uniform_of(condition)
    return None if known is None else expand(x if known else y, node.outputs[0].shape)


@RULES.on(Where, Select)
def where_equal(node: Node) -> Value | None:
    """where(c, x, x) -> x, where(c, True, False) -> c."""
    condition, x, y = node.inputs
    if x is y and same_type(x, node):
        return x
    if x.dtype == "bool" and same_type(condition, node):
        match uniform_of(x), uniform_of(y):
            case True, False:
                return condition
            case False, True:
                return logical_not(condition)
    return None


@RULES.on(Where, Select)
def where_not(node: Node) -> Value | None:
    """where(not c, x, y) -> where(c, y, x)."""
    condition, x, y = node.inputs
    if not isinstance(condition.op, LogicalNot):
        return None
    return apply(node.op, condition.node.inputs[0], y, x)


@RULES.on(Where, Select)
def where_where(node: Node) -> Value | None:
    """where(c, where(c, x, _), y) -> where(c, x, y), where(c, x, where(c, _, y)) -> where(c, x, y)."""
    condition, x, y = node.inputs
    if type(x.op) is type(node.op) and x.node.inputs[0] is condition:
        result = apply(node.op, condition, x.node.inputs[1], y)
    elif type(y.op) is type(node.op) and y.node.inputs[0] is condition:
        result = apply(node.op, condition, x, y.node.inputs[2])
    else:
        return None
    return result if same_type(result, node) else None


@RULES.on(Cond)
def cond_known(node: Node) -> tuple[Value, ...] | None:
    """cond(True, ...) -> its first branch, inline; cond(False, ...) -> its second."""
    assert isinstance(node.op, Cond)
    predicate, *operands = node.inputs
    known = uniform_of(predicate)
    return None if known is None else inline(node.op.then if known else node.op.otherwise, operands)


@RULES.on(Cond)
def cond_not(node: Node) -> tuple[Value, ...] | None:
    """cond(not c, f, g) -> cond(c, g, f)."""
    assert isinstance(node.op, Cond)
    predicate, *operands = node.inputs
    if not isinstance(predicate.op, LogicalNot):
        return None
    return apply_multi(Cond(node.op.otherwise, node.op.then), predicate.node.inputs[0], *operands)
