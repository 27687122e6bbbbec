"""``History`` and ``BaseLogger``: what fit returns, and sample-weighted epoch averages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from kcompile.callbacks.base import Callback


class History(Callback):
    """Records the logs of every epoch; fit returns it.

    Attributes:
        epoch: the epochs run, counted from 0.
        history: dict from name ("loss", "val_loss", metric names) to one number per epoch.
    """

    def __init__(self) -> None:
        super().__init__()
        self.epoch: list[int] = []
        self.history: dict[str, list[Any]] = {}

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self.epoch = []
        self.history = {}

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(as_number(value))


class BaseLogger(Callback):
    """Averages metrics over an epoch, weighted by batch size, and puts them into the logs of on_epoch_end.

    fit accumulates these averages inside the compiled graph, so it needs no BaseLogger; this one is for loops
    of one's own. Values that the logs of on_epoch_end hold already are left alone.

    Args:
        stateful_metrics: names of metrics that are averages already: their last value counts.
    """

    def __init__(self, stateful_metrics: Iterable[str] | None = None):
        super().__init__()
        self.stateful_metrics = set(stateful_metrics or ())
        self.seen = 0
        self.totals: dict[str, float] = {}

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self.seen = 0
        self.totals = {}

    def on_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        logs = logs or {}
        size = logs.get("size", 0)
        self.seen += size
        for name, value in logs.items():
            if name in ("batch", "size"):
                continue
            if name in self.stateful_metrics:
                self.totals[name] = value
            else:
                self.totals[name] = self.totals.get(name, 0.0) + value * size

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is None:
            return
        for name in self.params.get("metrics") or self.totals:
            if name in self.totals and name not in logs:
                total = self.totals[name]
                logs[name] = total if name in self.stateful_metrics else total / max(1, self.seen)


def as_number(value: Any) -> Any:
    """A NumPy or device scalar as a Python number; anything else unchanged."""
    if isinstance(value, (np.generic, np.ndarray)) and value.size == 1:
        return value.item()
    return value
