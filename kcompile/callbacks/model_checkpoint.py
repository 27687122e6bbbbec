"""``ModelCheckpoint``: saves the model while it trains."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from kcompile.callbacks.base import Callback
from kcompile.callbacks.history import as_number
from kcompile.callbacks.monitor import Monitor
from kcompile.common.checks import check_flag, check_int, check_number
from kcompile.common.errors import DataTypeError, KCompileError, unknown_name


class ModelCheckpoint(Callback):
    """Saves the model, or its weights, after epochs (Keras 2.3) or batches.

    A file is replaced only once the new one is complete: a process that dies while it saves leaves the old one.

    Args:
        filepath: path; may hold fields such as ``{epoch:02d}`` (counted from 1) and ``{val_loss:.2f}``. A folder
            that does not exist is created before the first step.
        monitor: name of the value that decides which epoch is best.
        verbose: 1 prints each save.
        save_best_only: only save when ``monitor`` improved.
        save_weights_only: ``model.save_weights(path)`` instead of ``model.save(path)``.
        mode: "min", "max" or "auto" (by the name).
        period: save at most every ``period`` epochs.
        save_freq: "epoch", or a number of batches after which to save, counted over epochs (tf.keras); values in
            ``filepath`` and of ``monitor`` are then those of the epoch so far.
        initial_value_threshold: only values better than this are best.

    Attributes:
        best: best value of ``monitor`` so far; kept when fit is called again, as in Keras.

    Raises:
        UnknownNameError: an unknown mode; a field in ``filepath`` that the logs do not have.
        OSError: the folder cannot be made, the file cannot be written.
        KCompileError: a model that cannot be saved as a whole, said before the first step.
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        period: int = 1,
        save_freq: int | str = "epoch",
        initial_value_threshold: float | None = None,
    ):
        super().__init__()
        if not isinstance(filepath, (str, os.PathLike)):
            raise DataTypeError(f"ModelCheckpoint: filepath must be a path, got {type(filepath).__name__}.")
        self.filepath = os.fspath(filepath)
        self._watch = Monitor("ModelCheckpoint", monitor, mode)
        self.monitor = monitor
        self.verbose = verbose
        self.save_best_only = check_flag("ModelCheckpoint", "save_best_only", save_best_only)
        self.save_weights_only = check_flag("ModelCheckpoint", "save_weights_only", save_weights_only)
        self.period = check_int("ModelCheckpoint", "period", period, 1)
        self.epochs_since_last_save = 0
        self.best = self._watch.worst
        if initial_value_threshold is not None:
            self.best = check_number("ModelCheckpoint", "initial_value_threshold", initial_value_threshold)
        self.save_freq = save_freq
        self._epoch = self._batches = 0
        if save_freq != "epoch":
            self.save_freq = check_int("ModelCheckpoint", "save_freq", save_freq, 1)
            if self.period != 1:
                raise KCompileError("ModelCheckpoint: period counts epochs; with a number as save_freq it must be 1.")
            self.on_train_batch_end = self._after_batch  # type: ignore[method-assign]  # else batches cost nothing

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        if not self.save_weights_only and hasattr(self.model, "check_saving_to"):
            try:
                self.model.check_saving_to(self.filepath)
            except (NotImplementedError, ValueError) as error:
                raise KCompileError(f"ModelCheckpoint: {error}; or use save_weights_only=True") from error
        folder = os.path.dirname(self.filepath)
        if folder and "{" not in folder:
            os.makedirs(folder, exist_ok=True)
        if self.save_best_only:
            self._watch.warn_if_never_logged(self, "nothing will be saved")

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._epoch = epoch

    def _after_batch(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._batches += 1
        if self._batches % int(self.save_freq) == 0:
            averages = getattr(logs, "averages", lambda: logs or {})()
            self._consider(self._epoch, {**averages, "batch": batch + 1})

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.save_freq != "epoch":
            return
        self.epochs_since_last_save += 1
        if self.epochs_since_last_save < self.period:
            return
        self.epochs_since_last_save = 0
        self._consider(epoch, logs or {})

    def _consider(self, epoch: int, logs: Mapping[str, Any]) -> None:
        """Save, if every model is to be saved or this is the best one."""
        path = self._path(epoch, logs)
        if not self.save_best_only:
            self._save(path, f"Epoch {epoch + 1:05d}: saving model to {path}")
            return
        current = self._watch.value(self, logs, "no model is saved in this epoch")
        if current is None:
            return
        if self._watch.improves(current, self.best):
            message = (
                f"Epoch {epoch + 1:05d}: {self.monitor} improved from {self.best:0.5f} to {current:0.5f}, "
                f"saving model to {path}"
            )
            self._save(path, message)
            self.best = current  # after the save: a save that fails leaves it to the next epoch
        elif self.verbose > 0:
            print(f"\nEpoch {epoch + 1:05d}: {self.monitor} did not improve from {self.best:0.5f}")

    def _path(self, epoch: int, logs: Mapping[str, Any]) -> str:
        fields = {name: as_number(value) for name, value in logs.items()}
        fields["epoch"] = epoch + 1
        try:
            return self.filepath.format(**fields)
        except (KeyError, IndexError) as error:
            field = error.args[0] if isinstance(error, KeyError) else "{}"
            raise unknown_name("field in ModelCheckpoint's filepath", field, fields) from None

    def _save(self, path: str, message: str) -> None:
        if self.verbose > 0:
            print(f"\n{message}")
        folder = os.path.dirname(path)
        if folder:
            os.makedirs(folder, exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(path, overwrite=True)
        else:
            self.model.save(path, overwrite=True)
