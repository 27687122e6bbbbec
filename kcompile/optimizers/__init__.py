"""Optimizers: how gradients change weights."""

from __future__ import annotations

from typing import Any

from kcompile.errors import KCompileError, unknown_name
from kcompile.optimizers.base import Optimizer
from kcompile.optimizers.rules import SGD, Adadelta, Adagrad, Adam, Adamax, Nadam, RMSprop

sgd, rmsprop, adagrad, adadelta, adam, adamax, nadam = SGD, RMSprop, Adagrad, Adadelta, Adam, Adamax, Nadam

_CLASSES: dict[str, type[Optimizer]] = {
    cls.__name__.lower(): cls for cls in (SGD, RMSprop, Adagrad, Adadelta, Adam, Adamax, Nadam)
}


def serialize(optimizer: Optimizer) -> dict[str, Any]:
    """Class name and configuration."""
    return {"class_name": type(optimizer).__name__, "config": optimizer.get_config()}


def deserialize(config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
    """An optimizer from :func:`serialize`.

    Raises:
        ValueError: an unknown class.
    """
    name = config["class_name"]
    cls = (custom_objects or {}).get(name) or _CLASSES.get(str(name).lower())
    if cls is None:
        raise unknown_name("optimizer", name, _CLASSES)
    return cls.from_config(config.get("config", {}))


def get(identifier: Any) -> Any:
    """An optimizer from a name, a configuration, or an optimizer.

    Raises:
        ValueError: an unknown name (with near matches), or something else.
    """
    if isinstance(identifier, str):
        return deserialize({"class_name": identifier, "config": {}})
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, type) and issubclass(identifier, Optimizer):
        return identifier()
    if hasattr(identifier, "get_updates"):
        return identifier
    raise KCompileError(f"optimizer must be a name, a configuration or an Optimizer, got {identifier!r}")


__all__ = [
    "SGD", "Adadelta", "Adagrad", "Adam", "Adamax", "Nadam", "Optimizer", "RMSprop", "adadelta", "adagrad", "adam",
    "adamax", "deserialize", "get", "nadam", "rmsprop", "serialize", "sgd",
]  # fmt: skip
