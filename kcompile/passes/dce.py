"""What no result needs. In a graph, dead nodes are gone by themselves; this is about parts of nodes."""

from __future__ import annotations

from kcompile.ir.core import Graph, Node, Value, apply, make_node, rebuild
from kcompile.ir.dims import Dim
from kcompile.ir.ops.regions import RegionOp
from kcompile.ir.ops.slicing import Slice, Split
from kcompile.passes.report import fired
from kcompile.passes.rewrite import count_uses, in_regions


def dce(graph: Graph) -> Graph:
    """Drop results of scan and cond that nobody reads, with all that only they need.

    A split of which one part is read becomes a slice. Inputs of the graph stay: they are its signature.
    """
    graph = in_regions(graph, dce)
    uses = count_uses(graph)

    def rule(node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...] | None:
        read = [value in uses for value in node.outputs]
        match node.op:
            case RegionOp():
                return _pruned(node.op, inputs, read, node)
            case Split() if sum(read) == 1 and len(read) > 1:
                fired("split as slice")
                return _one_part(node.op, inputs[0], read.index(True), node)
        return None

    return rebuild(graph, rule)


def _pruned(
    op: RegionOp, inputs: tuple[Value, ...], read: list[bool], node: Node
) -> tuple[Value, ...] | None:
    new, operands, kept = op.pruned(read)
    if len(kept) == len(read) and len(operands) == len(inputs):
        return None
    fired(f"prune {op.name}")
    made = make_node(new, *(inputs[i] for i in operands))
    # Nobody reads the others: they may be anything.
    outputs = list(node.outputs)
    for index, value in zip(kept, made.outputs, strict=True):
        outputs[index] = value
    return tuple(outputs)


def _one_part(op: Split, x: Value, index: int, node: Node) -> tuple[Value, ...]:
    start: Dim = 0
    for size in op.sizes[:index]:
        start = start + size
    outputs = list(node.outputs)
    outputs[index] = apply(Slice((op.axis,), (start,), (op.sizes[index],), (1,)), x)
    return tuple(outputs)
