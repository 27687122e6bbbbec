"""Who may read and write variables: one lock for those that are used together, so that models run at the same time.

The rule:

- Variables that a program reads or writes get a guard in common when it is compiled, if they have none yet; so all that
  one model needs, and all that shares a variable with it, is behind one lock, and two models that share nothing never
  wait for each other. A variable keeps its guard for ever.
- A program that needs variables of several guards (models that were compiled before something joined them) takes them
  in the order of their numbers. Who holds guards calls no code of users, and takes no others, except for a moment
  the last of all: that of variables which have none of their own. So nobody waits in a circle.
- A fork takes all of them, so that no thread is between a run and its commit; see :mod:`kcompile.runtime.forks`.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Protocol
from weakref import WeakSet

_numbers = itertools.count()


class Guard:
    """A lock, and its place in the order in which several are taken."""

    __slots__ = ("__weakref__", "lock", "number")

    def __init__(self, number: float) -> None:
        self.lock = threading.RLock()
        self.number = number


NOBODYS = Guard(float("inf"))
"""That of variables which no program has used yet; held while guards are handed out."""

_guards: WeakSet[Guard] = WeakSet()


class Guarded(Protocol):
    """What has a guard: the storage of a variable."""

    guard: Guard


def together(guarded: Iterable[Guarded]) -> contextlib.AbstractContextManager[object]:
    """What a program holds while it runs on these variables; those without a guard get one in common."""
    items = list(guarded)
    if not items:
        return contextlib.nullcontext()
    with NOBODYS.lock:
        found = {item.guard.number: item.guard for item in items if item.guard is not NOBODYS}
        if not found:
            made = Guard(next(_numbers))
            _guards.add(made)
            found[made.number] = made
        first = found[min(found)]
        for item in items:
            if item.guard is NOBODYS:
                item.guard = first
    locks = [found[number].lock for number in sorted(found)]
    return locks[0] if len(locks) == 1 else _Several(locks)


class _Several:
    """Several locks, held together."""

    def __init__(self, locks: Sequence[threading.RLock]) -> None:
        self._locks = locks

    def __enter__(self) -> None:
        with contextlib.ExitStack() as taken:  # Ctrl-C may come in between
            for lock in self._locks:
                taken.enter_context(lock)
            taken.pop_all()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for lock in reversed(self._locks):
            lock.release()


_held: list[Guard] = []


def hold_all() -> None:
    """Take all guards there are: nobody runs, reads, writes, or makes another guard until :func:`release_all`."""
    taken: list[Guard] = []
    while True:
        with NOBODYS.lock:
            new = sorted(_guards.difference(taken), key=lambda guard: guard.number)
            if not new:
                NOBODYS.lock.acquire()
                taken.append(NOBODYS)
                break
        for guard in new:  # made later than those before, so that the order is kept
            guard.lock.acquire()
        taken += new
    _held[:] = taken


def release_all() -> None:
    """Give back what :func:`hold_all` took."""
    taken = _held[:]
    _held.clear()
    for guard in reversed(taken):
        guard.lock.release()
