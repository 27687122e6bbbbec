"""The classes and functions that a configuration can name, by kind. Nothing else is ever looked up.

This file knows no family of them: each registers its table, and is loaded when its kind is first asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Hashable, Mapping
from typing import Any

HOMES: dict[str, tuple[str, ...]] = {
    "layer": ("kcompile.layers", "kcompile.models"),
    "activation": ("kcompile.activations",),
    "initializer": ("kcompile.initializers",),
    "regularizer": ("kcompile.regularizers",),
    "constraint": ("kcompile.constraints",),
    "loss": ("kcompile.losses",),
    "metric": ("kcompile.metrics",),
    "optimizer": ("kcompile.optimizers",),
    "backend": ("kcompile.backend",),
}
"""The modules that register what there is of a kind, in this order."""

KINDS = tuple(kind for kind in HOMES if kind != "backend")
"""The kinds of what files can name."""

_ORDER = tuple(HOMES)
_tables: dict[str, dict[str, Any]] = {kind: {} for kind in HOMES}
_kinds: dict[Any, str] = {}
"""What is ours: classes, with all from which they derive, and functions."""

_loaded: set[str] = set()


def register(kind: str, table: Mapping[str, Any]) -> None:
    """Add the classes and functions of a family to those of its kind, by the names that files have for them."""
    _tables[kind].update(table)
    claim(kind, *table.values())


def claim(kind: str, *items: Any) -> None:
    """Note classes (with those from which they derive) and functions as ours; for the few that no file can name.

    What is of several kinds is of the first: layers are the base of metrics too, and losses serve as metrics.
    """
    for item in items:
        for own in item.__mro__[:-1] if isinstance(item, type) else (item,):
            _kinds[own] = min(kind, _kinds.get(own, kind), key=_ORDER.index)


def known(kind: str) -> Mapping[str, Any]:
    """What there is of one kind, by name."""
    if kind not in _loaded:
        for home in HOMES[kind]:
            importlib.import_module(home)
        _loaded.add(kind)
    return _tables[kind]


def find(name: str, kind: str | None) -> Any:
    """The class or function of that name, or ``None``; without a kind, in all tables."""
    for each in KINDS if kind is None else (kind, "layer") if kind == "activation" else (kind,):
        table = known(each)
        if name in table:
            return table[name]
        near = in_any_case(name, table) if kind not in (None, "layer") and each != "layer" else None
        if near is not None:
            return table[near]
    return None


def names(kind: str | None) -> list[str]:
    """The names that :func:`find` knows, for "did you mean"."""
    return [name for each in (KINDS if kind is None else (kind,)) for name in known(each)]


def in_any_case(name: str, table: Mapping[str, Any], configured: bool = False) -> str | None:
    """The name of the table that differs from ``name`` in upper and lower case only, as in Keras 2.3; or ``None``.

    ``configured``: there are arguments with it, so that of a class and a function the class is meant.
    """
    found = [key for key in table if key.lower() == name.lower()]
    wanted = [key for key in found if isinstance(table[key], type) == configured]
    return next(iter(wanted or found), None)


def kind_of_key(key: str) -> str | None:
    """The kind of what a configuration holds under a key, as far as the key tells."""
    for kind in ("initializer", "regularizer", "constraint", "activation"):
        if key == kind or key.endswith(f"_{kind}"):
            return kind
    if key in ("layer", "layers", "forward_layer", "backward_layer", "cell", "cells"):
        return "layer"
    return {"optimizer": "optimizer", "optimizer_config": "optimizer"}.get(key)


# ---- what is ours, and what is a user's own


def kind_of(item: Any) -> str | None:
    """The kind of a class or function of ours; ``None`` for all else, such as a user's class that derives from ours."""
    if item is object or not isinstance(item, Hashable):
        return None
    if item not in _kinds:
        for kind in KINDS:
            known(kind)
    return _kinds.get(item)


def is_ours(item: Any) -> bool:
    """Whether a class or function is one of this package."""
    return kind_of(item) is not None


def our_base(cls: type) -> type:
    """The class itself, or the first from which it derives, that is ours; ``object`` if none is."""
    return next((base for base in cls.__mro__ if is_ours(base)), object)


def users_own(cls: type, name: str) -> bool:
    """Whether a user wrote what a class has under a name, and it is not of a class of ours from which that derives."""
    definer = next((base for base in cls.__mro__ if name in vars(base)), object)
    return definer is not object and not is_ours(definer)
