"""`ProgbarLogger`: fit's output on the screen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kcompile.callbacks.base import Callback
from kcompile.errors import check_one_of
from kcompile.utils.progbar import Progbar


class ProgbarLogger(Callback):
    """Prints the progress of each epoch in Keras 2.3's format; fit adds one unless verbose is 0.

    Batch logs are only read when the bar is about to be drawn. Logs with a method `averages` (see
    `BatchLogs`) give the epoch's averages themselves; others are averaged here, batch by batch, as Keras
    does.

    Reads from `params`: "verbose", "epochs", "metrics", "samples" or "steps" by `count_mode`, and, for the
    line "Train on 100 samples, validate on 20 samples", "validation_samples".

    Args:
        count_mode: "samples" or "steps", what the bar counts.
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

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self.verbose = self.params["verbose"]
        self.epochs = self.params["epochs"]
        samples, validation = self.params.get("samples"), self.params.get("validation_samples")
        if self.verbose and samples and validation:
            print(f"Train on {samples} samples, validate on {validation} samples")

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self.seen = 0
        if not self.verbose:
            return
        print(f"Epoch {epoch + 1}/{self.epochs}", flush=True)
        self.target = self.params["steps"] if self.use_steps else self.params["samples"]
        self.progbar = Progbar(self.target, verbose=self.verbose, stateful_metrics=self.stateful_metrics)

    def on_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        logs = {} if logs is None else logs
        self.seen += 1 if self.use_steps else logs.get("size", 0)
        if self.progbar is None or (self.target is not None and self.seen >= self.target):
            return  # the last drawing is on_epoch_end's, with the validation values
        averages = getattr(logs, "averages", None)
        if averages is None:
            self.progbar.update(self.seen, self._shown(logs))
        elif self.progbar.due(self.seen):
            values = self._shown(averages())
            self.progbar.stateful_metrics.update(name for name, _ in values)
            self.progbar.update(self.seen, values)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.progbar is None:
            return
        # What the logs hold now are averages over the whole epoch.
        values = self._shown(logs or {})
        self.progbar.stateful_metrics.update(name for name, _ in values)
        self.progbar.update(self.seen, values, finalize=True)
        self.progbar = None

    def _shown(self, logs: Mapping[str, Any]) -> list[tuple[str, Any]]:
        return [(name, logs[name]) for name in self.params["metrics"] if name in logs]
