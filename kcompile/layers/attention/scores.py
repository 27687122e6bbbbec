"""Which steps attend to which, and the softmax over those that count."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from kcompile import backend as K
from kcompile.common.errors import ShapeError
from kcompile.ir.dims import product
from kcompile.ir.ops.elementwise import comparison
from kcompile.ir.ops.elementwise.functions import absolute, sub
from kcompile.ir.ops.products.softmax import softmax
from kcompile.ir.ops.shapes.reshaping import reshape
from kcompile.ir.ops.shapes.sizes import iota
from kcompile.symbolic.tensor import Tensor, as_tensor


def masked_out(dtype: str) -> float:
    """What is added to scores that do not count: their softmax is 0, unless none counts."""
    return -3e4 if dtype == "float16" else -1e9


def causal(query: Tensor, value: Tensor) -> Tensor:
    """``(1, T, S)``: a step attends to itself and those before it."""
    rows, columns = _places(query, value)
    return Tensor(comparison.greater_equal(rows, columns))


def window(query: Tensor, value: Tensor, width: int) -> Tensor:
    """``(1, T, S)``: a step attends to those that are fewer than ``width`` steps away."""
    return Tensor(comparison.less(absolute(sub(*_places(query, value))), width))


def _places(query: Tensor, value: Tensor) -> Any:
    rows, columns = iota(query.value.shape[1]), iota(value.value.shape[1])
    return reshape(rows, (1, rows.shape[0], 1)), reshape(columns, (1, 1, columns.shape[0]))


def joined(*masks: Any) -> Any:
    """Where all masks say so; ``None`` if there is none."""
    given = [as_truth(mask) for mask in masks if mask is not None]
    return functools.reduce(K.logical_and, given) if given else None


def as_truth(mask: Any) -> Tensor:
    """A mask of truth values, or of zeros and ones."""
    mask = as_tensor(mask)
    return mask if mask.dtype == "bool" else K.cast(mask, "bool")


def joined_masks(
    query: Tensor, value: Tensor, of_query: Any, of_value: Any, of_key: Any, given: Any, before: bool, width: int | None
) -> Any:
    """One mask ``(B, T, S)`` of those of the inputs ``(B, T)`` and ``(B, S)``, the one given, and the places of steps.

    Args:
        query, value: the inputs. of_query, of_value, of_key: their masks.
        given: ``(B, T, S)``, or with axes before ``T``. before: whether a step attends only to those before it.
        width: that of a sliding window.
    """
    rows = None if of_query is None else K.expand_dims(as_truth(of_query), -1)
    columns = [None if mask is None else K.expand_dims(as_truth(mask), -2) for mask in (of_value, of_key)]
    places = causal(query, value) if before else None
    near = window(query, value, width) if width is not None else None
    return joined(rows, *columns, places, near, given)


def attended(scores: Tensor, mask: Any, axes: int, robust: bool = False) -> Tensor:
    """The softmax of scores over their last axes.

    Args:
        scores: ``(B, ..., T, S)``. mask: which count, or ``None``; it broadcasts.
        axes: how many axes ``T`` and ``S`` stand for, each.
        robust: put the large negative number in the place of a score, and do not add it.
    """
    if mask is not None:
        scores = _without(scores, mask, robust)
    value = scores.value
    if axes == 1:
        return Tensor(softmax(value))
    flat = reshape(value, (*value.shape[:-axes], product(value.shape[-axes:])))
    return Tensor(reshape(softmax(flat), value.shape))


def _without(scores: Tensor, mask: Tensor, robust: bool) -> Tensor:
    lowest = masked_out(scores.dtype)
    if robust:
        return K.switch(_spread(mask, scores), scores, K.zeros_like(scores) + lowest)
    return scores + (1.0 - K.cast(mask, scores.dtype)) * lowest


def _spread(mask: Tensor, scores: Tensor) -> Tensor:
    return K.logical_and(mask, K.ones_like(scores, dtype="bool"))


def over_heads(mask: Any, rank: int, axes: int, owner: str) -> Any:
    """A mask with axes of size 1 for the heads (and others) of scores of that rank."""
    if mask is None:
        return None
    if mask.ndim > rank:
        raise ShapeError(f"{owner}: attention_mask of shape {tuple(mask.shape)} has more axes than the scores ({rank})")
    missing = rank - mask.ndim
    place = max(mask.ndim - 2 * axes, 0)
    return insert(mask, place, missing)


def insert(mask: Tensor, place: int, count: int) -> Tensor:
    """``count`` axes of size 1 at ``place``."""
    shape: Sequence[Any] = mask.value.shape
    return Tensor(reshape(mask.value, (*shape[:place], *(1,) * count, *shape[place:])))
