"""Batches of in-memory arrays at a few microseconds per step.

One permutation is drawn per epoch. A chunk of many batches is gathered at once into a buffer that is
allocated a single time; the batches are views of it, made once and handed out again for every chunk. The
training loop may therefore bind a batch's memory once and reuse the binding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from kcompile.common.errors import DataError
from kcompile.data.adapters import Array, LazyRows

# Large enough that the gather's fixed cost (about 5 us per array) spreads over many small batches, small
# enough to stay in a second-level cache until the step reads it.
CHUNK_BYTES = 1 << 20

Batch = list[np.ndarray]


class ArrayFeeder:
    """Cuts arrays of equal length into batches, shuffled anew for each epoch.

    Args:
        arrays: arrays ``(n, ...)`` (or ``LazyRows``), fed side by side: inputs, targets, weights in any order.
        batch_size: samples per batch; the last batch of an epoch may be smaller.
        shuffle: True (samples), False, or "batch" (whole batches change places; the partial one stays last).
        dtypes: dtype to deliver per array; default: each array's own. Narrow integers are converted per
            chunk.
        steps_per_execution: batches per group of ``groups()``.
        rng: object with ``permutation(n)``; default the global ``np.random``, as in Keras 2, so that
            ``np.random.seed(...)`` makes fit reproducible. Drawn from once per pass over the data.
        chunk_bytes: size of one gather buffer.

    Attributes:
        samples: number of samples. steps: batches in one pass. batch_size: as given.

    A batch is a list of C-contiguous arrays in the order of ``arrays``. Its memory is reused: a batch stays
    valid while the next one is drawn, not longer. The full batches are the same list objects again and again,
    so that whatever a caller derives from them (device bindings) can be kept by ``id(batch)`` while the feeder
    lives.

    Raises:
        DataError: data on disk with ``shuffle=True``.
    """

    def __init__(
        self,
        arrays: Sequence[Array],
        batch_size: int,
        shuffle: bool | str = True,
        *,
        dtypes: Sequence[str] | None = None,
        steps_per_execution: int = 1,
        rng: np.random.RandomState | None = None,
        chunk_bytes: int = CHUNK_BYTES,
    ):
        self.arrays = list(arrays)
        self.batch_size = int(batch_size)
        self.shuffle = shuffle
        self.steps_per_execution = int(steps_per_execution)
        self.rng = np.random if rng is None else rng
        self.samples = int(self.arrays[0].shape[0]) if self.arrays else 0
        self.steps = -(-self.samples // self.batch_size)
        self.dtypes = [np.dtype(dtype) for dtype in dtypes] if dtypes else [array.dtype for array in self.arrays]
        if shuffle is True and any(isinstance(array, LazyRows) for array in self.arrays):
            raise DataError(
                "fit: data on disk cannot be read in random order; pass shuffle='batch' or shuffle=False, or "
                "load it with np.asarray(x[:])."
            )
        self._buffers: list[Batch] = []
        self._batches: list[list[Batch]] = []
        self._groups: list[list[Batch]] = []
        self._turn = 0
        self._pass: np.ndarray | None = None
        self._chunk_start = self._at = 0
        self._allocate(chunk_bytes)

    def epoch(self, steps: int | None = None) -> Iterator[Batch]:
        """Yield the batches of one epoch: one pass over the data, or exactly ``steps`` batches.

        With ``steps`` beyond one pass, the data are gone through again in a new order.
        """
        for _, batch in self._cut(steps, 1):
            yield batch

    def groups(self, steps: int | None = None) -> Iterator[tuple[int, Batch]]:
        """Yield ``(k, arrays)`` for ``steps_per_execution``: arrays ``(k, batch, ...)`` that hold k batches.

        All groups of a pass have ``k == steps_per_execution``, except the last full batches, which may be
        fewer, and a partial batch, which comes alone as ``(1, rest, ...)``.
        """
        for count, batch in self._cut(steps, self.steps_per_execution):
            yield ((count, batch) if batch[0].ndim > self.arrays[0].ndim else (1, [array[None] for array in batch]))

    def __len__(self) -> int:
        return self.steps

    def row(self, row: int) -> int:
        """The row in ``arrays`` of a row of the batch (or group of batches) that was handed out last."""
        row += self._at
        return row if self._pass is None else int(self._pass[row])

    def _cut(self, steps: int | None, group: int) -> Iterator[tuple[int, Batch]]:
        remaining = self.steps if steps is None else steps
        size = self.batch_size
        while remaining > 0 and self.samples:
            for chunk, count in self._chunks():
                full, rest = divmod(count, size)
                ready = self._groups if group > 1 else self._batches
                prepared = ready[self._turn] if ready else None
                done = 0
                while done < full and remaining:
                    step = min(group, full - done, remaining)
                    self._at = self._chunk_start + done * size
                    if step == group and prepared is not None:
                        yield step, prepared[done // group]
                    elif group == 1:
                        yield 1, [array[done * size : (done + 1) * size] for array in chunk]
                    else:
                        yield step, _as_group(chunk, done * size, step, size)
                    done += step
                    remaining -= step
                if rest and remaining:
                    self._at = self._chunk_start + full * size
                    yield 1, [array[full * size : count] for array in chunk]
                    remaining -= 1
                if not remaining:
                    return

    def _chunks(self) -> Iterator[tuple[Batch, int]]:
        """Yield ``(arrays, rows)``: stretches of the epoch in memory, all but the last a whole number of
        groups.
        """
        self._chunk_start = 0
        if not self._buffers:
            yield self.arrays, self.samples  # type: ignore[misc]  # all ndarrays: nothing to gather or convert
            return
        order = self._pass = self._order()
        rows = len(self._buffers[0][0])
        for start in range(0, self.samples, rows):
            count = min(rows, self.samples - start)
            self._chunk_start = start
            self._turn = 1 - self._turn
            buffers = self._buffers[self._turn]
            for array, buffer in zip(self.arrays, buffers, strict=True):
                if isinstance(array, LazyRows):
                    self._read(array, buffer, order, start, count)
                elif order is None:
                    np.copyto(buffer[:count], array[start : start + count], casting="unsafe")
                elif array.dtype == buffer.dtype:
                    # Any other mode makes ``take`` gather into a copy first.
                    np.take(array, order[start : start + count], axis=0, out=buffer[:count], mode="clip")
                else:
                    np.copyto(buffer[:count], array.take(order[start : start + count], axis=0), casting="unsafe")
            yield buffers, count

    def _read(self, array: LazyRows, buffer: np.ndarray, order: np.ndarray | None, start: int, count: int) -> None:
        """Read rows of a disk array batch by batch: within a batch the order is ascending."""
        for offset in range(0, count, self.batch_size):
            end = min(offset + self.batch_size, count)
            first = start + offset if order is None else int(order[start + offset])
            np.copyto(buffer[offset:end], array[first : first + end - offset], casting="unsafe")

    def _order(self) -> np.ndarray | None:
        """Sample indices of one pass; None for their own order."""
        if self.shuffle == "batch":
            # Full batches change places, the partial one stays last (Keras' batch_shuffle).
            full = self.samples // self.batch_size
            starts = np.asarray(self.rng.permutation(full))[:, None] * self.batch_size
            order = (starts + np.arange(self.batch_size)).reshape(-1)
            return np.append(order, np.arange(full * self.batch_size, self.samples))
        return np.asarray(self.rng.permutation(self.samples)) if self.shuffle else None

    def _allocate(self, chunk_bytes: int) -> None:
        """Make two buffers to fill in turn, so that a batch survives the gather of the next chunk."""
        if not self.samples or (
            not self.shuffle
            and all(
                isinstance(array, np.ndarray) and array.dtype == dtype and array.flags.c_contiguous
                for array, dtype in zip(self.arrays, self.dtypes, strict=True)
            )
        ):
            return
        size, group = self.batch_size, self.steps_per_execution
        batch_bytes = size * sum(
            int(np.prod(array.shape[1:], dtype=np.int64)) * dtype.itemsize
            for array, dtype in zip(self.arrays, self.dtypes, strict=True)
        )
        groups = max(1, min(-(-self.steps // group), chunk_bytes // max(1, batch_bytes * group)))
        rows = min(size * group * groups, max(self.samples, size))
        for _ in range(2):
            buffers = [
                np.empty((rows, *array.shape[1:]), dtype) for array, dtype in zip(self.arrays, self.dtypes, strict=True)
            ]
            self._buffers.append(buffers)
            self._batches.append(
                [[buffer[i * size : (i + 1) * size] for buffer in buffers] for i in range(rows // size)]
            )
            self._groups.append(
                [_as_group(buffers, i * size * group, group, size) for i in range(rows // (size * group))]
            )


def _as_group(arrays: Batch, start: int, steps: int, size: int) -> Batch:
    return [array[start : start + steps * size].reshape(steps, size, *array.shape[1:]) for array in arrays]
