"""The calls of layers between tensors."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from kcompile.common.errors import KCompileError, listed
from kcompile.engine.input_layer import InputLayer
from kcompile.engine.layer import Layer
from kcompile.engine.layer_base import Node, called_in
from kcompile.engine.model_calls import inside_of
from kcompile.symbolic.tensor import Tensor


def trace(model: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> tuple[list[Node], dict[Layer, int]]:
    """The nodes between inputs and outputs in execution order, and the depth of each layer.

    Layers come in the order in which a walk from the outputs first meets them, as Keras lists them.

    Args:
        model: the name of the model that consists of them, for messages.
        inputs, outputs: tensors of layers.

    Raises:
        ValueError: an output depends on an input that is not listed.
    """
    stops = {id(x) for x in inputs}
    order: list[Node] = []
    done: set[int] = set()
    first_met: dict[Layer, int] = {}

    for output in outputs:
        stack: list[tuple[Node, int]] = [(called_in(output), 0)]
        while stack:
            node, position = stack.pop()
            if id(node) in done:
                continue
            if position == 0:
                first_met.setdefault(node.layer, len(first_met))
            parents = [x for x in node.input_tensors if x.keras_history is not None] + node.argument_tensors()
            is_stop = any(id(y) in stops for y in node.output_tensors) or isinstance(node.layer, InputLayer)
            if is_stop:
                parents = []
            while position < len(parents) and id(called_in(parents[position])) in done:
                position += 1
            if position < len(parents):
                stack.append((node, position + 1))
                stack.append((called_in(parents[position]), 0))
                continue
            if isinstance(node.layer, InputLayer) and not any(id(y) in stops for y in node.output_tensors):
                raise KCompileError(
                    f"graph disconnected: the outputs of model {model!r} depend on input {node.layer.name!r}, "
                    f"which is not among its inputs ({listed(names_of_inputs(inputs))}){inside_of(node.layer)}"
                )
            done.add(id(node))
            order.append(node)
    reached = {id(node) for node in order}
    for x in inputs:
        if id(called_in(x)) not in reached:
            order.insert(0, called_in(x))
            first_met.setdefault(called_in(x).layer, len(first_met))
    depths: dict[Layer, int] = {}
    node_depth: dict[int, int] = {}
    for node in reversed(order):
        depth = max(node_depth.get(id(node), 0), depths.get(node.layer, 0))
        depths[node.layer] = node_depth[id(node)] = depth
        if any(id(y) in stops for y in node.output_tensors):
            continue
        for x in [*node.input_tensors, *node.argument_tensors()]:
            if x.keras_history is not None:
                parent = called_in(x)
                node_depth[id(parent)] = max(node_depth.get(id(parent), 0), depth + 1)
    for x in inputs:  # all inputs stand at the front
        depths[called_in(x).layer] = max(depths.values(), default=0)
    return order, {layer: depths[layer] for layer in sorted(depths, key=lambda item: first_met[item])}


def names_of_inputs(inputs: Sequence[Tensor]) -> list[str]:
    return [x.keras_history[0].name for x in inputs if x.keras_history]


def names_of_outputs(outputs: Sequence[Tensor]) -> list[str]:
    """The names of the layers that make the outputs, numbered where one makes several."""
    names: list[str] = []
    for y in outputs:
        assert y.keras_history is not None
        layer = y.keras_history[0].name
        numbered = (f"{layer}_{number}" for number in itertools.count(1))
        names.append(next(name for name in itertools.chain([layer], numbered) if name not in names))
    return names


def renewed(argument: Any, new: dict[int, Tensor]) -> Any:
    """A call argument with its tensors replaced."""
    if isinstance(argument, Tensor):
        return new.get(id(argument), argument)
    if isinstance(argument, (list, tuple)):
        return type(argument)(renewed(item, new) for item in argument)
    return argument
