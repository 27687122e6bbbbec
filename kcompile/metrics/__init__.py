"""Metrics: functions, and classes that accumulate over batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kcompile import losses as _losses
from kcompile.errors import KCompileError, unknown_name
from kcompile.losses import (
    KLD,
    MAE,
    MAPE,
    MSE,
    MSLE,
    binary_crossentropy,
    categorical_crossentropy,
    categorical_hinge,
    hinge,
    kld,
    kullback_leibler_divergence,
    logcosh,
    mae,
    mape,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    mse,
    msle,
    poisson,
    root_mean_squared_error,
    sparse_categorical_crossentropy,
    squared_hinge,
)
from kcompile.metrics.base import Mean, MeanMetricWrapper, Metric, Sum
from kcompile.metrics.confusion import (
    AUC,
    FalseNegatives,
    FalsePositives,
    MeanIoU,
    Precision,
    Recall,
    SensitivityAtSpecificity,
    SpecificityAtSensitivity,
    TrueNegatives,
    TruePositives,
)
from kcompile.metrics.functions import (
    accuracy,
    binary_accuracy,
    categorical_accuracy,
    cosine_similarity,
    fbeta_score,
    fmeasure,
    matthews_correlation,
    precision,
    recall,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)
from kcompile.metrics.means import (
    Accuracy,
    BinaryAccuracy,
    BinaryCrossentropy,
    CategoricalAccuracy,
    CategoricalCrossentropy,
    CategoricalHinge,
    CosineSimilarity,
    Hinge,
    KLDivergence,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanRelativeError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    RootMeanSquaredError,
    SparseCategoricalAccuracy,
    SparseCategoricalCrossentropy,
    SparseTopKCategoricalAccuracy,
    SquaredHinge,
    TopKCategoricalAccuracy,
)

acc = ACC = accuracy
cosine = cosine_proximity = cosine_similarity

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    name: value for name, value in list(globals().items()) if callable(value) and not isinstance(value, type)
    and name not in ("unknown_name",) and name[0] != "_"
}  # fmt: skip
_CLASSES = {n: v for n, v in list(globals().items()) if isinstance(v, type) and issubclass(v, Metric)}

_BY_TARGET = {
    "accuracy": {
        "binary": binary_accuracy, "sparse": sparse_categorical_accuracy, "categorical": categorical_accuracy,
    },
    "crossentropy": {
        "binary": binary_crossentropy, "sparse": sparse_categorical_crossentropy,
        "categorical": categorical_crossentropy,
    },
}  # fmt: skip
_SHORT = {"accuracy": "accuracy", "acc": "accuracy", "crossentropy": "crossentropy", "ce": "crossentropy"}


def get(identifier: Any) -> Any:
    """A metric function or Metric from a name, a configuration, a function or a Metric.

    Raises:
        ValueError: an unknown name (with near matches), or something else.
    """
    if isinstance(identifier, str):
        if identifier in _FUNCTIONS:
            return _FUNCTIONS[identifier]
        if identifier in _CLASSES:
            return _CLASSES[identifier]()
        raise unknown_name("metric", identifier, [*_FUNCTIONS, *_CLASSES, "acc", "ce", "crossentropy"])
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, type) and issubclass(identifier, Metric):
        return identifier()
    if callable(identifier):
        return identifier
    raise KCompileError(f"metric must be a name, a function (y_true, y_pred) or a Metric, got {identifier!r}")


def resolve(identifier: Any, output_shape: tuple[int | None, ...], loss: Any) -> Metric:
    """The Metric for one output of a model.

    ``accuracy`` (``acc``) and ``crossentropy`` (``ce``) choose their form as Keras 2.3 does: binary for one column or
    a binary loss, sparse for class numbers, else categorical.

    Raises:
        ValueError: an unknown name.
    """
    if isinstance(identifier, Metric):
        return identifier
    if isinstance(identifier, str) and identifier in _SHORT:
        kind = _losses.target_kind(loss)
        if output_shape[-1] == 1 or kind == "binary":
            form = "binary"
        else:
            form = "sparse" if kind == "sparse" else "categorical"
        return MeanMetricWrapper(_BY_TARGET[_SHORT[identifier]][form], name=identifier)
    found = get(identifier)
    if isinstance(found, Metric):
        return found
    if isinstance(found, _losses.Loss):
        return MeanMetricWrapper(found.call, name=found.name)
    name = identifier if isinstance(identifier, str) else getattr(found, "__name__", type(found).__name__)
    return MeanMetricWrapper(found, name=name)


def serialize(metric: Any) -> Any:
    """The name of a function; class name and configuration of a Metric."""
    if isinstance(metric, Metric):
        return {"class_name": type(metric).__name__, "config": metric.get_config()}
    return metric.__name__


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """A metric from :func:`serialize`.

    Raises:
        ValueError: an unknown name.
    """
    custom = custom_objects or {}
    if isinstance(config, str):
        return custom.get(config) or get(config)
    name = config["class_name"]
    cls = custom.get(name) or _CLASSES.get(name)
    if cls is None:
        raise unknown_name("metric", name, _CLASSES)
    return cls.from_config(config.get("config", {}))
