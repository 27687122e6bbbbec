"""Metrics that layers add while they are called: ``self.add_metric(value)``, and Metric objects used in ``call``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from kcompile.backend.nn import switch
from kcompile.symbolic.tensor import Tensor, as_tensor
from kcompile.symbolic.variable import Variable

Update = tuple[Variable, Tensor]


@dataclass(frozen=True)
class Noted:
    """What one call of a layer adds to a metric.

    Attributes:
        name: the metric's.
        value: a tensor whose mean is the metric.
        metric: the layer's own Metric object instead, which the call updated; updates: what that changes.
        training: in which phase alone the call adds it, if not in both.
    """

    name: str
    value: Tensor | None = None
    metric: Any = None
    updates: tuple[Update, ...] = ()
    training: bool | None = None

    def tensors(self) -> list[Tensor]:
        """What it is computed from."""
        return [as_tensor(value) for _, value in self.updates] if self.value is None else [self.value]

    def same_as(self, other: Noted) -> bool:
        return self.name == other.name and self.metric is other.metric


@dataclass(frozen=True)
class MetricResult:
    """What is known of a tensor that a Metric object returned.

    Attributes:
        metric: the object.
        mean_of: the one tensor whose mean it is, if it is nothing else.
    """

    metric: Any
    mean_of: Any = None


def note_result(x: Tensor, result: MetricResult) -> None:
    """Note that a Metric object returned ``x``."""
    vars(x)["metric_result"] = result


def metric_result(x: Any) -> MetricResult | None:
    """What was noted of ``x``."""
    return vars(x).get("metric_result") if isinstance(x, Tensor) else None


def joined(phase: Tensor, trained: Sequence[Noted], quiet: Sequence[Noted]) -> list[Noted]:
    """The notes of a call that was traced for training and for inference."""
    if len(trained) != len(quiet) or not all(a.same_as(b) for a, b in zip(trained, quiet, strict=True)):
        return [*(replace(a, training=True) for a in trained), *(replace(b, training=False) for b in quiet)]
    return [_joined(phase, a, b) for a, b in zip(trained, quiet, strict=True)]


def _joined(phase: Tensor, trained: Noted, quiet: Noted) -> Noted:
    if trained.value is not None and quiet.value is not None:
        return replace(trained, value=switch(phase, trained.value, quiet.value))
    one, other = dict(trained.updates), dict(quiet.updates)
    variables = dict.fromkeys([*one, *other])
    pairs = ((v, switch(phase, one.get(v, v), other.get(v, v))) for v in variables)
    return replace(trained, updates=tuple(pairs))
