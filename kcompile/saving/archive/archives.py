"""``.keras`` archives, of Keras 3 and of tf.keras 2.13 and later: a zip with a configuration and weights in HDF5."""

from __future__ import annotations

import datetime
import io
import json
import zipfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from kcompile.common.errors import KCompileError, warn
from kcompile.common.limits import CONFIG_BYTES, MEMORY_SHARE, DamagedFileError, UnsafeFileError, free_memory
from kcompile.common.loading import Loading, loading
from kcompile.common.version import __version__
from kcompile.engine.added_layers import AddMetric
from kcompile.engine.layer import Layer
from kcompile.engine.network import Network
from kcompile.objects.configs import model_from_config
from kcompile.objects.dialects import conventions
from kcompile.objects.dialects.tables import with_own_meaning
from kcompile.objects.structure import Json
from kcompile.saving import training_state
from kcompile.saving.architecture import KERAS_VERSION as OWN_VERSION
from kcompile.saving.archive.configs import KERAS_3, TF_KERAS, VERSIONS, archive_config, described, dialect_for
from kcompile.saving.archive.optimizers import read_optimizer, write_optimizer
from kcompile.saving.archive.weights import Layout, entry_name, read_weights, write_weights
from kcompile.saving.archive.zip_files import StoredZip, open_zip
from kcompile.saving.hdf5.files import StoredGroup, open_hdf5
from kcompile.saving.hdf5.memory import hdf5_bytes
from kcompile.saving.hdf5.models import LoadedFrom
from kcompile.saving.places import Contents
from kcompile.saving.text import read_json
from kcompile.saving.training_config import compile_as, training_config

if TYPE_CHECKING:
    import h5py

METADATA, CONFIG, WEIGHTS = "metadata.json", "config.json", "model.weights.h5"
OWN, OWN_TRAINING = "kcompile", "kcompile_training_config"


# ---- writing


def archive_bytes(model: Network, include_optimizer: bool = True, dialect: str | None = None) -> bytes:
    """The bytes of an archive.

    Args:
        model: a model that is built.
        include_optimizer: with the arguments of ``compile`` and the optimizer's state.
        dialect: ``"3"`` for Keras 3, ``"2"`` for tf.keras 2.13 and later; by default Keras 3, unless it lacks
            something that the model uses.

    Raises:
        ValueError: a model, loss or metric that no configuration can describe.
    """
    if not model.built:
        raise KCompileError(f"model {model.name!r} is not built, so it has no weights: call it on data, or build it")
    check_names(model)
    fitting, reason = dialect_for(model)
    chosen = dialect or fitting
    if fitting == TF_KERAS and dialect == KERAS_3:
        raise KCompileError(f"model {model.name!r} uses {reason}, which Keras 3 does not have; write it in dialect '2'")
    if fitting == TF_KERAS and dialect is None:
        warn(
            f"model {model.name!r} uses {reason}, which Keras 3 does not have; the file is written for tf.keras 2.13 "
            "and later"
        )
    config = archive_config(model, chosen)
    compiled = training_config(model, for_hdf5=False) if include_optimizer else None
    config["compile_config"] = None if compiled is None else _compile_config(model, compiled, chosen)
    now = datetime.datetime.now(tz=datetime.UTC).strftime("%Y-%m-%d@%H:%M:%S")
    metadata: dict[str, Any] = {"keras_version": VERSIONS[chosen], "date_saved": now, OWN: __version__}
    if compiled is not None:
        metadata[OWN_TRAINING] = compiled  # in our words, some of which other versions do not have

    def write(root: h5py.Group) -> None:
        write_weights(root, model, chosen == KERAS_3, Layout.KERAS_3 if chosen == KERAS_3 else Layout.TF_KERAS)
        root.attrs[training_state.ATTRIBUTE] = json.dumps(training_state.state_of(model)).encode()
        if chosen == TF_KERAS:
            _write_added_metrics(root, model)
        if compiled is not None:
            write_optimizer(root, model, chosen)

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(METADATA, json.dumps(metadata))
        archive.writestr(CONFIG, json.dumps(config, allow_nan=False))
        archive.writestr(WEIGHTS, hdf5_bytes(write))
    return buffer.getvalue()


