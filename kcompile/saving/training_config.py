"""What ``compile`` was told, as files hold it: of Keras 1, Keras 2, tf.keras and Keras 3.

The form is that of ``training_config`` in HDF5 files. Two keys are ours, which Keras ignores:
``steps_per_execution`` (tf.keras has it too, outside of files) and ``on_nan``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kcompile import losses, metrics, optimizers
from kcompile.common.errors import KCompileError, UnknownNameError, did_you_mean, shown, warn
from kcompile.common.limits import DamagedFileError, UnsafeFileError
from kcompile.engine.network import Network
from kcompile.losses import LossFunctionWrapper
from kcompile.metrics import MeanMetricWrapper
from kcompile.metrics.chosen import is_word
from kcompile.objects import registry as known
from kcompile.objects.configs import read, sentences
from kcompile.objects.custom import CustomObjectScope, get_registered_name, in_force
from kcompile.objects.dialects.keras3_names import LOSSES
from kcompile.objects.dialects.optimizers import for_all, from_all
from kcompile.objects.dialects.reader import Generation, generation_of, unknown_names
from kcompile.objects.plain import plain
from kcompile.objects.structure import Json
from kcompile.optimizers import Nadam
from kcompile.saving.metric_words import as_understood, chosen_by_shape
from kcompile.symbolic.tensor import Tensor

# ---- writing


def training_config(model: Network, for_hdf5: bool = True) -> dict[str, Any] | None:
    """The arguments of ``compile``, of plain values only; ``None`` if the model was not compiled.

    Args:
        model: the model. for_hdf5: the names of metrics begin with those of outputs, as tf.keras wants it in HDF5.

    Raises:
        ValueError: a loss or metric without a name.
    """
    given = model.fit_trainer.arguments
    if given is None:
        return None
    optimizer, own = _optimizer_config(model.optimizer)
    metrics: dict[str, Any] = {key: _described(getattr(given, key)) for key in ("metrics", "weighted_metrics")}
    if understood := as_understood(model, for_hdf5):
        metrics = {**metrics, **understood, OWN_METRICS: metrics}
    return {
        "optimizer_config": optimizer,
        **({OWN_OPTIONS: own} if own else {}),
        "loss": _with_full_names(_described(given.loss)),
        **metrics,
        "sample_weight_mode": plain(given.sample_weight_mode),
        "loss_weights": plain(_numbers_of(given.loss_weights)),
        "steps_per_execution": given.steps_per_execution,
        "on_nan": model.on_nan,
    }


def _numbers_of(given: Any) -> Any:
    """``loss_weights`` as plain numbers, as they are now."""
    if isinstance(given, Mapping):
        return {name: _numbers_of(value) for name, value in given.items()}
    if isinstance(given, (list, tuple)):
        return [_numbers_of(value) for value in given]
    return float(given.numpy()) if isinstance(given, Tensor) else given


OWN_OPTIONS = "kcompile_optimizer_options"
OWN_METRICS = "kcompile_metrics"
"""The metrics as they were given, where what other versions read says it otherwise."""


def _optimizer_config(optimizer: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Class and arguments, in the words that mean the same to later versions of Keras; and what only we can say."""
    config, own = for_all(plain(optimizer.get_config()), type(optimizer) is Nadam)
    return {"class_name": get_registered_name(type(optimizer)), "config": config}, own


def _with_full_names(loss: Any) -> Any:
    if isinstance(loss, str):
        return loss if loss in in_force() else LOSSES.get(loss.lower(), loss)
    if isinstance(loss, list):
        return [_with_full_names(item) for item in loss]
    if isinstance(loss, dict) and "class_name" not in loss:
        return {name: _with_full_names(item) for name, item in loss.items()}
    return loss


