"""How configurations of Keras 1, 2, tf.keras and 3 differ: the one place that knows (with ``keras1_configs``,
``config_calls`` and ``lambdas`` beside it).

:func:`upgraded` turns a configuration of any of them into the one form that the rest of kcompile reads and writes:
that of Keras 2, ``{"class_name": ..., "config": arguments}``, with the argument names of our classes. It only moves
data: no class is made, and names are looked up in our tables and among the caller's custom objects only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from kcompile.common import ways
from kcompile.common.errors import KCompileError, UnknownNameError, did_you_mean, shown, warn
from kcompile.objects import registry as known
from kcompile.objects.custom import in_force
from kcompile.objects.dialects import conventions, keras3_masks, keras3_names, lambdas, optimizers
from kcompile.objects.dialects import keras1 as keras1_configs
from kcompile.objects.dialects.calls import Call, Place, ends_from_zero, read_calls
from kcompile.objects.dialects.conventions import Convention
from kcompile.objects.dialects.operations import Operation, find_keras_3, from_keras_3
from kcompile.objects.dialects.tables import (
    ARRAY_DTYPES,
    CHANGES,
    JOINS,
    KERAS,
    MARKERS,
    POLICIES,
    Generation,
    joined_masks,
    says_nothing,
)
from kcompile.objects.making import FunctionName


def generation_of(config: Any, keras_version: str | None = None) -> Generation:
    """Which Keras wrote a configuration: its version tells, or else what only some of them write."""
    match = re.match(r"\s*(\d{1,4})(?:\.(\d{1,4}))?", keras_version or "")
    if match:
        major, minor = int(match[1]), int(match[2] or 0)
        if major == 2:
            return Generation.TF_KERAS if minor >= 4 or "tf" in str(keras_version) else Generation.KERAS_2
        return Generation.KERAS_3 if major >= 3 else Generation.KERAS_1
    stack = [config]
    guess = Generation.KERAS_2
    while stack:
        item = stack.pop()
        if isinstance(item, (list, tuple)):
            stack += item
        elif isinstance(item, Mapping):
            if {"args", "kwargs"} <= item.keys() or "batch_shape" in item or item.get("class_name") == "DTypePolicy":
                return Generation.KERAS_3
            if "registered_name" in item or "time_major" in item or "shared_object_id" in item:
                guess = Generation.TF_KERAS
            stack += item.values()
    return guess


def convention_of(config: Any, keras_version: str | None = None) -> Convention | None:
    """What layers mean to the version that wrote a configuration; ``None`` if nothing tells that it was any."""
    found = generation_of(config, keras_version)
    if found is Generation.KERAS_3:
        version = [int(number) for number in re.findall(r"\d{1,4}", keras_version or "")[:2]]
        return Convention(sums_activity=bool(version) and version < [3, 14], frees_frozen=True)
    before_tensorflow = found in (Generation.KERAS_1, Generation.KERAS_2) and keras_version is not None
    return Convention(sums_activity=True) if before_tensorflow else None


def upgraded(
    config: Any,
    custom_objects: Mapping[str, Any] | None = None,
    keras_version: str | None = None,
    safe_mode: bool = True,
    kind: str | None = None,
) -> Any:
    """A configuration in the form that kcompile reads; one that already is in that form stays the same.

    Args:
        config: of a model, layer or any other object; its structure has been checked.
        custom_objects: what the caller adds to the names that are known.
        keras_version: the version that wrote it, where the file tells.
        safe_mode: whether functions stored as bytecode are refused.
        kind: the kind of the object, see :mod:`kcompile.objects.registry`.

    Raises:
        ValueError: classes and functions that are not known, all of them in one sentence; bytecode; arguments that
            nothing here can do.
    """
    reader = _Reader(generation_of(config, keras_version), in_force(custom_objects), safe_mode)
    reader.joined_masks = joined_masks(reader.generation, keras_version)
    result = reader.value(config, kind or "")
    reader.finish()
    return result


class _Reader:
    """One walk over a configuration."""

    def __init__(self, generation: Generation, custom: Mapping[str, Any], safe_mode: bool) -> None:
        self.generation = generation
        self.custom = custom
        self.safe_mode = safe_mode
        self.unknown: dict[str, tuple[str | None, str]] = {}  # name, as messages show it: kind and a near name
        self.policies: set[str] = set()
        self.owner = "the configuration"
        self.joined_masks = "all"

    # -- anything

    def value(self, item: Any, key: str = "") -> Any:
        """Any part of a configuration; ``key`` is what it stands under."""
        if isinstance(item, Mapping):
            name = item.get("class_name")
            if name in MARKERS or (isinstance(name, str) and "config" in item):
                return self.object(item, key)
            if item.get("type") == "ndarray" and "value" in item:  # arrays in files of Keras 2.0 and 2.1
                return item["value"]
            return {k: self.value(v, k if isinstance(k, str) else "") for k, v in item.items()}
        if isinstance(item, (list, tuple)) and not isinstance(item, Place):
            return type(item)(self.value(each, key) for each in item)
        if isinstance(item, str) and not isinstance(item, FunctionName):
            return self.name(item, key)
        return item

    def name(self, name: str, key: str) -> str:
        """A string, which under some keys names a function or class."""
        kind = known.kind_of_key(key)
        if key == "dtype":
            return self.policy(name)
        if kind in ("activation", "initializer", "regularizer", "constraint"):
            if kind == "activation" and self.generation is Generation.KERAS_3:
                name = keras3_names.activation_in_ours(name)
            self.require(name, None, kind)
        return name

    def policy(self, name: str) -> str:
        """An element type. Mixed precision keeps its variables in float32, and so does everything here."""
        if name.startswith("mixed_"):
            self.policies.add(name)
            return "float32"
        return name

    # -- objects

    def object(self, data: Mapping[str, Any], key: str) -> Any:
        name, config = data["class_name"], data.get("config", {})
        if name in MARKERS:
            return self.marker(name, data)
        if name == "function":
            return self.function(data, key)
        if name in POLICIES:
            return self.policy(str(config.get("name", "float32"))) if isinstance(config, Mapping) else "float32"
        if isinstance(config, str):
            raise KCompileError(f"the config of {name!r} is not a dict of arguments, but {shown(config)}")
        operation = self.operation(data)
        if operation is not None:
            class_name = "SlicingOpLambda" if operation.name.endswith("getitem") else "TFOpLambda"
            return {"class_name": class_name, "config": {"name": config.get("name"), "function": operation.name}}
        if name == "Lambda" and (replaced := self.replaced_lambda(config)) is not None:
            return {**replaced, **{each: data[each] for each in ("name", "inbound_nodes") if each in data}}
        kind = known.kind_of_key(key) or keras3_names.KIND_OF_MODULE.get(str(data.get("module")).rpartition(".")[2])
        own_name = self.own_name(data)
        if own_name is None and name == "Merge" and not self.foreign(data):
            extra = {each: data[each] for each in ("name", "inbound_nodes") if each in data}
            return self.object({**keras1_configs.merged(config), **extra}, "layer")
        found = None
        if own_name is None:
            renamed = keras1_configs.CLASSES.get(name, name) if kind in ("layer", None) else name
            found = None if self.foreign(data) else known.find(renamed, kind)
            if found is None:
                self.note_unknown(data, kind)
            name = renamed
        else:
            name = own_name
        before, self.owner = self.owner, f"{_kind_word(found)} {_title(config)!r} ({name})"
        try:
            arguments = self.arguments(name, config, found)
        finally:
            self.owner = before
        if isinstance(arguments, dict) and arguments.get("class_name") == "Model" and "config" in arguments:
            return arguments  # a Sequential model with branches
        result: dict[str, Any] = {"class_name": name, "config": arguments}
        result.update((extra, data[extra]) for extra in ("name", "shared_object_id", conventions.KEY) if extra in data)
        if "build_config" in data:
            result["build_config"] = self.value(data["build_config"])
        if "inbound_nodes" in data:
            result["inbound_nodes"] = data["inbound_nodes"]
        return result

    def operation(self, data: Mapping[str, Any]) -> Operation | None:
        """What Keras 3 has an operation for; its HDF5 files tell no modules, but operations have fewer arguments."""
        module, config = data.get("module"), data.get("config")
        bare = isinstance(config, Mapping) and "trainable" not in config and "inbound_nodes" in data
        if self.generation is Generation.KERAS_3 and module is None and bare:
            module = "keras.ops"
        return find_keras_3(module, data.get("class_name"))

    def own_name(self, data: Mapping[str, Any]) -> str | None:
        """The name under which a class is among the custom objects, if it is."""
        for name in (data.get("registered_name"), data["class_name"], data["class_name"].rpartition(">")[2]):
            if isinstance(name, str) and name in self.custom:
                return name
        return None

    def foreign(self, data: Mapping[str, Any]) -> bool:
        """Whether a file says that a class is not Keras' own, though it may share the name of one."""
        module, registered = data.get("module"), data.get("registered_name")
        if isinstance(registered, str) and ">" in registered:
            return True
        return isinstance(module, str) and module.partition(".")[0] not in KERAS

    def arguments(self, name: str, config: Any, found: Any) -> Any:
        """The arguments of a class, under the names that our class has for them."""
        if name == "Sequential" and isinstance(config, list):
            return self.sequential(config)
        if not isinstance(config, Mapping):
            raise KCompileError(f"the config of {name!r} is not a dict of arguments, but {shown(config)}")
        if name == "Sequential" and "layers" in config:
            return self.sequential(config)
        if isinstance(config.get("layers"), list) and "output_layers" in config:
            return self.functional(config)
        kind = known.kind_of(found)
        config = keras1_configs.upgraded(found, config) if kind in ("layer", "constraint") else dict(config)
        if name == "Lambda":
            return self.lambda_layer(config)
        if found is not None:
            keras3_names.in_ours(name, config)
            if name in CHANGES:
                CHANGES[name](config, self.generation)
            if name in JOINS and self.joined_masks != "all":
                config.setdefault("joined_masks", self.joined_masks)
        if kind == "optimizer":
            optimizers.in_ours(name, config, self.generation)
        if found is not None:
            config = {k: v for k, v in config.items() if not says_nothing(k, v, found)}
        return {k: self.value(v, k) for k, v in config.items()}

    # -- models

    def functional(self, config: Mapping[str, Any]) -> dict[str, Any]:
        masked = config["layers"], config.get("output_layers")
        config = {**config, "layers": keras3_masks.without_implied_masks(*masked)}
        entries = config["layers"]
        if wrong := [item for item in entries if not isinstance(item, Mapping)]:
            raise KCompileError(f"model {config.get('name')!r}: a layer is given as {shown(wrong[0])}")
        names = {_layer_name(item) for item in entries}
        layers = []
        for item in entries:
            layer = self.value(item, "layers")
            if not isinstance(layer, dict) or "config" not in layer:
                raise KCompileError(f"model {config.get('name')!r}: a layer is given as {shown(item)}")
            layer["name"] = _layer_name(item)
            calls = read_calls(item.get("inbound_nodes") or [], names, layer["name"], self.value)
            operation = self.operation(item)
            if operation is not None:
                arguments = self.value(item["config"])
                calls = [Call(*_of_operation(operation, arguments, call)) for call in calls]
            layer["inbound_nodes"] = calls
            layers.append(layer)
        rest = {k: self.value(v, k) for k, v in config.items() if k != "layers"}
        if any(isinstance(call, Mapping) for item in entries for call in item.get("inbound_nodes") or ()):
            nested = {_layer_name(item) for item in entries if _is_functional(item)}
            rest.update({k: ends_from_zero(rest[k], nested) for k in ("input_layers", "output_layers") if k in rest})
        return {**rest, "layers": layers}

    def sequential(self, config: Any) -> Any:
        layers = config if isinstance(config, list) else config["layers"]
        if not isinstance(layers, (list, tuple)):
            raise KCompileError(f"the layers of a Sequential model must be a list, got {shown(layers)}")
        layers = keras1_configs.with_class_names(layers)
        branches = keras1_configs.branched(layers, None if isinstance(config, list) else config.get("name"))
        if branches is not None:
            return {"class_name": "Model", "config": self.functional(branches["config"])}
        read = [self.value(layer, "layers") for layer in layers]
        if len(read) > 1 and _is_implied(read[0], read[1]):
            read = read[1:]
        if isinstance(config, list):
            return {"name": None, "layers": read}
        return {**{k: self.value(v, k) for k, v in config.items() if k != "layers"}, "layers": read}

    # -- functions

    def lambda_layer(self, config: dict[str, Any]) -> dict[str, Any]:
        """A Lambda layer; in our form a function is itself or its name, with ``function_type`` ``"function"``."""
        new = {k: self.value(v, k) for k, v in config.items() if k not in ("function", "output_shape", "mask")}
        new = {k: v for k, v in new.items() if not k.endswith("_type") and not k.endswith("module")}
        for key in ("function", "output_shape", "mask"):
            given, kind = config.get(key), config.get(f"{key}_type", "raw")
            if given is None:
                continue
            if lambdas.is_bytecode(given) and (kind == "lambda" or isinstance(given, Mapping)):
                new[key] = self.bytecode(given, key, config)
            elif kind == "lambda" and not callable(given):
                new[key] = self.bytecode([given, None, None], key, config)
            elif kind == "function" or (isinstance(given, Mapping) and given.get("class_name") == "function"):
                written = given.get("config") if isinstance(given, Mapping) else given
                module = given.get("module") if isinstance(given, Mapping) else config.get("module")
                if not isinstance(written, FunctionName):
                    self.require(str(written), module, "function")
                new[key], new[f"{key}_type"] = written, "function"
            else:
                new[key] = self.value(given)
        return new

    def bytecode(self, item: Any, key: str, config: Mapping[str, Any]) -> Any:
        advice = f"give a function or a layer class of yours for it: {ways.to_give(str(config.get('name')))}"
        return lambdas.read_bytecode(item, self.safe_mode, f"the {key} of {self.owner}", self.custom, advice)

    def replaced_lambda(self, config: Any) -> dict[str, Any] | None:
        """A layer of the caller's own for a Lambda whose code is in the file: by its name, or for all of them."""
        if not isinstance(config, Mapping):
            return None
        name = next((n for n in (config.get("name"), "Lambda") if isinstance(n, str) and n in self.custom), None)
        code = config.get("function")
        in_file = config.get("function_type") == "lambda" or (isinstance(code, Mapping) and lambdas.is_bytecode(code))
        if name is None or not in_file or callable(code):
            return None
        kept = ("name", "trainable", "dtype", "batch_input_shape")
        base = {key: self.value(config[key], key) for key in kept if key in config}
        given = self.custom[name]
        if isinstance(given, type):
            return {"class_name": name, "config": base}
        arguments = self.value(config.get("arguments") or {})
        return {"class_name": "Lambda", "config": {**base, "function": given, "arguments": arguments}}

    def function(self, data: Mapping[str, Any], key: str) -> str:
        """``{"class_name": "function", "config": name}``, as Keras 3 writes a function."""
        name, module = data.get("config"), data.get("module")
        if not isinstance(name, str):
            raise KCompileError(f"a function of {self.owner} is given as {shown(name)}, not by its name")
        registered = data.get("registered_name")
        if isinstance(registered, str) and registered in self.custom:
            return registered
        builtin = module in (None, "builtins") or str(module).partition(".")[0] in KERAS
        if name not in self.custom and not builtin:
            self.unknown.setdefault(f"{module}.{name}", ("function", ""))
            return name
        if self.generation is Generation.KERAS_3 and known.kind_of_key(key) == "activation":
            name = keras3_names.activation_in_ours(name)
        self.require(name, module, known.kind_of_key(key))
        return name

    def marker(self, name: str, data: Mapping[str, Any]) -> Any:
        """A value of Python that JSON has no form for."""
        config = data.get("config", {})
        config = config if isinstance(config, Mapping) else {"value": config}
        if name in ("__tuple__", "TensorShape"):
            return tuple(self.value(data.get("items", config.get("value", []))))
        if name == "__keras_tensor__":
            history = config.get("keras_history")
            if not isinstance(history, (list, tuple)) or len(history) != 3:
                raise KCompileError(f"a tensor of {self.owner} has no keras_history: {shown(data)}")
            return Place(*history)
        if name in ("__numpy__", "__tensor__"):
            dtype = config.get("dtype")
            if dtype is not None and dtype not in ARRAY_DTYPES:
                raise KCompileError(f"an array of {self.owner} has dtype {shown(dtype)}")
            return np.asarray(config.get("value"), dtype)
        if name == "__lambda__":
            return lambdas.read_bytecode(data, self.safe_mode, f"a function of {self.owner}", self.custom)
        if name == "SeedGenerator":  # of Keras 3: a seed, which our classes take themselves
            return config.get("seed")
        if name == "__slice__":
            return slice(*(self.value(config.get(part)) for part in ("start", "stop", "step")))
        if name == "__bytes__":
            return str(config.get("value", "")).encode()
        return Ellipsis

    # -- what is not known

    def require(self, name: str, module: Any, kind: str | None) -> None:
        if name in self.custom or name.rpartition(">")[2] in self.custom:
            return
        if kind == "function" or known.find(name, kind) is None:
            place = f"{module}." if isinstance(module, str) and module not in ("builtins", "__main__") else ""
            hint = did_you_mean(name, known.names(kind)) if kind != "function" else ""
            self.unknown.setdefault(f"{place}{name}", (kind, hint))

    def note_unknown(self, data: Mapping[str, Any], kind: str | None) -> None:
        module, name, foreign = data.get("module"), data["class_name"], self.foreign(data)
        place = f"{module}." if foreign and isinstance(module, str) and module != "__main__" else ""
        hint = "" if foreign else did_you_mean(name, known.names(kind))
        self.unknown.setdefault(f"{place}{name}", (kind, hint))

    def finish(self) -> None:
        """Say what was found on the way.

        Raises:
            ValueError: something is not known.
        """
        if self.unknown:
            raise unknown_names(self.unknown)
        for policy in sorted(self.policies):
            warn(f"the model was trained with {policy!r}; it is computed in float32 here, as its weights are")


