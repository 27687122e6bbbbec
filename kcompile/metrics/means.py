"""Metrics that are means of a function's values, as classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kcompile import losses
from kcompile.backend import math as m
from kcompile.engine.tensor import Tensor, as_float, as_tensor
from kcompile.metrics import functions
from kcompile.metrics.base import Mean, MeanMetricWrapper, Update, divide_no_nan


def _class(
    class_name: str, function: Callable[..., Any], default_name: str, **defaults: Any
) -> type[MeanMetricWrapper]:
    """The metric of a function; ``defaults`` are its own arguments, which come first, then name and dtype."""

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        # Keras puts the name first where the function has switches, and the numbers first where it has those.
        own = [key for key, value in defaults.items() if not isinstance(value, bool) and key != "axis"]
        switches = [key for key in defaults if key not in own]
        order = [*own, "name", "dtype", *switches] if class_name != "BinaryAccuracy" else ["name", "dtype", "threshold"]
        if class_name in ("BinaryCrossentropy", "CategoricalCrossentropy"):
            order = ["name", "dtype", "from_logits", "label_smoothing"]
        for key, value in zip(order, args, strict=False):
            kwargs[key] = value
        unknown = [key for key in kwargs if key not in order]
        if unknown:
            raise TypeError(f"{class_name} takes {', '.join(order)}; got {unknown[0]!r}")
        name, dtype = kwargs.pop("name", default_name), kwargs.pop("dtype", None)
        MeanMetricWrapper.__init__(self, function, name, dtype, **{**defaults, **kwargs})

    body = {"__init__": __init__, "__doc__": function.__doc__, "__module__": __name__}
    return type(class_name, (MeanMetricWrapper,), body)


Accuracy = _class("Accuracy", functions.accuracy, "accuracy")
BinaryAccuracy = _class("BinaryAccuracy", functions.binary_accuracy, "binary_accuracy", threshold=0.5)
CategoricalAccuracy = _class("CategoricalAccuracy", functions.categorical_accuracy, "categorical_accuracy")
SparseCategoricalAccuracy = _class(
    "SparseCategoricalAccuracy", functions.sparse_categorical_accuracy, "sparse_categorical_accuracy"
)
TopKCategoricalAccuracy = _class(
    "TopKCategoricalAccuracy", functions.top_k_categorical_accuracy, "top_k_categorical_accuracy", k=5
)
SparseTopKCategoricalAccuracy = _class(
    "SparseTopKCategoricalAccuracy", functions.sparse_top_k_categorical_accuracy,
    "sparse_top_k_categorical_accuracy", k=5,
)  # fmt: skip
CosineSimilarity = _class("CosineSimilarity", functions.cosine_similarity, "cosine_similarity", axis=-1)
MeanSquaredError = _class("MeanSquaredError", losses.mean_squared_error, "mean_squared_error")
MeanAbsoluteError = _class("MeanAbsoluteError", losses.mean_absolute_error, "mean_absolute_error")
MeanAbsolutePercentageError = _class(
    "MeanAbsolutePercentageError", losses.mean_absolute_percentage_error, "mean_absolute_percentage_error"
)
MeanSquaredLogarithmicError = _class(
    "MeanSquaredLogarithmicError", losses.mean_squared_logarithmic_error, "mean_squared_logarithmic_error"
)
Hinge = _class("Hinge", losses.hinge, "hinge")
SquaredHinge = _class("SquaredHinge", losses.squared_hinge, "squared_hinge")
CategoricalHinge = _class("CategoricalHinge", losses.categorical_hinge, "categorical_hinge")
LogCoshError = _class("LogCoshError", losses.logcosh, "logcosh")
Poisson = _class("Poisson", losses.poisson, "poisson")
KLDivergence = _class("KLDivergence", losses.kullback_leibler_divergence, "kullback_leibler_divergence")
BinaryCrossentropy = _class(
    "BinaryCrossentropy", losses.binary_crossentropy, "binary_crossentropy", from_logits=False, label_smoothing=0.0
)
CategoricalCrossentropy = _class(
    "CategoricalCrossentropy", losses.categorical_crossentropy, "categorical_crossentropy",
    from_logits=False, label_smoothing=0.0,
)  # fmt: skip
SparseCategoricalCrossentropy = _class(
    "SparseCategoricalCrossentropy", losses.sparse_categorical_crossentropy, "sparse_categorical_crossentropy",
    from_logits=False, axis=-1,
)  # fmt: skip


class RootMeanSquaredError(Mean):
    """The square root of the mean squared error over all batches."""

    def __init__(self, name: str | None = "root_mean_squared_error", dtype: str | None = None) -> None:
        super().__init__(name, dtype)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> list[Update]:
        """Add the squared errors of a batch."""
        errors = m.square(as_float(y_pred) - as_tensor(y_true))
        return self._added(errors, sample_weight)

    def result(self) -> Tensor:
        return m.sqrt(super().result())

    def value(self) -> float:
        return float(super().value() ** 0.5)


class MeanRelativeError(Mean):
    """The mean of |y_true - y_pred| / normalizer; 0 where the normalizer is 0.

    Args:
        normalizer: an array that broadcasts against predictions.
    """

    def __init__(self, normalizer: Any, name: str | None = "mean_relative_error", dtype: str | None = None) -> None:
        super().__init__(name, dtype)
        self.normalizer = normalizer

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> list[Update]:
        """Add the relative errors of a batch."""
        error = m.abs(as_float(y_true) - as_tensor(y_pred))
        relative = divide_no_nan(error, as_float(self.normalizer) + m.abs(error) * 0.0)
        return self._added(relative, sample_weight)

    def get_config(self) -> dict[str, Any]:
        import numpy as np

        return {**super().get_config(), "normalizer": np.asarray(self.normalizer).tolist()}


__all__ = [
    "Accuracy", "BinaryAccuracy", "BinaryCrossentropy", "CategoricalAccuracy", "CategoricalCrossentropy",
    "CategoricalHinge", "CosineSimilarity", "Hinge", "KLDivergence", "LogCoshError", "MeanAbsoluteError",
    "MeanAbsolutePercentageError", "MeanRelativeError", "MeanSquaredError", "MeanSquaredLogarithmicError", "Poisson",
    "RootMeanSquaredError", "SparseCategoricalAccuracy", "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy", "SquaredHinge", "TopKCategoricalAccuracy",
]  # fmt: skip
