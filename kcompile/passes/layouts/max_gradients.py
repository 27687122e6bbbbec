"""Gradients of max pooling that stayed plain, by comparisons of whole runs, on the native CPU target."""

from __future__ import annotations

import dataclasses

from kcompile.ir.core import (
    Graph,
    Node,
    Value,
)
from kcompile.ir.ops.arrays.shaping import transpose
from kcompile.ir.ops.spatial.pooling import MaxPoolGrad
from kcompile.ir.ops.spatial.spatial import to_channels_first, to_channels_last
from kcompile.ir.ops.spatial.window_maxima import compares_runs, grad_by_runs
from kcompile.ir.rebuilding import rebuild
from kcompile.passes.machinery.report import fired
from kcompile.passes.machinery.rewrite import in_regions


def max_gradients(graph: Graph) -> Graph:
    """Compare neighbours with all their channels: where channels are first, transposing them costs less."""
    graph = in_regions(graph, max_gradients)

    def rule(node: Node, inputs: tuple[Value, ...]) -> Value | None:
        op = node.op
        if not isinstance(op, MaxPoolGrad) or not compares_runs(op, inputs[1].type):
            return None
        fired("maxima by runs")
        if op.data_format == "channels_last":
            return grad_by_runs(op, *inputs)
        order = to_channels_last(inputs[1].rank)
        last = dataclasses.replace(op, data_format="channels_last")
        dx = grad_by_runs(last, *(transpose(value, order) for value in inputs))
        return transpose(dx, to_channels_first(dx.rank))

    return rebuild(graph, rule)
