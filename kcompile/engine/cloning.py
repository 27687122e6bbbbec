"""``clone_model``: the same architecture with new weights."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

from kcompile.common.errors import DataTypeError, KCompileError
from kcompile.common.lists import as_list
from kcompile.common.nest import flatten
from kcompile.engine.input_layer import Input, InputLayer
from kcompile.engine.layer import Layer, wrap_operations
from kcompile.engine.layer_base import Node
from kcompile.engine.network import Network
from kcompile.engine.replay import as_called, in_its_first_call
from kcompile.engine.tracing import renewed
from kcompile.objects.dialects import conventions
from kcompile.objects.registry import is_ours
from kcompile.symbolic.tensor import Tensor
from kcompile.symbolic.variable import is_placeholder


def clone_model(model: Any, input_tensors: Any = None, clone_function: Callable[[Layer], Layer] | None = None) -> Any:
    """A model of the same layers with weights of its own, freshly initialized, which is not compiled.

    Args:
        model: a functional or Sequential model.
        input_tensors: what to build it on, in place of new inputs: a tensor or a list.
        clone_function: makes the new layer for each layer; default: from its configuration.

    Raises:
        TypeError: not a model.
        ValueError: a subclassed model, which only its own code can make again; or the wrong number of inputs.
    """
    if not isinstance(model, Network):
        raise DataTypeError(f"clone_model takes a model, got {type(model).__name__}: {model!r}")
    make = clone_function or copy_of
    model.warn_of_plain_losses("cloned")
    if model.layers_as_added is not None:
        with _memory():
            return _clone_sequential(model, input_tensors, make)
    if not model.has_layer_graph or model.has_traced_graph:
        raise KCompileError(
            f"clone_model: model {model.name!r} ({type(model).__name__}) is subclassed; make a new one with its class"
        )
    with _memory():
        return _clone_functional(model, input_tensors, make)


def copy_of(layer: Layer) -> Layer:
    if isinstance(layer, Network) and is_ours(type(layer)):
        clone: Layer = clone_model(layer)
    else:
        clone = layer.clone_of_layer()
    return clone


Make = Callable[[Layer], Layer]

_made: ContextVar[dict[Layer, Layer] | None] = ContextVar("_made", default=None)


@contextlib.contextmanager
def _memory() -> Iterator[dict[Layer, Layer]]:
    """The copies made so far in the outermost clone: a layer in a model and beside it stays one layer."""
    made = _made.get()
    made = {} if made is None else made
    token = _made.set(made)
    try:
        yield made
    finally:
        _made.reset(token)


def _clone_functional(model: Network, input_tensors: Any, make: Make) -> Any:
    new: dict[int, Tensor] = {id(old): x for old, x in zip(model.inputs, _inputs(model, input_tensors), strict=True)}
    _call_again(model.nodes_of_layer_graph, new, make)
    inputs = model.in_input_form([new[id(x)] for x in model.inputs])
    outputs = model.in_output_form([new[id(x)] for x in model.outputs], nested=False)
    clone = type(model)(inputs=inputs, outputs=outputs, name=model.name)
    clone.append_ends([new[id(y)] for y in model.added_ends])
    return clone


def _call_again(nodes: Sequence[Node], new: dict[int, Tensor], make: Make) -> None:
    """Make the calls with copies of the layers; ``new`` are the new tensors by the ``id`` of the old ones."""
    for node in nodes:
        if all(id(y) in new for y in node.output_tensors):
            continue
        clone = _copy(node.layer, make)
        arguments = {key: renewed(value, new) for key, value in node.arguments.items()}
        inputs = [new.get(id(x), x) for x in node.input_tensors]
        with as_called(node, clone):
            outputs = clone(node.arranged(inputs), **arguments)
        new.update({id(old): y for old, y in zip(node.output_tensors, flatten(outputs), strict=True)})


def _copy(layer: Layer, make: Make) -> Layer:
    with _memory() as made:
        if layer not in made:
            with in_its_first_call(layer):
                copy = make(layer)
            if copy is not layer:
                conventions.hand_on(layer, copy)
            made[layer] = copy
        return made[layer]


def _inputs(model: Network, given: Any) -> list[Tensor]:
    if given is None:
        return [
            Input(batch_shape=tuple(x.shape), dtype=x.dtype, name=name)
            for x, name in zip(model.inputs, model.input_names, strict=True)
        ]
    tensors = [_with_history(x) for x in as_list(given)]
    if len(tensors) != len(model.inputs):
        raise KCompileError(f"clone_model: model {model.name!r} has {len(model.inputs)} inputs, got {len(tensors)}")
    return tensors


def _with_history(x: Tensor) -> Tensor:
    if x.keras_history is not None:
        return x
    return Input(tensor=x) if is_placeholder(x) else wrap_operations(x)


def _clone_sequential(model: Network, input_tensors: Any, make: Make) -> Any:
    clone = type(model)(name=model.name)
    stack = [
        layer for layer in (model.layers_as_added or ()) if input_tensors is None or not isinstance(layer, InputLayer)
    ]
    if input_tensors is not None:
        tensors = _inputs(model, input_tensors) if model.has_layer_graph else as_list(input_tensors)
        clone.add(_with_history(tensors[0]))
    nodes = {node.layer: node for node in model.nodes_of_layer_graph}
    for layer in stack:
        copy = _copy(layer, make)
        with as_called(nodes[layer], copy) if layer in nodes else contextlib.nullcontext():
            clone.add(copy)
    if model.has_layer_graph and not clone.has_layer_graph:
        clone.build(tuple(model.inputs[0].shape))
    if model.added_ends:
        pairs = zip(model.main_layer_nodes, clone.main_layer_nodes, strict=True)
        ends = ((old, x) for a, b in pairs for old, x in zip(a.output_tensors, b.output_tensors, strict=True))
        new = {id(old): x for old, x in ends}
        _call_again(model.nodes_of_layer_graph, new, make)
        clone.append_ends([new[id(y)] for y in model.added_ends])
    return clone
