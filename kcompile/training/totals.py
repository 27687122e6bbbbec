"""The losses of an epoch, summed on the host, beside the metrics, which live in the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kcompile.training import custom_steps

if TYPE_CHECKING:
    from kcompile.models.model import Model


class Totals:
    """Losses averaged since they were last reset, weighted by batch size.

    Args:
        model: a compiled model; its metrics start anew, and ``model.reset_metrics()`` empties this too.
    """

    def __init__(self, model: Model) -> None:
        own = custom_steps.own_steps(model)
        self.names = list(model.metrics_names)
        self.metrics = [] if own else model.metrics
        self.sums = [0.0] * (len(self.names) - len(self.metrics))
        self.samples = 0
        self._partial = [] if own or model._compiled is None else model._compiled.added
        self._logs: list[float] | None = [] if own else None  # of the last batch: metrics in the graph are averages
        model._totals = self
        model.reset_metrics()
        if own:
            model._containers.reset()

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
