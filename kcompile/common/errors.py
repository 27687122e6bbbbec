"""Errors of the front end, and what their sentences are made of.

Every message is one sentence that names the argument or layer, what was expected, what was given and, where
it helps, what to do. All errors subclass the built-in that a Keras user would catch (``ValueError``;
``TypeError`` for wrong types), and are raised before any state changes.
"""

from __future__ import annotations

import difflib
import os
import sys
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np


class KCompileError(ValueError):
    """Base of every error that a user of kcompile can cause.

    Names in a message can come from files: what could steer a terminal is escaped, and what
    is too long is cut; lines are joined.
    """

    def __init__(self, message: object = "", *more: object) -> None:
        super().__init__(_printable(str(message)), *more)


class ShapeError(KCompileError):
    """A shape or rank that does not fit what a layer, loss or argument expects."""


class DataTypeError(KCompileError, TypeError):
    """A value whose type or dtype cannot be used; also caught by ``except TypeError``."""


class NotReadyError(KCompileError, RuntimeError):
    """A model or layer that must be compiled or built first; Keras raises RuntimeError."""


class UninitializedError(NotReadyError, AttributeError):
    """A layer or model whose class forgot ``super().__init__()``; tf.keras raises RuntimeError, later."""


class AbsentError(KCompileError, AttributeError):
    """An attribute that a layer, model or tensor does not have, or not yet; ``hint`` is asked for when it is shown."""

    def __init__(self, message: str, hint: Callable[[], str] | None = None) -> None:
        super().__init__(message)
        self._hint = hint

    def __str__(self) -> str:
        return super().__str__() + (self._hint() if self._hint else "")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self),)


class PlaceError(KCompileError, IndexError):
    """An index into a tensor that has no such place."""


class UnknownNameError(KCompileError):
    """A name (of a loss, layer, input, argument, ...) that does not exist."""


class DataError(KCompileError):
    """Data whose values or counts cannot be used: label out of range, sample counts that differ."""


class NoNumberError(KCompileError):
    """A tensor that depends on inputs of a model, used where its number is needed."""


_LONGEST = 2000  # characters of a message


def _printable(message: str) -> str:
    if len(message) > _LONGEST:
        message = f"{message[: _LONGEST - 400]} ... {message[-300:]}"
    if message.isprintable():
        return message
    return "".join(c if c.isprintable() else " " if c in "\n\t" else ascii(c)[1:-1] for c in message)


_FEW = 20  # more names than these are not listed when one of them is near
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def warn(message: str, category: type[Warning] = RuntimeWarning) -> None:
    """Issue a warning that points at the user's line: the innermost frame outside this package."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def did_you_mean(name: Any, options: Iterable[Any]) -> str:
    """Return ``"; did you mean 'adam'?"`` for the closest option, or an empty string when none is close."""
    candidates = [str(option) for option in options]
    wanted = str(name)
    lower = list(dict.fromkeys(candidate.lower() for candidate in candidates))
    swapped = [candidate for candidate in lower if sorted(candidate) == sorted(wanted.lower())]  # 'adma'
    close = swapped or difflib.get_close_matches(wanted.lower(), lower, n=1, cutoff=0.6)
    if not close:
        return ""
    # A name that exists in both spellings ('adam', 'Adam') is offered in the one that was typed.
    same = [candidate for candidate in candidates if candidate.lower() == close[0]]
    best = max(same, key=lambda candidate: sum(a == b for a, b in zip(candidate, wanted, strict=False)))
    return f"; did you mean {best!r}?"


def listed(names: Iterable[Any], limit: int = 40) -> str:
    """Join names for a message: ``'a', 'b', 'c'``, cut after ``limit``; ``none`` when there are none."""
    shown = [repr(name) for name in names]
    if not shown:
        return "none"
    more = len(shown) - limit
    return ", ".join(shown[:limit]) + (f" and {more} more" if more > 0 else "")


def unknown_name(kind: str, name: Any, options: Iterable[Any]) -> UnknownNameError:
    """Build the error for an unknown name.

    ``raise unknown_name("optimizer", "adamm", ["adam", "sgd"])`` reads "Unknown optimizer 'adamm'; did you mean
    'adam'? Known: 'adam', 'sgd'."
    """
    known = sorted({str(option) for option in options})
    hint = did_you_mean(name, known)
    if hint and len(known) > _FEW:
        return UnknownNameError(f"Unknown {kind} {name!r}{hint}")
    separator = " Known:" if hint else "; known:"
    return UnknownNameError(f"Unknown {kind} {name!r}{hint}{separator} {listed(known)}.")


def shown(value: Any) -> str:
    """A value for a message: its repr on one line, cut, with its type when that is what's wrong."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    text = " ".join(repr(value).split())
    if len(text) > 80:
        text = text[:77] + "..."
    return text if value is None else f"{text} ({type(value).__name__})"
