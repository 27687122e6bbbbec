"""Compositions that overflow or lose digits, where one op computes the same."""

from __future__ import annotations

from kcompile.ir.core import Node, Value, apply
from kcompile.ir.ops.arrays.reduction import ReduceLogSumExp, ReduceSum
from kcompile.ir.ops.elementwise.functions import Exp, Log, Sigmoid, neg, softplus
from kcompile.ir.ops.products.softmax import LogSoftmax, Softmax
from kcompile.passes.machinery.rewrite import Rules

RULES = Rules()


@RULES.on(Log)
def log_of_softmax(node: Node) -> Value | None:
    """log(softmax(x)) -> log_softmax(x): finite where the softmax underflows, and so is its gradient."""
    (y,) = node.inputs
    return apply(LogSoftmax(y.op.axis), y.node.inputs[0]) if isinstance(y.op, Softmax) else None


@RULES.on(Log)
def log_of_sigmoid(node: Node) -> Value | None:
    """log(sigmoid(x)) -> -softplus(-x)."""
    (y,) = node.inputs
    return neg(softplus(neg(y.node.inputs[0]))) if isinstance(y.op, Sigmoid) else None


@RULES.on(Log)
def log_of_sum_of_exp(node: Node) -> Value | None:
    """log(sum(exp(x))) -> logsumexp(x)."""
    (total,) = node.inputs
    if not isinstance(total.op, ReduceSum) or not isinstance(total.node.inputs[0].op, Exp):
        return None
    op = ReduceLogSumExp(total.op.axes, total.op.keepdims)
    return apply(op, total.node.inputs[0].node.inputs[0])
