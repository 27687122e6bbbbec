"""The masks of several inputs as one: by the rule of Keras 2 and tf.keras, or by that of Keras 3.

To Keras 2 and tf.keras a step counts if it counts in every input that has a mask. To Keras 3 (since 3.4) it counts if
it does in any of them, or if an input has none; and ``Multiply``, ``Maximum`` and ``Minimum`` leave out what is masked.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from kcompile import backend as K
from kcompile.symbolic.tensor import Tensor

ALL, ANY = "all", "any"

Masks = Sequence[Any]


def rules_differ(masks: Masks) -> bool:
    """Whether the two rules can give different masks: unless all inputs have the same one."""
    given = [mask for mask in masks if mask is not None]
    return bool(given) and (len(given) < len(masks) or any(mask.value is not given[0].value for mask in given))


def elementwise(masks: Masks, rule: str) -> Any:
    """The mask of an elementwise function of tensors, or ``None``."""
    given = [mask for mask in masks if mask is not None]
    if rule == ANY:
        return None if not given or len(given) < len(masks) else functools.reduce(K.logical_or, given)
    return functools.reduce(K.logical_and, given) if given else None


def concatenated(inputs: Sequence[Tensor], masks: Masks, axis: int, rule: str) -> Any:
    """The mask of tensors one after the other along an axis, or ``None``."""
    if all(mask is None for mask in masks):
        return None
    spread = []
    for x, mask in zip(inputs, masks, strict=True):
        ones = K.ones_like(x, dtype="bool")
        spread.append(ones if mask is None else _spread(mask, x) if mask.ndim < x.ndim else mask)
    joined = K.concatenate(spread, axis=axis)
    return K.any(joined, axis=-1) if rule == ANY else K.all(joined, axis=-1)


def _spread(mask: Tensor, x: Tensor) -> Tensor:
    """A mask over steps as one over all numbers of ``x``."""
    return K.logical_and(K.expand_dims(mask, -1), K.ones_like(x, dtype="bool"))


def product(inputs: Sequence[Tensor], masks: Masks) -> Tensor:
    """The product of what is not masked; 0 where everything is."""
    factors = [
        x if mask is None else K.switch(_spread(mask, x), x, K.ones_like(x))
        for x, mask in zip(inputs, masks, strict=True)
    ]
    result = functools.reduce(lambda x, y: x * y, factors)
    counts = elementwise(masks, ANY)
    return result if counts is None else K.switch(_spread(counts, result), result, K.zeros_like(result))


def extreme(function: Callable[[Any, Any], Any], inputs: Sequence[Tensor], masks: Masks) -> Tensor:
    """The largest or smallest of what is not masked, as Keras 3 finds it: each of two fills the other's gaps."""
    result, counts = inputs[0], masks[0]
    for x, mask in zip(inputs[1:], masks[1:], strict=True):
        if mask is not None:
            x = K.switch(_spread(mask, x), x, result)
        if counts is not None:
            result = K.switch(_spread(counts, result), result, x)
        counts = None if mask is None or counts is None else K.logical_or(counts, mask)
        result = function(result, x)
    return result
