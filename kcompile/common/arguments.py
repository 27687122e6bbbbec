"""Arguments of methods: their names, also those that Keras 1 used."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def legacy(kwargs: dict[str, Any], old: str, value: Any) -> Any:
    """The argument that Keras 1 calls ``old``, taken out of ``kwargs``; ``value`` if it was not given by that name."""
    return kwargs.pop(old) if old in kwargs else value


def arguments_of(method: Callable[..., Any]) -> list[str]:
    """The names that a method takes."""
    return [name for name in inspect.signature(method).parameters if name not in ("self", "kwargs")]
