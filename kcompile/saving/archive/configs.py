"""The configuration in a ``.keras`` archive, written in the words of Keras 3, or of tf.keras 2.13 and later.

Both name the module of every class and record the shapes for which layers were built. They differ in how they write
calls of layers, and in some names of arguments.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from kcompile.common.lists import unique
from kcompile.engine.added_layers import lasting
from kcompile.engine.build_shapes import further_shapes, named_shapes
from kcompile.engine.input_layer import InputLayer
from kcompile.engine.layer import Layer
from kcompile.engine.layer_base import Node
from kcompile.engine.network import Network
from kcompile.engine.network_config import ADDED, added_to, describes_layers
from kcompile.engine.replay import layer_config
from kcompile.engine.shared_layers import number_of, numbering
from kcompile.layers.base.joined_masks import ALL
from kcompile.layers.operations import TFOpLambda
from kcompile.objects import registry as known
from kcompile.objects.configs import build, read
from kcompile.objects.custom import get_registered_name
from kcompile.objects.dialects import conventions, keras3_names, lambdas, optimizers
from kcompile.objects.dialects.operations import to_keras_3
from kcompile.objects.dialects.tables import LSTMS
from kcompile.objects.plain import plain
from kcompile.symbolic.tensor import Tensor

KERAS_3, TF_KERAS = "3", "2"
"""The two dialects."""

VERSIONS = {KERAS_3: "3.8.0", TF_KERAS: "2.15.0"}
"""The version of Keras that an archive names: one whose form it has."""


def dialect_for(model: Network) -> tuple[str, str]:
    """The dialect that can say what a model is, and why it is not Keras 3's.

    Keras 3 has other formulas under some old names, so that a file in its dialect would compute something else.
    """
    reason = _only_keras_2(plain(model.get_config(), model.name)) or _joins_masks(model)
    return (TF_KERAS, reason) if reason else (KERAS_3, "")


def _only_keras_2(item: Any, key: str = "") -> str:
    """What in a configuration Keras 3 does not have; an empty text if nothing."""
    if isinstance(item, Mapping):
        if item.get("class_name") in keras3_names.ONLY_IN_KERAS_2:
            return str(item["class_name"])
        if item.get("time_major"):
            return "time_major=True"
        if item.get("padding") == "causal" and "pointwise_initializer" in item:
            return "SeparableConv1D with padding='causal'"
        if item.get("implementation") == 1 and item.get("dropout") and not item.get("recurrent_dropout"):
            return "dropout with implementation=1"
        return next((found for k, v in item.items() if (found := _only_keras_2(v, str(k)))), "")
    if isinstance(item, (list, tuple)):
        return next((found for each in item if (found := _only_keras_2(each, key))), "")
    return "hard_sigmoid of Keras 2" if item == "hard_sigmoid" and known.kind_of_key(key) == "activation" else ""


def _joins_masks(model: Layer) -> str:
    """The layer that joins masks as Keras 2 does, where Keras 3 would compute something else."""
    for layer in model.layers_inside:
        if getattr(layer, "masks_matter", False) and layer.joined_masks == ALL:
            return f"the masks of layer {layer.name!r} ({type(layer).__name__}) as Keras 2 joins them"
        if found := _joins_masks(layer):
            return found
    return ""


def archive_config(model: Network, dialect: str) -> dict[str, Any]:
    """``config.json`` without the arguments of ``compile``.

    Raises:
        ValueError: a model that no configuration can describe. NotImplementedError: a subclassed one, as in Keras.
    """
    with numbering(model):
        return _Writer(dialect).model(model)


def described(item: Any, kind: str, dialect: str) -> Any:
    """Losses, metrics or an optimizer (in lists and dicts): configurations get modules, names stay.

    Args:
        item: what our training configuration holds. kind: ``loss``, ``metric`` or ``optimizer``.
        dialect: see above.
    """
    return _Writer(dialect, kind).value(item, "", "the training configuration")


class _Writer:
    def __init__(self, dialect: str, kind: str | None = None) -> None:
        self.kind = kind  # of what stands under no key that tells
        self.is_3 = dialect == KERAS_3
        self.frozen = False  # whether a model that contains what is written is frozen

    # -- models

    def model(self, model: Network) -> dict[str, Any]:
        before, self.frozen = self.frozen, self.frozen or not model.trainable
        try:
            return self.described_model(model)
        finally:
            self.frozen = before

    def described_model(self, model: Network) -> dict[str, Any]:
        config = model.get_config()  # refuses what has no configuration
        name = type(model).__name__
        builtin = known.is_ours(type(model))
        if not builtin and not describes_layers(model, config):
            written: dict[str, Any] = self.value(
                {"class_name": name, "config": config}, "layer", f"model {model.name!r}"
            )
        elif model.layers_as_added is not None:
            config = self.sequential(model, model.layers_as_added)
            written = {"module": "keras", "class_name": name, "config": config, "registered_name": None}
        else:
            module = "keras.src.models.functional" if self.is_3 else "keras.src.engine.functional"
            written = {"module": module, "class_name": "Functional", "config": self.functional(model)}
            written["registered_name"] = "Functional"
        if not builtin:
            registered = get_registered_name(type(model))
            written.update(module=type(model).__module__, class_name=name, registered_name=registered)
        if model.has_layer_graph:
            written["build_config"] = {"input_shape": plain(model.input_shape)}
        return written

    def sequential(self, model: Network, stack: Sequence[Layer]) -> dict[str, Any]:
        layers = []
        if model.has_layer_graph and not isinstance(stack[0], InputLayer):
            start = model.input_layers[0]
            if isinstance(start, InputLayer) and not isinstance(stack[0], Network):
                layers.append(self.layer(start))
        layers += [self.layer(layer) for layer in stack]
        config = {"name": model.name, "trainable": model.trainable, "layers": layers}
        if not self.is_3:
            del config["trainable"]
        if model.has_layer_graph:
            config["build_input_shape"] = plain(model.input_shape)
        if added := added_to(model):
            numbers = _node_numbers(model, 1, lasting(model)[1])
            config[ADDED] = [self.called_layer(layer, numbers) for layer in added]
        return config

    def functional(self, model: Network) -> dict[str, Any]:
        kept, mine = lasting(model)
        numbers = _node_numbers(model, 0 if self.is_3 else 1, mine)
        layers = [self.called_layer(layer, numbers) for layer in kept]
        # A list of one and one alone differ in what predict returns.
        ends = {
            "input_layers": model.in_input_form([self.end(x, numbers) for x in model.inputs], nested=not self.is_3),
            "output_layers": model.in_output_form([self.end(x, numbers) for x in model.outputs], nested=not self.is_3),
        }
        return {"name": model.name, "trainable": model.trainable, "layers": layers, **ends}

    def called_layer(self, layer: Layer, numbers: Mapping[int, int]) -> dict[str, Any]:
        """A layer with its calls."""
        nodes = [n for n in layer.call_notes.inbound_nodes if id(n) in numbers and not isinstance(layer, InputLayer)]
        calls = [self.call(node, numbers) for node in nodes]
        written = self.layer(layer)
        if isinstance(layer, TFOpLambda) and self.is_3:
            written = self.operation(layer, nodes[0], numbers)
        return {**written, "name": layer.name, "inbound_nodes": calls}

    def end(self, x: Tensor, numbers: Mapping[int, int]) -> list[Any]:
        """An input or output of the model: here Keras 3 counts the calls of functional models from 1 after all."""
        name, call, output = _place(x, numbers)
        assert x.keras_history is not None
        layer = x.keras_history[0]
        shift = self.is_3 and isinstance(layer, Network) and layer.layers_as_added is None
        return [name, call + 1 if shift else call, output]

    def call(self, node: Node, numbers: Mapping[int, int]) -> Any:
        owner = f"layer {node.layer.name!r}"
        if not self.is_3:
            return node.layer.written_call(node, lambda item: self.argument(item, numbers, owner))
        if isinstance(node.layer, TFOpLambda):
            operands = node.layer.operands(node, lambda item: self.argument(item, numbers, owner))
            return {"args": to_keras_3(node.layer.operation, *operands)[1], "kwargs": {}}
        inputs, arguments = [self.tensor(x, numbers) for x in node.input_tensors], dict(node.arguments)
        options = {k: self.argument(v, numbers, owner) for k, v in arguments.items()}
        recurrent = hasattr(node.layer, "reset_states") and not isinstance(node.layer, Network)
        if node.nested and recurrent:  # the rest are its states
            if len(inputs) > 1:
                options["initial_state"] = inputs[1:]
            return {"args": [inputs[0]], "kwargs": options}
        return {"args": [inputs if node.nested else inputs[0]], "kwargs": options}

    def operation(self, layer: TFOpLambda, node: Node, numbers: Mapping[int, int]) -> dict[str, Any]:
        """Keras 3 has an object for it, in whose configuration stand some of the call's arguments."""
        owner = f"layer {layer.name!r}"
        config, _ = to_keras_3(layer.operation, *layer.operands(node, lambda item: self.argument(item, numbers, owner)))
        module, name = layer.operation.keras_3
        config = {"name": layer.name, **config}
        return {
            "module": f"{keras3_names.OPERATIONS}.{module}",
            "class_name": name,
            "config": config,
            "registered_name": name,
        }

    def tensor(self, x: Tensor, numbers: Mapping[int, int]) -> dict[str, Any]:
        config = {"shape": plain(tuple(x.shape)), "dtype": x.dtype, "keras_history": _place(x, numbers)}
        return {"class_name": "__keras_tensor__", "config": config}

    def argument(self, value: Any, numbers: Mapping[int, int], owner: str) -> Any:
        if isinstance(value, Tensor) and value.keras_history is not None:
            return self.tensor(value, numbers) if self.is_3 else _place(value, numbers)
        if isinstance(value, (list, tuple)):
            return [self.argument(item, numbers, owner) for item in value]
        if isinstance(value, Mapping) and value.keys() == {"start", "stop", "step"}:  # a slice, as tf.keras writes it
            value = slice(value["start"], value["stop"], value["step"])
        if isinstance(value, slice) and self.is_3:
            return {"class_name": "__slice__", "config": plain(value, owner)}
        return plain(value, owner)

    # -- layers and other objects

    def layer(self, layer: Layer) -> dict[str, Any]:
        if isinstance(layer, Network):
            return {**self.model(layer), **number_of(layer), **conventions.described(layer)}
        name = type(layer).__name__
        written: dict[str, Any] = self.value(
            {"class_name": name, "config": layer_config(layer)}, "layer", f"layer {layer.name!r} ({name})"
        )
        if not known.is_ours(type(layer)):
            written.update(module=type(layer).__module__, registered_name=get_registered_name(type(layer)))
        if self.frozen and "trainable" in written["config"]:
            written["config"]["trainable"] = False  # in Keras 3 each layer says so itself
        written.update({**number_of(layer), **conventions.described(layer)})
        shape = _input_shape(layer)
        if (own := getattr(type(layer), "get_build_config", None)) is not None:
            written["build_config"] = plain(own(layer), f"layer {layer.name!r}: get_build_config")
        elif self.is_3 and named_shapes(layer):
            written["build_config"] = {"shapes_dict": plain(_shapes_of_build(layer))}
        elif shape is not None:
            written["build_config"] = {"input_shape": shape}
        return written

    def value(self, item: Any, key: str, owner: str) -> Any:
        """A part of a configuration; ``key`` is what it stands under."""
        if isinstance(item, Mapping):
            is_object = isinstance(item.get("class_name"), str) and isinstance(item.get("config"), Mapping)
            if is_object and "module" not in item:
                return self.object(item, key, owner)
            return {str(k): self.value(v, str(k), owner) for k, v in item.items()}
        if isinstance(item, (list, tuple)):
            return [self.value(each, key, owner) for each in item]
        if isinstance(item, np.ndarray) and item.ndim > 0:
            return {"class_name": "__numpy__", "config": {"value": item.tolist(), "dtype": item.dtype.name}}
        if isinstance(item, str):
            return self.name(item, key)
        if callable(item):
            return self.function(item, owner)
        return plain(item, owner)

    def name(self, name: str, key: str) -> Any:
        kind = known.kind_of_key(key)
        if kind != "activation":
            return name
        if known.find(name, kind) is None:  # the user's own function
            return {"module": "builtins", "class_name": "function", "config": name, "registered_name": name}
        return keras3_names.activation_in_theirs(name) if self.is_3 else name

    def function(self, function: Any, owner: str) -> dict[str, Any]:
        name = getattr(function, "__name__", "<lambda>")
        if name == "<lambda>":
            return lambdas.written(function, owner)
        registered = get_registered_name(function)
        return {"module": "builtins", "class_name": "function", "config": name, "registered_name": registered}

    def object(self, item: Mapping[str, Any], key: str, owner: str) -> dict[str, Any]:
        name, config = item["class_name"], dict(item["config"])
        kind = known.kind_of_key(key) or self.kind
        kinds = [kind] if kind else known.KINDS
        found = next((each for each in kinds if known.find(name, each) is not None), None)
        if name in keras3_names.MODELS and "layers" in config:
            return self.inner_model(name, config, owner)
        if name == "Lambda" and self.is_3:
            config = self.lambda_config(config, owner)
        elif name == "Lambda":
            arguments = plain(config, owner)
            return {"module": "keras.layers", "class_name": name, "config": arguments, "registered_name": None}
        if self.is_3:
            # Keras 3 takes this argument of LSTM and ignores it; we do not.
            kept = ("implementation",) if name in LSTMS and config.get("recurrent_dropout") else ()
            config = keras3_names.in_theirs(name, config, kept)
        if found == "optimizer":
            config = optimizers.in_theirs(config, self.is_3)
        return {
            "module": keras3_names.module_of(found),
            # Without the package of what is registered.
            "class_name": keras3_names.CLASSES.get(name, name.rpartition(">")[2]),
            "config": {str(k): self.value(v, str(k), owner) for k, v in config.items()},
            "registered_name": None if found else name,
        }

    def inner_model(self, name: str, config: Mapping[str, Any], owner: str) -> dict[str, Any]:
        """A model inside a wrapper, of which only the configuration is at hand."""
        return self.model(build(read({"class_name": name, "config": config}, kind="layer")))

    def lambda_config(self, config: Mapping[str, Any], owner: str) -> dict[str, Any]:
        """Functions by name or as bytecode, in the form that names the kind itself."""
        new = {k: v for k, v in config.items() if not k.endswith("_type") and not k.endswith("module")}
        for key in ("function", "output_shape", "mask"):
            if config.get(f"{key}_type") == "function" and isinstance(config.get(key), str):
                name = config[key]
                new[key] = {"module": "builtins", "class_name": "function", "config": name, "registered_name": name}
        if new.get("output_shape") is None:
            new.pop("output_shape", None)
        return new


