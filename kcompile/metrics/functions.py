"""Metric functions: a value per sample (or time step) from targets and predictions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from kcompile import losses
from kcompile.backend import math as tensor_math
from kcompile.backend import nn
from kcompile.common import config
from kcompile.common.checks import check_number
from kcompile.ir.ops.arrays import shaping
from kcompile.ir.ops.elementwise import functions as elementwise
from kcompile.symbolic.tensor import Tensor, TensorLike, as_float, as_tensor

FUNCTIONS: dict[str, Callable[..., Any]] = {}
"""The functions of this file by name."""

_KINDS: dict[Any, str] = {}
Function = TypeVar("Function", bound=Callable[..., Any])


def takes(targets: str) -> Callable[[Function], Function]:
    """Register a metric function, and what targets it takes, in the words of :func:`kcompile.losses.target_kind`."""

    def register(function: Function) -> Function:
        FUNCTIONS[function.__name__] = function
        _KINDS[function] = targets
        return function

    return register


@takes("same")
def accuracy(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """Whether prediction and target are equal."""
    y_true, y_pred = as_tensor(y_true), as_tensor(y_pred)
    return tensor_math.cast(tensor_math.equal(y_true, y_pred), config.floatx())


@takes("same")
def binary_accuracy(y_true: TensorLike, y_pred: TensorLike, threshold: float = 0.5) -> Tensor:
    """The fraction of columns whose prediction lies on the target's side of the threshold."""
    decided = tensor_math.cast(tensor_math.greater(as_float(y_pred), threshold), config.floatx())
    return tensor_math.mean(tensor_math.equal(as_float(y_true), decided), axis=-1)


@takes("categorical")
def categorical_accuracy(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """Whether the largest prediction is at the target's class."""
    return tensor_math.cast(
        tensor_math.equal(tensor_math.argmax(y_true, axis=-1), tensor_math.argmax(y_pred, axis=-1)), config.floatx()
    )


def _labels(y_true: TensorLike, y_pred: Tensor) -> Tensor:
    """Class numbers without a last axis of size 1."""
    y_true = as_tensor(y_true)
    if y_true.ndim == y_pred.ndim:
        return Tensor(shaping.squeeze(y_true.value, [y_true.ndim - 1]))
    return y_true


@takes("sparse")
def sparse_categorical_accuracy(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """Whether the largest prediction is at the class whose number is the target."""
    y_pred = as_tensor(y_pred)
    labels = _labels(y_true, y_pred)
    best = tensor_math.argmax(y_pred, axis=-1)
    return tensor_math.cast(tensor_math.equal(tensor_math.cast(labels, "int64"), best), config.floatx())


@takes("categorical")
def top_k_categorical_accuracy(y_true: TensorLike, y_pred: TensorLike, k: int = 5) -> Tensor:
    """Whether the target's class is among the ``k`` largest predictions."""
    y_true, y_pred = as_tensor(y_true), as_tensor(y_pred)
    return _in_top_k(tensor_math.argmax(y_true, axis=-1), y_pred, k)


@takes("sparse")
def sparse_top_k_categorical_accuracy(y_true: TensorLike, y_pred: TensorLike, k: int = 5) -> Tensor:
    """Whether the class whose number is the target is among the ``k`` largest predictions."""
    y_pred = as_tensor(y_pred)
    return _in_top_k(_labels(y_true, y_pred), y_pred, k)


def _in_top_k(labels: Tensor, y_pred: Tensor, k: int) -> Tensor:
    value = y_pred.value
    flat = Tensor(shaping.reshape(value, (-1, value.shape[-1])))
    hit = nn.in_top_k(flat, Tensor(shaping.reshape(labels.value, (-1,))), k)
    found = elementwise.cast(hit.value, config.floatx())
    return Tensor(shaping.reshape(found, value.shape[:-1]))


@takes("same")
def cosine_similarity(y_true: TensorLike, y_pred: TensorLike, axis: int = -1) -> Tensor:
    """The cosine of the angle between target and prediction (the loss of this name is its negative)."""
    return tensor_math.sum(nn.l2_normalize(y_true, axis) * nn.l2_normalize(y_pred, axis), axis=axis)


@takes("same")
def matthews_correlation(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """Matthews' correlation coefficient of binary predictions over a batch (Keras 1)."""
    predicted = tensor_math.round(tensor_math.clip(as_float(y_pred), 0, 1))
    actual = tensor_math.round(tensor_math.clip(as_float(y_true), 0, 1))
    tp = tensor_math.sum(actual * predicted)
    tn = tensor_math.sum((1 - actual) * (1 - predicted))
    fp = tensor_math.sum((1 - actual) * predicted)
    fn = tensor_math.sum(actual * (1 - predicted))
    spread = tensor_math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return (tp * tn - fp * fn) / (spread + config.epsilon())


@takes("same")
def precision(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """The fraction of positive predictions that are right, over a batch (Keras 1)."""
    predicted = tensor_math.round(tensor_math.clip(as_float(y_pred), 0, 1))
    right = tensor_math.sum(tensor_math.round(tensor_math.clip(as_float(y_true) * y_pred, 0, 1)))
    return right / (tensor_math.sum(predicted) + config.epsilon())


@takes("same")
def recall(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """The fraction of positive targets that are found, over a batch (Keras 1)."""
    right = tensor_math.sum(tensor_math.round(tensor_math.clip(as_float(y_true) * y_pred, 0, 1)))
    return right / (tensor_math.sum(tensor_math.round(tensor_math.clip(as_float(y_true), 0, 1))) + config.epsilon())


@takes("same")
def fbeta_score(y_true: TensorLike, y_pred: TensorLike, beta: float = 1) -> Tensor:
    """The weighted harmonic mean of precision and recall over a batch (Keras 1); 0 without positive targets.

    Raises:
        ValueError: beta is negative.
    """
    square = check_number("fbeta_score", "beta", beta, minimum=0) ** 2
    p, r = precision(y_true, y_pred), recall(y_true, y_pred)
    score = (1 + square) * (p * r) / (square * p + r + config.epsilon())
    positives = tensor_math.sum(tensor_math.round(tensor_math.clip(as_float(y_true), 0, 1)))
    return nn.switch(tensor_math.equal(positives, 0.0), score * 0.0, score)


@takes("same")
def fmeasure(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """:func:`fbeta_score` with beta 1."""
    return fbeta_score(y_true, y_pred, beta=1)


def target_kind(function: losses.LossLike) -> str:
    """What targets a metric function takes, in the words of :func:`kcompile.losses.target_kind`."""
    return _KINDS.get(losses.function_of(function)) or losses.target_kind(function)


__all__ = [
    "accuracy", "binary_accuracy", "categorical_accuracy", "cosine_similarity", "fbeta_score", "fmeasure",
    "matthews_correlation", "precision", "recall", "sparse_categorical_accuracy", "sparse_top_k_categorical_accuracy",
    "top_k_categorical_accuracy",
]  # fmt: skip
