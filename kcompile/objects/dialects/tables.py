"""What versions of Keras call differently: names, arguments that say nothing, defaults that changed; a part of
:mod:`kcompile.objects.dialects.reader`."""

from __future__ import annotations

import enum
import functools
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from kcompile.common.errors import KCompileError
from kcompile.objects.registry import kind_of


class Generation(enum.Enum):
    """Versions of Keras between which a spelling changed its meaning."""

    KERAS_1 = 1
    KERAS_2 = 2
    TF_KERAS = 2.5
    KERAS_3 = 3


# ---- names

KERAS = ("keras", "tf_keras", "keras_core", "tensorflow", "builtins", "kcompile")
"""The packages whose classes have ours as counterparts."""

MARKERS = (
    "__tuple__", "TensorShape", "__keras_tensor__", "__numpy__", "__tensor__", "__lambda__", "__slice__", "__bytes__",
    "__ellipsis__", "SeedGenerator",
)  # fmt: skip
POLICIES = ("DTypePolicy", "FloatDTypePolicy", "Policy", "PolicyV1")
ARRAY_DTYPES = (
    "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool",
)  # fmt: skip
KIND_OF_MODULE = {
    "layers": "layer", "initializers": "initializer", "regularizers": "regularizer", "constraints": "constraint",
    "losses": "loss", "metrics": "metric", "optimizers": "optimizer",
}  # fmt: skip

ACTIVATIONS_OF_KERAS_3 = {"hard_sigmoid": "hard_sigmoid_v3"}
"""Activations of which Keras 3 changed the formula."""

RENAMED: dict[str, tuple[tuple[str, str], ...]] = {
    "LeakyReLU": (("negative_slope", "alpha"),),
    "InputLayer": (("batch_shape", "batch_input_shape"), ("input_dtype", "dtype")),
}

_ANY = object()
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    # Arguments of later versions (or of TensorFlow), with the values for which they change nothing.
    "quantization_config": (None,), "renorm": (False,), "renorm_clipping": (None,), "renorm_momentum": (_ANY,),
    "fused": (_ANY,), "virtual_batch_size": (None,), "adjustment": (None,), "synchronized": (False,),
    "ragged": (False, None), "sparse": (False, None), "optional": (False, None), "groups": (1,), "keepdims": (False,),
    "time_major": (False,), "zero_output_for_mask": (False,), "seed": (None,), "noise_shape": (None,),
    "autocast": (True,), "dynamic": (False,), "experimental_autocast": (True,), "implementation": (_ANY,),
    "input_axes": (None,), "output_axes": (None,), "return_state": (False,), "use_cudnn": (_ANY,),
    "dilation_rate": (1, (1,), (1, 1), (1, 1, 1)), "data_format": ("channels_last",), "interpolation": ("nearest",),
    "activity_regularizer": (None,), "dropout": (0, 0.0), "input_dtype": (_ANY,), "dtype": (_ANY,),
    "ignore_class": (None,), "fn": (_ANY,), "sparse_y_true": (True,), "sparse_y_pred": (True,), "axis": (-1,),
    "multi_label": (False,), "num_labels": (None,), "label_weights": (None,), "from_logits": (False,),
    "top_k": (None,), "class_id": (None,), "weight_decay": (None, 0, 0.0), "use_ema": (False,),
    "ema_momentum": (_ANY,), "ema_overwrite_frequency": (_ANY,), "jit_compile": (_ANY,),
    "is_legacy_optimizer": (_ANY,), "loss_scale_factor": (None,), "gradient_accumulation_steps": (None,),
    "momentum": (0, 0.0), "centered": (False,), "clipnorm": (None,), "global_clipnorm": (None,), "clipvalue": (None,),
    "decay": (0, 0.0),
}  # fmt: skip


def says_nothing(key: str, value: Any, found: Any) -> bool:
    """Whether an argument that our class does not have can be left out without changing what is computed."""
    if key not in _NEUTRAL or key in _accepted(found):
        return False
    value = tuple(value) if isinstance(value, list) else value
    return any(neutral is _ANY or (type(neutral) is type(value) and neutral == value) for neutral in _NEUTRAL[key])


@functools.cache
def _accepted(found: Any) -> frozenset[str]:
    """The names of the arguments of a class: its own, and those of its bases where it hands others on."""
    names = set(getattr(found, "_allowed", ()))
    if kind_of(found) == "optimizer":
        names |= {"learning_rate", "clipnorm", "global_clipnorm", "clipnorm_each", "clipvalue", "name"}
    for base in found.__mro__ if isinstance(found, type) else ():
        if "__init__" in base.__dict__ and base is not object:
            parameters = inspect.signature(base.__dict__["__init__"]).parameters
            names |= set(parameters)
            if all(each.kind is not inspect.Parameter.VAR_KEYWORD for each in parameters.values()):
                break
    return frozenset(names)