# ---- the graph


def _node_numbers(model: Network, first_of_models: int, mine: Collection[int]) -> dict[int, int]:
    """For each of the model's nodes ``mine`` (by ``id``), which call of its layer it is, inside this model."""
    numbers = {}
    for layer in unique(node.layer for node in model.nodes_of_layer_graph):
        kept = [node for node in layer.call_notes.inbound_nodes if id(node) in mine]
        for number, node in enumerate(kept, first_of_models if isinstance(layer, Network) else 0):
            numbers[id(node)] = number
    return numbers


def _place(x: Tensor, numbers: Mapping[int, int]) -> list[Any]:
    assert x.keras_history is not None
    layer, node_index, tensor_index = x.keras_history
    return [layer.name, numbers[id(layer.call_notes.inbound_nodes[node_index])], tensor_index]


def _shapes_of_build(layer: Layer) -> dict[str, Any]:
    """The shapes for which a layer was built whose ``build`` takes several."""
    first, *_ = named_shapes(layer)
    nodes = layer.call_notes.inbound_nodes
    if not nodes:
        return {}
    return {first: nodes[0].input_shapes[0], **further_shapes(layer, nodes[0].arguments)}


def _input_shape(layer: Layer) -> Any:
    """What the layer was built for, as ``build`` gets it."""
    if isinstance(layer, InputLayer) or not layer.call_notes.inbound_nodes:
        return None
    node = layer.call_notes.inbound_nodes[0]
    shapes: Sequence[Any] = [plain(shape) for shape in node.input_shapes]
    if hasattr(layer, "reset_states"):
        return shapes[0]
    return shapes if node.nested else shapes[0]
