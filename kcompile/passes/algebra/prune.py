"""Drop the results of loops and branches that nobody uses, with the states and operands that only they need."""

from __future__ import annotations

from kcompile.ir.core import (
    Graph,
    Node,
    Value,
    make_node,
)
from kcompile.ir.ops.loops.regions import RegionOp
from kcompile.ir.ops.recurrent.base import Recurrence
from kcompile.ir.rebuilding import rebuild
from kcompile.passes.machinery.report import fired
from kcompile.passes.machinery.rewrite import in_regions


def prune(graph: Graph) -> Graph:
    """Remove unused results of loops and branches; afterwards they may no longer be differentiated."""
    graph = in_regions(graph, prune)
    while True:
        used = {value for node in graph.nodes() for value in node.inputs} | set(graph.results)

        def rule(node: Node, inputs: tuple[Value, ...], used: set[Value] = used) -> tuple[Value, ...] | None:
            if not isinstance(node.op, (RegionOp, Recurrence)):
                return None
            op, kept_inputs, kept_outputs = node.op.pruned([value in used for value in node.outputs])
            if len(kept_inputs) == len(inputs) and len(kept_outputs) == len(node.outputs):
                return None
            fired("prune")
            made = make_node(op, *(inputs[i] for i in kept_inputs))
            # What nobody uses keeps its old value, which is thereby out of the graph.
            results = list(node.outputs)
            for index, value in zip(kept_outputs, made.outputs, strict=True):
                results[index] = value
            return tuple(results)

        before, graph = graph, rebuild(graph, rule)
        if graph is before:
            return graph
