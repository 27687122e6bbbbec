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
from kcompile.objects.dialects import keras3_names
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


def says_nothing(key: str, value: Any, found: Any) -> bool:
    """Whether an argument that our class does not have can be left out without changing what is computed."""
    return keras3_names.says_nothing(key, value) and key not in _accepted(found)


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
