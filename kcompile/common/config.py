"""Global configuration of the front end: number formats, data format, names, seeds, the learning phase."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import numpy as np

from kcompile.common.errors import KCompileError, did_you_mean

_floatx = "float32"
_epsilon = 1e-7
_image_data_format = "channels_last"
_uids: dict[str, itertools.count[int]] = {}
_learning_phase: int | None = None
_phase_here: ContextVar[int | None] = ContextVar("phase", default=None)


def floatx() -> str:
    """The element type of weights and inputs unless said otherwise, ``float32`` at first."""
    return _floatx


def set_floatx(dtype: str) -> None:
    """Set :func:`floatx`.

    Raises:
        ValueError: not ``float16``, ``float32`` or ``float64``.
    """
    global _floatx
    if dtype not in ("float16", "float32", "float64"):
        raise KCompileError(f"floatx is {dtype!r}; use 'float16', 'float32' or 'float64'")
    _floatx = dtype


def epsilon() -> float:
    """The small number that keeps divisions and logarithms finite, 1e-7 at first."""
    return _epsilon


def set_epsilon(value: float) -> None:
    """Set :func:`epsilon`."""
    global _epsilon
    _epsilon = float(value)


def image_data_format() -> str:
    """``channels_last`` (at first) or ``channels_first``."""
    return _image_data_format


def set_image_data_format(data_format: str) -> None:
    """Set :func:`image_data_format`.

    Raises:
        ValueError: neither of the two.
    """
    global _image_data_format
    _image_data_format = normalize_data_format(data_format)


def normalize_data_format(value: str | None) -> str:
    """``channels_last`` or ``channels_first``; ``None`` is the configured one, ``tf`` and ``th`` Keras 1's words.

    Raises:
        ValueError: anything else.
    """
    if value is None:
        return _image_data_format
    known = {"tf": "channels_last", "th": "channels_first", "default": _image_data_format}
    value = known.get(str(value).lower(), str(value).lower())
    if value not in ("channels_last", "channels_first"):
        hint = did_you_mean(value, ("channels_last", "channels_first"))
        raise KCompileError(f"data_format is {value!r}; use 'channels_last' or 'channels_first'{hint}")
    return value


def image_dim_ordering() -> str:
    """Keras 1's word for the data format: ``tf`` or ``th``."""
    return "tf" if _image_data_format == "channels_last" else "th"


def set_image_dim_ordering(dim_ordering: str) -> None:
    """Keras 1's :func:`set_image_data_format`: ``tf`` or ``th``."""
    set_image_data_format(dim_ordering)


def backend() -> str:
    """The name of the backend, ``kcompile``."""
    return "kcompile"


def get_uid(prefix: str = "") -> int:
    """The next number for names that begin with ``prefix``, from 1."""
    return next(_uids.setdefault(prefix, itertools.count(1)))  # in threads too, each number once


def reset_uids() -> None:
    """Start the numbering of names anew."""
    _uids.clear()


def set_learning_phase(value: int | bool) -> None:
    """Fix the learning phase: 1 (training) or 0 (test) for everything built from now on.

    Raises:
        ValueError: neither 0 nor 1.
    """
    global _learning_phase
    if value not in (0, 1):
        raise KCompileError(f"learning phase is {value!r}; use 0 (test) or 1 (training)")
    _learning_phase = int(value)


def fixed_learning_phase() -> int | None:
    """What :func:`phase_of_context` or :func:`set_learning_phase` fixed, or ``None``."""
    here = _phase_here.get()
    return _learning_phase if here is None else here


@contextlib.contextmanager
def phase_of_context(value: int | bool) -> Iterator[None]:
    """Inside, the learning phase is 1 (training) or 0 (test), whatever it is elsewhere."""
    token = _phase_here.set(int(value))
    try:
        yield
    finally:
        _phase_here.reset(token)


def clear_session() -> None:
    """Forget names and the fixed learning phase, as at the start of the program."""
    global _learning_phase
    _learning_phase = None
    reset_uids()


def manual_variable_initialization(value: bool) -> None:
    """Kept for scripts of TensorFlow 1: variables always have their value here, so only False is meaningful.

    Raises:
        ValueError: True.
    """
    if value:
        raise KCompileError("variables are initialized when they are made; manual initialization does not exist here")


STREAMS = 2**31
_STEP = 0x2545F491  # odd, so that the first 2**31 seeds differ


def seed_after(first: int, count: int) -> int:
    """The seed that comes ``count`` after ``first``, ``0 <= seed < 2**31``."""
    return (first + count * _STEP) % STREAMS


def draw_seed(seed: Any = None) -> int:
    """``seed``, or a number from NumPy's global generator, which ``np.random.seed`` makes reproducible."""
    return int(np.random.randint(0, 2**31 - 1)) if seed is None else int(seed) % 2**31
