"""Which inputs are read as indices, and of how many rows: found in the graph, however they come there."""

from __future__ import annotations

from collections.abc import Sequence

from kcompile import ir
from kcompile.engine.network import Network
from kcompile.ir.core import Input, Value
from kcompile.ir.ops.arrays.indexing import Gather
from kcompile.ir.ops.arrays.slicing import Slice, Split
from kcompile.ir.ops.elementwise.arithmetic import Cast, Where
from kcompile.ir.ops.shapes.reshaping import Expand, Reshape, Transpose

MOVES = (Cast, Expand, Reshape, Slice, Split, Transpose)
"""What leaves the numbers as they are."""


def index_limits(network: Network) -> dict[str, tuple[int, str]]:
    """For inputs that an Embedding reads, directly or in another order or shape: how many rows its table has, and the
    layer."""
    found: dict[str, tuple[int, str]] = {}
    names = dict(zip((x.value for x in network.inputs), network.input_names, strict=True))
    for layer in network.layer_and_those_inside():
        rows: int | None = getattr(layer, "index_limit", None)
        if rows is None:
            continue
        for node in (*layer.call_notes.inbound_nodes, *layer.call_notes.inner_nodes):
            for name in [names[x.value] for x in node.input_tensors if x.value in names]:
                if name not in found or rows < found[name][0]:
                    found[name] = (int(rows), layer.name)
    for value, limit in _traced([x.value for x in network.outputs]).items():
        if value in names:
            found.setdefault(names[value], limit)
    return found


def _traced(outputs: Sequence[Value]) -> dict[Value, tuple[int, str]]:
    """For each input that picks rows of a table: how many rows that has, and the scope of the layer."""
    found: dict[Value, tuple[int, str]] = {}
    for node in ir.toposort(outputs):
        if isinstance(node.op, Gather):
            table, indices = node.inputs
            rows, source = table.shape[node.op.axis], _source(indices)
            if isinstance(rows, int) and source is not None and (source not in found or rows < found[source][0]):
                found[source] = (rows, node.scope.rpartition("/")[2] or "Embedding")
    return found


def _source(indices: Value) -> Value | None:
    """The input whose numbers these are."""
    while not isinstance(indices.op, Input):
        if isinstance(indices.op, Where):  # negative ones are replaced by what is too large
            indices = indices.node.inputs[2]
        elif isinstance(indices.op, MOVES):
            indices = indices.node.inputs[0]
        else:
            return None
    return indices
