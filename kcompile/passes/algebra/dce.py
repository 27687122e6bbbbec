"""What no result needs. In a graph, dead nodes are gone by themselves; this is about parts of nodes."""

from __future__ import annotations

from kcompile.ir.core import (
    Graph,
    Node,
    Value,
    apply,
)
from kcompile.ir.dims import Dim
from kcompile.ir.ops.arrays.slicing import Slice, Split
from kcompile.ir.rebuilding import rebuild
from kcompile.passes.algebra.prune import prune
from kcompile.passes.machinery.report import fired
from kcompile.passes.machinery.rewrite import count_uses, in_regions


def dce(graph: Graph) -> Graph:
    """Drop results of scan and cond that nobody reads, with all that only they need.

    A split of which one part is read becomes a slice. Inputs of the graph stay: they are its signature.
    """
    return _slices(prune(graph))


def _slices(graph: Graph) -> Graph:
    graph = in_regions(graph, _slices)
    uses = count_uses(graph)

    def rule(node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...] | None:
        read = [value in uses for value in node.outputs]
        if not isinstance(node.op, Split) or sum(read) != 1 or len(read) == 1:
            return None
        fired("split as slice")
        index = read.index(True)
        start: Dim = 0
        for size in node.op.sizes[:index]:
            start = start + size
        # Nobody reads the others: they may stay what they are.
        outputs = list(node.outputs)
        outputs[index] = apply(Slice((node.op.axis,), (start,), (node.op.sizes[index],), (1,)), inputs[0])
        return tuple(outputs)

    return rebuild(graph, rule)
