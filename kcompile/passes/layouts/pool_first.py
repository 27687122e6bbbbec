"""Max pooling before relu instead of after: the same numbers from a fraction of the elements."""

from __future__ import annotations

from kcompile.ir.core import (
    Graph,
    Node,
    Value,
    apply,
)
from kcompile.ir.ops.arrays.reduction import ReduceMax
from kcompile.ir.ops.elementwise.functions import Relu
from kcompile.ir.ops.spatial.pooling import MaxPool
from kcompile.ir.rebuilding import rebuild
from kcompile.passes.machinery.report import fired
from kcompile.passes.machinery.rewrite import count_uses


def pool_first(graph: Graph) -> Graph:
    """The largest of ``relu(x)`` as ``relu`` of the largest ``x``, where nobody else needs ``relu(x)``.

    Run before differentiation: the gradients are the same too, since elements that relu makes equal get none.
    """
    uses = count_uses(graph)

    def rule(node: Node, inputs: tuple[Value, ...]) -> Value | None:
        if not isinstance(node.op, MaxPool | ReduceMax) or uses[node.inputs[0]] > 1:
            return None
        if not isinstance(inputs[0].op, Relu) or not inputs[0].type.is_float:
            return None
        fired("max before relu")
        return apply(Relu(), apply(node.op, inputs[0].node.inputs[0]))

    return rebuild(graph, rule)
