"""The losses of an epoch, summed on the host, beside the metrics, which live in the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kcompile.engine.training import Model


class Totals:
    """Losses averaged since they were last reset, weighted by batch size.

    Args:
        model: a compiled model; its metrics start anew, and ``model.reset_metrics()`` empties this too.
    """

    def __init__(self, model: Model) -> None:
        self.names = list(model.metrics_names)
        self.metrics = model.metrics
        self.sums = [0.0] * (len(self.names) - len(self.metrics))
        self.samples = 0
        model._totals = self
        model.reset_metrics()

    def clear(self) -> None:
        """Forget what was added."""
        self.sums = [0.0] * len(self.sums)
        self.samples = 0

    def add(self, losses: Sequence[float], size: int) -> None:
        """Count the losses of one batch of ``size`` samples."""
        self.samples += size
        for i, loss in enumerate(losses):
            self.sums[i] += loss * size

    def values(self) -> dict[str, float]:
        """The averages so far by name; empty if nothing was measured."""
        if not self.samples:
            return {}
        return self.batch_values([total / self.samples for total in self.sums])

    def batch_values(self, losses: Sequence[float]) -> dict[str, float]:
        """The losses of one batch, and the metrics so far."""
        return dict(zip(self.names, [*losses, *(metric.value() for metric in self.metrics)], strict=True))
