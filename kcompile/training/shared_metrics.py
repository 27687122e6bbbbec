"""Metric objects given to ``compile``: each has one state, so each serves one output, once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcompile.common.errors import KCompileError


def separated(metrics: Sequence[Any]) -> list[Any]:
    """A copy of a list of metrics for one more output: objects are made anew, with states of their own.

    Raises:
        ValueError: a metric that cannot be made from its configuration.
    """
    from kcompile.metrics import Metric

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
    from kcompile.metrics import Metric

    seen: list[Any] = []
    for metric in (metric for metrics in lists for metric in metrics if isinstance(metric, Metric)):
        if any(metric is other for other in seen):
            raise KCompileError(
                f"metric {metric.name!r} is given twice as one object, whose state would mix what it sees; make "
                "one for each place"
            )
        seen.append(metric)
