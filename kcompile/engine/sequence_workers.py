"""Generators, Sequences and other iterables as a source of batches for the training loop.

`BatchSource` draws from them through workers (kcompile.utils.sequence), unpacks each batch, and says which
batch it was when something is wrong with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from kcompile.engine.data_adapters import is_array_like
from kcompile.errors import DataError, DataTypeError, check_int, warn
from kcompile.utils.prefetch import EndOfTasks
from kcompile.utils.sequence import GeneratorEnqueuer, OrderedEnqueuer, SequenceEnqueuer, is_sequence

Unpacked = tuple[Any, Any, Any]


def is_batch_source(data: Any) -> bool:
    """Whether `data` yields batches: a Sequence, a generator, or an iterable such as PyTorch's DataLoader."""
    if (
        data is None
        or is_array_like(data)
        or isinstance(data, (list, tuple, dict, set, frozenset, str, bytes))
    ):
        return False
    return is_sequence(data) or isinstance(data, Iterable) or hasattr(data, "__next__")


class BatchSource:
    """Batches from a generator, Sequence or iterable, prepared ahead by workers; a context manager.

    Args:
        data: the source. A `Sequence` and an iterable with `__len__` know their number of batches.
        argument: its name in messages ("x", "validation_data", "generator").
        with_targets: fit and evaluate need `(x, y)` or `(x, y, sample_weight)`; predict takes x, alone or
            first of a tuple. None: x, alone or with the rest, as a `train_step` of the user's own unpacks it.
        workers: threads or processes that prepare batches; 0 prepares them in the training loop itself.
        use_multiprocessing: processes instead of threads.
        max_queue_size: batches to prepare ahead.
        shuffle: a Sequence's batches come in a new order each epoch.
        timeout: longest wait for one batch in seconds; None waits forever (Ctrl-C works).

    Attributes:
        batches: number of batches delivered so far. exhausted: the source ended before the steps asked for.

    Raises:
        DataTypeError: `data` yields no batches. DataError, DataTypeError for arguments out of range.
    """

    def __init__(
        self,
        data: Any,
        *,
        argument: str = "generator",
        with_targets: bool | None = True,
        workers: int = 1,
        use_multiprocessing: bool = False,
        max_queue_size: int = 10,
        shuffle: bool = False,
        timeout: float | None = None,
    ):
        if not is_batch_source(data):
            raise DataTypeError(f"{argument}: expected a generator or a Sequence, got {type(data).__name__}.")
        self.data = data
        self.argument = argument
        self.with_targets = with_targets
        self.timeout = timeout
        self.batches = 0
        self.exhausted = False
        self._restarts = not is_sequence(data) and not hasattr(data, "__next__")
        if is_sequence(data):  # Keras 3's datasets say themselves how they are run
            workers = getattr(data, "workers", 1) if workers == 1 else workers
            max_queue_size = getattr(data, "max_queue_size", 10) if max_queue_size == 10 else max_queue_size
            use_multiprocessing = use_multiprocessing or getattr(data, "use_multiprocessing", False)
        self._workers = check_int(argument, "workers", workers, 0)
        self._max_queue_size = check_int(argument, "max_queue_size", max_queue_size, 1)
        self._processes = bool(use_multiprocessing)
        self._enqueuer: SequenceEnqueuer
        if is_sequence(data):
            self._enqueuer = OrderedEnqueuer(data, self._processes, bool(shuffle))
        else:
            self._enqueuer = GeneratorEnqueuer(iter(data), self._processes)
            if self._processes and self._workers > 1:
                warn(
                    f"{argument}: with use_multiprocessing=True and {workers} workers each process runs its "
                    "own copy of the generator, so batches may come several times; use a Sequence.",
                    UserWarning,
                )
        self._enqueuer.start(self._workers, self._max_queue_size)

    @property
    def steps(self) -> int | None:
        """Batches per epoch, as the source says now; None when it doesn't know."""
        if is_sequence(self.data) or (self._restarts and hasattr(self.data, "__len__")):
            return len(self.data)
        return None

    def wanted(self, steps: int | None, name: str = "the number of steps") -> int | None:
        """Batches of one epoch: `steps` if given, else what the source knows; None is one pass over an iterable.

        Raises:
            DataError: neither is known; the argument `name` must be given.
        """
        found = self.steps if steps is None else steps
        if found is None and not self._restarts:
            raise DataError(
                f"{self.argument}: a generator may never end, so {name} must be given; a Sequence knows it."
            )
        return found

    def epoch(self, steps: int | None = None) -> Iterator[Unpacked]:
        """Yield `(x, y, sample_weight)` of the next `steps` batches; None: one pass over a Sequence or
        iterable.

        Stops early, with a warning and `exhausted` set, when a generator ends.

        Raises:
            DataError: a batch that is None or no tuple of 2 or 3; a generator without `steps`; no batch at
                all.
            Exception: what the user's code raises, unchanged, with the batch's number added as a note.
        """
        wanted = self.wanted(steps)
        done = 0
        while wanted is None or done < wanted:
            batch = self._next()
            if batch is None:
                if self._restarts and done and (wanted is None or self._begin_again()):
                    if wanted is None:
                        break
                    continue
                self._warn_of_early_end(done, wanted)
                return
            done += 1
            yield batch[0]
        if isinstance(self._enqueuer, OrderedEnqueuer):
            self._enqueuer.finish_epoch()
        elif self._restarts and steps is None:
            self._begin_again()

    def position(self) -> str:
        """Where the last batch stood, for notes on errors."""
        return f"This was batch {self.batches - 1} of {self.argument} (counted from 0 since the start)."

    def close(self) -> None:
        """End all workers; the source can't be used afterwards."""
        self._enqueuer.stop()

    def __enter__(self) -> BatchSource:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _next(self) -> tuple[Unpacked] | None:
        """The next unpacked batch in a tuple, or None at the end."""
        try:
            batch = self._enqueuer.next_batch(self.timeout)
        except EndOfTasks:
            return None
        except Exception as error:
            error.add_note(
                f"Raised while batch {self.batches} of {self.argument} was prepared (counted from 0)."
            )
            raise
        self.batches += 1
        return (self._unpack(batch),)

    def _unpack(self, batch: Any) -> Unpacked:
        wanted = (
            "(x, y) or (x, y, sample_weight)"
            if self.with_targets
            else "x, (x,), (x, y) or (x, y, sample_weight)"
        )
        if batch is None:
            raise DataError(f"{self.argument}: batch {self.batches - 1} is None; expected {wanted}.")
        if self.with_targets:
            if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
                raise DataError(
                    f"{self.argument}: batch {self.batches - 1} is {_shown(batch)}; expected {wanted}."
                )
            return (batch[0], batch[1], batch[2] if len(batch) == 3 else None)
        if self.with_targets is None and isinstance(batch, (tuple, list)) and len(batch) in (1, 2, 3):
            x, y, weights = (*batch, None, None)[:3]
            return x, y, weights
        if isinstance(batch, tuple):
            if len(batch) not in (1, 2, 3):
                raise DataError(
                    f"{self.argument}: batch {self.batches - 1} is {_shown(batch)}; expected {wanted}."
                )
            return batch[0], None, None
        return batch, None, None

    def _begin_again(self) -> bool:
        """Start a new pass over an iterable."""
        self._enqueuer.stop()
        self._enqueuer = GeneratorEnqueuer(iter(self.data), self._processes)
        self._enqueuer.start(self._workers, self._max_queue_size)
        return True

    def _warn_of_early_end(self, done: int, wanted: int | None) -> None:
        self.exhausted = True
        if not self.batches:
            raise DataError(f"{self.argument} yielded no batch; expected {wanted or 'at least one'}.")
        warn(
            f"{self.argument} ended after {self.batches} batches, {done} of the {wanted} steps of this "
            "epoch; no more steps are run. Let it yield forever, or lower the number of steps or epochs.",
        )


def _shown(batch: Any) -> str:
    if isinstance(batch, (tuple, list)):
        return f"a {type(batch).__name__} of {len(batch)}"
    shape = getattr(batch, "shape", None)
    return f"an array of shape {tuple(shape)}" if shape is not None else f"a {type(batch).__name__}"
