"""``Callback``, the base class of everything that fit, evaluate and predict call on the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Callback:
    """Base class of callbacks; override the hooks that you need (Keras 2.3).

    A batch hook that is not overridden is never called, so it costs nothing. ``logs`` may read its values from
    the device when they are looked at: a callback that needs the loss of every hundredth batch only should
    only look at every hundredth batch's logs.

    Attributes:
        model: the model that is trained.
        params: dict with "batch_size", "epochs", "steps", "samples", "verbose", "do_validation", "metrics".
        validation_data: in fit, the validation arrays in one list: inputs, targets, sample weights; None without
            any, and where a generator makes them.
    """

    # On the class, so that a subclass whose __init__ does not call this one's works too.
    validation_data: Any = None
    model: Any = None
    params: dict[str, Any] = {}

    def set_params(self, params: dict[str, Any]) -> None:
        """Called once before training."""
        self.params = params

    def set_model(self, model: Any) -> None:
        """Called once before training."""
        self.model = model

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Before the first epoch."""

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """After the last epoch, whose ``logs`` it gets, and also when training ends by an exception or Ctrl-C."""

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Before epoch ``epoch`` (counted from 0)."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """After epoch ``epoch`` and its validation; what is added to ``logs`` is seen by later callbacks."""

    def on_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Before training batch ``batch`` of the epoch; ``logs`` knows "batch" and "size"."""

    def on_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """After training batch ``batch``; ``logs`` also has the loss and metrics."""

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Newer name of ``on_batch_begin``, which it calls."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Newer name of ``on_batch_end``, which it calls."""
        self.on_batch_end(batch, logs)

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Before evaluate, and before each validation in fit."""

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """After evaluate, and after each validation in fit; ``logs`` has the loss and metrics, if there was data."""

    def on_test_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Before batch ``batch`` of evaluate or of a validation."""

    def on_test_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """After batch ``batch`` of evaluate or of a validation; ``logs`` has the loss and metrics."""

    def on_predict_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Before predict."""

    def on_predict_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """After predict."""

    def on_predict_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Before batch ``batch`` of predict."""

    def on_predict_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """After batch ``batch`` of predict; ``logs`` has "outputs"."""


HOOKS = tuple(name for name in vars(Callback) if name.startswith("on_"))
