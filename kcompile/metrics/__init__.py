"""Metrics: functions, and classes that accumulate over batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kcompile import losses as _losses
from kcompile.common.absent_names import absent
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
from kcompile.metrics import confusion, functions, means
from kcompile.metrics.base import Mean, MeanMetricWrapper, Metric, Sum
from kcompile.metrics.chosen import ChosenMetric as _ChosenMetric
from kcompile.metrics.chosen import is_word as _is_word
from kcompile.metrics.confusion import *
from kcompile.metrics.functions import *
from kcompile.metrics.functions import FUNCTIONS, accuracy, cosine_similarity
from kcompile.metrics.means import *
from kcompile.objects.custom import in_force
from kcompile.objects.lookup import Config, Identifier, deserialized, lookup
from kcompile.objects.making import names_of, serialize_keras_object
from kcompile.objects.registry import register

acc = ACC = accuracy
cosine = cosine_proximity = cosine_similarity

_ALIASES = {"acc": acc, "ACC": ACC, "cosine": cosine, "cosine_proximity": cosine_proximity}
# Every loss is a metric too, by each of its names, where no metric has that name.
register("metric", {**_losses.FUNCTIONS, **names_of(globals(), Metric), "Metric": Metric, **FUNCTIONS, **_ALIASES})


def get(identifier: Identifier) -> Any:
    """A metric function or Metric from a name, a configuration, a function or a Metric.

    Raises:
        ValueError: an unknown name (with near matches). TypeError: something else.
    """
    return lookup(identifier, "metric")


def resolve(identifier: Identifier, output_shape: tuple[int | None, ...], loss: _losses.LossLike) -> Metric:
    """The Metric for one output of a model.

    ``accuracy`` (``acc``) and ``crossentropy`` (``ce``) choose their form by the loss as Keras 2.3 does, and where that
    is not one of Keras' own by the shapes of output and targets as tf.keras does.

    Args:
        identifier: a name, a configuration, a function, a Loss or a Metric.
        output_shape: of the output, batch axis first. loss: its loss, or ``None``.

    Raises:
        ValueError: an unknown name.
    """
    if isinstance(identifier, Metric):
        return identifier
    if _is_word(identifier) and identifier not in in_force():
        return _ChosenMetric(identifier, output_shape, loss)
    found = get(identifier)
    if isinstance(found, Metric):
        return found
    if isinstance(found, _losses.Loss):
        return MeanMetricWrapper(found.call, name=found.name)
    name = identifier if isinstance(identifier, str) else _losses.name_of(found)
    return MeanMetricWrapper(found, name=name)


def serialize(metric: Any) -> Any:
    """The name of a function; class name and configuration of a Metric."""
    return serialize_keras_object(metric)


def deserialize(config: Config, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """A metric from :func:`serialize`; also a Loss that served as one, which its ``reduction`` tells.

    Raises:
        ValueError: an unknown name.
    """
    arguments = config.get("config") if isinstance(config, Mapping) else None
    kind = "loss" if isinstance(arguments, Mapping) and "reduction" in arguments else "metric"
    return deserialized(config, kind, custom_objects)


__getattr__ = absent(__name__)

__all__ = [
    *confusion.__all__, *functions.__all__, *means.__all__,
    "ACC", "KLD", "MAE", "MAPE", "MSE", "MSLE", "Mean", "MeanMetricWrapper", "Metric", "Sum", "acc",
    "binary_crossentropy", "categorical_crossentropy", "categorical_hinge", "cosine", "cosine_proximity",
    "deserialize", "get", "hinge", "kld", "kullback_leibler_divergence", "logcosh", "mae", "mape",
    "mean_absolute_error", "mean_absolute_percentage_error", "mean_squared_error",
    "mean_squared_logarithmic_error", "mse", "msle", "poisson", "resolve", "root_mean_squared_error", "serialize",
    "sparse_categorical_crossentropy", "squared_hinge",
]  # fmt: skip
