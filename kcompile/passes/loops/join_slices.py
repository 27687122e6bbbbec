"""Slices that together cut a tensor into parts, as a split.

Cells take their gates so, ``z[:, :units]``, ``z[:, units:2 * units]``. A split is one kernel, and its gradient is a
concat, where that of slices is a sum of tensors padded with zeros.
"""

from __future__ import annotations

from collections import defaultdict

from kcompile.ir.core import (
    Graph,
    Node,
    Value,
)
from kcompile.ir.dims import Dim
from kcompile.ir.ops.arrays.slicing import Slice, split
from kcompile.ir.rebuilding import rebuild
from kcompile.passes.machinery.report import fired
from kcompile.passes.machinery.rewrite import in_regions


def join_slices(graph: Graph) -> Graph:
    """Make one split of the slices that cut an axis into parts."""
    graph = in_regions(graph, join_slices)
    groups: dict[tuple[Value, int], dict[Dim, Node]] = defaultdict(dict)
    for node in graph.nodes():
        if isinstance(node.op, Slice) and node.op.steps == (1,):
            groups[node.inputs[0], node.op.axes[0]].setdefault(node.op.starts[0], node)
    cuts = {node: cut for (x, axis), parts in groups.items() if (cut := _cut(x, axis, parts)) for node in cut}
    if not cuts:
        return graph
    made: dict[Node, Value] = {}

    def rule(node: Node, inputs: tuple[Value, ...]) -> Value | None:
        if node not in cuts:
            return None
        if node not in made:
            fired("slices as split")
            sizes = [part.outputs[0].shape[_axis(part)] for part in cuts[node]]
            made.update(zip(cuts[node], split(inputs[0], sizes, _axis(node)), strict=True))
        return made[node]

    return rebuild(graph, rule)


def _cut(x: Value, axis: int, parts: dict[Dim, Node]) -> list[Node]:
    """Those of the slices, by their starts, that follow one another from the first element to the last."""
    found: list[Node] = []
    place: Dim = 0
    while place in parts and place != x.shape[axis]:
        found.append(parts[place])
        size = found[-1].outputs[0].shape[axis]
        if size == 0:
            return []
        place = place + size
    return found if place == x.shape[axis] and len(found) > 1 else []


def _axis(node: Node) -> int:
    assert isinstance(node.op, Slice)
    return node.op.axes[0]