def check_names(layer: Layer) -> None:
    """Refuse names that HDF5 has no text for.

    Raises:
        ValueError: the name of a layer, or of one inside it, holds the character NUL.
    """
    for inner in layer.layer_and_those_inside():
        if "\0" in inner.name:
            raise KCompileError(
                f"layer {inner.name!r} ({type(inner).__name__}) cannot be saved: its name holds the character NUL, "
                "which no text in HDF5 can; give it another name, or save the weights as .npz"
            )


def _write_added_metrics(root: h5py.Group, model: Network) -> None:
    """The state of the means behind ``model.add_metric``, without which tf.keras refuses the archive: nothing yet."""
    added = [layer for layer in model.layers if isinstance(layer, AddMetric)]
    for number in range(len(added)):
        group = root.create_group(f"metrics/mean{f'_{number}' if number else ''}/vars")
        for part in ("0", "1"):
            group.create_dataset(part, data=np.float32(0))


def _compile_config(model: Network, compiled: Mapping[str, Any], dialect: str) -> dict[str, Any]:
    optimizer = {"class_name": type(model.optimizer).__name__, "config": model.optimizer.get_config()}
    config = {
        "optimizer": described(optimizer, "optimizer", dialect),
        "loss": described(compiled["loss"], "loss", dialect),
        "metrics": described(compiled["metrics"], "metric", dialect),
        "weighted_metrics": described(compiled["weighted_metrics"], "metric", dialect),
        "loss_weights": compiled["loss_weights"],
        "run_eagerly": False,
        "steps_per_execution": compiled["steps_per_execution"] or 1,
        "jit_compile": False,
    }
    if dialect == KERAS_3:
        config["auto_scale_loss"] = True
        for key in ("metrics", "weighted_metrics"):
            config[key] = _with_functions(config[key])
    return config


def _with_functions(item: Json) -> Any:
    """Metrics with the functions in them as Keras 3 has them: it does not look for a name there."""
    if isinstance(item, list):
        return [_with_functions(part) for part in item]
    if not isinstance(item, Mapping):
        return item
    if item.get("class_name") != "MeanMetricWrapper" or not isinstance(item["config"].get("fn"), str):
        return {key: _with_functions(part) for key, part in item.items()} if "class_name" not in item else item
    name = item["config"]["fn"]
    function = {"module": "builtins", "class_name": "function", "config": name, "registered_name": name}
    return {**item, "config": {**item["config"], "fn": function}}


def weights_bytes(model: Network) -> bytes:
    """The bytes of a ``.weights.h5`` file in the layout of Keras 3."""
    check_names(model)
    return hdf5_bytes(lambda root: write_weights(root, model))


# ---- reading


def read_archive(
    source: Contents, custom_objects: Mapping[str, Any] | None = None, compile: bool = True, safe_mode: bool = True
) -> Any:
    """The model in an archive; see :func:`kcompile.saving.models.load_model`."""
    with open_zip(source) as archive:
        metadata = _metadata(archive)
        config = read_json(archive.read(CONFIG, CONFIG_BYTES), f"{archive.file}: {CONFIG}")
        weights = _weights(archive)
        label = archive.file
    if not isinstance(config, dict):
        raise DamagedFileError(f"{label}: {CONFIG} does not describe a model")
    version = metadata["keras_version"]
    compiled, compiled_by = config.pop("compile_config", None), version
    if OWN in metadata:
        config = with_own_meaning(config)
    if isinstance(own := metadata.get(OWN_TRAINING), dict):
        compiled, compiled_by = own, OWN_VERSION
    with open_hdf5(weights) as root:
        root.file = label
        text = root.text(training_state.ATTRIBUTE)
        state = training_state.parse(text, f"{label}: {training_state.ATTRIBUTE}")
        convention = training_state.convention_in(state, config, version)
        with loading(Loading(label, root.declared, state.get("seeds"))), conventions.as_written(convention):
            model = model_from_config(config, custom_objects, version, safe_mode)
        if not isinstance(model, Network):
            raise KCompileError(f"{label} holds a layer, {type(model).__name__}, not a model")
        read_weights(root, model, config)
        training_state.restore(model, state)
        has_optimizer = compile and _compile(root, model, config, compiled, custom_objects, compiled_by, safe_mode)
        training_state.restore_shuffling(model, state)
    model.loaded = LoadedFrom(label, version, "", has_optimizer)
    return model


