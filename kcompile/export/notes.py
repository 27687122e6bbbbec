"""What the inference graph leaves out: layers that do something in training only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kcompile.ir.core import Graph, Leaf
from kcompile.ir.ops.random import RandomBits
from kcompile.passes.simplify import simplify
from kcompile.passes.specialize import specialize_inference

if TYPE_CHECKING:
    from kcompile.engine.training import Model


def left_out(model: Model) -> list[str]:
    """The layers that draw random numbers in training and do nothing in inference, as ``outer/name``."""
    outputs = {f"output_{i}": tensor.value for i, tensor in enumerate(model.outputs)}
    graph = Graph([tensor.value for tensor in model.inputs], outputs)
    random = dict.fromkeys(node.scope for node in graph.nodes() if isinstance(node.op, RandomBits) and node.scope)
    if not random:
        return []
    inference = simplify(specialize_inference(graph))
    kept = {node.scope for node in inference.nodes() if not isinstance(node.op, Leaf)}
    return [scope for scope in random if scope not in kept]


def note_of(layers: Sequence[str]) -> list[str]:
    """A sentence about them, if there are any."""
    return [f"left out, since they act in training only: {', '.join(layers)}"] if layers else []
