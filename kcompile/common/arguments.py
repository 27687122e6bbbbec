"""Arguments of methods."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def arguments_of(method: Callable[..., Any]) -> list[str]:
    """The names that a method takes."""
    return [name for name in inspect.signature(method).parameters if name not in ("self", "kwargs")]
