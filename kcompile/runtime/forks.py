"""Processes that fork: what ONNX Runtime has in memory is of no use in the child, whose threads are not there.

A child makes its sessions anew when it first uses them. Those of the parent are never freed there: that would wait
for threads for ever. A fork waits until no other thread is between a run and its commit.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any
from weakref import WeakSet

from kcompile.runtime.guards import hold_all, release_all

_sessions: WeakSet[Any] = WeakSet()


class _Forks:
    """How many forks lie between this process and the one that imported this module; whether it had sessions."""

    count = 0
    had_sessions = False


def forks() -> int:
    """A number that is another one in a forked process than in its parent."""
    return _Forks.count


def note(session: Any) -> None:
    """An ONNX Runtime session was made in this process."""
    _sessions.add(session)
    _Forks.had_sessions = True


def _in_child() -> None:
    _Forks.count += 1
    if _Forks.had_sessions:
        _leave_at_once()
    for session in list(_sessions):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(session))
    _sessions.clear()
    release_all()


def _leave_at_once() -> None:
    """Let this process end when Python has: ONNX Runtime's own end would wait for the threads of the parent."""
    system = ctypes.CDLL(None)
    if hasattr(system, "on_exit"):  # of glibc: what it calls gets the exit status
        system.on_exit(ctypes.cast(system._exit, ctypes.c_void_p), None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=hold_all, after_in_parent=release_all, after_in_child=_in_child)
