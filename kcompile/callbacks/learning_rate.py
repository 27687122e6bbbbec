"""``LearningRateScheduler`` and ``ReduceLROnPlateau``: callbacks that set the optimizer's learning rate."""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kcompile import backend
from kcompile.callbacks.base import Callback
from kcompile.callbacks.monitor import Monitor
from kcompile.common.checks import check_int, check_number, raise_unknown_argument
from kcompile.common.errors import DataError, DataTypeError, warn


def get_learning_rate(model: Any) -> float:
    """The learning rate of the model's optimizer now.

    Raises:
        DataError: the optimizer has no attribute ``lr``.
    """
    optimizer = getattr(model, "optimizer", None)
    rate = getattr(optimizer, "lr", None)
    if rate is None:
        raise DataError(f"The optimizer {type(optimizer).__name__} has no attribute 'lr' to read or set.")
    if isinstance(rate, (int, float, np.number, np.ndarray)):
        return float(rate)
    return float(backend.get_value(rate))


def set_learning_rate(model: Any, value: float) -> None:
    """Set the learning rate from the next step on."""
    rate = getattr(model.optimizer, "lr", None)
    if rate is None or isinstance(rate, (int, float, np.number, np.ndarray)):
        model.optimizer.lr = value
        return
    backend.set_value(rate, value)


class LearningRateScheduler(Callback):
    """Sets the learning rate at the start of each epoch (Keras 2.3).

    Args:
        schedule: ``schedule(epoch)`` or ``schedule(epoch, lr)`` that returns the new rate; epochs count from 0.
        verbose: 1 prints the rate.

    Raises:
        DataTypeError: ``schedule`` is not callable, or returns no number.
        DataError: it returns NaN, infinity or a negative rate.
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0):
        super().__init__()
        if not callable(schedule):
            raise DataTypeError(
                f"LearningRateScheduler: schedule must be a function of (epoch) or (epoch, lr), got {schedule!r}."
            )
        self.schedule = schedule
        self.verbose = verbose
        self._takes_rate = _takes_two(schedule)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        current = get_learning_rate(self.model)
        rate: Any = self.schedule(epoch, current) if self._takes_rate else self.schedule(epoch)
        if isinstance(rate, np.ndarray) and rate.ndim == 0:
            rate = rate.item()
        if isinstance(rate, (bool, np.bool_)) or not isinstance(rate, numbers.Real):
            raise DataTypeError(
                f"LearningRateScheduler: schedule returned {rate!r} ({type(rate).__name__}) for epoch "
                f"{epoch}; expected a float."
            )
        rate = float(rate)
        if not math.isfinite(rate) or rate < 0:
            raise DataError(
                f"LearningRateScheduler: schedule returned {rate:g} for epoch {epoch}; expected a finite "
                "rate of at least 0."
            )
        set_learning_rate(self.model, rate)
        if self.verbose > 0:
            print(f"\nEpoch {epoch + 1:05d}: LearningRateScheduler setting learning rate to {rate}.")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is not None:
            logs["lr"] = get_learning_rate(self.model)


class ReduceLROnPlateau(Callback):
    """Multiplies the learning rate by ``factor`` when a value stops improving (Keras 2.3).

    Args:
        monitor: name of the value in the epoch logs.
        factor: in (0, 1); the new rate is the old one times this.
        patience: epochs without improvement to wait for.
        verbose: 1 prints each change.
        mode: "min", "max" or "auto" (by the name).
        min_delta: smaller changes are no improvement (Keras 1 name: ``epsilon``).
        cooldown: epochs to wait after a change before counting again.
        min_lr: lower bound of the rate.

    Raises:
        UnknownNameError: an unknown mode. KCompileError: a factor outside (0, 1), negative patience, ...
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0,
        **kwargs: Any,
    ):
        super().__init__()
        name = "ReduceLROnPlateau"
        if "epsilon" in kwargs:
            min_delta = kwargs.pop("epsilon")
            warn("ReduceLROnPlateau: epsilon is called min_delta now.", DeprecationWarning)
        for argument in kwargs:
            raise_unknown_argument(
                name,
                argument,
                ["monitor", "factor", "patience", "verbose", "mode", "min_delta", "cooldown", "min_lr"],
            )
        self.monitor = monitor
        self.factor = check_number(name, "factor", factor, above=0.0, below=1.0)
        self.min_delta = check_number(name, "min_delta", min_delta, 0.0)
        self.patience = check_int(name, "patience", patience, 0)
        self.cooldown = check_int(name, "cooldown", cooldown, 0)
        self.min_lr = check_number(name, "min_lr", min_lr, 0.0)
        self.verbose = verbose
        self.mode = mode
        self._watch = Monitor(name, monitor, mode, self.min_delta)
        self.cooldown_counter = 0
        self.wait = 0
        self.best = self._watch.worst

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self.cooldown_counter = 0
        self.wait = 0
        self.best = self._watch.worst
        self._watch.warn_if_never_logged(self, "the learning rate will not be reduced")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = {} if logs is None else logs
        logs["lr"] = get_learning_rate(self.model)
        current = self._watch.value(self, logs, "the learning rate stays as it is")
        if current is None:
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self._watch.improves(current, self.best):
            self.best = current
            self.wait = 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience:
                self._reduce(epoch)

    def in_cooldown(self) -> bool:
        """Whether the last change was less than ``cooldown`` epochs ago."""
        return self.cooldown_counter > 0

    def _reduce(self, epoch: int) -> None:
        old = get_learning_rate(self.model)
        if old <= self.min_lr:
            return
        rate = max(old * self.factor, self.min_lr)
        set_learning_rate(self.model, rate)
        if self.verbose > 0:
            print(f"\nEpoch {epoch + 1:05d}: ReduceLROnPlateau reducing learning rate to {rate}.")
        self.cooldown_counter = self.cooldown
        self.wait = 0


def _takes_two(function: Callable[..., Any]) -> bool:
    """Whether a schedule takes (epoch, lr), rather than (epoch) alone."""
    try:
        inspect.signature(function).bind(0, 0.0)
    except TypeError:
        return False
    except ValueError:  # a built-in without a signature
        return True
    return True
