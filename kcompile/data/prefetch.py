"""Ordered prefetching in threads or processes, with exceptions passed on unchanged.

Each worker is a daemon thread; with processes, each thread drives a child process of its own over a pipe, so
that a child that dies is noticed at once and a blocked one can be ended. Nothing here outlives ``stop()``
except a thread that is stuck inside the user's own code, and that one cannot keep Python from exiting.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from kcompile.common.errors import DataTypeError

_POLL_SECONDS = 0.5  # a blocked consumer wakes up this often, so that Ctrl-C works on every system
_NOTHING = object()


class EndOfTasks(Exception):
    """No result is left: the tasks, or the user's generator, came to their end."""


class Prefetcher:
    """Computes ``fetch(task)`` ahead for each task and hands the results out in the order of the tasks.

    Args:
        fetch: called with a task in a worker. A ``StopIteration`` from it ends the stream.
        tasks: any iterable; only advanced as results are consumed.
        workers: number of threads (at least 1).
        max_queue_size: how many results may be ahead of the consumer.
        children: child processes, one per worker, that call ``fetch`` in place of the threads.
    """

    def __init__(
        self,
        fetch: Callable[[Any], Any],
        tasks: Iterable[Any],
        *,
        workers: int = 1,
        max_queue_size: int = 10,
        children: list[ChildProcess] | None = None,
    ):
        self._tasks: Iterator[Any] = iter(tasks)
        self._limit = max(1, max_queue_size)
        self._changed = threading.Condition()
        self._outcomes: dict[int, tuple[bool, Any]] = {}
        self._issued = 0
        self._consumed = 0
        self._no_more_tasks = False
        self._stopped = False
        calls = [child.call for child in children] if children else [fetch] * workers
        self._threads = [
            threading.Thread(target=self._work, args=(call,), daemon=True, name=f"kcompile-prefetch-{i}")
            for i, call in enumerate(calls)
        ]
        for thread in self._threads:
            thread.start()

    def get(self, timeout: float | None = None) -> Any:
        """Return the next result.

        Raises:
            EndOfTasks: there is none. TimeoutError: none came within ``timeout`` seconds.
            Exception: whatever ``fetch`` raised for this task, the same object.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while self._consumed not in self._outcomes:
                if self._no_more_tasks and self._consumed >= self._issued:
                    raise EndOfTasks
                if self._stopped:
                    raise RuntimeError("The workers of this data source were stopped.")
                wait = _POLL_SECONDS
                if deadline is not None:
                    wait = min(wait, deadline - time.monotonic())
                    if wait <= 0:
                        raise TimeoutError(f"no batch within {timeout:g} seconds; the data source is still busy")
                self._changed.wait(wait)
            succeeded, value = self._outcomes.pop(self._consumed)
            self._consumed += 1
            self._changed.notify_all()
        if succeeded:
            return value
        if isinstance(value, StopIteration):
            raise EndOfTasks
        raise value

    def stop(self, timeout: float = 1.0) -> None:
        """End the workers; waits up to ``timeout`` seconds for those inside user code."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))

    def _work(self, call: Callable[[Any], Any]) -> None:
        while True:
            with self._changed:
                while not self._stopped and self._issued - self._consumed >= self._limit:
                    self._changed.wait()
                task = _NOTHING if self._stopped or self._no_more_tasks else next(self._tasks, _NOTHING)
                if task is _NOTHING:
                    self._no_more_tasks = True
                    self._changed.notify_all()
                    return
                ticket = self._issued
                self._issued += 1
            try:
                outcome = (True, call(task))
            except BaseException as error:  # handed to the consumer, whatever it is
                outcome = (False, error)
            with self._changed:
                self._outcomes[ticket] = outcome
                self._no_more_tasks = self._no_more_tasks or not outcome[0]
                self._changed.notify_all()


class ChildProcess:
    """A process that answers ``call(task)`` with ``function(task)``.

    Forked where the system forks safely (Linux), so that functions need not be picklable; elsewhere spawned.

    Args:
        function: what to call; a generator is advanced by ``next`` (the task is ignored).
        seed: seeds NumPy's global generator, so that children do not all draw the same augmentations.
    """

    def __init__(self, function: Any, seed: int):
        context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(function, theirs, seed, os.getpid()), daemon=True)
        try:
            self._process.start()
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise DataTypeError(
                f"use_multiprocessing=True needs a data source that can be pickled on this system ({error}); "
                "use threads (use_multiprocessing=False), or a Sequence defined at the top of a module."
            ) from error
        theirs.close()

    def call(self, task: Any) -> Any:
        """Run one task; re-raises the child's exception with the child's traceback as a note."""
        try:
            self._connection.send(task)
            succeeded, payload, text = self._connection.recv()
        except (EOFError, OSError) as error:
            self._process.join(1.0)
            raise RuntimeError(
                f"a worker process died (exit code {self._process.exitcode}) while it prepared a batch; run "
                "with use_multiprocessing=False to see why."
            ) from error
        if succeeded:
            return payload
        try:
            raised = pickle.loads(payload)  # our own child's bytes
        except Exception:
            raised = None
        if not isinstance(raised, BaseException):
            raised = RuntimeError(text.strip().splitlines()[-1])
        raised.add_note(f"In a worker process:\n{text}")
        raise raised

    def end(self) -> None:
        """Terminate the process; safe to call twice and while a thread waits in ``call``."""
        if self._process.is_alive():
            self._process.terminate()
            self._process.join(1.0)
            if self._process.is_alive():
                self._process.kill()
                self._process.join(1.0)


def _serve(function: Any, connection: Any, seed: int, parent: int) -> None:
    """Body of a child: answer until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    np.random.seed(seed)
    advance = next if hasattr(function, "__next__") else None
    while True:
        # A fork also inherits its siblings' pipes, so the parent's death does not always read as end of file.
        while not connection.poll(1.0):
            if os.getppid() != parent:
                return
        try:
            task = connection.recv()
        except EOFError:
            return
        try:
            answer: tuple[bool, Any, str] = (True, advance(function) if advance else function(task), "")
            connection.send(answer)
        except BaseException as error:
            text = "".join(traceback.format_exception(error))
            try:
                payload = pickle.dumps(error)
            except Exception:
                payload = b""
            connection.send((False, payload, text))
