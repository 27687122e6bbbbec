"""What EarlyStopping, ModelCheckpoint and ReduceLROnPlateau share: a value to watch, and when it got
better.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kcompile.callbacks.base import Callback
from kcompile.common.checks import check_one_of
from kcompile.common.errors import DataTypeError, did_you_mean, listed, warn


class Monitor:
    """Compares one value of the logs with the best so far.

    Args:
        owner: the callback, for messages. monitor: name of the value in the logs.
        mode: "min", "max", or "auto": larger is better for names with "acc" in them (Keras 2.3), and
            "fmeasure".
        min_delta: changes up to this size are no improvement.

    Raises:
        UnknownNameError: a mode that does not exist. DataTypeError: a monitor that is not a string.
    """

    def __init__(self, owner: str, monitor: str, mode: str = "auto", min_delta: float = 0.0):
        if not isinstance(monitor, str):
            raise DataTypeError(f"{owner}: monitor must be a name such as 'val_loss', got {monitor!r}.")
        check_one_of(owner, "mode", mode, ("auto", "min", "max"))
        self.owner = owner
        self.name = monitor
        self.larger_is_better = mode == "max" or (
            mode == "auto" and ("acc" in monitor or monitor.startswith(("fmeasure", "val_fmeasure")))
        )
        self.min_delta = abs(min_delta)
        self.best = self.worst

    @property
    def worst(self) -> float:
        """What every value improves on."""
        return float("-inf") if self.larger_is_better else float("inf")

    def improves(self, value: float, best: float | None = None) -> bool:
        """Whether ``value`` is better than ``best`` (default: the best so far) by more than ``min_delta``."""
        best = self.best if best is None else best
        if self.larger_is_better:
            return value > best + self.min_delta
        return value < best - self.min_delta

    def warn_if_never_logged(self, callback: Callback, consequence: str) -> None:
        """At the start of training: warn when the name is not among those that this training logs."""
        available = callback.params.get("metrics")
        if available is None or self.name in available or self.name == "lr":
            return
        why = ""
        if self.name.startswith("val_") and not callback.params.get("do_validation"):
            why = " (fit has no validation_data or validation_split)"
        warn(
            f"{self.owner}: monitor {self.name!r} is not logged by this training{why}; "
            f"{consequence}{did_you_mean(self.name, available) or '.'} Available: {listed(available)}.",
        )

    def value(self, callback: Callback, logs: Mapping[str, Any], consequence: str) -> float | None:
        """The watched value of this epoch; None, with a warning, when it is not there.

        No warning in epochs without validation (``validation_freq``), where its absence is expected.
        """
        found = logs.get(self.name)
        if found is None:
            expected = callback.params.get("metrics") or ()
            if not (self.name.startswith("val_") and self.name in expected):
                warn(
                    f"{self.owner}: {self.name!r} is not available; {consequence}. Available: {listed(logs)}.",
                )
            return None
        return float(found)
