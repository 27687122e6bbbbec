"""Tracebacks that show the user's lines: those of this package in between are left out of errors that users cause.

A bug of kcompile keeps its whole traceback; so does everything with the environment variable
``KCOMPILE_FULL_TRACEBACKS=1``, which may be set while a program runs.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, TypeVar, cast

from kcompile.common.errors import KCompileError
from kcompile.ir.errors import IRError

Function = TypeVar("Function", bound=Callable[..., Any])

ENVIRONMENT = "KCOMPILE_FULL_TRACEBACKS"
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_LIBRARIES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}", os.path.dirname(os.__file__) + os.sep)
_WRONG_CALL = re.compile(  # of a Python function, as Python says it
    r"([\w.<>]+)\(\) (?:takes (?:from )?\d+ .*positional arguments? but |missing \d+ required |"
    r"got an unexpected keyword argument |got multiple values for argument )"
)
_NOT_OF_USERS = ("kcompile", "builtins", "numpy", "h5py", "onnx", "onnxruntime")
_NO_FILES = ("<frozen ", "<__array_function__")


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
            raise error

    return cast(Function, door)


def shortened(error: BaseException) -> bool:
    """Leave the package's frames out of the traceback of ``error``, and what the package caught out of its causes.

    Causes that a user's function caught stay, and so does what a user's function raised; of these, too, only the user's
    frames.

    Returns:
        whether that was done: not for bugs of the package.
    """
    if os.environ.get(ENVIRONMENT, "0") not in ("", "0") or not _of_the_user(error):
        return False
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        cause = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
        frames = list(_frames(link.__traceback__))
        told = cause if cause is not None and _is_told_already(cause) else None
        if told is not None:  # its sentence is part of this one, and its frames go on where the package caught it
            cause = link.__cause__ = None
            frames += _frames(told.__traceback__)
        if _of_the_user(link):
            link.__traceback__ = _without_own_frames(frames)
        link = cause
    return True


def _is_told_already(cause: BaseException) -> bool:
    """Whether the package caught ``cause``, which starts at the frame that catches it, and it is not a user's error."""
    if cause.__traceback__ is None or not _own(cause.__traceback__):
        return False
    if isinstance(cause, (KCompileError, IRError)) or _wrong_call_of_the_user(cause):
        return True
    return not _of_the_user(cause)


def _of_the_user(error: BaseException) -> bool:
    """Whether a user can do something about it: our sentences, and what users' own functions raise."""
    if isinstance(error, (KCompileError, IRError, OSError, NotImplementedError)):
        return True
    if _wrong_call_of_the_user(error):
        return True
    files = [own for frame in _frames(error.__traceback__) if (own := _whose(frame)) is not None]
    if isinstance(error, RecursionError) and True in files:
        return False in files[files.index(True) :]  # wherever the last frame was
    return bool(files) and not files[-1]


def _wrong_call_of_the_user(error: BaseException) -> bool:
    """Whether a user's function takes other arguments than it is given: an error that has no frame of the function."""
    wrong = _WRONG_CALL.match(str(error)) if isinstance(error, TypeError) else None
    if wrong is None:
        return False
    first = wrong[1].partition(".")[0]
    ours = [module for name, module in list(sys.modules.items()) if name.partition(".")[0] in _NOT_OF_USERS]
    return not any(first in getattr(module, "__dict__", ()) for module in ours)


def _frames(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def _own(frame: TracebackType) -> bool:
    return frame.tb_frame.f_code.co_filename.startswith(_PACKAGE)


def _whose(frame: TracebackType) -> bool | None:
    """True for the package's, False for users', None for those of libraries and of Python."""
    if _own(frame):
        return True
    name = frame.tb_frame.f_code.co_filename
    if any(part in name for part in _LIBRARIES) or name.startswith(_NO_FILES) or name.endswith((".pyx", ".pxi")):
        return None
    return False


def _without_own_frames(frames: list[TracebackType]) -> TracebackType | None:
    """Also without those of libraries that the package calls; those that users call tell them what was wrong."""
    kept, inside = [], False
    for frame in frames:
        whose = _whose(frame)
        inside = inside if whose is None else whose
        if not inside:
            kept.append(frame)
    rest: TracebackType | None = None
    for frame in reversed(kept):  # there can be thousands
        rest = TracebackType(rest, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    return rest
