"""Examples of every op, one file per family; ``tests/test_ops.py`` checks each row in all ways that it can.

A file ``tests/op_examples/<family>.py`` defines ``EXAMPLES``, a list of rows::

    Example("reduce_sum", lambda x: reduce_sum(x, [1]), [floats(4, 3)], batch=[0], empty=True)
"""

from __future__ import annotations

import importlib
import pkgutil
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kcompile.ir import Value


@dataclass(frozen=True)
class Example:
    """One use of an op.

    Attributes:
        op: the registered name of the op that the row is about; the built values must use it.
        build: makes the value, or a tuple of values, from one input value for each array. It is called again
            with float64 inputs for the gradient check, so it must not name the element type of float inputs.
        arrays: the inputs.
        label: tells rows of one op apart.
        batch: the inputs whose first axis may be the symbolic size ``batch``; empty: none may.
        empty: whether the batch may be empty.
        wrt: the inputs to differentiate; by default those of a float type. Say why when you leave one out.
        rtol: tolerance of float32 results of ONNX Runtime against NumPy, relative to each element and (a
            tenth of it) to the largest. Say why when you raise it.
        skip: targets (``portable``, ``native``, ``cuda``) that cannot run the row, with the reason.
    """

    op: str
    build: Callable[..., Value | Sequence[Value]]
    arrays: Sequence[np.ndarray]
    label: str = ""
    batch: Sequence[int] = ()
    empty: bool = False
    wrt: Sequence[int] | None = None
    rtol: float = 1e-5
    skip: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.op}-{self.label}" if self.label else self.op


_random = np.random.default_rng(7)


def floats(*shape: int, low: float = -1.0, high: float = 2.0) -> np.ndarray:
    """Random float32 numbers, no two of them so close that finite differences could swap them."""
    count = int(np.prod(shape))
    places = low + (high - low) * (np.arange(count) + _random.uniform(0.1, 0.9)) / count
    return _random.permutation(places).reshape(shape).astype(np.float32)


def integers(*shape: int, low: int = 0, high: int = 10, dtype: Any = "int64") -> np.ndarray:
    """Random whole numbers from ``low`` up to, not including, ``high``."""
    return np.asarray(_random.integers(low, high, shape)).astype(dtype)


def bools(*shape: int) -> np.ndarray:
    """Random truth values."""
    return np.asarray(_random.integers(0, 2, shape)).astype(bool)


def all_examples() -> list[Example]:
    """The rows of all families; the random arrays of one do not depend on the others."""
    global _random
    found: list[Example] = []
    for module in pkgutil.iter_modules(__path__):
        _random = np.random.default_rng(zlib.crc32(module.name.encode()))
        found += importlib.import_module(f"{__name__}.{module.name}").EXAMPLES
    return found
