"""What ``compile`` was told, as files hold it: of Keras 1, Keras 2, tf.keras and Keras 3.

The form is that of ``training_config`` in HDF5 files. Two keys are ours, which Keras ignores:
``steps_per_execution`` (tf.keras has it too, outside of files) and ``on_nan``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kcompile.engine.training import Model
from kcompile.errors import KCompileError, shown
from kcompile.utils.generic_utils import CustomObjectScope, get_custom_objects

_OPTIMIZER_DEFAULTS = {
    "weight_decay": (None, 0, 0.0),
    "use_ema": (False, None),
    "loss_scale_factor": (None,),
    "gradient_accumulation_steps": (None, 1),
}
"""Arguments of later optimizers that ours do not have, with the values that change nothing."""

_OPTIMIZER_IGNORED = ("ema_momentum", "ema_overwrite_frequency", "jit_compile", "is_legacy_optimizer")
"""Arguments that mean nothing without others, or not to how weights change."""


# ---- writing


def training_config(model: Model) -> dict[str, Any] | None:
    """The arguments of ``compile``, of plain values only; ``None`` if the model was not compiled.

    Raises:
        ValueError: a loss or metric without a name.
    """
    given = model._compile_arguments
    if given is None:
        return None
    optimizer = model.optimizer
    return {
        "optimizer_config": {"class_name": type(optimizer).__name__, "config": plain(optimizer.get_config())},
        "loss": _described(given["loss"]),
        "metrics": _described(given["metrics"]),
        "weighted_metrics": _described(given["weighted_metrics"]),
        "sample_weight_mode": plain(given["sample_weight_mode"]),
        "loss_weights": plain(given["loss_weights"]),
        "steps_per_execution": given["steps_per_execution"],
        "on_nan": model.on_nan,
    }


def _described(item: Any) -> Any:
    """Names and configurations in place of functions and objects, in the lists and dictionaries that were given."""
    if item is None or isinstance(item, str):
        return item
    if isinstance(item, Mapping):
        return {str(key): _described(value) for key, value in item.items()}
    if isinstance(item, (list, tuple)):
        return [_described(value) for value in item]
    if isinstance(item, type):
        return item.__name__
    if not hasattr(item, "get_config"):
        name = getattr(item, "__name__", "")
        if not name or name == "<lambda>":
            raise KCompileError(
                f"{shown(item)} has no name under which a file could refer to it; define a function with def, or save "
                "with include_optimizer=False"
            )
        return name
    config = plain(item.get_config())
    function = getattr(item, "_fn", None) or getattr(item, "fn", None)
    if type(item).__name__ in ("MeanMetricWrapper", "LossFunctionWrapper") and function is not None:
        config["fn"] = _described(function)
    return {"class_name": type(item).__name__, "config": config}


def plain(value: Any) -> Any:
    """A configuration without NumPy's types, which JSON does not know."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    return value


# ---- reading


def compile_arguments(
    config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None, keras_version: str | None = None
) -> dict[str, Any]:
    """The arguments of ``compile`` from a ``training_config`` of any version.

    Raises:
        ValueError: an unknown optimizer, loss or metric, or an option of the optimizer that ours does not have.
    """
    from kcompile import losses

    if not isinstance(config, Mapping):
        raise KCompileError(f"the training configuration must be a dictionary, got {shown(config)}")
    with CustomObjectScope(custom_objects or {}), _explained():
        arguments = {
            "optimizer": _optimizer(config.get("optimizer_config", config.get("optimizer"))),
            "loss": _objects(config.get("loss"), losses.deserialize),
            "metrics": _objects(config.get("metrics"), _metric),
            "weighted_metrics": _objects(config.get("weighted_metrics"), _metric),
        }
    arguments["loss_weights"] = config.get("loss_weights")
    arguments["sample_weight_mode"] = config.get("sample_weight_mode")
    if (steps := config.get("steps_per_execution")) not in (None, 1):
        arguments["steps_per_execution"] = steps
    if "on_nan" in config:
        arguments["on_nan"] = config["on_nan"]
    return arguments


@contextlib.contextmanager
def _explained() -> Any:
    """Errors with what to do: a model is of use without its training configuration."""
    try:
        yield
    except KCompileError as error:
        raise type(error)(
            f"the training configuration of the file cannot be read: {error} Give what is missing in custom_objects, "
            "or use load_model(..., compile=False)"
        ) from error


def _optimizer(config: Any) -> Any:
    from kcompile import optimizers

    if isinstance(config, str):
        return optimizers.deserialize(config)
    if not isinstance(config, Mapping) or not isinstance(config.get("class_name"), str):
        raise KCompileError(f"the optimizer must be a class name and a configuration, got {shown(config)}")
    name = config["class_name"].rpartition(">")[2]
    options = dict(config.get("config") or {})
    for option, harmless in _OPTIMIZER_DEFAULTS.items():
        if (value := options.pop(option, None)) not in harmless:
            raise KCompileError(f"optimizer {name!r} of the file has {option}={value!r}, which kcompile does not have.")
    for option in _OPTIMIZER_IGNORED:
        options.pop(option, None)
    if isinstance(options.get("learning_rate"), Mapping):
        schedule = options["learning_rate"].get("class_name", "schedule")
        raise KCompileError(
            f"optimizer {name!r} of the file has the learning rate schedule {schedule}, which kcompile does not have; "
            "use a LearningRateScheduler callback."
        )
    if name == "Nadam" and "decay" in options:  # tf.keras' name of the schedule's decay
        options.setdefault("schedule_decay", options.pop("decay"))
    if options.get("epsilon", 0) is None:
        options.pop("epsilon")
    return optimizers.deserialize({"class_name": name, "config": options})


def _objects(item: Any, make: Callable[[Any], Any]) -> Any:
    """Losses or metrics in the lists and dictionaries of the file."""
    if item is None:
        return None
    if isinstance(item, str):
        return get_custom_objects().get(item, item)  # other names are for compile, which may choose by the output
    if isinstance(item, Mapping) and "class_name" in item:
        return make(item)
    if isinstance(item, Mapping):
        return {key: _objects(value, make) for key, value in item.items()}
    if isinstance(item, (list, tuple)):
        return [_objects(value, make) for value in item]
    raise KCompileError(f"a loss or metric must be a name or a configuration, got {shown(item)}")


def _metric(config: Mapping[str, Any]) -> Any:
    from kcompile import metrics

    name, options = config["class_name"], config.get("config")
    if str(name).rpartition(">")[2] == "MeanMetricWrapper" and isinstance(options, Mapping) and "fn" in options:
        # A function that compile wrapped, which tf.keras writes so once the model has been trained.
        options = dict(options)
        return metrics.MeanMetricWrapper(metrics.deserialize(options.pop("fn")), **options)
    return metrics.deserialize(config)
