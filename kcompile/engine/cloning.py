"""``clone_model``: the same architecture with new weights."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from kcompile.backend.variables import is_placeholder
from kcompile.engine.input_layer import Input, InputLayer
from kcompile.engine.layer import Layer
from kcompile.engine.lists import as_list, one_or_list
from kcompile.engine.nest import flatten
from kcompile.engine.network import Network, _renew
from kcompile.engine.op_layer import wrap_operations
from kcompile.engine.replay import as_called, in_its_first_call
from kcompile.engine.sequential import Sequential
from kcompile.engine.tensor import Tensor
from kcompile.errors import DataTypeError, KCompileError


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
    make = clone_function or _clone
    if isinstance(model, Sequential):
        return _clone_sequential(model, input_tensors, make)
    if not model._functional or model._subclassed:
        raise KCompileError(
            f"clone_model: model {model.name!r} ({type(model).__name__}) is subclassed; make a new one with its class"
        )
    return _clone_functional(model, input_tensors, make)


def _clone(layer: Layer) -> Layer:
    if isinstance(layer, Network) and type(layer).__module__.startswith("kcompile."):
        clone: Layer = clone_model(layer)
        return clone
    return layer._clone()


def _clone_functional(model: Network, input_tensors: Any, make: Callable[[Layer], Layer]) -> Any:
    new: dict[int, Tensor] = {id(old): x for old, x in zip(model.inputs, _inputs(model, input_tensors), strict=True)}
    clones: dict[Layer, Layer] = {}
    for node in model._nodes:
        if all(id(y) in new for y in node.output_tensors):
            continue
        if node.layer not in clones:
            with in_its_first_call(node.layer):
                clones[node.layer] = make(node.layer)
        arguments = {key: _renew(value, new) for key, value in node.arguments.items()}
        inputs = [new.get(id(x), x) for x in node.input_tensors]
        with as_called(node, clones[node.layer]):
            outputs = clones[node.layer](inputs if node.nested else inputs[0], **arguments)
        new.update({id(old): y for old, y in zip(node.output_tensors, flatten(outputs), strict=True)})
    inputs, outputs = ([new[id(x)] for x in ends] for ends in (model.inputs, model.outputs))
    return type(model)(inputs=one_or_list(inputs), outputs=one_or_list(outputs), name=model.name)


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
    if x._keras_history is not None:
        return x
    return Input(tensor=x) if is_placeholder(x) else wrap_operations(x)


def _clone_sequential(model: Sequential, input_tensors: Any, make: Callable[[Layer], Layer]) -> Sequential:
    clone = type(model)(name=model.name)
    stack = [layer for layer in model._stack if input_tensors is None or not isinstance(layer, InputLayer)]
    if input_tensors is not None:
        tensors = _inputs(model, input_tensors) if model._functional else as_list(input_tensors)
        clone.add(_with_history(tensors[0]))
    nodes = {node.layer: node for node in model._nodes}
    for layer in stack:
        with in_its_first_call(layer):
            copy = make(layer)
        with as_called(nodes[layer], copy) if layer in nodes else contextlib.nullcontext():
            clone.add(copy)
    if model._functional and not clone._functional:
        clone.build(tuple(model.inputs[0].shape))
    return clone
