"""The shape of a configuration, checked before anything reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from kcompile.common import limits
from kcompile.common.errors import DataTypeError, shown
from kcompile.common.limits import UnsafeFileError

Json: TypeAlias = Mapping[str, Any] | list[Any] | str | float | None
"""What stands in a file that anybody may have written: nothing of it is sure."""


def check_structure(config: Any, what: str = "the configuration") -> None:
    """Refuse what is nested too deep, contains itself, or is too large once shared parts are written out.

    Parts that occur several times (aliases in YAML) count each time, but are walked once, so that this takes time
    in the size of the data and not of what it expands to.

    Args:
        config: lists and dicts in each other; anything else is a leaf.
        what: what to call it in messages.

    Raises:
        ValueError: naming the limit.
        TypeError: a key that is not a string.
    """
    sizes: dict[int, int] = {}  # of lists and dicts that are done, by id, with everything inside them
    depths: dict[int, int] = {}
    path: set[int] = set()
    stack: list[tuple[Any, bool]] = [(config, False)]
    while stack:
        item, leaving = stack.pop()
        if not isinstance(item, (Mapping, list, tuple)):
            continue
        children = list(item.values()) if isinstance(item, Mapping) else list(item)
        if leaving:
            path.discard(id(item))
            sizes[id(item)] = 1 + sum(sizes.get(id(child), 1) for child in children)
            depths[id(item)] = 1 + max((depths.get(id(child), 0) for child in children), default=0)
            if depths[id(item)] > limits.CONFIG_DEPTH:
                raise UnsafeFileError(f"{what} is nested deeper than the {limits.CONFIG_DEPTH} levels that are allowed")
            if sizes[id(item)] > limits.CONFIG_VALUES:
                raise UnsafeFileError(f"{what} stands for more than the {limits.CONFIG_VALUES} values that are allowed")
            continue
        if id(item) in path:
            raise UnsafeFileError(f"{what} contains itself")
        if id(item) in sizes:
            continue
        if len(path) > 2 * limits.CONFIG_DEPTH:
            raise UnsafeFileError(f"{what} is nested deeper than the {limits.CONFIG_DEPTH} levels that are allowed")
        if isinstance(item, Mapping):
            for key in item:
                if not isinstance(key, (str, int, float, bool)) and key is not None:
                    raise DataTypeError(f"{what} has a key that is not a string: {shown(key)}")
        path.add(id(item))
        stack.append((item, True))
        stack += [(child, False) for child in children]
