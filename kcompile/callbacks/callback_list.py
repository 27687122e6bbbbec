"""``CallbackList``: calls the hooks of all callbacks, and only the batch hooks that somebody overrides."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kcompile.callbacks.base import Callback
from kcompile.common.errors import DataTypeError, warn

_SLOW_SECONDS = 0.1  # Keras' threshold: hooks slower than this, and than the step itself, are worth a warning
_OLD_NAMES = {"on_train_batch_begin": "on_batch_begin", "on_train_batch_end": "on_batch_end"}
_BATCH_HOOKS = tuple(f"on_{mode}_batch_{end}" for mode in ("train", "test", "predict") for end in ("begin", "end"))

Logs = Mapping[str, Any] | None


class CallbackList:
    """Several callbacks as one.

    Args:
        callbacks: ``Callback`` instances (or objects with the same hooks), called in this order.
        queue_length: accepted as in Keras 2.3: how many slow batches in a row lead to a warning.

    Raises:
        DataTypeError: an entry is a class, or nothing like a callback.

    The training loop should ask ``has_train_batch_begin`` / ``has_train_batch_end`` (and ``test``, ``predict``)
    before it builds logs: with no callback that overrides the hook there is nobody to read them.
    """

    def __init__(self, callbacks: Any = None, queue_length: int = 10):
        self.callbacks: list[Any] = _checked(callbacks)
        self.queue_length = queue_length
        self.params: dict[str, Any] = {}
        self.model: Any = None
        self._hooks: dict[str, list[Callable[..., Any]]] = {}
        self._started: list[Any] = []
        self._last_logs: Logs = None
        self._slow_batches = 0
        self._last_batch_hook = 0.0
        self._find_hooks()

    def append(self, callback: Any) -> None:
        """Add one callback at the end."""
        self.callbacks.extend(_checked([callback]))
        self._find_hooks()

    def set_params(self, params: dict[str, Any]) -> None:
        """Give every callback the parameters of the run."""
        self.params = params
        for callback in self.callbacks:
            callback.set_params(params)

    def set_model(self, model: Any) -> None:
        """Give every callback the model."""
        self.model = model
        for callback in self.callbacks:
            callback.set_model(model)
        self._find_hooks()

    @property
    def has_train_batch_begin(self) -> bool:
        """Whether any callback overrides on_batch_begin / on_train_batch_begin."""
        return bool(self._hooks["on_train_batch_begin"])

    @property
    def has_train_batch_end(self) -> bool:
        """Whether any callback overrides on_batch_end / on_train_batch_end."""
        return bool(self._hooks["on_train_batch_end"])

    @property
    def has_test_batch(self) -> bool:
        """Whether any callback overrides a batch hook of evaluate."""
        return bool(self._hooks["on_test_batch_begin"] or self._hooks["on_test_batch_end"])

    @property
    def has_predict_batch(self) -> bool:
        """Whether any callback overrides a batch hook of predict."""
        return bool(self._hooks["on_predict_batch_begin"] or self._hooks["on_predict_batch_end"])

    def on_train_begin(self, logs: Logs = None) -> None:
        self._started, self._last_logs = [], None
        for callback in self.callbacks:
            self._call(callback, "on_train_begin", "", {} if logs is None else logs)
            self._started.append(callback)
        self._find_hooks()  # a callback may have set hooks on itself by now

    def on_train_end(self, logs: Logs = None) -> None:
        """Call on_train_end of all callbacks that were started, even if one of them raises; then raise
        that. They are given the logs of the last epoch, as in tf.keras.
        """
        logs = self._last_logs or {} if logs is None else logs
        first: BaseException | None = None
        for callback in self._take_started():
            try:
                self._call(callback, "on_train_end", "", logs)
            except BaseException as error:
                first = first or error
        if first is not None:
            raise first

    def abort(self, error: BaseException) -> None:
        """Training ended by ``error``: let every started callback clean up in on_train_end.

        Further exceptions become notes on ``error``, which the caller re-raises.
        """
        for callback in self._take_started():
            try:
                self._call(callback, "on_train_end", "", self._last_logs or {})
            except Exception as second:
                error.add_note(f"{type(callback).__name__}.on_train_end raised {type(second).__name__}: {second}")

    @contextmanager
    def training(self) -> Iterator[CallbackList]:
        """``with callbacks.training():`` runs on_train_begin before and on_train_end after the block, come what
        may.
        """
        try:
            self.on_train_begin()
            yield self
        except BaseException as error:
            self.abort(error)
            raise
        self.on_train_end()

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._call_all("on_epoch_begin", epoch, logs)
        self._slow_batches = 0

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        logs = self._last_logs = {} if logs is None else logs
        self._call_all("on_epoch_end", epoch, logs)

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        if self._hooks["on_train_batch_begin"]:
            self._call_batch("on_train_batch_begin", batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        if self._hooks["on_train_batch_end"]:
            self._call_batch("on_train_batch_end", batch, logs)

    on_batch_begin = on_train_batch_begin
    on_batch_end = on_train_batch_end

    def on_test_begin(self, logs: Logs = None) -> None:
        self._call_all("on_test_begin", None, logs)

    def on_test_end(self, logs: Logs = None) -> None:
        self._call_all("on_test_end", None, logs)

    def on_test_batch_begin(self, batch: int, logs: Logs = None) -> None:
        self._call_batch("on_test_batch_begin", batch, logs)

    def on_test_batch_end(self, batch: int, logs: Logs = None) -> None:
        self._call_batch("on_test_batch_end", batch, logs)

    def on_predict_begin(self, logs: Logs = None) -> None:
        self._call_all("on_predict_begin", None, logs)

    def on_predict_end(self, logs: Logs = None) -> None:
        self._call_all("on_predict_end", None, logs)

    def on_predict_batch_begin(self, batch: int, logs: Logs = None) -> None:
        self._call_batch("on_predict_batch_begin", batch, logs)

    def on_predict_batch_end(self, batch: int, logs: Logs = None) -> None:
        self._call_batch("on_predict_batch_end", batch, logs)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.callbacks)

    def __len__(self) -> int:
        return len(self.callbacks)

    def _find_hooks(self) -> None:
        for hook in _BATCH_HOOKS:
            self._hooks[hook] = [bound for callback in self.callbacks if (bound := _overridden(callback, hook))]

    def _take_started(self) -> list[Any]:
        started, self._started = self._started, []
        return started

    def _call_all(self, hook: str, number: int | None, logs: Logs) -> None:
        where = "" if number is None else f" (epoch {number}, counted from 0)"
        logs = {} if logs is None else logs
        for callback in self.callbacks:
            self._call(callback, hook, where, *(() if number is None else (number,)), logs)

    @staticmethod
    def _call(callback: Any, hook: str, where: str, *arguments: Any) -> None:
        method = getattr(callback, hook, None)
        if method is None:
            return
        try:
            method(*arguments)
        except Exception as error:
            error.add_note(f"Raised in {type(callback).__name__}.{hook}{where}.")
            raise

    def _call_batch(self, hook: str, batch: int, logs: Logs) -> None:
        hooks = self._hooks[hook]
        if not hooks:
            return
        logs = {} if logs is None else logs
        began = time.perf_counter()
        for call in hooks:
            try:
                call(batch, logs)
            except Exception as error:
                owner = next(type(c).__name__ for c in self.callbacks if _overridden(c, hook) == call)
                error.add_note(f"Raised in {owner}.{hook} (batch {batch}, counted from 0).")
                raise
        ended = time.perf_counter()
        if ended - began > _SLOW_SECONDS:
            self._note_slow(hook, ended - began, began - self._last_batch_hook)
        self._last_batch_hook = ended

    def _note_slow(self, hook: str, seconds: float, step_seconds: float) -> None:
        self._slow_batches = self._slow_batches + 1 if seconds > 0.95 * step_seconds else 0
        if self._slow_batches == self.queue_length // 2 + 1:
            warn(
                f"{hook} of the callbacks takes {seconds:.2f} s, longer than a batch ({step_seconds:.2f} s).",
            )


def _checked(callbacks: Any) -> list[Any]:
    if callbacks is None:
        return []
    if isinstance(callbacks, CallbackList):
        return list(callbacks.callbacks)
    if isinstance(callbacks, Callback):
        callbacks = [callbacks]
    if not isinstance(callbacks, Iterable):
        raise DataTypeError(f"callbacks: expected a list of Callback instances, got {type(callbacks).__name__}.")
    entries = list(callbacks)
    for i, entry in enumerate(entries):
        if inspect.isclass(entry):
            raise DataTypeError(
                f"callbacks[{i}]: {entry.__name__} is a class; pass an instance: {entry.__name__}(...)."
            )
        if not isinstance(entry, Callback) and not all(
            callable(getattr(entry, name, None)) for name in ("set_model", "set_params", "on_epoch_end")
        ):
            raise DataTypeError(f"callbacks[{i}]: expected a Callback instance, got {type(entry).__name__}.")
    return entries


def _overridden(callback: Any, hook: str) -> Callable[..., Any] | None:
    """The callback's own version of a batch hook, or None if it is the base class' empty one."""
    old = _OLD_NAMES.get(hook)
    for name in (hook, old) if old else (hook,):
        method: Callable[..., Any] | None = getattr(callback, name, None)
        if method is None:
            continue
        if name in getattr(callback, "__dict__", {}):
            return method
        defined = inspect.getattr_static(type(callback), name, None)
        if defined is None or _is_empty(defined, name):
            continue
        return method
    return None


def _is_empty(function: Any, name: str) -> bool:
    """Whether a hook is the base class' own: ours, or that of another Keras."""
    if function is vars(Callback).get(name):
        return True
    qualified = getattr(function, "__qualname__", "")
    return qualified == f"Callback.{name}" and "keras" in (getattr(function, "__module__", "") or "")
