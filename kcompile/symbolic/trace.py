"""Code that is being traced: where its assignments go, and what its variables are."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, Protocol

from kcompile import ir


class Recorder(Protocol):
    """What symbolic assignments go to."""

    def append(self, pair: Any, /) -> None:
        """Take note that the variable gets that value: a pair of a variable and a tensor."""


class Trace(Recorder, Protocol):
    """A step of a user's own that is being traced; see :mod:`kcompile.symbolic.step_trace`."""

    def read(self, variable: Any) -> ir.Value | None:
        """What stands for the variable after the assignments so far; ``None``: it itself."""

    def gradients(self, targets: Sequence[Any], sources: Sequence[Any]) -> list[Any]:
        """The gradients of the sum of ``targets``, tensors, or ``None`` where there is none."""

    def branch(self, condition: Any, then: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
        """Both branches, joined by the condition, and what they assign."""

    def seed(self, of: Any = None) -> int:
        """The next seed of a layer's stream of seeds, or of the step itself."""


_recorded: ContextVar[Recorder | None] = ContextVar("recorded", default=None)
_trace: ContextVar[Trace | None] = ContextVar("trace", default=None)


def current_trace() -> Trace | None:
    """The step that is being traced in this context, if any."""
    return _trace.get()


def current_recorder() -> Recorder | None:
    """Where assignments in this context go, if they are not made at once."""
    return _recorded.get()


@contextlib.contextmanager
def tracing(trace: Trace) -> Iterator[None]:
    """Inside, variables, assignments and gradients are those of ``trace``."""
    tokens = _trace.set(trace), _recorded.set(trace)
    try:
        yield
    finally:
        _trace.reset(tokens[0])
        _recorded.reset(tokens[1])


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """Inside, variables are read and assigned now, also while a step is traced: for what builds weights."""
    tokens = _trace.set(None), _recorded.set(None)
    try:
        yield
    finally:
        _trace.reset(tokens[0])
        _recorded.reset(tokens[1])


@contextlib.contextmanager
def recorded_updates() -> Iterator[list[tuple[Any, Any]]]:
    """Inside, ``variable.assign`` collects symbolic updates, pairs, in the list instead of changing the variable."""
    updates: list[tuple[Any, Any]] = []
    token = _recorded.set(updates)
    try:
        yield updates
    finally:
        _recorded.reset(token)
