"""Architectures as dictionaries, in the form that Keras 2 writes into its files.

A functional model lists its layers, and for each call of a layer (a node) the tensors that went in, as
``[layer name, node index, tensor index, call arguments]``. Node indices count the calls inside this model.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from kcompile.common.errors import KCompileError, listed, shown, unknown_name
from kcompile.common.lists import unique
from kcompile.common.nest import flatten
from kcompile.engine.added_layers import AddLoss, AddMetric, lasting, outputs_of
from kcompile.engine.forms import arranged
from kcompile.engine.input_layer import InputLayer
from kcompile.engine.layer import Layer
from kcompile.engine.layer_base import called_in
from kcompile.engine.network_base import NetworkBase
from kcompile.engine.replay import layer_config
from kcompile.engine.shared_layers import number_of, numbering
from kcompile.objects import configs
from kcompile.objects.custom import get_registered_name
from kcompile.objects.dialects import conventions
from kcompile.objects.dialects.calls import Call, Place, read_calls, read_ends, replaced
from kcompile.symbolic.tensor import Tensor

# ---- writing


def network_config(model: NetworkBase) -> dict[str, Any]:
    """The configuration of a functional model.

    Raises:
        NotImplementedError: a subclassed model, as in Keras: its architecture is Python code.
        ValueError: the model computes outside of layers (``x + y``) with a variable, which no configuration can hold.
    """
    if not model.has_layer_graph or model.has_traced_graph:
        raise NotImplementedError(
            f"model {model.name!r} ({type(model).__name__}) is subclassed: its architecture is Python code, which "
            "has no configuration; define get_config in the class and save as .keras, or save_weights"
        )
    kept, mine = lasting(model, say=True)
    numbers = _node_numbers(model, mine)
    with numbering(model):
        layers = [_entry(layer, numbers) for layer in kept]
    return {
        "name": model.name,
        "layers": layers,
        "input_layers": model.in_input_form([list(_place(x, numbers)) for x in model.inputs], nested=True),
        "output_layers": model.in_output_form([list(_place(x, numbers)) for x in model.outputs], nested=True),
    }


def _entry(layer: Layer, numbers: Mapping[int, int]) -> dict[str, Any]:
    """A layer and its calls."""
    calls = []
    for node in layer.call_notes.inbound_nodes:
        if id(node) not in numbers or isinstance(layer, InputLayer):
            continue
        if node.form is not None:
            raise KCompileError(
                f"layer {layer.name!r} is called on a dictionary or on nested lists, which no configuration here "
                "holds; call it on a list of tensors, or save weights alone"
            )
        calls.append(layer.written_call(node, lambda item: _written(item, numbers)))
    entry = {"name": layer.name, "class_name": get_registered_name(type(layer)), "config": layer_config(layer)}
    return {**entry, "inbound_nodes": calls, **number_of(layer), **conventions.described(layer)}


def _node_numbers(model: NetworkBase, mine: Collection[int]) -> dict[int, int]:
    """For each of the model's nodes ``mine`` (by ``id``), which call of its layer it is, inside this model."""
    numbers = {}
    for layer in unique(node.layer for node in model.nodes_of_layer_graph):
        kept = [node for node in layer.call_notes.inbound_nodes if id(node) in mine]
        for number, node in enumerate(kept, layer.number_of_first_call):
            numbers[id(node)] = number
    return numbers


def _place(x: Tensor, numbers: Mapping[int, int]) -> tuple[str, int, int]:
    assert x.keras_history is not None
    layer, _, tensor_index = x.keras_history
    return layer.name, numbers[id(called_in(x))], tensor_index


def _written(argument: Any, numbers: Mapping[int, int]) -> Any:
    """A call argument; tensors of layers become their places."""
    if isinstance(argument, Tensor) and argument.keras_history is not None:
        return list(_place(argument, numbers))
    if isinstance(argument, (list, tuple)):
        return type(argument)(_written(item, numbers) for item in argument)
    return argument


# ---- reading