def _described(item: Any) -> Any:
    """Names and configurations in place of functions and objects, in the lists and dictionaries that were given."""
    if item is None or isinstance(item, str):
        return item
    if isinstance(item, Mapping):
        return {str(key): _described(value) for key, value in item.items()}
    if isinstance(item, (list, tuple)):
        return [_described(value) for value in item]
    if isinstance(item, type):
        return get_registered_name(item)
    if not hasattr(item, "get_config"):
        name = getattr(item, "__name__", "")
        if not name or name == "<lambda>":
            raise KCompileError(
                f"{shown(item)} has no name under which a file could refer to it; define a function with def, or save "
                "with include_optimizer=False"
            )
        return get_registered_name(item)
    config = plain(item.get_config())
    function = getattr(item, "_fn", None) or getattr(item, "fn", None)
    if type(item) in (MeanMetricWrapper, LossFunctionWrapper) and function is not None:
        config["fn"] = _described(function)
    return {"class_name": get_registered_name(type(item)), "config": config}


# ---- reading


def compile_as(
    model: Network,
    config: Json,
    custom_objects: Mapping[str, Any] | None = None,
    keras_version: str | None = None,
    safe_mode: bool = True,
    file: str = "the file",
) -> bool:
    """Compile ``model`` as a file says; whether that could be done.

    What only training needs does not keep a model from being loaded: a training configuration with something that is
    not known here leaves the model as it is, with a warning that tells what, and what to do.

    Raises:
        ValueError: a configuration that is damaged, or unsafe.
    """
    try:
        with sentences("it does not fit"), CustomObjectScope(custom_objects or {}):
            shapes = [tuple(y.shape) for y in model.outputs] if model.has_layer_graph else []
            names = model.output_names if model.has_layer_graph else []
            model.compile(**compile_arguments(config, custom_objects, keras_version, safe_mode, names, shapes))
    except (DamagedFileError, UnsafeFileError):
        raise
    except KCompileError as error:
        warn(
            f"the training configuration of {file} cannot be read: {str(error).rstrip('.')}. The model is loaded "
            "without it, and predicts: to train it call compile, or load it again with what is missing in "
            "custom_objects; compile=False leaves this warning out",
            UserWarning,
        )
        return False
    return True


