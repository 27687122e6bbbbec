"""Where the values of variables live: two buffers each, between which training steps alternate.

A step reads the current buffer and writes the spare one; ``keep`` swaps them. So weights never travel, and a
step whose loss turns out not to be a number is undone by not committing it. A variable whose update waits for that
(:mod:`kcompile.runtime.late`) has no spare buffer.
"""

from __future__ import annotations

import contextlib
import copyreg
import itertools
from collections.abc import Iterator, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kcompile.ir.core import Variable
from kcompile.ir.types import TensorType
from kcompile.runtime.devices import device_value
from kcompile.runtime.guards import NOBODYS, Guard

Array = NDArray[Any]

ALIGNMENT = 64  # a cache line, and a full AVX-512 register


def aligned_empty(shape: Sequence[int], dtype: str) -> Array:
    """An uninitialized C-contiguous array that starts on a cache line."""
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    raw = np.empty(size + ALIGNMENT, dtype=np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(shape)


class Buffer:
    """Memory for one tensor: a host array, or (``device`` is set) an OrtValue on that device."""

    __slots__ = ("array", "device", "ortvalue", "pointer")

    def __init__(self, array: Array, device: str = "cpu") -> None:
        self.device = device
        if device == "cpu":
            self.array: Array | None = array
            self.pointer: int = array.ctypes.data
            self.ortvalue: Any = None
        else:
            self.array = None
            self.ortvalue = device_value(array, device)
            self.pointer = 0

    def part(self, rows: slice | None) -> Buffer:
        """Some rows of a host array, in the same memory; ``None``: all of it, wherever it is."""
        if rows is None:
            return self
        assert self.array is not None
        return Buffer(self.array[rows])

    def read(self) -> Array:
        """A copy on the host."""
        if self.array is not None:
            return self.array.copy()
        copy: Array = self.ortvalue.numpy()
        return copy

    def write(self, array: Array) -> None:
        """Copy an array of the same shape and element type into the memory."""
        if self.array is not None:
            self.array[...] = array
        else:
            self.ortvalue.update_inplace(np.asarray(array, order="C"))


class _Clock:
    """The number of the last change of any storage."""

    now = 0


_next_change = itertools.count(1).__next__
"""Draws a number: each once, whatever threads do."""


def changes() -> int:
    """A number that becomes another one with every change of any storage: while it stands still, no weight changes."""
    return _Clock.now


class Storage:
    """The value of one variable. ``version`` grows with every write or commit, which happen behind its ``guard``."""

    __slots__ = ("__weakref__", "current", "dtype", "guard", "shape", "spare", "version")

    def __init__(self, value: ArrayLike, dtype: str) -> None:
        array = np.asarray(value)
        self.shape: tuple[int, ...] = array.shape
        self.dtype = dtype
        memory = aligned_empty(self.shape, dtype)
        memory[...] = array
        self.current = Buffer(memory)
        self.spare: Buffer | None = None
        self.guard: Guard = NOBODYS
        _Clock.now = self.version = _next_change()

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Inside, nobody else reads or writes the value."""
        while True:
            with (guard := self.guard).lock:
                if self.guard is guard:  # it got one of its own otherwise
                    yield
                    return

    def read(self) -> Array:
        """A copy of the value on the host."""
        with self._exclusive():
            return self.current.read()

    def write(self, value: ArrayLike) -> None:
        """Replace the value; the shape stays.

        Raises:
            ValueError: another shape.
        """
        array = np.asarray(value, dtype=self.dtype)
        if array.shape != self.shape:
            raise ValueError(f"cannot assign an array of shape {array.shape} to a variable of shape {self.shape}")
        with self._exclusive():
            self.current.write(array)
            self.rewritten()

    def rewritten(self) -> None:
        """The current buffer has new contents."""
        _Clock.now = self.version = _next_change()

    def move(self, device: str) -> None:
        """Put the value on ``device`` (``cpu`` or ``cuda``); later reads still return host copies."""
        if self.current.device != device:
            memory = aligned_empty(self.shape, self.dtype)
            memory[...] = self.current.read()
            self.current, self.spare = Buffer(memory, device), None

    def spare_buffer(self) -> Buffer:
        """The buffer that a step writes."""
        if self.spare is None:
            self.spare = Buffer(aligned_empty(self.shape, self.dtype), self.current.device)
        return self.spare

    def keep(self, buffer: Buffer) -> None:
        """``buffer``, which was the spare one, holds the value from now on; doing it twice is doing it once."""
        if self.current is not buffer:
            _Clock.now = self.version = _next_change()
            self.current, self.spare = buffer, self.current


_storages: WeakKeyDictionary[Variable, Storage] = WeakKeyDictionary()


def attach(variable: Variable, storage: Storage) -> None:
    """Let ``storage`` hold the value of ``variable``."""
    _storages[variable] = storage


def storage_of(variable: Variable) -> Storage:
    """The storage of a variable.

    Raises:
        KeyError: it has none: it was not made by the front end.
    """
    return _storages[variable]


def _reduce_variable(variable: Variable) -> tuple[Any, ...]:
    """How a variable of the IR is pickled, which knows no values: with its value."""
    return _variable_of, (type(variable), variable.label, variable.type, variable.role, storage_of(variable).read())


def _variable_of(cls: type[Variable], label: str, type_: TensorType, role: str, value: Array) -> Variable:
    variable = cls(label, type_, role)
    attach(variable, Storage(value, type_.dtype))
    return variable


copyreg.pickle(Variable, _reduce_variable)
