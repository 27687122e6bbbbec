"""How a caller gives what a file does not hold: in the words of Python or, for commands, in those of their options."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

_command: ContextVar[bool] = ContextVar("of_a_command", default=False)


@contextlib.contextmanager
def of_a_command() -> Iterator[None]:
    """Inside, messages name the options of ``kcompile convert`` and ``kcompile inspect``."""
    token = _command.set(True)
    try:
        yield
    finally:
        _command.reset(token)


def to_give(name: str) -> str:
    """A class or function under ``name``."""
    if _command.get():
        return f"{name!r} of a file given with --custom-objects FILE.py"
    return f"custom_objects={{{name!r}: {name if name.isidentifier() else '...'}}}"


def to_trust() -> str:
    """That code of the file is run."""
    return "--unsafe-lambdas" if _command.get() else "safe_mode=False"


def to_add_an_architecture() -> str:
    """The model whose weights the file holds."""
    return "give it with --arch" if _command.get() else "make the model, then call its load_weights"