def compile_arguments(
    config: Json,
    custom_objects: Mapping[str, Any] | None = None,
    keras_version: str | None = None,
    safe_mode: bool = True,
    output_names: Sequence[str] = (),
    output_shapes: Sequence[tuple[int | None, ...]] = (),
) -> dict[str, Any]:
    """The arguments of ``compile`` from a ``training_config`` of any version.

    Args:
        config: what the file holds.
        custom_objects: the user's own classes and functions by name.
        keras_version: who wrote it.
        safe_mode: refuse functions stored as bytecode.
        output_names: the model's outputs, whose names tf.keras puts before those of their metrics.
        output_shapes: their shapes, by which later versions choose what ``accuracy`` means.

    Raises:
        ValueError: an unknown optimizer, loss or metric, or an option of the optimizer that ours does not have.
    """
    if not isinstance(config, Mapping):
        raise DamagedFileError(f"the training configuration must be a dictionary, got {shown(config)}")

    if isinstance(own := config.get(OWN_METRICS), Mapping):
        config = {**config, **{key: own.get(key) for key in ("metrics", "weighted_metrics")}}

    def made(kind: str, deserialize: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda item: _made(read(item, custom_objects, keras_version, safe_mode, kind), deserialize)

    optimizer = _optimizer_of(config, custom_objects or {})
    metric = made("metric", metrics.deserialize)
    with CustomObjectScope(custom_objects or {}):
        arguments = {
            "optimizer": made("optimizer", optimizers.deserialize)(optimizer),
            "loss": _objects(config.get("loss"), made("loss", losses.deserialize), "loss"),
            "metrics": _objects(config.get("metrics"), metric, "metric"),
            "weighted_metrics": _objects(config.get("weighted_metrics"), metric, "metric"),
        }
    generation = generation_of(config, keras_version)
    for key in ("metrics", "weighted_metrics"):
        arguments[key] = _without_nothing(arguments[key])
        if generation is Generation.TF_KERAS and len(output_names) > 1:
            _without_output_names(arguments[key], output_names)
        if generation in (Generation.TF_KERAS, Generation.KERAS_3):
            arguments[key] = chosen_by_shape(arguments[key], arguments["loss"], output_names, output_shapes)
    arguments["loss_weights"] = config.get("loss_weights")
    arguments["sample_weight_mode"] = config.get("sample_weight_mode")
    if (steps := config.get("steps_per_execution")) not in (None, 1):
        arguments["steps_per_execution"] = steps
    if "on_nan" in config:
        arguments["on_nan"] = config["on_nan"]
    return arguments


def _optimizer_of(config: Mapping[str, Any], custom_objects: Mapping[str, Any]) -> Any:
    """The optimizer's configuration; tf.keras marks its own classes as custom ones."""
    found = config.get("optimizer_config", config.get("optimizer"))
    if isinstance(found, str):
        found = {"class_name": found, "config": {}}
    if not isinstance(found, Mapping) or not isinstance(found.get("class_name"), str):
        raise KCompileError(f"the training configuration of the file has no optimizer, but {shown(found)}")
    name, options = found["class_name"], found.get("config")
    if name.startswith("Custom>") and name not in custom_objects:
        name = name.removeprefix("Custom>")
    options = from_all(name, options, config.get(OWN_OPTIONS))
    return {**found, "class_name": name, "config": options or {}}


def _objects(item: Any, make: Callable[[Any], Any], kind: str) -> Any:
    """Losses or metrics in the lists and dictionaries of the file."""
    if item is None:
        return None
    if isinstance(item, str):
        return in_force().get(item, _known_name(item, kind))
    if isinstance(item, Mapping) and "class_name" in item:
        return make(item)
    if isinstance(item, Mapping):
        return {key: _objects(value, make, kind) for key, value in item.items()}
    if isinstance(item, (list, tuple)):
        return [_objects(value, make, kind) for value in item]
    raise KCompileError(f"a loss or metric must be a name or a configuration, got {shown(item)}")


def _known_name(name: str, kind: str) -> str:
    """A name as it is: compile may choose by the output what it stands for.

    Raises:
        UnknownNameError: it does not stand for anything, with what to do for a function of the user's own.
    """
    if name in in_force() or (kind == "metric" and is_word(name)):
        return name
    try:
        (losses if kind == "loss" else metrics).get(name)
    except UnknownNameError as error:
        raise unknown_names({name: (kind, did_you_mean(name, known.names(kind)))}) from error
    return name


def _without_nothing(metrics: Any) -> Any:
    """Metrics without the ``None`` that tf.keras writes into the list of an output that has none."""
    if isinstance(metrics, list):
        return [[m for m in item if m is not None] if isinstance(item, list) else item for item in metrics]
    if isinstance(metrics, dict):
        return {name: [m for m in _listed(item) if m is not None] for name, item in metrics.items()}
    return metrics


def _listed(item: Any) -> list[Any]:
    return item if isinstance(item, list) else [item]


def _without_output_names(metrics: Any, output_names: Sequence[str]) -> None:
    """Take the name of its output from each metric in a list of lists."""
    if not isinstance(metrics, list) or len(metrics) != len(output_names):
        return
    for output, items in zip(output_names, metrics, strict=True):
        for metric in items if isinstance(items, list) else []:
            if isinstance(getattr(metric, "name", None), str):
                metric.name = metric.name.removeprefix(f"{output}_")


def _made(item: Any, deserialize: Callable[[Any], Any]) -> Any:
    """The object of a configuration."""
    options = item.get("config") if isinstance(item, Mapping) else None
    wrapper = {"MeanMetricWrapper": metrics.MeanMetricWrapper, "LossFunctionWrapper": losses.LossFunctionWrapper}
    if isinstance(options, Mapping) and "fn" in options and item["class_name"] in wrapper:
        # A function that compile wrapped, which tf.keras writes so once the model has been trained.
        options = dict(options)
        return wrapper[item["class_name"]](deserialize(options.pop("fn")), **options)
    return deserialize(item)