def unknown_names(found: Mapping[str, tuple[str | None, str]]) -> UnknownNameError:
    """The error for names that are not known: ``{name: (kind, hint)}``."""
    parts = [f"{_cut(name)!r}{hint and f' ({hint[2:]})'}" for name, (_, hint) in list(found.items())[:_SHOWN]]
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    first, (kind, hint) = next(iter(found.items()))
    last = _cut(first.rpartition(".")[2]).rpartition(">")[2]
    advice = f"pass what is your own as {ways.to_give(last)}; nothing is imported from a file"
    if len(found) == 1:
        separator = f"{hint} Else" if hint else ";"
        return UnknownNameError(f"Unknown {kind or 'class or function'} {_cut(first)!r}{separator} {advice}")
    return UnknownNameError(f"Unknown classes or functions: {', '.join(parts)}{more}; {advice}")


_SHOWN = 20


# ---- helpers


def _of_operation(operation: Operation, config: Any, call: Call) -> tuple[Any, tuple[Any, ...], Any]:
    """A call of Keras 3's operation as one of ours."""
    first, options = from_keras_3(operation, config, [call.inputs, *call.arguments], call.options)
    return first, (), options


def _kind_word(found: Any) -> str:
    return "layer" if found is None or known.kind_of(found) == "layer" else "object"


