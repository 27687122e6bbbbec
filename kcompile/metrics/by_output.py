"""Metrics by the outputs that they look at, as ``compile`` takes them: each object serves one output, once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcompile.common.errors import DataTypeError, KCompileError, shown
from kcompile.common.lists import per_output
from kcompile.metrics.base import Metric


def metric_lists(
    value: Any, names: Sequence[str], argument: str, trained: Sequence[bool] | None = None
) -> list[list[Any]]:
    """The metrics of each output: a flat list is for all outputs, a nested one has one list per output.

    A flat list is for the outputs that have a loss (``trained``), if some have, as in Keras 2.3.
    """
    if value is None:
        return [[] for _ in names]
    if isinstance(value, dict):
        return [_as_metrics(m) for m in per_output(value, names, argument)]
    if not isinstance(value, (list, tuple)):
        text = repr(value) if isinstance(value, str) else getattr(value, "__name__", "metric")
        raise DataTypeError(f"{argument} must be a list or a dictionary, got {shown(value)}; write {argument}=[{text}]")
    if any(isinstance(item, (list, tuple)) for item in value):
        if len(names) == 1:
            return [[metric for item in value for metric in _as_metrics(item)]]
        return [_as_metrics(m) for m in per_output(list(value), names, argument)]
    taking = [True] * len(names) if trained is None or not any(trained) else list(trained)
    flat, first = _as_metrics(value), taking.index(True) if taking else 0
    return [(flat if i == first else separated(flat)) if takes else [] for i, takes in enumerate(taking)]


def _as_metrics(value: Any) -> list[Any]:
    """A list without ``None``, which says that there is nothing."""
    if value is None:
        return []
    return [item for item in value if item is not None] if isinstance(value, (list, tuple)) else [value]


def separated(metrics: Sequence[Any]) -> list[Any]:
    """A copy of a list of metrics for one more output: objects are made anew, with states of their own.

    Raises:
        ValueError: a metric that cannot be made from its configuration.
    """
    return [_copied(metric) if isinstance(metric, Metric) else metric for metric in metrics]


def _copied(metric: Any) -> Any:
    try:
        return type(metric).from_config(metric.get_config())
    except (TypeError, ValueError) as error:
        raise KCompileError(
            f"metric {metric.name!r} is for several outputs, and cannot be copied ({error}); give each output an "
            "object of its own: metrics={'output': [...], ...}"
        ) from error


def check_used_once(lists: Sequence[Sequence[Any]]) -> None:
    """Refuse an object that stands in several places: batches would count more than once in its state.

    Raises:
        ValueError: one does.
    """
    seen: list[Any] = []
    for metric in (metric for metrics in lists for metric in metrics if isinstance(metric, Metric)):
        if any(metric is other for other in seen):
            raise KCompileError(
                f"metric {metric.name!r} is given twice as one object, whose state would mix what it sees; make "
                "one for each place"
            )
        seen.append(metric)
