"""Transposes before a flatten go into the constant weights of the dense layer after it."""

from __future__ import annotations

import math

from kcompile.ir.core import Graph, Node, Value, apply, constant, constant_of
from kcompile.ir.ops.products.gemm import Gemm
from kcompile.ir.ops.products.linalg import MatMul
from kcompile.ir.ops.shapes.axes import inverse
from kcompile.ir.ops.shapes.reshaping import Reshape, Transpose, reshape
from kcompile.passes.machinery.rewrite import Rules, rewrite

RULES = Rules()


def fold_transposes(graph: Graph) -> Graph:
    """Flatten in the order in which a tensor lies, and reorder the constant rows of the next matrix instead.

    What channels-last models flatten lies channels-first after the pass ``layout``.
    """
    return rewrite(graph, RULES)


@RULES.on(MatMul, Gemm)
def flatten_in_other_order(node: Node) -> Value | None:
    """matmul(reshape(transpose(x)), w) -> matmul(reshape(x), w with rows reordered), for a constant w."""
    assert isinstance(node.op, (MatMul, Gemm))
    flat, w, *bias = node.inputs
    weights = constant_of(w)
    if weights is None or weights.ndim != 2 or node.op.transpose_x or not isinstance(flat.op, Reshape):
        return None
    (moved,) = flat.node.inputs
    if not isinstance(moved.op, Transpose) or flat.rank != 2 or moved.op.permutation[0] != 0:
        return None
    (x,) = moved.node.inputs
    sizes = [dim for dim in moved.shape[1:] if isinstance(dim, int)]
    if len(sizes) != moved.rank - 1 or flat.shape != (moved.shape[0], math.prod(sizes)):
        return None
    rows = weights.T if node.op.transpose_y else weights
    back = inverse(moved.op.permutation)
    reordered = rows.reshape(*sizes, rows.shape[1]).transpose(*(axis - 1 for axis in back[1:]), len(sizes))
    reordered = reordered.reshape(rows.shape)
    new = constant(reordered.T if node.op.transpose_y else reordered)
    return apply(node.op, reshape(x, flat.shape), new, *bias)
