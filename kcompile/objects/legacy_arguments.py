"""Arguments of layers by the names that Keras 1 has for them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

from kcompile.common.errors import DataTypeError, listed, warn

Converted = tuple[str | None, Any]
"""The present name and value of an argument; no name: it has nothing to say any more."""


def understands_keras_1(
    names: Mapping[str, str], special: Mapping[str, Callable[[str, Any], Converted]] | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A decorator of constructors, after which they take Keras 1's names too, with a warning that tells the new ones.

    Args:
        names: the present name for each of Keras 1's.
        special: for arguments whose values changed too: a function from the layer's class and the value to the
            present name and value.

    The constructor then raises ``TypeError`` for an argument that is given by both names.
    """

    def decorate(init: Callable[..., None]) -> Callable[..., None]:
        order = list(inspect.signature(init).parameters)[1:]

        @functools.wraps(init)
        def translated(self: Any, *args: Any, **kwargs: Any) -> None:
            old = [key for key in kwargs if key in names or key in (special or {})]
            if old:
                taken = {*order[: len(args)], *kwargs}
                kwargs = _translated(type(self).__name__, old, kwargs, taken, names, special or {})
            init(self, *args, **kwargs)

        return translated

    return decorate


def _translated(
    owner: str,
    old: list[str],
    kwargs: dict[str, Any],
    taken: Collection[str],
    names: Mapping[str, str],
    special: Mapping[str, Callable[[str, Any], Converted]],
) -> dict[str, Any]:
    found = dict(kwargs)
    told = []
    for key in old:
        value = found.pop(key)
        new, value = special[key](owner, value) if key in special else (names[key], value)
        if new is None:
            continue
        if new in taken:
            raise DataTypeError(f"{owner} got {new!r} twice: {key!r} is Keras 1's name of it")
        found[new] = value
        told.append(f"{new}={value!r}" if not callable(value) else f"{new}=...")
    instead = f"; write {owner}({', '.join(told)})" if told else ""
    one = len(old) == 1
    kind = "an argument" if one else "arguments"
    warn(f"{owner}: {listed(old)} {'is' if one else 'are'} {kind} of Keras 1{instead}", UserWarning)
    return found
