"""``EarlyStopping`` and ``TerminateOnNaN``: ways to end training before the last epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from kcompile.callbacks.base import Callback
from kcompile.callbacks.monitor import Monitor
from kcompile.common.checks import check_flag, check_int, check_number


class EarlyStopping(Callback):
    """Stops training when a value has not improved for ``patience`` epochs (Keras 2.3).

    Args:
        monitor: name of the value in the epoch logs.
        min_delta: smaller changes are no improvement.
        patience: epochs without improvement to wait for.
        verbose: 1 prints when training was stopped.
        mode: "min", "max" or "auto" (by the name).
        baseline: the value must be better than this to count as an improvement.
        restore_best_weights: on stopping, go back to the weights of the best epoch.

    Attributes:
        stopped_epoch: epoch (from 0) after which training was stopped, 0 if it was not. best: best value seen.
        best_weights: the weights of that epoch, when they are to be restored.

    Raises:
        UnknownNameError: an unknown mode. KCompileError: patience or min_delta out of range.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
    ):
        super().__init__()
        self.min_delta = abs(check_number("EarlyStopping", "min_delta", min_delta))
        self._watch = Monitor("EarlyStopping", monitor, mode)
        self.monitor = monitor
        self.patience = check_int("EarlyStopping", "patience", patience, 0)
        self.verbose = verbose
        self.baseline = None if baseline is None else check_number("EarlyStopping", "baseline", baseline)
        self.restore_best_weights = check_flag("EarlyStopping", "restore_best_weights", restore_best_weights)
        self.wait = 0
        self.stopped_epoch = 0
        self.best = self._watch.worst
        self.best_weights: list[Any] | None = None

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self.wait = 0
        self.stopped_epoch = 0
        self.best_weights = None
        self.best = self._watch.worst if self.baseline is None else self.baseline
        self._watch.warn_if_never_logged(self, "training will not be stopped early")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        current = self.get_monitor_value(logs)
        if current is None:
            return
        # Keras takes the margin off the new value here, while ReduceLROnPlateau adds it to the best one.
        margin = -self.min_delta if self._watch.larger_is_better else self.min_delta
        if self._watch.improves(current + margin, self.best):
            self.best = current
            self.wait = 0
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            return
        self.wait += 1
        if self.wait >= self.patience:
            self.stopped_epoch = epoch
            self.model.stop_training = True
            if self.restore_best_weights and self.best_weights is not None:
                if self.verbose > 0:
                    print("Restoring model weights from the end of the best epoch")
                self.model.set_weights(self.best_weights)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        if self.stopped_epoch > 0 and self.verbose > 0:
            print(f"Epoch {self.stopped_epoch + 1:05d}: early stopping")

    def get_monitor_value(self, logs: Mapping[str, Any] | None) -> float | None:
        """The watched value in ``logs``, or None with a warning that names what is available."""
        return self._watch.value(self, logs or {}, "early stopping skips this epoch")


class TerminateOnNaN(Callback):
    """Stops training as soon as a batch has a NaN or infinite loss. Reads the loss of every batch."""

    def on_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(loss):
            print(f"Batch {batch}: Invalid loss, terminating training")
            self.model.stop_training = True