# ---- defaults that changed


def _change_gru(config: dict[str, Any], generation: Generation) -> None:
    config.setdefault("reset_after", False)  # what there was before the argument


LSTMS = ("LSTM", "LSTMCell")
OWN_IMPLEMENTATION = "kcompile_implementation"


def _change_lstm(config: dict[str, Any], generation: Generation) -> None:
    own = config.pop(OWN_IMPLEMENTATION, None)
    if own is not None:
        config["implementation"] = own
    elif generation in (Generation.TF_KERAS, Generation.KERAS_3) and config.get("recurrent_dropout"):
        config["implementation"] = 1  # one mask for each gate, whatever the argument says


CONV_LSTMS = ("ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")
OWN_TIME_MAJOR = "kcompile_time_major"


def _change_conv_lstm(config: dict[str, Any], generation: Generation) -> None:
    own = config.pop(OWN_TIME_MAJOR, None)
    if own is not None:
        config["time_major"] = own
    elif generation is Generation.TF_KERAS and config.get("time_major"):
        raise KCompileError(
            f"layer {config.get('name')!r} is a ConvLSTM with time_major=True, by which tf.keras takes some axes and "
            "not others: there is no such layer here; save it with time_major=False"
        )


def with_own_meaning(config: Any) -> Any:
    """The configuration of an archive that we wrote, in which arguments mean what they mean here."""
    if isinstance(config, Mapping):
        inner, name = config.get("config"), config.get("class_name")
        if name in LSTMS and isinstance(inner, Mapping) and "implementation" in inner:
            config = {**config, "config": {**inner, OWN_IMPLEMENTATION: inner["implementation"]}}
        if name in CONV_LSTMS and isinstance(inner, Mapping) and "time_major" in inner:
            config = {**config, "config": {**inner, OWN_TIME_MAJOR: inner["time_major"]}}
        return {key: with_own_meaning(value) for key, value in config.items()}
    return [with_own_meaning(item) for item in config] if isinstance(config, list) else config


def change_optimizer(name: str, config: dict[str, Any], generation: Generation) -> None:
    """Optimizers were written anew in tf.keras, with other meanings of two arguments."""
    if generation not in (Generation.TF_KERAS, Generation.KERAS_3):
        return
    if config.get("clipnorm") is not None:
        config["clipnorm_each"] = config.pop("clipnorm")  # of every gradient alone, not of all together
    schedule = config.get("learning_rate")
    if isinstance(schedule, Mapping) and schedule.get("class_name") == "InverseTimeDecay":
        _change_schedule(config, schedule.get("config"))
    legacy = generation is Generation.TF_KERAS and config.pop("is_legacy_optimizer", True)
    if name.lower() == "nadam":
        config.setdefault("schedule_decay", config.pop("decay", 0.004) if legacy else 1.0)
    if name.lower() in ("rmsprop", "adagrad") and not legacy:
        config.setdefault("epsilon_in_root", True)


def _change_schedule(config: dict[str, Any], schedule: Any) -> None:
    """Later optimizers have a schedule for what ``decay`` is here."""
    if not isinstance(schedule, Mapping) or schedule.get("staircase") or not schedule.get("decay_steps"):
        raise KCompileError("the learning rate schedule InverseTimeDecay with staircase=True is not supported")
    config["learning_rate"] = schedule.get("initial_learning_rate")
    config["decay"] = schedule.get("decay_rate", 0.0) / schedule["decay_steps"]


def _change_zero_padding_1d(config: dict[str, Any], generation: Generation) -> None:
    if config.pop("data_format", "channels_last") != "channels_last":
        raise KCompileError(
            f"layer {config.get('name')!r} (ZeroPadding1D): only data_format='channels_last' is supported"
        )


JOINS = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate")


def joined_masks(generation: Generation, keras_version: str | None) -> str:
    """How a version joins the masks of the inputs of :data:`JOINS`, see :mod:`kcompile.layers.base.joined_masks`."""
    before = keras_version is not None and re.match(r"\s*3\.[0-3](\D|$)", keras_version)
    return "any" if generation is Generation.KERAS_3 and not before else "all"


CHANGES: dict[str, Callable[[dict[str, Any], Generation], None]] = {
    "GRU": _change_gru,
    "GRUCell": _change_gru,
    "LSTM": _change_lstm,
    "LSTMCell": _change_lstm,
    **dict.fromkeys(CONV_LSTMS, _change_conv_lstm),
    "ZeroPadding1D": _change_zero_padding_1d,
}
