"""Metrics from counts of right and wrong decisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kcompile.backend import math as tensor_math
from kcompile.backend import nn
from kcompile.common import config
from kcompile.common.checks import check_one_of, check_positive_int
from kcompile.common.errors import KCompileError
from kcompile.ir.ops.arrays import indexing, shaping
from kcompile.ir.ops.elementwise import comparison
from kcompile.ir.ops.elementwise import functions as elementwise
from kcompile.ir.ops.products import linalg
from kcompile.metrics.base import Metric, Update, divide_no_nan, weighted
from kcompile.symbolic.target_shapes import matched
from kcompile.symbolic.tensor import Tensor, TensorLike, as_float, as_tensor
from kcompile.symbolic.variable import Variable

COUNTS = ("true_positives", "true_negatives", "false_positives", "false_negatives")
Thresholds = float | list[float] | tuple[float, ...] | None
NEVER = -1e10
"""Below every prediction: what top_k leaves out, and the threshold that then decides."""


def confusion(
    owner: str,
    y_true: TensorLike,
    y_pred: TensorLike,
    thresholds: Sequence[float],
    wanted: Sequence[str],
    sample_weight: TensorLike | None = None,
    top_k: int | None = None,
    class_id: int | None = None,
) -> dict[str, Tensor]:
    """Weighted counts for each threshold: vectors of ``len(thresholds)``.

    Raises:
        ShapeError: the shapes of targets and predictions differ by more than a last axis of size 1.
    """
    y_true, y_pred = matched(as_float(y_true), as_float(y_pred), "same", owner)
    if top_k is not None:
        best, _ = indexing.top_k(y_pred.value, top_k)
        least = shaping.slice_axes(best, [best.rank - 1], [top_k - 1], [top_k])
        y_pred = Tensor(elementwise.where(comparison.greater_equal(y_pred.value, least), y_pred.value, NEVER))
    if class_id is not None:
        y_true, y_pred = y_true[..., class_id], y_pred[..., class_id]
    w = Tensor(weighted(y_pred, sample_weight)[1].value) if sample_weight is not None else None

    def row(x: Tensor) -> Tensor:
        return Tensor(shaping.reshape(x.value, (1, -1)))

    labels = row(y_true) > 0.0
    decided = row(y_pred) > np.reshape(np.asarray(thresholds, config.floatx()), (-1, 1))
    factor = row(w) if w is not None else 1.0
    sides = {
        "true_positives": (labels, decided), "false_positives": (~labels, decided),
        "false_negatives": (labels, ~decided), "true_negatives": (~labels, ~decided),
    }  # fmt: skip
    found = {}
    for name in wanted:
        a, b = sides[name]
        found[name] = tensor_math.sum(tensor_math.cast(tensor_math.logical_and(a, b), config.floatx()) * factor, axis=1)
    return found


class _Counts(Metric):
    """State: some of the four counts for each threshold."""

    wanted: tuple[str, ...] = COUNTS

    def __init__(
        self, thresholds: Thresholds, name: str | None, dtype: str | None, top_k: int | None = None,
        class_id: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(name=name, dtype=dtype)
        self.init_thresholds = thresholds
        self.top_k = None if top_k is None else check_positive_int(type(self).__name__, "top_k", top_k)
        self.class_id = class_id
        default = NEVER if top_k is not None else 0.5
        given = default if thresholds is None else thresholds
        self.thresholds = [float(t) for t in (given if isinstance(given, (list, tuple)) else [given])]
        if thresholds is not None and any(not 0 <= t <= 1 for t in self.thresholds):
            raise KCompileError(f"{type(self).__name__}: thresholds must lie in [0, 1], got {thresholds!r}")
        self._make_counts()

    def _make_counts(self) -> None:
        self.counts: dict[str, Variable] = {
            name: self.add_weight(name, (len(self.thresholds),)) for name in self.wanted
        }

    def update_state(
        self, y_true: TensorLike, y_pred: TensorLike, sample_weight: TensorLike | None = None
    ) -> list[Update]:
        """Count the decisions of a batch."""
        chosen = (self.thresholds, self.wanted, sample_weight, self.top_k, self.class_id)
        found = confusion(self.name, y_true, y_pred, *chosen)
        return [(self.counts[name], self.counts[name] + value) for name, value in found.items()]

    def _shaped(self, result: Tensor) -> Tensor:
        """A scalar for one threshold, else a vector."""
        return result[0] if len(self.thresholds) == 1 else result


class _OneCount(_Counts):
    def __init__(self, thresholds: Thresholds = None, name: str | None = None, dtype: str | None = None) -> None:
        super().__init__(thresholds, name, dtype)

    def result(self) -> Tensor:
        return self._shaped(Tensor(self.counts[self.wanted[0]].value))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "thresholds": self.init_thresholds}


class TruePositives(_OneCount):
    """How many positive decisions were right, at one or more thresholds (default 0.5)."""

    wanted = ("true_positives",)


class TrueNegatives(_OneCount):
    """How many negative decisions were right, at one or more thresholds (default 0.5)."""

    wanted = ("true_negatives",)


class FalsePositives(_OneCount):
    """How many positive decisions were wrong, at one or more thresholds (default 0.5)."""

    wanted = ("false_positives",)


class FalseNegatives(_OneCount):
    """How many negative decisions were wrong, at one or more thresholds (default 0.5)."""

    wanted = ("false_negatives",)


class _Ratio(_Counts):
    def __init__(
        self, thresholds: Thresholds = None, top_k: int | None = None, class_id: int | None = None,
        name: str | None = None, dtype: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(thresholds, name, dtype, top_k, class_id)

    def result(self) -> Tensor:
        right, wrong = (self.counts[name] for name in self.wanted)
        return self._shaped(divide_no_nan(right, right + wrong))

    def get_config(self) -> dict[str, Any]:
        own = {"thresholds": self.init_thresholds, "top_k": self.top_k, "class_id": self.class_id}
        return {**super().get_config(), **own}


class Precision(_Ratio):
    """The fraction of positive decisions that were right.

    Args:
        thresholds: one or a list; default 0.5. top_k: only the largest predictions of a sample count as positive.
        class_id: only this column counts.
    """

    wanted = ("true_positives", "false_positives")


class Recall(_Ratio):
    """The fraction of positive targets that were found; arguments as for :class:`Precision`."""

    wanted = ("true_positives", "false_negatives")


def spread_thresholds(count: int) -> list[float]:
    """``count`` thresholds over [0, 1], the outer ones just outside."""
    inner = [(i + 1) / (count - 1) for i in range(count - 2)]
    return [-config.epsilon(), *inner, 1.0 + config.epsilon()]


class AUC(_Counts):
    """The area under the ROC or precision-recall curve, by the trapezoidal rule over thresholds.

    Args:
        num_thresholds: how many thresholds. curve: ``ROC`` or ``PR``.
        summation_method: ``interpolation``, ``minoring`` or ``majoring``.
        thresholds: inner thresholds, instead of ``num_thresholds``.

    The interpolation of precision-recall curves is that of Davis & Goadrich, 2006.
    """

    def __init__(
        self, num_thresholds: int = 200, curve: str = "ROC", summation_method: str = "interpolation",
        name: str | None = None, dtype: str | None = None, thresholds: Sequence[float] | None = None,
    ) -> None:  # fmt: skip
        self.curve = check_one_of("AUC", "curve", curve, ("ROC", "PR"))
        self.summation_method = check_one_of(
            "AUC", "summation_method", summation_method, ("interpolation", "minoring", "majoring")
        )
        super().__init__(None, name, dtype)
        self.given_thresholds = None if thresholds is None else sorted(float(t) for t in thresholds)
        if self.given_thresholds is not None:
            if any(not 0 <= t <= 1 for t in self.given_thresholds):
                raise KCompileError(f"AUC: thresholds must lie in [0, 1], got {thresholds!r}")
            self.thresholds = [-config.epsilon(), *self.given_thresholds, 1.0 + config.epsilon()]
        else:
            if not isinstance(num_thresholds, int) or num_thresholds < 2:
                raise KCompileError(f"AUC: num_thresholds must be at least 2, got {num_thresholds!r}")
            self.thresholds = spread_thresholds(num_thresholds)
        self.num_thresholds = len(self.thresholds)
        self._non_trainable_weights = []
        self._make_counts()

    def result(self) -> Tensor:
        tp, tn, fp, fn = (Tensor(self.counts[name].value) for name in COUNTS)
        if self.curve == "PR" and self.summation_method == "interpolation":
            return _interpolated_pr(tp, fp, fn)
        recall = divide_no_nan(tp, tp + fn)
        if self.curve == "ROC":
            x, y = divide_no_nan(fp, fp + tn), recall
        else:
            x, y = recall, divide_no_nan(tp, tp + fp)
        left, right = y[:-1], y[1:]
        if self.summation_method == "interpolation":
            heights = (left + right) / 2.0
        else:
            choose = tensor_math.minimum if self.summation_method == "minoring" else tensor_math.maximum
            heights = choose(left, right)
        return tensor_math.sum((x[:-1] - x[1:]) * heights)

    def get_config(self) -> dict[str, Any]:
        own = {
            "num_thresholds": self.num_thresholds, "curve": self.curve, "summation_method": self.summation_method,
        }  # fmt: skip
        if self.given_thresholds is not None:
            own["thresholds"] = self.given_thresholds
        return {**super().get_config(), **own}


def _interpolated_pr(tp: Tensor, fp: Tensor, fn: Tensor) -> Tensor:
    """The area under the curve whose true and false positives are interpolated linearly between thresholds."""
    p = tp + fp
    gained, taken = tp[:-1] - tp[1:], p[:-1] - p[1:]
    slope = divide_no_nan(gained, tensor_math.maximum(taken, 0.0))
    intercept = tp[1:] - slope * p[1:]
    both = tensor_math.logical_and(p[:-1] > 0.0, p[1:] > 0.0)
    ratio = nn.switch(both, divide_no_nan(p[:-1], tensor_math.maximum(p[1:], 0.0)), tp[1:] * 0.0 + 1.0)
    area = slope * (gained + intercept * tensor_math.log(ratio))
    return tensor_math.sum(divide_no_nan(area, tensor_math.maximum(tp[1:] + fn[1:], 0.0)))


class _AtThreshold(_Counts):
    """One rate at the threshold where the other is nearest to a given value."""

    def __init__(
        self, value: float, num_thresholds: int, name: str | None, dtype: str | None, class_id: int | None
    ) -> None:
        if not 0 <= value <= 1:
            raise KCompileError(f"{type(self).__name__}: the rate must lie in [0, 1], got {value!r}")
        super().__init__(None, name, dtype, class_id=class_id)
        self.num_thresholds = check_positive_int(type(self).__name__, "num_thresholds", num_thresholds)
        self.thresholds = [0.5] if num_thresholds == 1 else spread_thresholds(num_thresholds)
        self.rate = float(value)
        self._non_trainable_weights = []
        self._make_counts()

    def _of_class(self) -> dict[str, Any]:
        return {} if self.class_id is None else {"class_id": self.class_id}

    def _rates(self) -> tuple[Tensor, Tensor]:
        tp, tn, fp, fn = (Tensor(self.counts[name].value) for name in COUNTS)
        return divide_no_nan(tp, tp + fn), divide_no_nan(tn, tn + fp)

    def _at(self, fixed: Tensor, asked: Tensor) -> Tensor:
        nearest = tensor_math.argmin(tensor_math.abs(fixed - self.rate), axis=0)
        return Tensor(indexing.gather(asked.value, nearest.value, 0))


class SensitivityAtSpecificity(_AtThreshold):
    """The sensitivity at the threshold whose specificity is nearest to the given one; ``class_id``: of one column."""

    def __init__(
        self, specificity: float, num_thresholds: int = 200, name: str | None = None, dtype: str | None = None,
        class_id: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(specificity, num_thresholds, name, dtype, class_id)
        self.specificity = specificity

    def result(self) -> Tensor:
        sensitivity, specificity = self._rates()
        return self._at(specificity, sensitivity)

    def get_config(self) -> dict[str, Any]:
        own = {"num_thresholds": self.num_thresholds, "specificity": self.specificity, **self._of_class()}
        return {**super().get_config(), **own}


class SpecificityAtSensitivity(_AtThreshold):
    """The specificity at the threshold whose sensitivity is nearest to the given one; ``class_id``: of one column."""

    def __init__(
        self, sensitivity: float, num_thresholds: int = 200, name: str | None = None, dtype: str | None = None,
        class_id: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(sensitivity, num_thresholds, name, dtype, class_id)
        self.sensitivity = sensitivity

    def result(self) -> Tensor:
        sensitivity, specificity = self._rates()
        return self._at(sensitivity, specificity)

    def get_config(self) -> dict[str, Any]:
        own = {"num_thresholds": self.num_thresholds, "sensitivity": self.sensitivity, **self._of_class()}
        return {**super().get_config(), **own}


class MeanIoU(Metric):
    """The mean over classes of intersection over union, from a confusion matrix.

    Args:
        num_classes: targets and predictions are class numbers below this.
    """

    def __init__(self, num_classes: int, name: str | None = None, dtype: str | None = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.num_classes = check_positive_int("MeanIoU", "num_classes", num_classes)
        self.total_cm = self.add_weight("total_confusion_matrix", (num_classes, num_classes))

    def update_state(
        self, y_true: TensorLike, y_pred: TensorLike, sample_weight: TensorLike | None = None
    ) -> list[Update]:
        """Count the pairs of target and predicted class of a batch."""
        y_true, y_pred = matched(as_tensor(y_true), as_tensor(y_pred), "same", self.name)
        w = None if sample_weight is None else weighted(as_float(y_pred), sample_weight)[1]
        hot = [
            indexing.one_hot(
                shaping.reshape(elementwise.cast(x.value, "int64"), (-1,)), self.num_classes, config.floatx()
            )
            for x in (y_true, y_pred)
        ]
        if w is not None:
            hot[0] = elementwise.mul(hot[0], shaping.reshape(w.value, (-1, 1)))
        return [(self.total_cm, self.total_cm + Tensor(linalg.matmul(hot[0], hot[1], True)))]

    def result(self) -> Tensor:
        matrix = Tensor(self.total_cm.value)
        both = tensor_math.sum(matrix * np.eye(self.num_classes, dtype=config.floatx()), axis=0)
        union = tensor_math.sum(matrix, axis=0) + tensor_math.sum(matrix, axis=1) - both
        present = tensor_math.sum(tensor_math.cast(tensor_math.not_equal(union, 0.0), config.floatx()))
        return divide_no_nan(tensor_math.sum(divide_no_nan(both, union)), present)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_classes": self.num_classes}


__all__ = [
    "AUC", "FalseNegatives", "FalsePositives", "MeanIoU", "Precision", "Recall", "SensitivityAtSpecificity",
    "SpecificityAtSensitivity", "TrueNegatives", "TruePositives",
]  # fmt: skip
