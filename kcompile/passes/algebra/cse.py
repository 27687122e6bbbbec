"""Common sub-expressions: what is computed twice is computed once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

from kcompile.ir.core import (
    Constant,
    Graph,
    Node,
    Op,
    Value,
    make_node,
)
from kcompile.ir.ops.loops.scan import Scan
from kcompile.ir.printing import digest
from kcompile.ir.rebuilding import rebuild
from kcompile.passes.machinery.report import fired
from kcompile.passes.machinery.rewrite import in_regions


def cse(graph: Graph) -> Graph:
    """Merge nodes with equal ops on the same operands, and constants of equal content.

    Ops that are compared by identity (variables, random streams) are never merged with others.
    """
    types = Counter(
        (node.op.array.dtype.name, node.op.array.shape) for node in graph.nodes() if isinstance(node.op, Constant)
    )
    seen: dict[Hashable, tuple[Value, ...]] = {}
    order: dict[Value, int] = {}

    def rule(node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...]:
        key = _key(node.op, inputs, order, types)
        found = seen.get(key)
        if found is None:
            found = node.outputs if inputs == node.inputs else make_node(node.op, *inputs).outputs
            found = seen[key] = _without_repeats(node.op, found)
            for value in found:
                order.setdefault(value, len(order))  # no number twice, also where a result is a repeated one
        else:
            fired(f"merge {node.op.name}")
        return found

    return rebuild(in_regions(graph, cse), rule)


def _without_repeats(op: Op, outputs: tuple[Value, ...]) -> tuple[Value, ...]:
    """The results of a loop, with the first one for all that stack the same value."""
    if not isinstance(op, Scan):
        return outputs
    stacked = list(op.body.outputs.values())[op.states :]
    return (*outputs[: op.states], *(outputs[op.states + stacked.index(value)] for value in stacked))


def _key(
    op: Op, inputs: tuple[Value, ...], order: dict[Value, int], types: Counter[tuple[str, tuple[int, ...]]]
) -> Hashable:
    if isinstance(op, Constant):
        kind = op.array.dtype.name, op.array.shape
        if types[kind] == 1:
            return op  # Nothing can equal it, so its content need not be read.
        return Constant, kind, op.array.tobytes() if op.array.nbytes <= 64 else digest(op.array)
    if op.commutative:
        return type(op), tuple(sorted(order[value] for value in inputs))
    return op, inputs