_OPTIMIZER_KEYS = {"optimizer", "optimizer_config"}


def _compile(
    root: StoredGroup, model: Any, config: Json, compiled: Json, custom_objects: Mapping[str, Any] | None, version: str,
    safe_mode: bool,
) -> bool:  # fmt: skip
    """Compile as the file says; whether the optimizer's state could be read."""
    if not compiled:
        return False
    nameless = False
    if isinstance(compiled, dict) and "loss" in compiled and compiled.keys().isdisjoint(_OPTIMIZER_KEYS):
        nameless = True
        warn(
            f"{root.file} does not tell its optimizer, which Keras 3 forgets when a model is saved as .h5 first; the "
            "model is compiled with Keras' default, rmsprop: call compile to choose another",
            UserWarning,
        )
        compiled = {**compiled, "optimizer": "rmsprop"}
    if not compile_as(model, compiled, custom_objects, version, safe_mode, root.file) or nameless:
        return False
    try:
        read_optimizer(root, model, config)
    except (DamagedFileError, UnsafeFileError):
        raise
    except KCompileError as error:
        warn(f"{error}; training starts with a fresh optimizer", UserWarning)
        return False
    return True


def _metadata(archive: StoredZip) -> dict[str, Any]:
    """The version of Keras that wrote an archive, and what we add if we did."""
    metadata = read_json(archive.read(METADATA, CONFIG_BYTES), f"{archive.file}: {METADATA}")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("keras_version"), str):
        raise DamagedFileError(f"{archive.file}: {METADATA} names no keras_version")
    return metadata


def _weights(archive: StoredZip) -> bytes:
    if WEIGHTS not in archive and "model.weights.npz" in archive:
        raise KCompileError(f"{archive.file} holds its weights as npz, which is not supported; save them as HDF5")
    return archive.read(WEIGHTS, int(MEMORY_SHARE * free_memory()))


def read_archive_weights(source: Contents, model: Network, skip_mismatch: bool = False) -> None:
    """Load the weights of a whole model into one of the same architecture.

    Raises:
        ValueError: weights that do not fit; a damaged or unsafe file.
    """
    with open_zip(source) as archive:
        config = read_json(archive.read(CONFIG, CONFIG_BYTES), f"{archive.file}: {CONFIG}")
        weights = _weights(archive)
        label = archive.file
    names = {layer.name for layer in model.layers}
    known = _names(config)
    with open_hdf5(weights) as root:
        root.file = label
        read_weights(root, model, config if known and known <= names else None, skip_mismatch)


def _names(config: Json) -> set[str]:
    """The names of the layers in a model's configuration, without input layers."""
    inner = config.get("config") if isinstance(config, Mapping) else None
    layers = inner.get("layers") if isinstance(inner, Mapping) else None
    entries = [item for item in layers if isinstance(item, Mapping)] if isinstance(layers, list) else []
    return {str(entry_name(item)) for item in entries if item.get("class_name") != "InputLayer"}


def read_weights_file(source: Contents | h5py.Group, model: Network, skip_mismatch: bool = False) -> None:
    """Load a ``.weights.h5`` file in the layout of Keras 3.

    Raises:
        ValueError: weights that do not fit; a damaged or unsafe file.
    """
    with open_hdf5(source) as root:
        read_weights(root, model, None, skip_mismatch)
