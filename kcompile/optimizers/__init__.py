"""Optimizers: how gradients change weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kcompile.common.absent_names import absent
from kcompile.common.errors import DataTypeError, KCompileError
from kcompile.objects.lookup import Config, Identifier, deserialized, lookup
from kcompile.objects.making import names_of, serialize_keras_object
from kcompile.objects.registry import register
from kcompile.optimizers import rules
from kcompile.optimizers.base import Optimizer
from kcompile.optimizers.rules import *
from kcompile.optimizers.rules import SGD, Adadelta, Adagrad, Adam, Adamax, Nadam, RMSprop

sgd, rmsprop, adagrad, adadelta, adam, adamax, nadam = SGD, RMSprop, Adagrad, Adadelta, Adam, Adamax, Nadam

_CLASSES = names_of(vars(rules), Optimizer)
register("optimizer", {**_CLASSES, **{name.lower(): cls for name, cls in _CLASSES.items()}})


def serialize(optimizer: Optimizer) -> Any:
    """Class name and configuration."""
    return serialize_keras_object(optimizer)


def deserialize(config: Config, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """An optimizer from :func:`serialize`.

    Raises:
        ValueError: an unknown class.
    """
    return deserialized(config, "optimizer", custom_objects)


def get(identifier: Identifier | Optimizer) -> Any:
    """An optimizer from a name, a configuration, or an optimizer.

    Raises:
        ValueError: an unknown name (with near matches). TypeError: something else.
    """
    if isinstance(identifier, Optimizer) or (hasattr(identifier, "get_updates") and not isinstance(identifier, type)):
        return identifier
    if callable(identifier) and not isinstance(identifier, type):
        raise DataTypeError(f"optimizer must be a name, a configuration or an Optimizer, got {identifier!r}")
    found = lookup(identifier, "optimizer")
    if found is None:
        raise DataTypeError("optimizer must be a name, a configuration or an Optimizer, got None")
    return found


class TFOptimizer:
    """Keras 2's wrapper of an optimizer object of TensorFlow, which cannot exist here; making one says what to do.

    Raises:
        ValueError: always.
    """

    def __init__(self, optimizer: Any = None) -> None:
        raise KCompileError(
            f"TFOptimizer wraps an optimizer of TensorFlow, got {type(optimizer).__name__}, but kcompile runs without "
            "TensorFlow; use an optimizer of kcompile.optimizers, or subclass Optimizer and define get_updates"
        )


__getattr__ = absent(__name__)

__all__ = [
    *rules.__all__, "Optimizer", "TFOptimizer", "adadelta", "adagrad", "adam", "adamax", "deserialize", "get", "nadam",
    "rmsprop", "serialize", "sgd",
]  # fmt: skip
