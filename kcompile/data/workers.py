"""Generators, Sequences and other iterables as a source of batches for the training loop.

``BatchSource`` draws from them through workers (kcompile.data.sequence), unpacks each batch, and says which
batch it was when something is wrong with it.
"""

from __future__ import annotations

import dis
import inspect
import itertools
import operator
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from kcompile.common.checks import check_int
from kcompile.common.errors import DataError, DataTypeError, warn
from kcompile.data.adapters import is_array_like
from kcompile.data.prefetch import EndOfTasks
from kcompile.data.sequence import (
    GeneratorEnqueuer,
    OrderedEnqueuer,
    SequenceEnqueuer,
    is_sequence,
    number_of_batches,
)

Unpacked = tuple[Any, Any, Any]

_MANY_BATCHES = 10_000


def is_batch_source(data: Any) -> bool:
    """Whether ``data`` yields batches: a Sequence, a generator, or an iterable such as PyTorch's DataLoader."""
    if data is None or is_array_like(data) or isinstance(data, (list, tuple, dict, set, frozenset, str, bytes)):
        return False
    return is_sequence(data) or isinstance(data, Iterable) or hasattr(data, "__next__")


class BatchSource:
    """Batches from a generator, Sequence or iterable, prepared ahead by workers; a context manager.

    A Sequence is asked for its length before each pass. An iterable that is no iterator starts again for each pass.
    A generator goes on from one epoch to the next, and cannot start again once it has ended.

    Args:
        data: the source. A ``Sequence`` and an iterable with ``__len__`` know their number of batches.
        argument: its name in messages ("x", "validation_data", "generator").
        with_targets: fit and evaluate need ``(x, y)`` or ``(x, y, sample_weight)``; predict takes x, alone or
            first of a tuple. None: x, alone or with the rest, as a ``train_step`` of the user's own unpacks it.
        workers: threads or processes that prepare batches; 0 prepares them in the training loop itself.
        use_multiprocessing: processes instead of threads.
        max_queue_size: batches to prepare ahead. A ``PyDataset`` says all three itself, where they are left as is.
        shuffle: a Sequence's batches come in a new order each epoch.
        rng: object with ``permutation(n)`` that draws it; default the global ``np.random``.
        timeout: longest wait for one batch in seconds; None waits forever (Ctrl-C works).
        consequence: what follows from an early end, for the warning.

    Attributes:
        batches: number of batches delivered so far. exhausted: the source ended before the steps asked for.
        ended: whether a generator came to its end.

    Raises:
        DataTypeError: ``data`` yields no batches. DataError, DataTypeError for arguments out of range.
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
        rng: np.random.RandomState | None = None,
        timeout: float | None = None,
        consequence: str = "no more steps are run",
    ):
        if not is_batch_source(data):
            raise DataTypeError(f"{argument}: expected a generator or a Sequence, got {type(data).__name__}.")
        self.data = data
        self.argument = argument
        self.with_targets = with_targets
        self.timeout = timeout
        self.batches = 0
        self.exhausted = False
        self.ended = False
        self._consequence = consequence
        self._is_sequence = is_sequence(data)
        self._restarts = not self._is_sequence and not hasattr(data, "__next__")
        self._in_pass = 0
        self._last_pass: int | None = None
        if self._is_sequence:  # Keras 3's datasets say themselves how they are run
            workers = getattr(data, "workers", 1) if workers == 1 else workers
            max_queue_size = getattr(data, "max_queue_size", 10) if max_queue_size == 10 else max_queue_size
            use_multiprocessing = use_multiprocessing or getattr(data, "use_multiprocessing", False)
        self._workers = check_int(argument, "workers", workers, 0)
        self._max_queue_size = check_int(argument, "max_queue_size", max_queue_size, 1)
        self._processes = bool(use_multiprocessing)
        self._enqueuer: SequenceEnqueuer
        if self._is_sequence:
            self._enqueuer = OrderedEnqueuer(data, self._processes, bool(shuffle), rng)
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
        """Batches per epoch, as the source says now, or as many as its last pass had; None when nobody knows."""
        if self._is_sequence:
            return number_of_batches(self.data)
        if not self._restarts:
            return None
        try:
            return len(self.data)
        except TypeError:  # no __len__, or one that does not know (tf.data, PyTorch's IterableDataset)
            return self._last_pass

    def check_length(self) -> None:
        """Raise if a Sequence has no batches.

        Raises:
            DataError: it has none.
        """
        count = self.steps if self._is_sequence else None
        if count is not None and count < 1:
            name = type(self.data).__name__
            raise DataError(f"{self.argument}: {name} has {count} batches; expected at least one.")

    def epoch(self, steps: int | None = None, afresh: bool = False) -> Iterator[Unpacked]:
        """Yield ``(x, y, sample_weight)`` of the next batches.

        Args:
            steps: how many; None: one pass over a Sequence or iterable, or what a generator still has.
            afresh: whether a Sequence or iterable starts with its first batch, wherever the last epoch stopped, so
                that each validation sees the same data.

        Stops early, with a warning and ``exhausted`` set, when the source ends.

        Raises:
            DataError: a batch that is None or no tuple of 2 or 3; no batch at all.
            Exception: what the user's code raises, unchanged, with the batch's number added as a note.
        """
        if afresh:
            self._rewind()
        wanted = steps
        if steps is None and self._is_sequence:
            wanted = number_of_batches(self.data)
            if wanted is not None and wanted < 1:
                self._end_early(0, wanted)
                return
        done = 0
        while wanted is None or done < wanted:
            batch = self._next()
            if batch is None:
                if wanted is None and done:
                    break
                if self._restarts and self._last_pass:
                    continue  # one more pass
                self._end_early(done, wanted)
                return
            done += 1
            if wanted is None:
                self._note_length()
            yield batch[0]
        if isinstance(self._enqueuer, OrderedEnqueuer):
            self._enqueuer.finish_epoch(early=afresh)

    def _note_length(self) -> None:
        """A generator without a number of steps that goes on and on is worth a word."""
        if self.batches == _MANY_BATCHES:
            warn(
                f"{self.argument} has yielded {_MANY_BATCHES:,} batches, and is run until it ends; if it never does, "
                "pass the number of steps."
            )

    def position(self) -> str:
        """Where the last batch stood, for notes on errors."""
        return f"This was {self.place()}."

    def place(self) -> str:
        """What to call the last batch in a message."""
        if isinstance(self._enqueuer, OrderedEnqueuer):
            return f"batch {self._enqueuer.last_index} of {self.argument}"
        return f"batch {self.batches - 1} of {self.argument} (counted from 0 since the start)"

    def close(self) -> None:
        """End all workers; the source cannot be used afterwards."""
        self._enqueuer.stop()

    def __enter__(self) -> BatchSource:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _next(self) -> tuple[Unpacked] | None:
        """The next unpacked batch in a tuple, or None at the end of a pass."""
        if self.ended:
            return None
        if self._restarts and self._in_pass < 0:
            self._begin_again()
        try:
            batch = self._enqueuer.next_batch(self.timeout)
        except EndOfTasks:
            self._last_pass, self._in_pass = max(self._in_pass, 0), -1
            self.ended = not self._restarts
            return None
        except Exception as error:
            error.add_note(f"Raised while batch {self.batches} of {self.argument} was prepared (counted from 0).")
            raise
        self.batches += 1
        self._in_pass += 1
        return (self._unpack(batch),)

    def _unpack(self, batch: Any) -> Unpacked:
        wanted = "(x, y) or (x, y, sample_weight)" if self.with_targets else "x, (x,), (x, y) or (x, y, sample_weight)"
        if batch is None:
            raise DataError(f"{self.argument}: batch {self.batches - 1} is None; expected {wanted}.")
        if self.with_targets:
            if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
                raise DataError(f"{self.argument}: batch {self.batches - 1} is {_shown(batch)}; expected {wanted}.")
            return (batch[0], batch[1], batch[2] if len(batch) == 3 else None)
        if self.with_targets is None and isinstance(batch, (tuple, list)) and len(batch) in (1, 2, 3):
            x, y, weights = (*batch, None, None)[:3]
            return x, y, weights
        if isinstance(batch, tuple):
            if len(batch) not in (1, 2, 3):
                raise DataError(f"{self.argument}: batch {self.batches - 1} is {_shown(batch)}; expected {wanted}.")
            return batch[0], None, None
        return batch, None, None

    def _begin_again(self) -> None:
        """Start a new pass over an iterable."""
        self._enqueuer.stop()
        self._in_pass = 0
        self._enqueuer = GeneratorEnqueuer(iter(self.data), self._processes)
        self._enqueuer.start(self._workers, self._max_queue_size)

    def _rewind(self) -> None:
        """Let the next batch be the first one, where the source can do that."""
        if self._restarts and self._in_pass > 0:
            self._in_pass = -1

    def _end_early(self, done: int, wanted: int | None) -> None:
        if not self.batches:
            raise DataError(f"{self.argument} yielded no batch; expected {wanted or 'at least one'}.")
        if self.exhausted:
            return  # said before
        self.exhausted = True
        steps = f"{done} of the {wanted}" if wanted else "none of the"
        advice = "Let it yield forever, or lower the number of steps or epochs"
        if wanted is None:
            advice = "A generator runs once; pass a Sequence, which starts again"
        warn(
            f"{self.argument} ended after {self.batches} batches, {steps} steps of this epoch; "
            f"{self._consequence}. {advice}.",
        )


def refuse_endless(argument: str, data: Any, steps: int | None, name: str) -> None:
    """Raise for a source that never ends, where the number of steps is not given.

    Raises:
        DataError: the argument ``name`` must be given.
    """
    if steps is None and is_batch_source(data) and _is_endless(data):
        kind = "a generator" if inspect.isgenerator(data) else type(data).__name__
        raise DataError(
            f"{argument}: {kind} that never ends, so {name} must be given; a Sequence knows its number of batches."
        )


def _is_endless(data: Any) -> bool:
    """Whether a source is known never to end: others are run until they do."""
    if is_sequence(data):
        return number_of_batches(data) is None
    if isinstance(data, itertools.cycle):
        return True
    if isinstance(data, itertools.repeat):
        return operator.length_hint(data, -1) < 0
    if inspect.isgenerator(data):  # a function such as ``while True: yield ...`` holds no instruction that returns
        names = {instruction.opname for instruction in dis.get_instructions(data.gi_code)}
        return not names & {"RETURN_VALUE", "RETURN_CONST"}
    cardinality = getattr(data, "cardinality", None)  # of a tf.data.Dataset
    return callable(cardinality) and hasattr(data, "element_spec") and int(cardinality()) == -1


def _shown(batch: Any) -> str:
    if isinstance(batch, (tuple, list)):
        return f"a {type(batch).__name__} of {len(batch)}"
    shape = getattr(batch, "shape", None)
    return f"an array of shape {tuple(shape)}" if shape is not None else f"a {type(batch).__name__}"
