"""``Sequence`` and the enqueuers that prepare its batches ahead of the training loop (keras.utils, 2.3)."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from kcompile.common.checks import check_flag, check_int
from kcompile.common.errors import DataError, DataTypeError, warn
from kcompile.data.prefetch import ChildProcess, EndOfTasks, Prefetcher


class Sequence:
    """Base class of data that come as numbered batches.

    A subclass defines ``__len__`` (batches per epoch) and ``__getitem__(index)``, which returns one whole batch:
    ``(x, y)``, ``(x, y, sample_weight)``, or for predict also ``x`` alone. ``on_epoch_end`` may change the data
    between epochs. Every batch is used exactly once per epoch, whatever the number of workers. Source: Keras
    2.3; what Keras 3 calls ``PyDataset`` is the same here.

    Args:
        workers, use_multiprocessing, max_queue_size: how ``fit`` runs it, unless ``fit`` is told otherwise.
    """

    use_sequence_api = True
    # On the class, so that a subclass whose __init__ does not call this one's works too.
    workers = 1
    use_multiprocessing = False
    max_queue_size = 10

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10) -> None:
        self.workers = check_int(type(self).__name__, "workers", workers, 0)
        self.use_multiprocessing = check_flag(type(self).__name__, "use_multiprocessing", use_multiprocessing)
        self.max_queue_size = check_int(type(self).__name__, "max_queue_size", max_queue_size, 1)

    def __getitem__(self, index: int) -> Any:
        raise DataTypeError(f"{type(self).__name__} must define __getitem__(index), which returns a batch.")

    @property
    def num_batches(self) -> int | None:
        """Keras 3's name of the length; a subclass may define it in place of ``__len__``."""
        return len(self)

    def __len__(self) -> int:
        own = type(self).num_batches is not Sequence.num_batches
        if own and (number := self.num_batches) is not None:
            return number
        raise DataTypeError(f"{type(self).__name__} must define __len__(), the number of batches.")

    def on_epoch_begin(self) -> None:
        """Called before the first batch of each epoch (Keras 3)."""

    def on_epoch_end(self) -> None:
        """Called after the last batch of each epoch."""

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(len(self)))


PyDataset = Sequence


def is_sequence(data: Any) -> bool:
    """Whether ``data`` is a ``Sequence`` or a ``PyDataset``, ours or another Keras'."""
    return bool(getattr(data, "use_sequence_api", False)) or (
        all(hasattr(data, name) for name in ("__getitem__", "on_epoch_end"))
        and (hasattr(data, "__len__") or hasattr(type(data), "num_batches"))
    )


def number_of_batches(sequence: Any) -> int | None:
    """How many batches a ``Sequence`` has now; None: without end (Keras 3)."""
    if hasattr(type(sequence), "num_batches"):
        count = sequence.num_batches
        return None if count is None else int(count)
    return len(sequence)


class SequenceEnqueuer:
    """Common part of the enqueuers: ``start``, ``get``, ``stop``, and a stream that goes on over all epochs.

    Args:
        sequence: what to draw batches from.
        use_multiprocessing: processes instead of threads.
    """

    def __init__(self, sequence: Any, use_multiprocessing: bool = False):
        self.sequence = sequence
        self.use_multiprocessing = check_flag(type(self).__name__, "use_multiprocessing", use_multiprocessing)
        self.workers = 0
        self.max_queue_size = 10
        self._running = False
        self._prefetcher: Prefetcher | None = None
        self._children: list[ChildProcess] = []
        self._lock = threading.Lock()

    def is_running(self) -> bool:
        """Whether ``start`` was called and ``stop`` was not."""
        return self._running

    def start(self, workers: int = 1, max_queue_size: int = 10) -> None:
        """Begin to prepare batches: ``workers`` threads or processes (0: in the caller), ``max_queue_size``
        ahead.
        """
        name = type(self).__name__
        self.workers = check_int(name, "workers", workers, 0)
        self.max_queue_size = check_int(name, "max_queue_size", max_queue_size, 1)
        self._running = True

    def stop(self, timeout: float | None = None) -> None:
        """End all workers, waiting at most ``timeout`` (default 1) seconds for a thread inside user code."""
        self._running = False
        children, self._children = self._children, []
        if self._prefetcher is not None and children:
            self._prefetcher.stop(0.0)  # no new tasks while the processes go away
        for child in children:
            child.end()
        if self._prefetcher is not None:
            self._prefetcher.stop(1.0 if timeout is None else timeout)
            self._prefetcher = None

    def get(self) -> Iterator[Any]:
        """Yield batches, for a ``Sequence`` without end. Ends with the generator, or with ``stop()``."""
        while self._running:
            try:
                yield self.next_batch()
            except EndOfTasks:
                return

    def next_batch(self, timeout: float | None = None) -> Any:
        """Return the next batch.

        Raises:
            EndOfTasks: a generator came to its end.
            TimeoutError: no batch within ``timeout`` seconds (needs at least one worker).
            Exception: whatever the user's code raised, unchanged.
        """
        raise DataTypeError(f"{type(self).__name__} must define next_batch().")

    def __enter__(self) -> SequenceEnqueuer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def _prefetch(self, fetch: Callable[[Any], Any], target: Any, tasks: Any, workers: int) -> Prefetcher:
        if self.use_multiprocessing and not self._children:
            # Seeds come from the global generator: np.random.seed makes the children reproducible too.
            seeds = np.random.randint(0, 2**31 - 1, size=workers)
            for seed in seeds:
                self._children.append(ChildProcess(target, int(seed)))
        return Prefetcher(
            fetch, tasks, workers=workers, max_queue_size=self.max_queue_size, children=self._children or None
        )


