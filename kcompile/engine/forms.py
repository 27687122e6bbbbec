"""The forms of what goes into models and layers and what comes out: tensors in lists and dictionaries, also nested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kcompile.common.errors import DataTypeError, ShapeError, listed, shown, warn
from kcompile.common.nest import flatten, is_nested, map_structure, pack


def form_of(structure: Any) -> Any:
    """The structure, if it is more than one thing or a list of things; else ``None``.

    Raises:
        TypeError: a key that is no string.
    """
    if isinstance(structure, Mapping):
        for key in structure:
            if not isinstance(key, str):
                raise DataTypeError(f"inputs and outputs in dictionaries have strings as keys, got {shown(key)}")
    nested = isinstance(structure, (list, tuple)) and any(is_nested(item) for item in structure)
    return map_structure(lambda item: None, structure) if nested or isinstance(structure, Mapping) else None


def names_of(form: Any, default: Sequence[str]) -> list[str]:
    """The keys of a dictionary of single things, sorted as their places are; else ``default``."""
    flat = isinstance(form, Mapping) and not any(is_nested(item) for item in form.values())
    return sorted(form) if flat else list(default)


def taken(inputs: Any, kind: type) -> tuple[list[Any], Any]:
    """What a layer is called on: tensors (of class ``kind``) or arrays, and their form if that is no list.

    Lists of numbers are arrays.
    """
    items = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    if isinstance(inputs, Mapping):
        form_of(inputs)  # checks the keys
        items = [inputs[key] for key in sorted(inputs)]
    if any(isinstance(item, Mapping) or (isinstance(item, (list, tuple)) and _holds(item, kind)) for item in items):
        return flatten(inputs), map_structure(lambda item: None, inputs)
    return items, dict.fromkeys(inputs) if isinstance(inputs, Mapping) else None


def _holds(items: Sequence[Any], kind: type) -> bool:
    return any(isinstance(leaf, kind) for leaf in flatten(items))


def arranged(form: Any, items: Sequence[Any], several: bool) -> Any:
    """Things in a form; where there is none in a list, or the only one itself."""
    if form is not None:
        return pack(form, items)
    return list(items) if several or len(items) > 1 else items[0]


def by_name(given: Mapping[str, Any], names: Sequence[str], model: str) -> Any:
    """The inputs of a model that is called on a dictionary, in the model's order: a list, or the only one.

    Raises:
        ValueError: one is missing.
    """
    missing = [name for name in names if name not in given]
    if missing:
        raise ShapeError(
            f"model {model!r} takes the inputs {listed(names)}; it is called on a dictionary without {listed(missing)}"
        )
    rest = [key for key in given if key not in names]
    if rest:
        warn(f"model {model!r} has no inputs {listed(rest)}: what it is called on under these names is not used")
    found = [given[name] for name in names]
    return found if len(found) > 1 else found[0]
