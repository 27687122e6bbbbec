"""Architectures as dictionaries, in the form that Keras 2 writes into its files.

A functional model lists its layers, and for each call of a layer (a node) the tensors that went in, as
``[layer name, node index, tensor index, call arguments]``. Node indices count the calls inside this model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from kcompile.engine.input_layer import InputLayer
from kcompile.engine.layer import Layer
from kcompile.engine.lists import as_list, one_or_list
from kcompile.engine.network import Network
from kcompile.engine.op_layer import OpLayer
from kcompile.engine.tensor import Tensor
from kcompile.errors import KCompileError, listed, unknown_name

if TYPE_CHECKING:
    from kcompile.engine.sequential import Sequential

Place = tuple[str, int, int]
"""Layer name, node index and tensor index of a tensor."""


# ---- writing


def network_config(model: Network) -> dict[str, Any]:
    """The configuration of a functional model.

    Raises:
        NotImplementedError: a subclassed model, as in Keras: its architecture is Python code.
        ValueError: the model computes outside of layers (``x + y``), which a configuration cannot hold.
    """
    if not model._functional or model._subclassed:
        raise NotImplementedError(
            f"model {model.name!r} ({type(model).__name__}) is subclassed: its architecture is Python code, which "
            "has no configuration; define get_config in the class, or keep its weights with get_weights"
        )
    numbers = _node_numbers(model)
    layers = []
    for layer in model.layers:
        if isinstance(layer, OpLayer):
            raise KCompileError(
                f"model {model.name!r} computes outside of layers (node {layer.name!r}), which has no configuration; "
                "put the operators into a Lambda layer, or use merge layers such as Add"
            )
        nodes = [node for node in layer._inbound_nodes if id(node) in numbers and not isinstance(layer, InputLayer)]
        calls = []
        for node in nodes:
            arguments = {key: _written(value, numbers) for key, value in node.arguments.items()}
            calls.append([[*_place(x, numbers), arguments] for x in node.input_tensors])
        layers.append(
            {
                "name": layer.name,
                "class_name": type(layer).__name__,
                "config": layer.get_config(),
                "inbound_nodes": calls,
            }
        )
    return {
        "name": model.name,
        "layers": layers,
        "input_layers": [list(_place(x, numbers)) for x in model.inputs],
        "output_layers": [list(_place(x, numbers)) for x in model.outputs],
    }


def _node_numbers(model: Network) -> dict[int, int]:
    """For each node of the model (by ``id``), which call of its layer it is, inside this model."""
    mine = {id(node) for node in model._nodes}
    numbers = {}
    for layer in model.layers:
        kept = [node for node in layer._inbound_nodes if id(node) in mine]
        for number, node in enumerate(kept, _first_number(layer)):
            numbers[id(node)] = number
    return numbers


def _first_number(layer: Layer) -> int:
    """A model is its own first node: its calls as a layer count from 1."""
    return 1 if isinstance(layer, Network) else 0


def _place(x: Tensor, numbers: Mapping[int, int]) -> Place:
    assert x._keras_history is not None
    layer, node_index, tensor_index = x._keras_history
    return layer.name, numbers[id(layer._inbound_nodes[node_index])], tensor_index


def _written(argument: Any, numbers: Mapping[int, int]) -> Any:
    """A call argument; tensors of layers become their places."""
    if isinstance(argument, Tensor) and argument._keras_history is not None:
        return list(_place(argument, numbers))
    if isinstance(argument, (list, tuple)):
        return type(argument)(_written(item, numbers) for item in argument)
    return argument


# ---- reading


def network_from_config(cls: type, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
    """A new functional model, with fresh weights, from :func:`network_config` or a file of Keras 2.

    Raises:
        ValueError: the configuration names unknown layers, or its calls cannot be made.
    """
    from kcompile.layers import deserialize

    name = config.get("name")
    layers: dict[str, Layer] = {}
    for data in config["layers"]:
        layers[data["name"]] = deserialize(data, custom_objects)
    made: dict[Place, Tensor] = {}
    waiting: list[tuple[Layer, int, list[Any]]] = []
    for data in config["layers"]:
        layer = layers[data["name"]]
        if isinstance(layer, InputLayer):
            made[data["name"], 0, 0] = layer._inbound_nodes[0].output_tensors[0]
        for number, call in enumerate(data["inbound_nodes"], _first_number(layer)):
            waiting.append((layer, number, _entries(call)))
    names = {id(layer): key for key, layer in layers.items()}
    while waiting:
        later = []
        for layer, number, call in waiting:
            if not all(place in made for place in _needed(call, layers)):
                later.append((layer, number, call))
                continue
            inputs = [made[tuple(entry[:3])] for entry in call]
            arguments = {key: _read(value, made, layers) for key, value in call[0][3].items()}
            outputs = layer(one_or_list(inputs), **arguments)
            for index, y in enumerate(as_list(outputs)):
                made[names[id(layer)], number, index] = y
        if len(later) == len(waiting):
            raise KCompileError(
                f"the configuration of model {name!r} is not complete: the calls of layers "
                f"{listed(dict.fromkeys(layer.name for layer, *_ in later))} have inputs that no layer makes"
            )
        waiting = later
    ends = {}
    for key in ("input_layers", "output_layers"):
        places = config[key]
        places = [places] if places and isinstance(places[0], str) else places
        for place in places:
            if tuple(place) not in made:
                raise unknown_name(f"tensor in {key} of model {name!r}:", place[0], layers)
        ends[key] = one_or_list([made[tuple(place)] for place in places])
    return cls(inputs=ends["input_layers"], outputs=ends["output_layers"], name=name)


def _entries(call: Any) -> list[Any]:
    """The inputs of a call, each with its arguments (which old files leave out)."""
    if call and isinstance(call[0], str):
        call = [call]
    return [[*entry[:3], entry[3] if len(entry) > 3 and entry[3] else {}] for entry in call]


def _needed(call: list[Any], layers: Mapping[str, Layer]) -> Iterator[Place]:
    for entry in call:
        yield tuple(entry[:3])
    for argument in call[0][3].values():
        yield from _places(argument, layers)


def _is_place(argument: Any, layers: Mapping[str, Layer]) -> bool:
    return (
        isinstance(argument, (list, tuple))
        and len(argument) == 3
        and isinstance(argument[0], str)
        and argument[0] in layers
        and all(isinstance(item, int) for item in argument[1:])
    )


def _places(argument: Any, layers: Mapping[str, Layer]) -> Iterator[Place]:
    if _is_place(argument, layers):
        yield tuple(argument)
    elif isinstance(argument, (list, tuple)):
        for item in argument:
            yield from _places(item, layers)


def _read(argument: Any, made: Mapping[Place, Tensor], layers: Mapping[str, Layer]) -> Any:
    if _is_place(argument, layers):
        return made[tuple(argument)]
    if isinstance(argument, (list, tuple)):
        return type(argument)(_read(item, made, layers) for item in argument)
    return argument


# ---- Sequential


def sequential_config(model: Sequential) -> dict[str, Any]:
    """The configuration of a Sequential model.

    The input shape stands in the first layer's ``batch_input_shape``, in an input layer if the model was given one, or
    in ``build_input_shape`` if data or ``build`` told it.
    """
    layers = [{"class_name": type(layer).__name__, "config": layer.get_config()} for layer in model._stack]
    config: dict[str, Any] = {"name": model.name, "layers": layers}
    if model._functional and not _knows_input(model._stack[0]):
        config["build_input_shape"] = tuple(model.inputs[0].shape)
    return config


def _knows_input(layer: Layer) -> bool:
    return isinstance(layer, Network) or layer.batch_input_shape is not None


def sequential_from_config(cls: type, config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """A new Sequential model, with fresh weights; the list that Keras before 2.2.3 wrote is understood too.

    Raises:
        ValueError: an unknown layer.
    """
    from kcompile.layers import deserialize

    layers = config if isinstance(config, list) else config["layers"]
    model = cls(name=None if isinstance(config, list) else config.get("name"))
    for data in layers:
        model.add(deserialize(data, custom_objects))
    shape = None if isinstance(config, list) else config.get("build_input_shape")
    if not model._functional and shape:
        model.build(tuple(shape))
    return model
