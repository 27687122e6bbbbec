"""Indices that come into an exported file: negative ones are refused as those are that are too large.

``predict`` and ``fit`` look at indices before they feed them. Other programs feed what they like, and ONNX counts
negative indices from the back: -1 would be the last row of an Embedding, without a word.
"""

from __future__ import annotations

from kcompile.engine.index_limits import index_limits
from kcompile.engine.network import Network
from kcompile.ir.core import Graph, Input, Value, scope
from kcompile.ir.ops.arrays.indexing import from_front, is_checked_outside
from kcompile.ir.substitution import substitute


def check_indices(model: Network, graph: Graph) -> Graph:
    """The graph with each input that an Embedding reads replaced by one whose negative indices are too large.

    Inputs of other types than 32 and 64 bit numbers are left to the Embedding.
    """
    limits = index_limits(model)
    replace: dict[Value, Value] = {}
    for value in graph.inputs:
        if isinstance(value.op, Input) and value.op.label in limits and is_checked_outside(value.dtype):
            rows, layer = limits[value.op.label]
            with scope(layer):
                replace[value] = from_front(value, rows)
    if not replace:
        return graph
    results = substitute(graph.results, replace)
    count = len(graph.outputs)
    outputs = dict(zip(graph.outputs, results[:count], strict=True))
    return Graph(graph.inputs, outputs, dict(zip(graph.updates, results[count:], strict=True)), graph.name)
