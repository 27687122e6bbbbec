"""What to do about common mistakes with data: the second half of an error's sentence, or nothing."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

Shape = Sequence[int | None]


def on_scalar(value: object) -> str:
    """For data that are no array."""
    if inspect.isgeneratorfunction(value):
        return f"; call it, {value.__name__}(), for its generator"
    if isinstance(value, type) or callable(value):
        return "; make an object of it, or call it, for the data"
    return ""


def on_batch_axis(given: Shape, expected: Shape) -> str:
    """For data of shape ``given`` where an input of shape ``expected`` (with the batch) was declared."""
    declared = expected[1:]
    if len(given) != len(declared) or len(given) < 2:
        return ""
    if any(b not in (a, None) for a, b in zip(given[1:], declared[1:], strict=True)):
        return ""
    return without_samples(declared)


def on_positions(given: Shape, expected: Shape) -> str:
    """For targets of shape ``given`` where an output has more axes."""
    if len(given) > 2 or len(expected) < 3:
        return ""
    if len(expected) == 3:
        return (
            "; the output has a value for each step: the last recurrent layer needs return_sequences=False, "
            "or, without one, the last layer Flatten() or a global pooling layer before it"
        )
    return "; the output has a value for each position: add Flatten() or a global pooling layer before the last layer"


def without_samples(declared: Shape) -> str:
    return f"; an input's shape does not count the samples: {tuple(declared[1:])} instead of {tuple(declared)}"
