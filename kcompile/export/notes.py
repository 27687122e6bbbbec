"""What the inference graph leaves out: layers that do something in training only."""

from __future__ import annotations

from kcompile.engine.network import Network
from kcompile.ir.core import Graph, Leaf
from kcompile.ir.ops.elementwise.random import RandomBits
from kcompile.passes.algebra.simplify import simplify
from kcompile.passes.algebra.specialize import specialize_inference
from kcompile.passes.fusion.half import LARGEST, in_range
from kcompile.runtime.storage import storage_of


def left_out(model: Network) -> tuple[list[str], list[str]]:
    """What draws random numbers in training and none in inference.

    Returns:
        the layers that disappear, as ``outer/name``, and those that stay without their own dropout (recurrent ones).
    """
    outputs = {f"output_{i}": tensor.value for i, tensor in enumerate(model.outputs)}
    graph = Graph([tensor.value for tensor in model.inputs], outputs)
    random = _drawing(graph)
    if not random:
        return [], []
    inference = simplify(specialize_inference(graph))
    working = {_layer(node.scope) for node in inference.nodes() if not isinstance(node.op, Leaf)}
    idle = [layer for layer in random if layer not in _drawing(inference)]
    return [layer for layer in idle if layer not in working], [layer for layer in idle if layer in working]


def _drawing(graph: Graph) -> list[str]:
    """The layers that draw random numbers."""
    return list(dict.fromkeys(_layer(node.scope) for node in graph.nodes() if isinstance(node.op, RandomBits)))


def _layer(scope: str) -> str:
    """The layer of a scope: a recurrent layer makes one of the same name within its own."""
    outer, _, inner = scope.rpartition("/")
    return outer if outer.rpartition("/")[2] == inner else scope


def beyond_half(model: Network) -> list[str]:
    """The weights with elements that float16 cannot hold."""
    variables = dict.fromkeys(weight.variable for weight in model.weights if weight.variable.type.is_float)
    return [variable.label for variable in variables if not in_range(storage_of(variable).read())]


def notes(model: Network, fp16: bool = False) -> list[str]:
    """Sentences about what is left out, and about what is not in float16, if there is anything to say."""
    layers, partly = left_out(model)
    names = [*layers, *(f"the dropout of {name}" for name in partly)]
    found = [f"left out, since they act in training only: {', '.join(names)}"] if names else []
    if fp16 and (large := beyond_half(model)):
        found.append(f"in float32, since float16 ends at {LARGEST:.0f}: {', '.join(large)}")
    return found
