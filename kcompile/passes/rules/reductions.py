"""Reductions: of nothing, of reductions, of repeated and of transposed elements."""

from __future__ import annotations

import math

from kcompile.ir.core import Node, Value, apply, constant, make_node
from kcompile.ir.dims import Dim
from kcompile.ir.ops.arrays.reduction import (
    ReduceMean,
    ReduceSum,
    Reduction,
)
from kcompile.ir.ops.elementwise.functions import Neg, mul, neg
from kcompile.ir.ops.shapes.axes import inverse
from kcompile.ir.ops.shapes.reshaping import Expand, Reshape, Transpose, expand, reshape, transpose
from kcompile.ir.ops.spatial.pooling import MaxPoolGrad
from kcompile.ir.ops.spatial.spatial import spatial_axes
from kcompile.passes.machinery.rewrite import Rules

RULES = Rules()


def _reduction(node: Node) -> Reduction:
    assert isinstance(node.op, Reduction)
    return node.op


@RULES.on(Reduction)
def reduction_of_one_element(node: Node) -> Value | None:
    """A reduction along no axis, or along axes of size 1 -> reshape(x)."""
    (x,) = node.inputs
    op = _reduction(node)
    if op.stepwise and all(x.shape[axis] == 1 for axis in op.axes):
        return reshape(x, node.outputs[0].shape)
    return None


@RULES.on(Reduction)
def reduction_of_reduction(node: Node) -> Value | None:
    """sum(sum(x)) -> sum(x); the same for the others."""
    (x,) = node.inputs
    outer = _reduction(node)
    if not outer.stepwise or type(x.op) is not type(outer):
        return None
    inner = _reduction(x.node)
    source = x.node.inputs[0]
    if inner.keepdims and not outer.keepdims:
        axes = {*outer.axes}
        if not axes.issuperset(inner.axes):
            return None
    elif inner.keepdims:
        axes = {*outer.axes, *inner.axes}
    elif outer.keepdims:
        return None
    else:
        kept = [axis for axis in range(source.rank) if axis not in inner.axes]
        axes = {*inner.axes, *(kept[axis] for axis in outer.axes)}
    return apply(type(outer)(tuple(sorted(axes)), outer.keepdims), source)


@RULES.on(Reduction)
def reduction_of_repeated(node: Node) -> Value | None:
    """max(expand(x)) -> expand(max(x)); sum(expand(x)) -> expand(sum(x)) * count."""
    (x,) = node.inputs
    op = _reduction(node)
    if not isinstance(x.op, Expand) or not (op.of_equals or isinstance(op, ReduceSum)):
        return None
    (source,) = x.node.inputs
    source_shape: tuple[Dim, ...] = (1,) * (x.rank - source.rank) + source.shape
    repeated = [axis for axis in op.axes if source_shape[axis] == 1 and x.shape[axis] != 1]
    counts = [count for axis in repeated if isinstance(count := x.shape[axis], int) and count > 0]
    if not repeated or len(counts) < len(repeated):
        return None
    result = apply(op, reshape(source, source_shape))
    if isinstance(op, ReduceSum):
        result = mul(result, constant(math.prod(counts), x.dtype))
    return expand(result, node.outputs[0].shape)


@RULES.on(Reduction)
def reduction_of_transpose(node: Node) -> Value | None:
    """sum(transpose(x)) -> transpose(sum(x)), which moves fewer elements, or none."""
    (x,) = node.inputs
    op = _reduction(node)
    if not isinstance(x.op, Transpose) or not op.axes:
        return None
    order = x.op.permutation
    reduced = apply(type(op)(tuple(sorted(order[axis] for axis in op.axes)), op.keepdims), x.node.inputs[0])
    if op.keepdims:
        return transpose(reduced, order)
    kept = sorted(order[axis] for axis in range(x.rank) if axis not in op.axes)
    return transpose(reduced, [kept.index(order[axis]) for axis in range(x.rank) if axis not in op.axes])


@RULES.on(Reduction)
def reduction_across_reshape(node: Node) -> Value | None:
    """sum(reshape(transpose(x))) -> sum(transpose(reshape(x))), whose transpose moves behind the sum."""
    (x,) = node.inputs
    if not isinstance(x.op, Reshape) or not isinstance(x.node.inputs[0].op, Transpose) or not _reduction(node).axes:
        return None
    (moved,) = x.node.inputs
    assert isinstance(moved.op, Transpose)
    back = make_node(Reshape(moved.shape), x)
    # The order of the reshaped axes that comes from those of the source in their order, and the reshape to that order.
    found = Reshape(moved.shape).permuted(back, inverse(moved.op.permutation))
    if found is None or (order := found[1][0]) is None or len(order) != x.rank:
        return None
    again = x.op.permuted(x.node, order)
    if again is None or again[1][0] != inverse(moved.op.permutation):
        return None
    source = reshape(moved.node.inputs[0], [x.shape[axis] for axis in order])
    return apply(node.op, transpose(source, inverse(order)))


@RULES.on(ReduceSum, ReduceMean)
def sum_of_negated(node: Node) -> Value | None:
    """sum(-x) -> -sum(x), of fewer elements."""
    (x,) = node.inputs
    if not isinstance(x.op, Neg) or not _reduction(node).axes:
        return None
    return neg(apply(node.op, x.node.inputs[0]))


@RULES.on(ReduceSum)
def sum_of_pooled_gradient(node: Node) -> Value | None:
    """sum(max_pool_grad(g, x)) over whole images -> sum(g): each gradient goes to one place."""
    (x,) = node.inputs
    if not isinstance(x.op, MaxPoolGrad) or not {*spatial_axes(x.rank, x.op.data_format)} <= {*_reduction(node).axes}:
        return None
    return apply(node.op, x.node.inputs[0])
