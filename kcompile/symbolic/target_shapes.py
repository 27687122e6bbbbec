"""How targets meet predictions in losses and metrics: ranks are made equal as Keras does, nothing else broadcasts."""

from __future__ import annotations

from typing import Any

from kcompile.common.errors import ShapeError
from kcompile.ir.ops.arrays import shaping
from kcompile.symbolic.tensor import Tensor, as_float


def matched(y_true: Tensor, y_pred: Tensor, kind: str, owner: str, weighted: bool = False) -> tuple[Tensor, Tensor]:
    """Targets and predictions of shapes that a loss or metric can compare element by element.

    If their ranks differ by one, the one of higher rank loses a last axis of size 1 (as in Keras 2.3 and tf.keras).

    Args:
        y_true, y_pred: targets and predictions.
        kind: what targets the function takes, see :class:`kcompile.data.checks.TargetSpec`; ``any`` for a user's
            function, of which nothing else is required.
        owner: the loss or metric, for messages.
        weighted: whether the samples have weights. Vectors then become columns: a function that averages over the last
            axis would leave one number for all samples, which no weight could tell apart.

    Raises:
        ShapeError: their shapes differ in another way.
    """
    if kind == "sparse":
        return _check_labels(y_true, y_pred, owner), y_pred
    given = tuple(y_true.shape), tuple(y_pred.shape)
    if y_pred.ndim == y_true.ndim + 1 and y_pred.shape[-1] == 1:
        y_pred = without_last(y_pred)
    elif y_true.ndim == y_pred.ndim + 1 and y_true.shape[-1] == 1:
        y_true = without_last(y_true)
    if kind == "any":
        return y_true, y_pred
    if 0 not in (y_true.ndim, y_pred.ndim) and not _agree(tuple(y_true.shape), tuple(y_pred.shape)):
        advice = "they must be of one shape"
        if y_pred.ndim - y_true.ndim == 1 or (y_pred.ndim == y_true.ndim and given[0][-1] == 1):
            advice += "; class numbers need the sparse form of a loss or metric, or to_categorical"
        raise ShapeError(f"{owner} compares targets of shape {given[0]} with predictions of shape {given[1]}: {advice}")
    if weighted and y_pred.ndim == y_true.ndim == 1:
        return y_true[:, None], y_pred[:, None]
    return y_true, y_pred


def _check_labels(y_true: Tensor, y_pred: Tensor, owner: str) -> Tensor:
    """Class numbers: of the predictions' shape without its last axis, or with one of size 1 there."""
    shape, expected = tuple(y_true.shape), tuple(y_pred.shape)[:-1]
    if len(shape) == len(expected) + 1 and shape[-1] in (1, None):
        shape = shape[:-1]
    if _agree(shape, expected):
        return y_true
    advice = "; these look one-hot: use the categorical form" if _agree(shape, tuple(y_pred.shape)) else ""
    raise ShapeError(
        f"{owner} takes class numbers of shape {expected} for predictions of shape {tuple(y_pred.shape)}, got targets "
        f"of shape {tuple(y_true.shape)}{advice}"
    )


def _agree(a: tuple[int | None, ...], b: tuple[int | None, ...]) -> bool:
    return len(a) == len(b) and all(None in pair or pair[0] == pair[1] for pair in zip(a, b, strict=True))


def without_last(x: Tensor) -> Tensor:
    """``x`` without its last axis, of size 1."""
    return Tensor(shaping.squeeze(x.value, [x.ndim - 1]))


def weights_for(values: Tensor, sample_weight: Any, owner: str) -> Tensor:
    """Weights that multiply ``values``: those of lower rank are for whole samples, and get axes of size 1.

    Raises:
        ShapeError: more axes than the values have, or other sizes.
    """
    w = as_float(sample_weight)
    if w.ndim == values.ndim + 1 and w.shape[-1] == 1:
        w = without_last(w)
    if values.ndim == 0:
        return w
    sizes = tuple(w.shape), tuple(values.shape)
    if w.ndim > values.ndim or any(
        None not in pair and pair[0] not in (1, pair[1]) for pair in zip(*sizes, strict=False)
    ):
        raise ShapeError(f"{owner}: sample_weight of shape {sizes[0]} does not fit values of shape {sizes[1]}")
    if w.ndim == values.ndim:
        return w
    return Tensor(shaping.reshape(w.value, (*w.value.shape, *(1,) * (values.ndim - w.ndim))))
