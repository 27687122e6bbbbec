"""Metrics that are means of a function's values, as classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kcompile import losses
from kcompile.backend import math as tensor_math
from kcompile.common.signatures import bound_arguments, with_signature
from kcompile.metrics import functions
from kcompile.metrics.base import Mean, MeanMetricWrapper, Update, divide_no_nan
from kcompile.symbolic.target_shapes import matched
from kcompile.symbolic.tensor import Tensor, TensorLike, as_float, as_tensor


def _class(class_name: str, function: Callable[..., Any], **arguments: Any) -> type[MeanMetricWrapper]:
    """The metric of a function; ``arguments`` are those of the constructor in Keras 2.3's order, with defaults.

    All but name and dtype go to the function.
    """

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        given = bound_arguments(class_name, signature, self, *args, **kwargs)
        name, dtype = given.pop("name"), given.pop("dtype")
        MeanMetricWrapper.__init__(self, function, name, dtype, **given)

    signature = with_signature(__init__, arguments)
    body = {"__init__": __init__, "__doc__": function.__doc__, "__module__": __name__}
    return type(class_name, (MeanMetricWrapper,), body)


Accuracy = _class("Accuracy", functions.accuracy, name="accuracy", dtype=None)
BinaryAccuracy = _class("BinaryAccuracy", functions.binary_accuracy, name="binary_accuracy", dtype=None, threshold=0.5)
CategoricalAccuracy = _class(
    "CategoricalAccuracy", functions.categorical_accuracy, name="categorical_accuracy", dtype=None
)
SparseCategoricalAccuracy = _class(
    "SparseCategoricalAccuracy", functions.sparse_categorical_accuracy, name="sparse_categorical_accuracy", dtype=None
)
TopKCategoricalAccuracy = _class(
    "TopKCategoricalAccuracy", functions.top_k_categorical_accuracy, k=5, name="top_k_categorical_accuracy", dtype=None
)
SparseTopKCategoricalAccuracy = _class(
    "SparseTopKCategoricalAccuracy", functions.sparse_top_k_categorical_accuracy,
    k=5, name="sparse_top_k_categorical_accuracy", dtype=None,
)  # fmt: skip
CosineSimilarity = _class(
    "CosineSimilarity", functions.cosine_similarity, name="cosine_similarity", dtype=None, axis=-1
)
MeanSquaredError = _class("MeanSquaredError", losses.mean_squared_error, name="mean_squared_error", dtype=None)
MeanAbsoluteError = _class("MeanAbsoluteError", losses.mean_absolute_error, name="mean_absolute_error", dtype=None)
MeanAbsolutePercentageError = _class(
    "MeanAbsolutePercentageError", losses.mean_absolute_percentage_error,
    name="mean_absolute_percentage_error", dtype=None,
)  # fmt: skip
MeanSquaredLogarithmicError = _class(
    "MeanSquaredLogarithmicError", losses.mean_squared_logarithmic_error,
    name="mean_squared_logarithmic_error", dtype=None,
)  # fmt: skip
Hinge = _class("Hinge", losses.hinge, name="hinge", dtype=None)
SquaredHinge = _class("SquaredHinge", losses.squared_hinge, name="squared_hinge", dtype=None)
CategoricalHinge = _class("CategoricalHinge", losses.categorical_hinge, name="categorical_hinge", dtype=None)
LogCoshError = _class("LogCoshError", losses.logcosh, name="logcosh", dtype=None)
Poisson = _class("Poisson", losses.poisson, name="poisson", dtype=None)
KLDivergence = _class(
    "KLDivergence", losses.kullback_leibler_divergence, name="kullback_leibler_divergence", dtype=None
)

BinaryCrossentropy = _class(
    "BinaryCrossentropy", losses.binary_crossentropy,
    name="binary_crossentropy", dtype=None, from_logits=False, label_smoothing=0.0,
)  # fmt: skip
CategoricalCrossentropy = _class(
    "CategoricalCrossentropy", losses.categorical_crossentropy,
    name="categorical_crossentropy", dtype=None, from_logits=False, label_smoothing=0.0, axis=-1,
)  # fmt: skip
SparseCategoricalCrossentropy = _class(
    "SparseCategoricalCrossentropy", losses.sparse_categorical_crossentropy,
    name="sparse_categorical_crossentropy", dtype=None, from_logits=False, axis=-1,
)  # fmt: skip


class RootMeanSquaredError(Mean):
    """The square root of the mean squared error over all batches."""

    def __init__(self, name: str | None = "root_mean_squared_error", dtype: str | None = None) -> None:
        super().__init__(name, dtype)

    def update_state(  # type: ignore[override]  # of targets and predictions, as in Keras
        self, y_true: TensorLike, y_pred: TensorLike, sample_weight: TensorLike | None = None
    ) -> list[Update]:
        """Add the squared errors of a batch."""
        y_true, y_pred = matched(as_tensor(y_true), as_tensor(y_pred), "same", self.name)
        errors = tensor_math.square(as_float(y_pred) - y_true)
        return self._added(errors, sample_weight)

    def result(self) -> Tensor:
        return tensor_math.sqrt(super().result())

    def value(self) -> float:
        return float(super().value() ** 0.5)


class MeanRelativeError(Mean):
    """The mean of ``|y_true - y_pred| / normalizer``; 0 where the normalizer is 0.

    Args:
        normalizer: an array that broadcasts against predictions.
    """

    def __init__(
        self, normalizer: TensorLike, name: str | None = "mean_relative_error", dtype: str | None = None
    ) -> None:
        super().__init__(name, dtype)
        self.normalizer = normalizer

    def update_state(  # type: ignore[override]  # of targets and predictions, as in Keras
        self, y_true: TensorLike, y_pred: TensorLike, sample_weight: TensorLike | None = None
    ) -> list[Update]:
        """Add the relative errors of a batch."""
        y_true, y_pred = matched(as_tensor(y_true), as_tensor(y_pred), "same", self.name)
        error = tensor_math.abs(as_float(y_true) - y_pred)
        normalizer, error = matched(as_float(self.normalizer), error, "any", self.name)
        relative = divide_no_nan(error, normalizer + tensor_math.abs(error) * 0.0)
        return self._added(relative, sample_weight)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "normalizer": np.asarray(self.normalizer).tolist()}


__all__ = [
    "Accuracy", "BinaryAccuracy", "BinaryCrossentropy", "CategoricalAccuracy", "CategoricalCrossentropy",
    "CategoricalHinge", "CosineSimilarity", "Hinge", "KLDivergence", "LogCoshError", "MeanAbsoluteError",
    "MeanAbsolutePercentageError", "MeanRelativeError", "MeanSquaredError", "MeanSquaredLogarithmicError", "Poisson",
    "RootMeanSquaredError", "SparseCategoricalAccuracy", "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy", "SquaredHinge", "TopKCategoricalAccuracy",
]  # fmt: skip
