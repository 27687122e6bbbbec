"""``ProgbarLogger``: the output of fit, evaluate and predict on the screen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kcompile.callbacks.base import Callback
from kcompile.common.checks import check_one_of
from kcompile.common.progbar import Progbar

Logs = Mapping[str, Any] | None


class ProgbarLogger(Callback):
    """Prints progress in tf.keras' format; fit, evaluate and predict add one that counts steps unless verbose is 0.

    Batch logs are only read when the bar is about to be drawn. Logs with a method ``averages`` (see
    ``BatchLogs``) give the averages so far themselves; others are averaged here, batch by batch, as Keras
    does.

    Reads from ``params``: "verbose", "epochs", "metrics", "samples" or "steps" by ``count_mode``, and, where samples
    are counted, for the line "Train on 100 samples, validate on 20 samples", "validation_samples".

    Args:
        count_mode: "samples" (Keras 2.3) or "steps", what the bar counts.
        stateful_metrics: names of metrics that are averages already and are shown as they are.
    """

    def __init__(self, count_mode: str = "samples", stateful_metrics: Iterable[str] | None = None):
        super().__init__()
        check_one_of("ProgbarLogger", "count_mode", count_mode, ("samples", "steps"))
        self.use_steps = count_mode == "steps"
        self.stateful_metrics = set(stateful_metrics or ())
        self.verbose = 0
        self.epochs = 0
        self.seen = 0
        self.target: int | None = None
        self.progbar: Progbar | None = None
        self._in_fit = False

    def on_train_begin(self, logs: Logs = None) -> None:
        self._in_fit = True
        self.verbose = self.params["verbose"]
        self.epochs = self.params["epochs"]
        samples, validation = self.params.get("samples"), self.params.get("validation_samples")
        if self.verbose and not self.use_steps and samples and validation:
            print(f"Train on {samples} samples, validate on {validation} samples")

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        if self.verbose:
            print(f"Epoch {epoch + 1}/{self.epochs}", flush=True)
        self._begin()

    def on_batch_end(self, batch: int, logs: Logs = None) -> None:
        self._count(batch, logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._finish(logs)

    def on_train_end(self, logs: Logs = None) -> None:
        self._in_fit = False

    def on_test_begin(self, logs: Logs = None) -> None:
        self._begin_alone()

    def on_test_batch_end(self, batch: int, logs: Logs = None) -> None:
        if not self._in_fit:
            self._count(batch, logs)

    def on_test_end(self, logs: Logs = None) -> None:
        if not self._in_fit:
            self._finish(logs)

    def on_predict_begin(self, logs: Logs = None) -> None:
        self._begin_alone()

    def on_predict_batch_end(self, batch: int, logs: Logs = None) -> None:
        if not self._in_fit:
            self._count(batch, logs)

    def on_predict_end(self, logs: Logs = None) -> None:
        if not self._in_fit:
            self._finish(None)

    def _begin_alone(self) -> None:
        """Begin a loop that is no part of fit."""
        if not self._in_fit:
            self.verbose = self.params["verbose"]
            self._begin()

    def _begin(self) -> None:
        self.seen = 0
        if self.verbose:
            self.target = self.params.get("steps" if self.use_steps else "samples")
            self.progbar = Progbar(self.target, verbose=self.verbose, stateful_metrics=self.stateful_metrics)

    def _count(self, batch: int, logs: Logs) -> None:
        logs = {} if logs is None else logs
        # Several steps may have run since the last call (steps_per_execution).
        self.seen = batch + 1 if self.use_steps else self.seen + logs.get("size", 0)
        if self.progbar is None or (self.target is not None and self.seen >= self.target):
            return  # the last drawing comes at the end, with the validation values
        averages = getattr(logs, "averages", None)
        if averages is None:
            self.progbar.update(self.seen, self._shown(logs))
        elif self.progbar.due(self.seen):
            values = self._shown(averages())
            self.progbar.stateful_metrics.update(name for name, _ in values)
            self.progbar.update(self.seen, values)
        elif self.seen == 1:
            self.progbar.update(1)

    def _finish(self, logs: Logs) -> None:
        if self.progbar is None:
            return
        # What the logs hold now are averages over the whole loop.
        values = self._shown(logs or {})
        self.progbar.stateful_metrics.update(name for name, _ in values)
        self.progbar.update(self.seen, values, finalize=True)
        self.progbar = None

    def _shown(self, logs: Mapping[str, Any]) -> list[tuple[str, Any]]:
        return [(name, logs[name]) for name in self.params["metrics"] if name in logs]