def network_from_config(cls: type, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
    """A new functional model, with fresh weights, from :func:`network_config` or a file of any version of Keras.

    Raises:
        ValueError: the configuration names unknown layers, or its calls cannot be made.
    """
    name = _checked(config).get("name")
    if not any(isinstance(node, Call) for data in config["layers"] for node in data.get("inbound_nodes") or ()):
        config = configs.read({"class_name": "Functional", "config": config}, custom_objects, kind="layer")["config"]
    layers: dict[str, Layer] = {}
    for data in config["layers"]:
        if data["name"] in layers:
            raise KCompileError(f"model {name!r}: two layers are named {data['name']!r}")
        layers[data["name"]] = configs.build(data, custom_objects)
    read = {key: read_ends(config[key], key, name) for key in ("input_layers", "output_layers")}
    ends = {key: places for key, (places, _) in read.items()}
    made: dict[Place, Tensor] = {}
    calls: list[tuple[str, int, Call]] = []
    from_zero = _called_from_zero(config["layers"], ends)
    for data in config["layers"]:
        layer, key = layers[data["name"]], data["name"]
        if isinstance(layer, InputLayer):
            made[Place(key, 0, 0)] = layer.call_notes.inbound_nodes[0].output_tensors[0]
        first = 0 if key in from_zero else layer.number_of_first_call
        calls += [(key, number, call) for number, call in enumerate(data["inbound_nodes"], first)]

    def make(index: int) -> Iterator[Place]:
        key, number, call = calls[index]
        inputs, arguments, options = (replaced(part, made) for part in (call.inputs, call.arguments, call.options))
        for output, y in enumerate(flatten(layers[key](inputs, *arguments, **options))):
            made[Place(key, number, output)] = y
            yield Place(key, number, output)

    left = _in_order([set(call.places()).difference(made) for _, _, call in calls], make)
    if left:
        raise KCompileError(
            f"the configuration of model {name!r} is not complete: the calls of layers "
            f"{listed(dict.fromkeys(calls[index][0] for index in left))} have inputs that no layer makes"
        )
    tensors = {}
    for key, places in ends.items():
        for place in places:
            if place not in made:
                raise unknown_name(f"tensor in {key} of model {name!r}:", place.layer, layers)
        tensors[key] = arranged(read[key][1], [made[place] for place in places], False)
    model = cls(inputs=tensors["input_layers"], outputs=tensors["output_layers"], name=name)
    added = [layer for layer in layers.values() if isinstance(layer, (AddLoss, AddMetric))]
    model.append_ends([y for layer in added for y in outputs_of(layer)])
    if config.get("trainable") is False:
        model.trainable = False
    return model


def _in_order(needs: Sequence[set[Any]], make: Callable[[int], Iterable[Any]]) -> list[int]:
    """Make each thing once what it needs is there; those that never can be made.

    The order is that of going through all of them again and again, which Keras does, without the time that it takes.

    Args:
        needs: for each thing what must be made before it.
        make: makes the thing of that number; what is there then.
    """
    missing = [len(each) for each in needs]
    waiting: dict[Any, list[int]] = {}
    for index, each in enumerate(needs):
        for need in each:
            waiting.setdefault(need, []).append(index)
    ready = [(0, index) for index, count in enumerate(missing) if count == 0]  # in which round, and there in order
    while ready:
        turn, index = heapq.heappop(ready)
        missing[index] = -1
        for one in make(index):
            for other in waiting.pop(one, ()):
                missing[other] -= 1
                if missing[other] == 0:
                    heapq.heappush(ready, (turn if other > index else turn + 1, other))
    return [index for index, count in enumerate(missing) if count >= 0]


_KEYS = ("layers", "input_layers", "output_layers")


def is_functional_config(config: Any) -> TypeGuard[Mapping[str, Any]]:
    """Whether a configuration has the parts of a functional model's."""
    return isinstance(config, Mapping) and all(key in config for key in _KEYS)


def describes_layers(model: NetworkBase, config: Any) -> bool:
    """Whether a model's configuration lists its layers; a subclass may return arguments of its own instead."""
    if model.layers_as_added is not None:
        entries = config.get("layers") if isinstance(config, Mapping) else None
        return isinstance(entries, list) and all(isinstance(entry, Mapping) for entry in entries)
    return is_functional_config(config)


def _checked(config: Any) -> Mapping[str, Any]:
    """The configuration, if it has the parts of a functional model's.

    Raises:
        ValueError: it has not.
    """
    if not is_functional_config(config):
        raise KCompileError(f"the configuration of a functional model has {listed(_KEYS)}, got {shown(config)}")
    layers = config["layers"]
    if not isinstance(layers, (list, tuple)) or not all(isinstance(data, Mapping) for data in layers):
        raise KCompileError(f"the layers of model {config.get('name')!r} must be a list of dicts, got {shown(layers)}")
    return config


def _called_from_zero(layers: Any, ends: Mapping[str, Any]) -> set[str]:
    """The layers to whose call 0 something refers: models of Keras 3 and of some tf.keras count theirs from 0."""
    used = [place for data in layers for call in data["inbound_nodes"] for place in call.places()]
    used += [place for places in ends.values() for place in places]
    return {place.layer for place in used if place.call == 0}


# ---- Sequential


def sequential_config(model: NetworkBase) -> dict[str, Any]:
    """The configuration of a Sequential model.

    The input shape stands in the first layer's ``batch_input_shape``, in an input layer if the model was given one, or
    in ``build_input_shape`` if data or ``build`` told it.
    """
    stack = model.layers_as_added or []
    with numbering(model):
        config: dict[str, Any] = {"name": model.name, "layers": [_stack_entry(layer) for layer in stack]}
        if model.has_layer_graph and not _knows_input(stack[0]):
            config["build_input_shape"] = tuple(model.inputs[0].shape)
        if added := added_to(model):
            numbers = _node_numbers(model, lasting(model, say=True)[1])
            config[ADDED] = [_entry(layer, numbers) for layer in added]
    return config


def _stack_entry(layer: Layer) -> dict[str, Any]:
    entry = {"class_name": get_registered_name(type(layer)), "config": layer_config(layer)}
    return {**entry, **number_of(layer), **conventions.described(layer)}


ADDED = "kcompile_added"
"""Under what a Sequential model tells the layers beside its stack; other readers skip it."""


def added_to(model: NetworkBase) -> list[Layer]:
    """The layers beside the stack, which lead to added losses and metrics."""
    if not model.added_ends:
        return []
    known = {*model.layers, *model.input_layers}
    return [layer for layer in lasting(model)[0] if layer not in known]


def _add_to(model: NetworkBase, entries: Any, custom_objects: Mapping[str, Any] | None) -> None:
    """Put the layers that :data:`ADDED` tells beside the stack."""
    known: dict[str, Any] = {
        layer.name: node.output_tensors for node in model.nodes_of_layer_graph for layer in [node.layer]
    }
    ends: list[Tensor] = []
    for data in entries if isinstance(entries, list) else []:
        layer = configs.build(data, custom_objects)
        names = {*known, *(str(entry[0]) for node in data["inbound_nodes"] for entry in node)}
        for call in read_calls(data["inbound_nodes"], names, layer.name):
            # The input may have another name now; it is what no layer here is called.
            found = {place: known.get(place.layer, model.inputs)[place.output] for place in call.places()}
            known[layer.name] = flatten(layer(replaced(call.inputs, found), **replaced(call.options, found)))
        if isinstance(layer, (AddLoss, AddMetric)):
            ends += outputs_of(layer)
    model.append_ends(ends)


def _knows_input(layer: Layer) -> bool:
    return layer.counts_as_model or layer.batch_input_shape is not None


def sequential_from_config(cls: type, config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """A new Sequential model, with fresh weights; the list that Keras before 2.2.3 wrote is understood too.

    Raises:
        ValueError: an unknown layer.
    """
    if not isinstance(config, list) and not (isinstance(config, Mapping) and "layers" in config):
        raise KCompileError(f"the configuration of a Sequential model has 'layers', got {shown(config)}")
    read = configs.read({"class_name": "Sequential", "config": config}, custom_objects, kind="layer")
    if read["class_name"] != "Sequential":
        return configs.build(read, custom_objects)  # Keras 1: a model with several inputs
    config = read["config"]
    model = cls(name=config.get("name"))
    for data in config["layers"]:
        model.add(configs.build(data, custom_objects))
    shape = config.get("build_input_shape")
    if not model.has_layer_graph and shape:
        model.build(tuple(shape))
    _add_to(model, config.get(ADDED), custom_objects)
    if config.get("trainable") is False:
        model.trainable = False
    return model
