"""Arrays in HDF5 files, of which training reads batches only."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kcompile.common.checks import check_int
from kcompile.common.errors import KCompileError
from kcompile.saving.hdf5.files import open_hdf5
from kcompile.saving.places import Source
from kcompile.symbolic.tensor import Array


class HDF5Matrix:
    """An array in an HDF5 file as data for ``fit``, ``evaluate`` and ``predict``: only batches are read.

    Args:
        datapath: the file: a path, a binary file object, or an open ``h5py.File``.
        dataset: the array's name in the file.
        start, end: the part of it to use, as in a slice.
        normalizer: a function that is applied to whatever is read.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is no HDF5 file, has no such array, stores it outside, or ``start`` and ``end`` do not fit.
    """

    on_disk = True  # for kcompile.data, which reads such data by slices
    _open: dict[Any, tuple[Any, Any]] = {}
    """Open files and their roots, by path and time of change: several matrices of a file share one."""

    def __init__(
        self,
        datapath: Source,
        dataset: str,
        start: int = 0,
        end: int | None = None,
        normalizer: Callable[[Array], Array] | None = None,
    ) -> None:
        self.data = self._root(datapath).array(dataset)
        size = self.data.shape[0] if self.data.shape else 0
        self.start = check_int("HDF5Matrix", "start", start, 0, size)
        self.end = size if end is None else check_int("HDF5Matrix", "end", end, self.start, size)
        self.normalizer = normalizer

    @classmethod
    def _root(cls, source: Source) -> Any:
        key: Any = id(source)
        if isinstance(source, (str, os.PathLike)):
            status = os.stat(source)
            key = os.path.abspath(source), status.st_mtime_ns, status.st_size
        if key not in cls._open:
            opened = open_hdf5(source)
            cls._open[key] = opened, opened.__enter__()  # stays open as long as a matrix may read from it
        return cls._open[key][1]

    def __len__(self) -> int:
        return self.end - self.start

    def __getitem__(self, key: int | slice | Sequence[int] | Array | tuple[Any, ...]) -> Array:
        """Rows by number, slice, list or array of numbers or truths, relative to ``start``."""
        if isinstance(key, tuple) and key:
            rows, rest = key[0], key[1:]
            return self[rows][rest if np.isscalar(rows) else (slice(None), *rest)]
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            if step > 0:
                return self._normalized(self.data.rows(slice(self.start + start, self.start + max(start, stop), step)))
            return self[np.arange(start, stop, step)]
        if isinstance(key, (int, np.integer)):
            index = int(key) + (len(self) if key < 0 else 0)
            self._check(index, index)
            return self._normalized(self.data.rows(slice(self.start + index, self.start + index + 1))[0])
        return self._listed(key)

    def _listed(self, key: Sequence[int] | Array) -> Array:
        numbers = np.asarray(key)
        if numbers.dtype == bool and numbers.shape == (len(self),):
            numbers = np.flatnonzero(numbers)
        if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iu"):
            raise KCompileError(f"HDF5Matrix: rows are chosen by numbers, slices, or lists of numbers, got {key!r}")
        if not numbers.size:
            return self._normalized(self.data.rows(slice(0, 0)))
        numbers = np.where(numbers < 0, numbers + len(self), numbers)
        self._check(int(numbers.min()), int(numbers.max()))
        # HDF5 wants each row once, in order.
        unique, places = np.unique(numbers, return_inverse=True)
        return self._normalized(self.data.rows(unique + self.start)[places])

    def _check(self, low: int, high: int) -> None:
        if low < 0 or high >= len(self):
            raise IndexError(f"HDF5Matrix has {len(self)} rows; there is none at {high if high >= len(self) else low}")

    def _normalized(self, values: Array) -> Array:
        return values if self.normalizer is None else self.normalizer(values)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self._example.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._example.dtype

    @property
    def _example(self) -> Array:
        """No rows, but normalized: what the normalizer makes of shapes and types."""
        return self._normalized(self.data.rows(slice(0, 0)))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))
