"""Nested structures: tuples, lists and dictionaries with tensors (or sizes, shapes) at their leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any


def is_nested(x: Any) -> bool:
    """Whether ``x`` is a tuple, list or dictionary. A shape that answers ``as_list`` is a leaf, as in TensorFlow."""
    return isinstance(x, (list, tuple, Mapping)) and not hasattr(x, "as_list")


def flatten(structure: Any) -> list[Any]:
    """The leaves, from left to right; those of a dictionary in the order of its sorted keys."""
    if not is_nested(structure):
        return [structure]
    items = [structure[key] for key in sorted(structure)] if isinstance(structure, Mapping) else structure
    return [leaf for item in items for leaf in flatten(item)]


def pack(structure: Any, leaves: Sequence[Any]) -> Any:
    """``leaves`` in the form of ``structure``.

    Raises:
        ValueError: another number of leaves.
    """
    waiting = iter(leaves)
    try:
        packed = _packed(structure, waiting)
    except StopIteration:
        raise ValueError(f"{structure!r} has {len(flatten(structure))} leaves, got {len(leaves)}") from None
    if next(waiting, waiting) is not waiting:
        raise ValueError(f"{structure!r} has {len(flatten(structure))} leaves, got {len(leaves)}")
    return packed


def map_structure(function: Callable[..., Any], structure: Any) -> Any:
    """``function`` of every leaf, in the form of ``structure``."""
    return pack(structure, [function(leaf) for leaf in flatten(structure)])


def _packed(structure: Any, leaves: Iterator[Any]) -> Any:
    if not is_nested(structure):
        return next(leaves)
    if isinstance(structure, Mapping):
        found = {key: _packed(structure[key], leaves) for key in sorted(structure)}
        return type(structure)((key, found[key]) for key in structure)  # type: ignore[call-arg]  # dict, OrderedDict
    items = [_packed(item, leaves) for item in structure]
    return type(structure)(*items) if hasattr(structure, "_fields") else type(structure)(items)