def _title(config: Any) -> Any:
    return config.get("name") if isinstance(config, Mapping) else None


def _layer_name(entry: Mapping[str, Any]) -> str:
    name = entry.get("name", _title(entry.get("config")))
    if not isinstance(name, str):
        raise KCompileError(f"the name of a layer ({shown(entry.get('class_name'))}) is {shown(name)}, not a string")
    return name


def _is_implied(start: Any, first: Any) -> bool:
    """Whether an input layer says nothing that the first layer does not say itself."""
    if not all(isinstance(each, Mapping) and isinstance(each.get("config"), Mapping) for each in (start, first)):
        return False
    given, own = start["config"], first["config"]
    shape = given.get("batch_input_shape")
    return (
        start.get("class_name") == "InputLayer"
        and isinstance(shape, (list, tuple))
        and isinstance(own.get("batch_input_shape"), (list, tuple))
        and list(shape) == list(own["batch_input_shape"])
        and given.get("dtype") == own.get("dtype")
        and given.get("name") == f"{own.get('name')}_input"
    )


def _is_functional(entry: Mapping[str, Any]) -> bool:
    """Whether a layer is a functional model; a Sequential one is none to Keras 3."""
    config = entry.get("config")
    return isinstance(config, Mapping) and isinstance(config.get("layers"), list) and "output_layers" in config


def _cut(name: str) -> str:
    return name if len(name) <= 100 else name[:97] + "..."


__all__ = ["Call", "Generation", "Place", "generation_of", "upgraded"]
