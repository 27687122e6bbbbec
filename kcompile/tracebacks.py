"""Tracebacks that show the user's lines: those of this package in between are left out of errors that users cause.

A bug of kcompile keeps its whole traceback; so does everything with the environment variable
``KCOMPILE_FULL_TRACEBACKS=1``, which may be set while a program runs.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar, cast

from kcompile.errors import KCompileError
from kcompile.ir.core import IRError

Function = TypeVar("Function", bound=Callable[..., Any])

ENVIRONMENT = "KCOMPILE_FULL_TRACEBACKS"
_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_LIBRARIES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}", os.path.dirname(os.__file__) + os.sep)


def short_traceback(function: Function) -> Function:
    """A door of the package: errors that leave through it show the frames of its callers and of their functions."""

    @functools.wraps(function)
    def door(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True  # for pytest and IPython
        try:
            return function(*args, **kwargs)
        except Exception as error:
            if not shortened(error):
                raise
            raise error.with_traceback(error.__traceback__) from error.__cause__

    return cast(Function, door)


def shortened(error: BaseException) -> bool:
    """Leave the package's frames out of the traceback of ``error``, and its own errors out of the causes.

    Returns:
        whether that was done: not for bugs of the package.
    """
    if os.environ.get(ENVIRONMENT, "0") not in ("", "0") or not _of_the_user(error):
        return False
    error.__traceback__ = _without_own_frames(error.__traceback__)
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if isinstance(cause, (KCompileError, IRError)) or (cause is not None and not _of_the_user(cause)):
        error.__cause__ = None  # its sentence is part of this one
    return True


def _of_the_user(error: BaseException) -> bool:
    """Whether a user can do something about it: our sentences, and what users' own functions raise."""
    if isinstance(error, (KCompileError, IRError, OSError)):
        return True
    files = [name for name in _files(error.__traceback__) if not any(part in name for part in _LIBRARIES)]
    return bool(files) and not files[-1].startswith(_PACKAGE)


def _files(traceback: TracebackType | None) -> list[str]:
    found = []
    while traceback is not None:
        found.append(traceback.tb_frame.f_code.co_filename)
        traceback = traceback.tb_next
    return found


def _without_own_frames(traceback: TracebackType | None) -> TracebackType | None:
    if traceback is None:
        return None
    rest = _without_own_frames(traceback.tb_next)
    if traceback.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        return rest
    return TracebackType(rest, traceback.tb_frame, traceback.tb_lasti, traceback.tb_lineno)
