"""Losses: functions of targets and predictions, and classes that weight and reduce them.

A function returns one value per sample (or time step): the mean over the last axis. Formulas are those of Keras 2;
where Keras 2.3.1 and tf.keras differ, see tests/golden/README.md.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

from kcompile.backend import math as tensor_math
from kcompile.backend import nn
from kcompile.backend.activations import softplus
from kcompile.common import config
from kcompile.common.absent_names import absent
from kcompile.common.checks import check_number, check_one_of
from kcompile.common.errors import DataTypeError
from kcompile.common.signatures import bound_arguments, with_signature
from kcompile.objects.lookup import Config, Identifier, deserialized, lookup
from kcompile.objects.making import names_of, serialize_keras_object
from kcompile.objects.registry import register
from kcompile.symbolic.target_shapes import matched, weights_for
from kcompile.symbolic.tensor import Tensor, TensorLike, as_float, as_tensor

LossLike = Callable[..., Any] | None
"""A function of targets and predictions, or a :class:`Loss`."""

REDUCTIONS = ("sum_over_batch_size", "sum", "none", "auto")


class Reduction:
    """How the values of samples become one number."""

    AUTO = "auto"
    NONE = "none"
    SUM = "sum"
    SUM_OVER_BATCH_SIZE = "sum_over_batch_size"


# ---- functions


def mean_squared_error(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """mean((y_pred - y_true)^2)."""
    return tensor_math.mean(tensor_math.square(as_float(y_pred) - y_true), axis=-1)


def root_mean_squared_error(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """sqrt(mean((y_pred - y_true)^2)) of each sample."""
    return tensor_math.sqrt(mean_squared_error(y_true, y_pred))


def mean_absolute_error(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """``mean(|y_pred - y_true|)``."""
    return tensor_math.mean(tensor_math.abs(as_float(y_pred) - y_true), axis=-1)


def mean_absolute_percentage_error(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """``100 * mean(|y_true - y_pred| / |y_true|)``, with ``|y_true|`` at least epsilon."""
    y_true = as_float(y_true)
    return 100.0 * tensor_math.mean(
        tensor_math.abs((y_true - y_pred) / tensor_math.maximum(tensor_math.abs(y_true), config.epsilon())), axis=-1
    )


def mean_squared_logarithmic_error(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """mean((log(y_pred + 1) - log(y_true + 1))^2), both at least epsilon."""
    small = config.epsilon()
    first = tensor_math.log(tensor_math.maximum(as_float(y_pred), small) + 1.0)
    second = tensor_math.log(tensor_math.maximum(as_float(y_true), small) + 1.0)
    return tensor_math.mean(tensor_math.square(first - second), axis=-1)


def _signs(y_true: TensorLike) -> Tensor:
    """Labels 0 and 1 as -1 and 1, if all labels of the batch are 0 or 1."""
    y_true = as_float(y_true)
    binary = tensor_math.all(tensor_math.logical_or(tensor_math.equal(y_true, 0.0), tensor_math.equal(y_true, 1.0)))
    return nn.switch(binary, 2.0 * y_true - 1.0, y_true)


def hinge(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """mean(max(1 - y_true * y_pred, 0)) for labels -1 and 1; 0 and 1 are converted."""
    return tensor_math.mean(tensor_math.maximum(1.0 - _signs(y_true) * y_pred, 0.0), axis=-1)


def squared_hinge(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """mean(max(1 - y_true * y_pred, 0)^2) for labels -1 and 1; 0 and 1 are converted."""
    return tensor_math.mean(tensor_math.square(tensor_math.maximum(1.0 - _signs(y_true) * y_pred, 0.0)), axis=-1)


def categorical_hinge(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """max(0, 1 + the largest score of a wrong class - the score of the right one)."""
    y_true = as_float(y_true)
    positive = tensor_math.sum(y_true * y_pred, axis=-1)
    negative = tensor_math.max((1.0 - y_true) * y_pred, axis=-1)
    return tensor_math.maximum(0.0, negative - positive + 1.0)


def logcosh(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """mean(log(cosh(y_pred - y_true)))."""
    x = as_float(y_pred) - y_true
    return tensor_math.mean(x + softplus(-2.0 * x) - math.log(2.0), axis=-1)


def huber_loss(y_true: TensorLike, y_pred: TensorLike, delta: float = 1.0) -> Tensor:
    """Quadratic up to ``delta``, linear beyond (Huber, 1964)."""
    error = tensor_math.abs(as_float(y_pred) - y_true)
    quadratic = tensor_math.minimum(error, delta)
    return tensor_math.mean(0.5 * tensor_math.square(quadratic) + delta * (error - quadratic), axis=-1)


def categorical_crossentropy(
    y_true: TensorLike, y_pred: TensorLike, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Tensor:
    """-sum(y_true * log(y_pred)) over the classes; targets have one column per class."""
    y_true, y_pred = as_float(y_true), as_float(y_pred)
    if label_smoothing:
        classes = y_pred.shape[axis]
        y_true = y_true * (1.0 - label_smoothing) + label_smoothing / float(classes)
    return nn.categorical_crossentropy(y_true, y_pred, from_logits, axis)


def sparse_categorical_crossentropy(
    y_true: TensorLike, y_pred: TensorLike, from_logits: bool = False, axis: int = -1
) -> Tensor:
    """-log(y_pred[y_true]); targets are class numbers."""
    return nn.sparse_categorical_crossentropy(y_true, y_pred, from_logits, axis)


def binary_crossentropy(
    y_true: TensorLike, y_pred: TensorLike, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Tensor:
    """mean(-(y_true * log(y_pred) + (1 - y_true) * log(1 - y_pred)))."""
    y_true = as_float(y_true)
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + 0.5 * label_smoothing
    return tensor_math.mean(nn.binary_crossentropy(y_true, y_pred, from_logits), axis=axis)


def kullback_leibler_divergence(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """sum(y_true * log(y_true / y_pred)), both limited to [epsilon, 1]."""
    y_true = tensor_math.clip(as_float(y_true), config.epsilon(), 1.0)
    y_pred = tensor_math.clip(as_float(y_pred), config.epsilon(), 1.0)
    return tensor_math.sum(y_true * tensor_math.log(y_true / y_pred), axis=-1)


def poisson(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """mean(y_pred - y_true * log(y_pred + epsilon))."""
    y_pred = as_float(y_pred)
    return tensor_math.mean(y_pred - y_true * tensor_math.log(y_pred + config.epsilon()), axis=-1)


def cosine_similarity(y_true: TensorLike, y_pred: TensorLike, axis: int = -1) -> Tensor:
    """The negative cosine of the angle between target and prediction."""
    return -tensor_math.sum(nn.l2_normalize(y_true, axis) * nn.l2_normalize(y_pred, axis), axis=axis)


mse = MSE = mean_squared_error
rmse = RMSE = root_mean_squared_error
mae = MAE = mean_absolute_error
mape = MAPE = mean_absolute_percentage_error
msle = MSLE = mean_squared_logarithmic_error
kld = KLD = kl_divergence = kullback_leibler_divergence
cosine = cosine_proximity = cosine_similarity
log_cosh = logcosh
huber = huber_loss


# ---- classes


class Loss:
    """A loss with a reduction. Subclasses define ``call(y_true, y_pred)``.

    Args:
        reduction: ``sum_over_batch_size`` (the mean, also ``auto``), ``sum`` or ``none``.
        name: shown in messages.
    """

    def __init__(self, reduction: str = "sum_over_batch_size", name: str | None = None) -> None:
        self.reduction = check_one_of(type(self).__name__, "reduction", reduction, REDUCTIONS)
        self.name = name or _snake(type(self).__name__)

    def call(self, y_true: TensorLike, y_pred: TensorLike) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} must define call(y_true, y_pred)")

    def __call__(self, y_true: TensorLike, y_pred: TensorLike, sample_weight: TensorLike | None = None) -> Tensor:
        """The reduced loss of arrays or tensors: a scalar, or with the reduction ``none`` a value per sample (or step).

        Ranks that differ by a last axis of size 1 are made equal, as in Keras 2.3 and tf.keras; ``sample_weight`` has a
        value per sample (or per value). What the mask of ``y_pred`` leaves out does not count, as in tf.keras.

        Raises:
            ShapeError: shapes that differ otherwise.
        """
        y_true, y_pred = as_tensor(y_true), as_tensor(y_pred)
        values = self._values(y_true, y_pred, sample_weight is not None)
        mask = y_pred.keras_mask
        if mask is not None and values.ndim >= mask.ndim:
            kept = tensor_math.cast(mask, values.dtype)
            if self.reduction not in ("none", "sum"):
                kept = kept / tensor_math.maximum(tensor_math.mean(kept), config.epsilon())
            values = values * weights_for(values, kept, self.name)
        if sample_weight is not None:
            values = values * weights_for(values, sample_weight, self.name)
        if self.reduction == "none":
            return values
        return tensor_math.sum(values) if self.reduction == "sum" else tensor_math.mean(values)

    def _values(self, y_true: Tensor, y_pred: Tensor, weighted: bool) -> Tensor:
        """A value per sample or step."""
        return _per_sample(self.call(y_true, y_pred))

    def get_config(self) -> dict[str, Any]:
        return {"reduction": self.reduction, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**config)


class LossFunctionWrapper(Loss):
    """A loss function as a class; keyword arguments go to the function."""

    def __init__(
        self, fn: Callable[..., Any], reduction: str = "sum_over_batch_size", name: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(reduction, name or getattr(fn, "__name__", "loss"))
        self.fn = fn
        self._arguments = kwargs

    def call(self, y_true: TensorLike, y_pred: TensorLike) -> Tensor:
        return self._values(as_tensor(y_true), as_tensor(y_pred), False)

    def _values(self, y_true: Tensor, y_pred: Tensor, weighted: bool) -> Tensor:
        kind = "any" if self._arguments.get("axis", -1) != -1 else target_kind(self)
        return _per_sample(self.fn(*matched(y_true, y_pred, kind, self.name, weighted), **self._arguments))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self._arguments}


_MEAN = "sum_over_batch_size"


def _class(class_name: str, function: Callable[..., Any], **arguments: Any) -> type[LossFunctionWrapper]:
    """The class of a loss function; ``arguments`` are the function's, with their defaults.

    As in Keras 2.3 they come first, then reduction and name; ``axis``, of tf.keras, is given by name.
    """

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        given = bound_arguments(class_name, signature, self, *args, **kwargs)
        if "label_smoothing" in given:
            check_number(class_name, "label_smoothing", given["label_smoothing"], 0, 1)
        if "delta" in given:
            check_number(class_name, "delta", given["delta"], above=0)
        reduction, name = given.pop("reduction"), given.pop("name")
        LossFunctionWrapper.__init__(self, function, reduction, name or function.__name__, **given)

    ordered = {key: value for key, value in arguments.items() if key != "axis" or len(arguments) == 1}
    by_name = {key: value for key, value in arguments.items() if key not in ordered}
    ordered.update(reduction=_MEAN, name=function.__name__)
    signature = with_signature(__init__, ordered, by_name)
    body = {"__init__": __init__, "__doc__": function.__doc__, "__module__": __name__}
    return type(class_name, (LossFunctionWrapper,), body)


MeanSquaredError = _class("MeanSquaredError", mean_squared_error)
RootMeanSquaredError = _class("RootMeanSquaredError", root_mean_squared_error)
MeanAbsoluteError = _class("MeanAbsoluteError", mean_absolute_error)
MeanAbsolutePercentageError = _class("MeanAbsolutePercentageError", mean_absolute_percentage_error)
MeanSquaredLogarithmicError = _class("MeanSquaredLogarithmicError", mean_squared_logarithmic_error)
Hinge = _class("Hinge", hinge)
SquaredHinge = _class("SquaredHinge", squared_hinge)
CategoricalHinge = _class("CategoricalHinge", categorical_hinge)
LogCosh = _class("LogCosh", logcosh)
Huber = _class("Huber", huber_loss, delta=1.0)
Poisson = _class("Poisson", poisson)
KLDivergence = _class("KLDivergence", kullback_leibler_divergence)
CosineSimilarity = _class("CosineSimilarity", cosine_similarity, axis=-1)
BinaryCrossentropy = _class("BinaryCrossentropy", binary_crossentropy, from_logits=False, label_smoothing=0.0, axis=-1)
CategoricalCrossentropy = _class(
    "CategoricalCrossentropy", categorical_crossentropy, from_logits=False, label_smoothing=0.0, axis=-1
)
SparseCategoricalCrossentropy = _class(
    "SparseCategoricalCrossentropy", sparse_categorical_crossentropy, from_logits=False, axis=-1
)


# ---- finding them

FUNCTIONS: dict[str, Callable[..., Any]] = {
    name: value
    for name, value in list(globals().items())
    if callable(value)
    and not isinstance(value, type)
    and getattr(value, "__module__", "") == __name__
    and not name.startswith("_")
}
register("loss", {**FUNCTIONS, **names_of(globals(), LossFunctionWrapper)})
_KINDS = {
    "binary_crossentropy": "binary",
    "categorical_crossentropy": "categorical",
    "sparse_categorical_crossentropy": "sparse",
}


def get(identifier: Identifier) -> Any:
    """A loss from a name, a configuration, a function ``(y_true, y_pred)`` or a Loss.

    Raises:
        ValueError: an unknown name (with near matches). TypeError: something else.
    """
    return lookup(identifier, "loss")


def serialize(loss: LossLike) -> Any:
    """The name of a function; class name and configuration of a Loss."""
    return serialize_keras_object(loss)


def deserialize(config: Config, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """A loss from :func:`serialize`.

    Raises:
        ValueError: an unknown name.
    """
    return deserialized(config, "loss", custom_objects)


def target_kind(loss: LossLike) -> str:
    """What targets the loss takes: ``same``, ``binary``, ``categorical``, ``sparse``, or ``any`` for a user's own."""
    function = function_of(loss)
    if function in FUNCTIONS.values():
        return _KINDS.get(function.__name__, "same")
    return "any"


