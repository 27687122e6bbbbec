"""What modules export that gather the layers of others, which say in their ``__all__`` which ones they have."""

from __future__ import annotations

from collections.abc import Collection
from types import ModuleType
from typing import Any


def export(namespace: dict[str, Any], *modules: ModuleType, more: Collection[str] = ()) -> None:
    """Make the ``__all__`` of a module: what ``modules`` export, and ``more``.

    It is made where type checkers do not see it, since not all of them can add up lists of other modules. Without one,
    they take all names of ``from ... import *`` for exported, which is the same.
    """
    namespace["__all__"] = sorted({name for module in modules for name in module.__all__}.union(more))