class OrderedEnqueuer(SequenceEnqueuer):
    """Batches of a ``Sequence``, in order or in a new order for each epoch.

    ``on_epoch_end`` of the sequence runs in the caller's thread, once the epoch's last batch was used; its
    length is asked anew for each epoch, and processes are started anew if ``on_epoch_end`` may have changed the
    data.

    Args:
        sequence: a ``Sequence``.
        use_multiprocessing: processes instead of threads.
        shuffle: draw the order of the batches at the start of each epoch.
        rng: object with ``permutation(n)`` that draws it; default the global ``np.random``.

    Attributes:
        last_index: the number, in the sequence, of the batch that was handed out last.
    """

    def __init__(
        self,
        sequence: Any,
        use_multiprocessing: bool = False,
        shuffle: bool = False,
        rng: np.random.RandomState | None = None,
    ):
        super().__init__(sequence, use_multiprocessing)
        self.shuffle = bool(shuffle)
        self.rng = np.random if rng is None else rng
        self.last_index = 0
        self._length: int | None = None
        self._order: Any = None
        self._next = 0

    @property
    def epoch_finished(self) -> bool:
        """Whether the last batch of the epoch was handed out and ``finish_epoch`` is due."""
        return self._order is not None and self._length is not None and self._next >= self._length

    def next_batch(self, timeout: float | None = None) -> Any:
        if self.epoch_finished:
            self.finish_epoch()
        if self._order is None:
            self._begin_epoch()
        index = self._next if self._length is None else self._order[self._next]
        batch = self.sequence[index] if self._prefetcher is None else self._prefetcher.get(timeout)
        self.last_index = index
        self._next += 1
        return batch

    def finish_epoch(self, early: bool = False) -> None:
        """Call the sequence's ``on_epoch_end`` if an epoch was completed; batches still due are not skipped, unless
        it ends ``early``.
        """
        if self._order is None or not (early or self.epoch_finished):
            return
        self._order = None
        if self._prefetcher is not None:
            self._prefetcher.stop()
            self._prefetcher = None
        hook = getattr(self.sequence, "on_epoch_end", None)
        if hook is not None:
            hook()
        if getattr(type(self.sequence), "on_epoch_end", None) is not Sequence.on_epoch_end:
            for child in self._children:
                child.end()
            self._children = []

    def join_end_of_epoch(self) -> None:
        """Keras' name for ``finish_epoch``."""
        self.finish_epoch()

    def _begin_epoch(self) -> None:
        hook = getattr(self.sequence, "on_epoch_begin", None)
        if hook is not None:
            hook()
        length = number_of_batches(self.sequence)
        if length is not None and length < 1:
            raise DataError(f"{type(self.sequence).__name__} has {length} batches; expected at least one.")
        if length is None:
            self._order = itertools.count()
        else:
            self._order = [int(i) for i in self.rng.permutation(length)] if self.shuffle else list(range(length))
        self._length, self._next = length, 0
        if self.workers:
            fetch = self.sequence.__getitem__
            workers = self.workers if length is None else min(self.workers, length)
            self._prefetcher = self._prefetch(fetch, fetch, self._order, workers)


class GeneratorEnqueuer(SequenceEnqueuer):
    """Batches of a generator, prepared ahead.

    A generator can only make one step at a time, so threads beyond the first would wait: one is used,
    whatever ``workers`` says, and the order is kept. With processes each worker runs its own copy of the
    generator, so their batches are the same unless the generator draws from ``np.random`` (seeded differently
    in each).

    Args:
        sequence: a generator or iterator.
        use_multiprocessing: processes instead of threads.
        wait_time: accepted for Keras 1; nothing waits any more, so only None is allowed in effect.
        random_seed: seed of the first process, counted up for the others; default drawn from ``np.random``.
    """

    def __init__(
        self,
        sequence: Any,
        use_multiprocessing: bool = False,
        wait_time: float | None = None,
        random_seed: int | None = None,
    ):
        super().__init__(sequence, use_multiprocessing)
        self.random_seed = random_seed
        if wait_time is not None:
            warn("GeneratorEnqueuer: wait_time has no effect; remove it.", DeprecationWarning)

    def next_batch(self, timeout: float | None = None) -> Any:
        if not self.workers:
            try:
                return next(self.sequence)
            except StopIteration:
                raise EndOfTasks from None
        if self._prefetcher is None:
            workers = self.workers if self.use_multiprocessing else 1
            if self.use_multiprocessing and self.random_seed is not None:
                self._children = [ChildProcess(self.sequence, self.random_seed + i) for i in range(workers)]
            self._prefetcher = self._prefetch(
                lambda _: next(self.sequence), self.sequence, itertools.repeat(None), workers
            )
        return self._prefetcher.get(timeout)
