"""Models for ``pickle`` and ``copy.deepcopy``: a graph is written with the calls of its layers, and calls them again.

A subclassed model is written with what its inputs look like. What a model has compiled is made anew when it is used;
optimizers keep their state, so that training goes on as it would have. Layers: :mod:`kcompile.engine.layer_pickling`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kcompile.common.meanings import as_it_is, as_meant_now
from kcompile.common.nest import flatten
from kcompile.engine.input_layer import Input
from kcompile.engine.network_base import NetworkBase
from kcompile.engine.tracking import internal_names
from kcompile.objects.registry import our_base
from kcompile.symbolic.tensor import Tensor

_GRAPH = ("inputs", "outputs", "input_names", "output_names", "input_spec", "built", "optimizer", "loss")
"""Public attributes of a model that its graph, or ``compile``, sets."""


def model_state(model: NetworkBase) -> dict[str, Any]:
    """What a model is made of again: attributes, calls of layers, and how it was compiled."""
    internal = internal_names(type(model))
    attributes = {k: v for k, v in vars(model).items() if k not in internal and k not in _GRAPH}
    kept = ("_trainable_weights", "_non_trainable_weights")
    own = {
        name: value for name, value in vars(model).items() if name in internal and (name in kept or _is_plain(value))
    }
    state: dict[str, Any] = {
        "attributes": attributes,
        "own": own,
        "graph": None,
        "stack": model.layers_as_added,
    }
    state["regularized"] = [(w, as_it_is(regularizer)) for w, regularizer in model.penalties_of_weights]
    if model.has_layer_graph:
        names = model.input_names, model.output_names
        shapes = [(tuple(x.shape), x.dtype) for x in model.inputs]
        model.warn_of_plain_losses("pickled or copied")
        graph = None if model.has_traced_graph else _calls(model)
        state["graph"] = {"names": names, "shapes": shapes, "calls": graph}
    trainer = getattr(model, "fit_trainer", None)
    if trainer is not None:
        state["training"] = trainer.state()
    return state


def set_model_state(model: NetworkBase, state: Mapping[str, Any]) -> None:
    """The opposite of :func:`model_state`, for a new object."""
    base: Any = our_base(type(model))
    base.__init__(model, name=state["attributes"]["name"])  # not the user's
    own = vars(model)
    own.update(state["attributes"])
    own["_regularized"] = [(w, as_meant_now(regularizer)) for w, regularizer in state["regularized"]]
    plain = {name: value for name, value in state["own"].items() if name not in ("_functional", "_subclassed")}
    if state["stack"] is not None:
        own["_stack"] = []
    for name in ("_trainable_weights", "_non_trainable_weights"):
        own[name] = plain.pop(name)
    graph = state["graph"]
    if state["stack"] is not None:
        _add(model, state["stack"], graph)
        if graph is not None:
            made = [node.output_tensors for node in model.main_layer_nodes]
            model.append_ends(_called(graph["calls"], made)[2])
    elif graph is not None and graph["calls"] is not None:
        inputs, outputs, added = _called(graph["calls"], [])
        model.set_ends(inputs, outputs)
        model.append_ends(added)
    elif graph is not None:
        inputs = [
            Input(batch_shape=shape, dtype=dtype, name=name)
            for name, (shape, dtype) in zip(graph["names"][0], graph["shapes"], strict=True)
        ]
        model.build_from_inputs(inputs if len(inputs) > 1 else inputs[0])
    if graph is not None:
        model.input_names, model.output_names = graph["names"]
    if "training" in state:
        model.fit_trainer.set_state(state["training"])
    own.update(plain)


def _is_plain(value: Any) -> bool:
    """Whether something holds numbers, names and the like only."""
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))


class _Result:
    """The place of a tensor in a list of calls, in the arguments of another call."""

    def __init__(self, call: int, index: int) -> None:
        self.call = call
        self.index = index


Calls = tuple[list[Any], list[_Result], list[_Result], list[_Result]]
"""Calls of layers; where the inputs and outputs of a model, and added losses and metrics, are among their results."""


def _calls(model: NetworkBase) -> Calls:
    """The calls of the layers of a graph."""
    places: dict[int, _Result] = {}
    calls = []
    for number, node in enumerate(model.nodes_of_layer_graph):
        inputs: list[Any] = [places.get(id(x), x) for x in node.input_tensors]
        if not node.inbound_layers and id(node.input_tensors[0]) == id(node.output_tensors[0]):
            inputs = []  # an input
        calls.append((node.layer, inputs, _mapped(node.arguments, places), node.nested))
        places.update((id(y), _Result(number, index)) for index, y in enumerate(node.output_tensors))
    ends = [[places[id(x)] for x in tensors] for tensors in (model.inputs, model.outputs, model.added_ends)]
    return calls, ends[0], ends[1], ends[2]


def _called(calls: Calls, made: list[list[Tensor]]) -> list[list[Tensor]]:
    """Make the calls that come after those of which the results are ``made``; the ends that the calls name."""
    for layer, inputs, arguments, nested in calls[0][len(made) :]:
        if not inputs:
            made.append(layer.call_notes.inbound_nodes[0].output_tensors)
            continue
        tensors = [_of_result(x, made) for x in inputs]
        outputs = layer(tensors if nested else tensors[0], **_of_result(arguments, made))
        made.append(list(flatten(outputs)))
    return [[made[place.call][place.index] for place in ends] for ends in calls[1:]]


def _mapped(argument: Any, places: Mapping[int, _Result]) -> Any:
    if isinstance(argument, Tensor):
        return places.get(id(argument), argument)
    if isinstance(argument, dict):
        return {key: _mapped(value, places) for key, value in argument.items()}
    if isinstance(argument, (list, tuple)):
        return type(argument)(_mapped(item, places) for item in argument)
    return argument


def _of_result(argument: Any, made: Sequence[Sequence[Tensor]]) -> Any:
    if isinstance(argument, _Result):
        return made[argument.call][argument.index]
    if isinstance(argument, dict):
        return {key: _of_result(value, made) for key, value in argument.items()}
    if isinstance(argument, (list, tuple)):
        return type(argument)(_of_result(item, made) for item in argument)
    return argument


def _add(model: Any, stack: Sequence[Any], graph: Any) -> None:
    """Add the layers of a Sequential, and build it for its input if it was built."""
    for layer in stack:
        model.add(layer)
    if graph is not None and not model.has_layer_graph:
        model.build(graph["shapes"][0][0])
