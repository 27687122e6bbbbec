"""The losses of an epoch, summed on the host, beside the metrics, which live in the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcompile.training.added_metrics import AddedMetric


class Totals:
    """Losses averaged since they were last reset, weighted by batch size.

    Args:
        names: of the losses, then of the metrics.
        metrics: those whose values are asked for. partial: those that layers feed, the last of them.
        logs_only: whether a step of the user's own gives all values itself.
    """

    def __init__(
        self, names: Sequence[str], metrics: Sequence[Any], partial: Sequence[AddedMetric], logs_only: bool
    ) -> None:
        self.names = list(names)
        self.metrics = metrics
        self.sums = [0.0] * (len(self.names) - len(self.metrics))
        self.samples = 0
        self._partial = partial
        self._logs: list[float] | None = [] if logs_only else None  # of the last batch: metrics in it are averages

    def clear(self) -> None:
        """Forget what was added."""
        self.sums = [0.0] * len(self.sums)
        self.samples = 0

    def add(self, losses: Sequence[float], size: int, log_names: Sequence[str] | None = None) -> None:
        """Count the losses of one batch of ``size`` samples; the logs of a step of the user's own count as they are."""
        self.samples += size
        if log_names is not None:
            self.names, self._logs = list(log_names), list(losses[1:])
            return
        for i, loss in enumerate(losses):
            self.sums[i] += loss * size

    def values(self) -> dict[str, float]:
        """The averages so far by name; empty if nothing was measured."""
        if not self.samples:
            return {}
        if self._logs is not None:
            return dict(zip(self.names, self._logs, strict=True))
        return self.batch_values([total / self.samples for total in self.sums])

    def batch_values(self, losses: Sequence[float]) -> dict[str, float]:
        """The losses of one batch, and the metrics so far."""
        if self._logs is not None:
            return self.values()
        found = dict(zip(self.names, [*losses, *(metric.value() for metric in self.metrics)], strict=True))
        for name, metric in zip(self.names[-len(self._partial) :], self._partial, strict=True) if self._partial else []:
            if metric.idle():
                del found[name]
        return found