def function_of(loss: LossLike) -> Any:
    """The function that a loss computes, without what wraps it or gives it keyword arguments."""
    while True:
        if isinstance(loss, LossFunctionWrapper):
            loss = loss.fn
        elif isinstance(loss, functools.partial) and not loss.args:
            loss = loss.func
        else:
            return loss


def name_of(loss: LossLike) -> str:
    """What messages call a loss."""
    own = getattr(loss, "name", None)
    function = function_of(loss)
    return own if isinstance(own, str) else getattr(function, "__name__", type(function).__name__)


def reads_logits(loss: LossLike) -> bool:
    """Whether the loss applies softmax or sigmoid itself."""
    given: Any = {}
    while isinstance(loss, (LossFunctionWrapper, functools.partial)):
        own = loss._arguments if isinstance(loss, LossFunctionWrapper) else loss.keywords
        loss, given = loss.fn if isinstance(loss, LossFunctionWrapper) else loss.func, {**own, **given}
    return bool(given.get("from_logits"))


def per_sample(loss: Callable[..., Any], weighted: bool = False) -> Callable[[Any, Any], Tensor]:
    """The function that gives a value per sample (or time step); ``weighted``: these will have weights."""
    wrapped = loss if isinstance(loss, Loss) else LossFunctionWrapper(loss, name=name_of(loss))
    return lambda y_true, y_pred: wrapped._values(y_true, y_pred, weighted)


def calls_itself(loss: LossLike) -> bool:
    """Whether it is a Loss whose class defines ``__call__`` anew: then that counts, weights, reduction and all."""
    return isinstance(loss, Loss) and type(loss).__call__ is not Loss.__call__


def _per_sample(result: Any) -> Tensor:
    if result is None:
        raise DataTypeError("the loss returned None; return a tensor with one value per sample")
    return as_tensor(result)


def reduction_of(loss: LossLike) -> str:
    """``sum`` or ``sum_over_batch_size``."""
    return "sum" if getattr(loss, "reduction", "") == "sum" else "sum_over_batch_size"


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() and i else c.lower() for i, c in enumerate(name))


__getattr__ = absent(__name__)
