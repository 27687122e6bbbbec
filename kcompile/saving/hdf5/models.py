"""Whole models in HDF5: architecture, weights, training configuration and the state of the optimizer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kcompile.common import ways
from kcompile.common.errors import KCompileError, warn
from kcompile.common.limits import CONFIG_BYTES, DamagedFileError, check_size
from kcompile.common.loading import Loading, loading
from kcompile.engine.network import Network
from kcompile.engine.network_config import describes_layers
from kcompile.objects.configs import model_from_config
from kcompile.objects.custom import get_registered_name
from kcompile.objects.dialects import conventions
from kcompile.objects.plain import plain
from kcompile.objects.registry import known
from kcompile.saving import training_state
from kcompile.saving.hdf5.files import StoredGroup, open_hdf5
from kcompile.saving.hdf5.optimizer_state import GROUP, read_optimizer, write_optimizer
from kcompile.saving.hdf5.weights import KERAS_VERSION, LoadedWeights, read_weights, write_weights
from kcompile.saving.training_config import compile_as, training_config


@dataclass(frozen=True)
class LoadedFrom:
    """Where a model comes from: its attribute ``loaded``.

    Attributes:
        file: the file.
        keras_version: the version of Keras that it names.
        backend: the backend that it names.
        has_optimizer: whether the optimizer's state was in the file, and fitted.
    """

    file: str
    keras_version: str = ""
    backend: str = ""
    has_optimizer: bool = False


# ---- writing


def write_model(group: Any, model: Network, include_optimizer: bool = True) -> None:
    """Write all of ``model`` into an empty ``h5py.Group``.

    Raises:
        ValueError: a model, loss or metric that no configuration can describe.
        NotImplementedError: a subclassed model, as in Keras.
    """
    config = model_config(model)
    compiled = training_config(model) if include_optimizer else None
    group.attrs["keras_version"] = KERAS_VERSION.encode()
    group.attrs["backend"] = b"tensorflow"
    group.attrs["model_config"] = _json({"class_name": _class_name(model), "config": config})
    group.attrs[training_state.ATTRIBUTE] = _json(training_state.state_of(model))
    write_weights(group.create_group("model_weights"), model)
    if compiled is not None:
        group.attrs["training_config"] = _json(compiled)
        write_optimizer(group, model.optimizer, model.fit_trainer.trained_weights)


def model_config(model: Network) -> dict[str, Any]:
    """What describes the model in the file.

    Raises:
        ValueError: no configuration can describe it. NotImplementedError: it is subclassed, as in Keras.
    """
    config = model.get_config()
    if model.layers_as_added is None and not describes_layers(model, config):
        raise NotImplementedError(
            f"model {model.name!r} ({type(model).__name__}) is subclassed, which HDF5 files of Keras do not hold; save "
            "it as .keras, which keeps the arguments that its get_config returns, or its weights with save_weights"
        )
    return _with_modules(training_state.freeze_inside(plain(config), model))


def _with_modules(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a model in which layers inside wrappers name their module, without which Keras 3 does not
    find them; tf.keras writes it too."""
    if not isinstance(config.get("layers"), list):
        return config
    layers = []
    for entry in config["layers"]:
        inner = entry["config"]
        inner = _with_modules(inner) if "layers" in inner else {k: _with_module(v) for k, v in inner.items()}
        if entry["class_name"].startswith("SpatialDropout"):  # Keras 3 takes neither of these
            inner = {k: v for k, v in inner.items() if k != "noise_shape" and (k, v) != ("trainable", True)}
        layers.append({**entry, "config": inner})
    return {**config, "layers": layers if "output_layers" in config else _with_input_layer(layers)}


def _with_input_layer(layers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The layers of a Sequential model after their input layer, as tf.keras writes it: Keras 3 takes the shape that
    stands in the first layer for one without the batch axis. Reading takes it away again."""
    first = layers[0]["config"] if layers else {}
    if not first.get("batch_input_shape") or layers[0]["class_name"] == "InputLayer":
        return layers
    start = {"batch_input_shape": first["batch_input_shape"], "dtype": first["dtype"], "sparse": False}
    return [{"class_name": "InputLayer", "config": {**start, "name": f"{first['name']}_input"}}, *layers]


def _with_module(item: Any) -> Any:
    if isinstance(item, list):
        return [_with_module(each) for each in item]
    if not isinstance(item, dict):
        return item
    item = {key: _with_module(value) for key, value in item.items()}
    name = item.get("class_name")
    if "config" not in item or name in ("Model", "Sequential", "Functional") or name not in known("layer"):
        return item
    return {"module": "keras.layers", **item, "registered_name": None}


def _class_name(model: Network) -> str:
    """``Model`` or ``Sequential``; the name of a user's own class."""
    return get_registered_name(type(model))


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


# ---- reading


def read_model(
    source: Any, custom_objects: Mapping[str, Any] | None = None, compile: bool = True, safe_mode: bool = True
) -> Any:
    """The model in an HDF5 file; see :func:`kcompile.saving.models.load_model`."""
    with open_hdf5(source) as root:
        return _read_model(root, custom_objects, compile, safe_mode)


def _read_model(root: StoredGroup, custom_objects: Mapping[str, Any] | None, compile: bool, safe_mode: bool) -> Any:
    config = _parsed(root, "model_config")
    if config is None:
        what = "weights only" if "layer_names" in root.attributes() else "no model"
        raise KCompileError(f"{root.file} holds {what}, without an architecture: {ways.to_add_an_architecture()}")
    weights = root.group("model_weights") if "model_weights" in root else root
    version = root.text("keras_version") or weights.text("keras_version")
    state = training_state.parse(root.text(training_state.ATTRIBUTE), f"{root.file}: {training_state.ATTRIBUTE}")
    convention = training_state.convention_in(state, config, version or "1")
    with loading(Loading(root.file, root.declared, state.get("seeds"))), conventions.as_written(convention):
        model = model_from_config(config, custom_objects, version or "1", safe_mode)
    if not isinstance(model, Network):
        raise KCompileError(f"{root.file} holds a layer, {type(model).__name__}, not a model")
    loaded = read_weights(weights, model, from_file=True)
    training_state.restore(model, state)
    has_optimizer = compile and _compile(root, model, loaded, custom_objects, safe_mode)
    training_state.restore_shuffling(model, state)
    origin = loaded.origin
    model.loaded = LoadedFrom(root.file.strip("'\""), version or origin.version, origin.backend, has_optimizer)
    return model


def _compile(
    root: StoredGroup, model: Any, loaded: LoadedWeights, custom_objects: Mapping[str, Any] | None, safe_mode: bool
) -> bool:
    """Compile as the file says; whether the optimizer's state could be read."""
    config = _parsed(root, "training_config")
    if config is None:
        return False
    if not compile_as(model, config, custom_objects, loaded.origin.version, safe_mode, root.file) or GROUP not in root:
        return False
    try:
        read_optimizer(root, model.optimizer, model.fit_trainer.trained_weights, loaded)
    except DamagedFileError:
        raise
    except KCompileError as error:
        warn(f"{error}; training starts with a fresh optimizer", UserWarning)
        return False
    return True


def _parsed(root: StoredGroup, name: str) -> Any:
    text = root.text(name)
    if text is None:
        return None
    check_size(f"{root.file}: {name}", len(text), CONFIG_BYTES)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(f"{root.file}: {name} is not JSON: {error}") from None
