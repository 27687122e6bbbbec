"""``to_categorical`` and ``normalize`` (keras.utils.np_utils, 2.3)."""

from __future__ import annotations

from typing import Any

import numpy as np

from kcompile.common.checks import check_int
from kcompile.common.errors import DataError, DataTypeError


def to_categorical(y: Any, num_classes: int | None = None, dtype: str = "float32") -> np.ndarray:
    """Turn class indices into one-hot rows.

    Args:
        y: whole numbers from 0, any shape ``(...)``; a last axis of size 1 is dropped: ``(n, 1)`` counts as
            ``(n,)``.
        num_classes: number of columns; default the largest label + 1.
        dtype: dtype of the result.

    Returns:
        An array ``(..., num_classes)``.

    Raises:
        DataTypeError: labels that are not whole numbers. DataError: a negative label, or one that is not below
            ``num_classes``; no labels and no ``num_classes``.
    """
    labels = np.asarray(y)
    if labels.dtype.kind not in "biuf":
        raise DataTypeError(f"to_categorical: expected class indices (whole numbers from 0), got dtype {labels.dtype}.")
    if labels.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            fractional = ~((labels == np.floor(labels)) & np.isfinite(labels))
        if fractional.any():
            raise DataTypeError(f"to_categorical: expected whole numbers, got label {labels[fractional].flat[0]:g}.")
    labels = labels.astype(np.int64)
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    if num_classes is None:
        if labels.size == 0:
            raise DataError("to_categorical: no labels to find the number of classes from; pass num_classes.")
        classes = int(labels.max()) + 1
    else:
        classes = check_int("to_categorical", "num_classes", num_classes, 1)
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        bad = (labels < 0) | (labels >= classes)
        position = np.unravel_index(int(bad.argmax()), bad.shape)
        at = ", ".join(str(int(index)) for index in position)
        raise DataError(
            f"to_categorical: label {int(labels[position])} at index {at or 0} is outside 0..{classes - 1} "
            f"({classes} classes)."
        )
    one_hot = np.zeros((labels.size, classes), dtype=dtype)
    one_hot[np.arange(labels.size), labels.reshape(-1)] = 1
    return one_hot.reshape(*labels.shape, classes)


def normalize(x: Any, axis: int = -1, order: int | float = 2) -> np.ndarray:
    """Divide ``x`` by its ``order``-norm along ``axis``; vectors of norm 0 stay 0.

    Raises:
        DataTypeError: ``x`` is not numeric. DataError: ``axis`` out of range.
    """
    array = np.asarray(x)
    if array.dtype.kind not in "biufc":
        raise DataTypeError(f"normalize: expected numbers, got dtype {array.dtype}.")
    if array.ndim == 0 or not -array.ndim <= axis < array.ndim:
        raise DataError(f"normalize: axis={axis} is outside the {array.ndim} axes of shape {array.shape}.")
    norm = np.linalg.norm(array, order, axis, keepdims=True)
    return array / np.where(norm == 0, 1, norm)
