"""Constant folding: what depends on constants only is computed by the compiler."""

from __future__ import annotations

import dataclasses

import numpy as np

from kcompile.ir import costs
from kcompile.ir.core import (
    Array,
    Constant,
    Graph,
    Leaf,
    Node,
    Value,
    apply,
    constant_of,
)
from kcompile.ir.dims import SymbolicDim
from kcompile.ir.interpret import evaluate
from kcompile.ir.rebuilding import rebuild
from kcompile.passes.machinery.report import fired
from kcompile.passes.machinery.rewrite import in_regions


def fold(graph: Graph) -> Graph:
    """Replace nodes that depend on constants only by their values."""

    def rule(node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...] | None:
        arrays = [constant_of(value) for value in inputs]
        known = [array for array in arrays if array is not None]
        if len(known) != len(arrays) or not _foldable(node) or not _small(node, sum(a.nbytes for a in known)):
            return None
        results = evaluate(node.op, *known)
        fired(f"fold {node.op.name}")
        return tuple(_constant(array, value) for array, value in zip(results, node.outputs, strict=True))

    return rebuild(in_regions(graph, fold), rule)


def _constant(array: Array, like: Value) -> Value:
    known = np.ascontiguousarray(array, dtype=like.dtype).reshape(np.shape(array))
    known.setflags(write=False)
    return apply(Constant(known))


def _foldable(node: Node) -> bool:
    """Whether the op means the same wherever it stands, and knows all its sizes."""
    op = node.op
    if isinstance(op, Leaf) or op.regions or type(op).__eq__ is object.__eq__:
        return False
    if not all(value.type.is_static for value in node.outputs):
        return False
    return not any(_symbolic(getattr(op, field.name)) for field in dataclasses.fields(op))


def _symbolic(item: object) -> bool:
    return isinstance(item, SymbolicDim) or (isinstance(item, tuple) and any(map(_symbolic, item)))


def _small(node: Node, operand_bytes: int) -> bool:
    total = sum(
        int(np.prod(value.type.static_shape, dtype=np.int64)) * np.dtype(value.dtype).itemsize for value in node.outputs
    )
    return total <= costs.FOLDED and total <= operand_bytes + costs.FOLDED_GROWTH
