"""What a layer keeps: the layers, variables and metrics among its attributes, also those in lists and dictionaries.

Attributes are looked through when somebody asks, so that containers stay what they are: what is appended, replaced or
removed later counts. The order is that of tf.keras: attributes in the order in which they got their present values,
the items of dictionaries by their keys.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType
from typing import Any

import numpy as np

from kcompile.common.cached import cached
from kcompile.common.lists import unique
from kcompile.objects.registry import is_ours
from kcompile.symbolic.variable import Variable

TRACKED_ROLES = ("weight", "statistic", "metric")
"""Roles of variables that are weights of what keeps them."""

_CONTAINERS = (list, tuple, deque, set, frozenset, Mapping)
_PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes, np.ndarray, FunctionType})


class Tracked:
    """What layers keep as attributes: other layers, and metrics.

    Attributes:
        counts_as_metric: whether it is a metric, which is no part of a layer's structure.
    """

    counts_as_metric = False


class Group:
    """A container among the attributes of a layer, with what it holds of interest: layers, variables and groups."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def flat(self) -> Iterator[Any]:
        """The layers and variables, without the groups around them."""
        for item in self.items:
            if isinstance(item, Group):
                yield from item.flat()
            else:
                yield item


_TRACKABLE = (Tracked, Variable, *_CONTAINERS)


def attributes_of(layer: Any) -> list[Any]:
    """Layers, metrics and groups among the attributes of a layer; variables only where they lie in groups."""
    internal = internal_names(type(layer))
    found = []
    for name, value in vars(layer).items():
        if type(value) in _PLAIN or name in internal:
            continue
        item = held(value)
        if item is not None and not isinstance(item, Variable):
            found.append(item)
    return found


def layers_among(kept: list[Any], metrics: bool = False) -> list[Any]:
    """The layers themselves and those in groups, each once; metrics are no part of a layer's structure."""
    flat = [item for each in kept for item in (each.flat() if isinstance(each, Group) else [each])]
    return unique(item for item in flat if not isinstance(item, Variable) and (metrics or not item.counts_as_metric))


def held(value: Any, inside: tuple[int, ...] = ()) -> Any:
    """A layer or variable itself, a container as a group; ``None`` for everything else."""
    if isinstance(value, Tracked):
        return value
    if isinstance(value, Variable):
        return value if value.variable.role in TRACKED_ROLES else None
    if not isinstance(value, _CONTAINERS) or not value or id(value) in inside:
        return None
    items = _items(value)
    if _PLAIN.issuperset(map(type, items)):
        return None
    found = [item for item in (held(each, (*inside, id(value))) for each in items) if item is not None]
    return Group(found) if found else None


def _items(container: Any) -> Any:
    """What is in a container, in an order that does not depend on the process."""
    if isinstance(container, Mapping):
        try:
            return [container[key] for key in sorted(container)]
        except TypeError:  # keys that have no order
            return list(container.values())
    if isinstance(container, (set, frozenset)):
        return sorted(container, key=lambda item: str(getattr(item, "name", "")))
    return container


def variables_in(value: Any) -> list[Variable]:
    """The variables in a value of an attribute: itself, or those in the container that it is."""
    if isinstance(value, Variable):
        return [value] if value.variable.role in TRACKED_ROLES else []
    if not isinstance(value, _CONTAINERS):
        return []
    group = held(value)
    return [item for item in group.flat() if isinstance(item, Variable)] if isinstance(group, Group) else []


def is_trackable(value: Any) -> bool:
    """Whether a value of an attribute can hold layers or variables, now or later."""
    return isinstance(value, _TRACKABLE)


@cached
def internal_names(cls: type) -> frozenset[str]:
    """The attributes with a leading underscore that the code of this package itself uses in a class.

    What lies there (the stack of a Sequential, states, what was compiled) is not what a user gave the layer to keep.
    """
    found: set[str] = set()
    for base in cls.__mro__:
        if is_ours(base):
            for value in vars(base).values():
                functions = (value.fget, value.fset) if isinstance(value, property) else (value,)
                for function in functions:
                    code = getattr(getattr(function, "__func__", function), "__code__", None)
                    if isinstance(code, CodeType):
                        found |= _names_in(code)
    return frozenset(name for name in found if name.startswith("_"))


def _names_in(code: CodeType) -> set[str]:
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= _names_in(constant)
    return found
