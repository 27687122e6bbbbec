"""Arguments of layers and methods by the names that Keras 1 has for them; which these are, stands in
:mod:`kcompile.objects.dialects.keras1_names`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar, cast

from kcompile.common.errors import DataTypeError, listed, warn
from kcompile.objects.dialects.keras1_names import METHODS, Row, of_steps, rows_of, sample_shape

Init = TypeVar("Init", bound=Callable[..., None])


def understands_keras_1(init: Init) -> Init:
    """A decorator of constructors, after which they take Keras 1's names too, with a warning that tells the new ones.

    The constructor then raises ``TypeError`` for an argument that is given by both names.
    """
    order = list(inspect.signature(init).parameters)[1:]

    @functools.wraps(init)
    def translated(self: Any, *args: Any, **kwargs: Any) -> None:
        rows, steps = rows_of(type(self)), of_steps(type(self))
        if "input_dim" in kwargs and steps is not None:
            kwargs["input_shape"] = sample_shape(kwargs, steps)
        found = {id(row): row for name in kwargs if (row := rows.get(name)) and all(old in kwargs for old in row.old)}
        if not found:
            init(self, *args, **kwargs)
            return
        taken, sizes = {*order[: len(args)], *kwargs}, args[1:]
        by_position = order[1:2] == ["kernel_size"] and "kernel_size" not in kwargs
        if by_position and _are_sizes(sizes, getattr(self, "rank", 1)):
            args, taken = args[:1], {*order[:2], *kwargs}
        else:
            sizes = ()
        init(self, *args, **_translated(type(self).__name__, list(found.values()), kwargs, taken, sizes))

    return cast(Init, translated)


def _are_sizes(values: Sequence[Any], rank: int) -> bool:
    """Whether arguments by position are a kernel's rows and columns: to Keras 1 each is an argument of its own."""
    return rank > 1 and len(values) == rank and all(isinstance(value, int) for value in values)


def _translated(
    owner: str, rows: Collection[Row], kwargs: Mapping[str, Any], taken: Collection[str], kernel: tuple[int, ...]
) -> dict[str, Any]:
    old = [name for row in rows for name in row.old]
    found = {name: value for name, value in kwargs.items() if name not in old}
    told = []
    if kernel:
        found["kernel_size"] = kernel
        told.append(f"kernel_size={kernel!r}")
    for row in rows:
        value = row.value(owner, kwargs, stored=False)
        for new in row.new:
            if new in taken:
                raise DataTypeError(f"{owner} got {new!r} twice: {listed(row.old)} is Keras 1's name of it")
            found[new] = value
            told.append(f"{new}={value!r}" if not callable(value) else f"{new}=...")
    instead = f"; write {owner}({', '.join(told)})" if told else ""
    one = len(old) == 1
    kind = "an argument" if one else "arguments"
    warn(f"{owner}: {listed(old)} {'is' if one else 'are'} {kind} of Keras 1{instead}", UserWarning)
    return found


def by_old_names(method: str, kwargs: dict[str, Any], **values: Any) -> tuple[Any, ...]:
    """The values of arguments of a method, in order, some of which may have been given by Keras 1's names.

    Args:
        method: its name. kwargs: what else it was given, from which old names are taken out.
        values: what it was given by the new names.
    """
    old = {new: old for old, new in METHODS[method].items()}
    return tuple(kwargs.pop(old[new]) if old.get(new) in kwargs else value for new, value in values.items())
