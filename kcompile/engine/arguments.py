"""Arguments of methods: their names, also those that Keras 1 used."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def legacy(kwargs: dict[str, Any], old: str, new: str, value: Any) -> Any:
    """Keras 1's name of an argument."""
    return kwargs.pop(old) if old in kwargs else value


def arguments_of(method: Callable[..., Any]) -> list[str]:
    """The names that a method takes."""
    return [name for name in inspect.signature(method).parameters if name not in ("self", "kwargs")]
