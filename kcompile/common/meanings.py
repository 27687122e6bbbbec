"""What the names in a user's function meant when it was called.

A function made in a loop (``Lambda(lambda t: t[:, k:k + 1])``) reads ``k`` when it runs. The front end runs functions
again later: in a model that is called as a layer, in copies, at the next shape of a batch. What the names meant at the
first call is kept here, so that a model computes the same in all its uses.
"""

from __future__ import annotations

import dis
import functools
import types
from collections.abc import Callable, Sequence
from typing import Any

_NOTHING = object()


class Meanings:
    """A function, and what its free names (of closures and of its module) mean now.

    Args:
        function: what ``isinstance(function, types.FunctionType)``; see :func:`meant_now` for other callables.
    """

    def __init__(self, function: types.FunctionType, known: dict[int, Meanings] | None = None) -> None:
        known = {} if known is None else known
        known[id(function)] = self
        self.function = function
        names = function.__globals__
        self.globals = {name: names[name] for name in _names(function.__code__) if name in names}
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        self.cells = {name: _content(cell) for name, cell in cells}
        self.helpers = {
            id(value): known.get(id(value)) or Meanings(value, known)
            for value in (*self.globals.values(), *self.cells.values())
            if _is_users(value) and value is not function
        }
        self.helpers[id(function)] = self

    def changed(self, seen: set[int] | None = None) -> bool:
        """Whether a name means something else by now."""
        seen = set() if seen is None else seen
        if id(self) in seen:
            return False
        seen.add(id(self))
        now = self.function.__globals__
        if any(not _same(now.get(name, _NOTHING), value) for name, value in self.globals.items()):
            return True
        cells = zip(self.cells.values(), self.function.__closure__ or (), strict=True)
        if any(not _same(_content(cell), value) for value, cell in cells):
            return True
        return any(helper.changed(seen) for helper in self.helpers.values())

    def differs(self, other: Meanings) -> str | None:
        """The name of a variable that means something else in ``other``, if that is the same function."""
        if other.function is not self.function:
            return None
        theirs = {**other.globals, **other.cells}
        for name, value in {**self.globals, **self.cells}.items():
            if not _same(value, theirs.get(name, _NOTHING)):
                return name
        return None

    def then(self) -> types.FunctionType:
        """The function with its names as they were: itself if they still mean the same."""
        return self._restored({}) if self.changed() else self.function

    def _restored(self, made: dict[int, types.FunctionType]) -> types.FunctionType:
        if id(self) in made:
            return made[id(self)]
        old, written = self.function, _written(self.function.__code__)
        cells = tuple(
            cell if name in written else types.CellType()
            for name, cell in zip(self.cells, old.__closure__ or (), strict=True)
        )
        new = types.FunctionType(old.__code__, dict(old.__globals__), old.__name__, old.__defaults__, cells)
        new.__kwdefaults__, new.__qualname__ = old.__kwdefaults__, old.__qualname__
        new.__dict__.update(old.__dict__, __wrapped__=old)
        made[id(self)] = new

        def meaning(value: Any) -> Any:
            helper = self.helpers.get(id(value))
            return value if helper is None else helper._restored(made)

        new.__globals__.update({name: meaning(v) for name, v in self.globals.items() if name not in written})
        for cell, (name, value) in zip(cells, self.cells.items(), strict=True):
            if name not in written and value is not _NOTHING:
                cell.cell_contents = meaning(value)
        return new


def meant_now(function: Any) -> Callable[[], Any]:
    """A callable that gives ``function`` with the present meanings of its names, whenever it is asked.

    Functions of this package and callables without names of their own are given as they are.
    """
    if isinstance(function, functools.partial):
        inner = meant_now(function.func)
        return lambda: _if_other(inner(), function.func, function, _partial_of(function))
    if isinstance(function, types.MethodType):
        owner, method = function.__self__, meant_now(function.__func__)
        return lambda: _if_other(method(), function.__func__, function, lambda new: types.MethodType(new, owner))
    return Meanings(function).then if _is_users(function) else lambda: function


def as_meant_now(function: Any) -> Any:
    """``function`` itself, or what calls it with the present meanings of its names."""
    target = function
    while isinstance(target, (functools.partial, types.MethodType)):
        target = target.func if isinstance(target, functools.partial) else target.__func__
    if not _is_users(target):
        return function
    then = meant_now(function)

    def held(*args: Any, **kwargs: Any) -> Any:
        return then()(*args, **kwargs)

    functools.update_wrapper(held, function)
    held.is_held_for = function  # type: ignore[attr-defined]
    return held


def as_it_is(function: Any) -> Any:
    """The user's function in what :func:`as_meant_now` made of it."""
    return getattr(function, "is_held_for", function)


def _is_users(value: Any) -> bool:
    """Whether ``value`` is a Python function that is none of ours, nor of a package that users do not write."""
    if not isinstance(value, types.FunctionType):
        return False
    package = (value.__module__ or "").partition(".")[0]
    return package not in ("kcompile", "numpy", "builtins")


@functools.lru_cache(maxsize=1024)
def _names(code: types.CodeType) -> tuple[str, ...]:
    """The names that a function reads from its module, attributes' names among them: those are no harm."""
    inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return tuple(dict.fromkeys([*code.co_names, *(name for part in inner for name in _names(part))]))


@functools.lru_cache(maxsize=1024)
def _written(code: types.CodeType) -> frozenset[str]:
    """The names outside itself that a function assigns (``global``, ``nonlocal``): those stay what they are."""
    operations = ("STORE_GLOBAL", "DELETE_GLOBAL", "STORE_DEREF", "DELETE_DEREF")
    own = {i.argval for i in dis.get_instructions(code) if i.opname in operations}
    inner = [_written(constant) for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return frozenset(own.union(*inner))


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return _NOTHING


def _same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    return type(a) is type(b) and isinstance(a, (int, float, str, bytes, bool, complex)) and a == b


def _if_other(new: Any, old: Any, unchanged: Any, changed: Callable[[Any], Any]) -> Any:
    return unchanged if new is old else changed(new)


def _partial_of(function: functools.partial[Any]) -> Callable[[Any], Any]:
    arguments: Sequence[Any] = function.args
    return lambda new: functools.partial(new, *arguments, **function.keywords)
