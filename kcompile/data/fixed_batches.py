"""Models whose inputs have a fixed batch size, as stateful layers need: which batches they take."""

from __future__ import annotations

from collections.abc import Sequence

from kcompile.common.errors import DataError
from kcompile.data.standardize import FeedSpec


def fixed_batch_size(inputs: Sequence[FeedSpec]) -> int | None:
    """The batch size that one of the inputs fixes; ``None``: any."""
    return next((spec.shape[0] for spec in inputs if spec.shape and spec.shape[0] is not None), None)


def batch_size_for(owner: str, inputs: Sequence[FeedSpec], batch_size: int | None, samples: int) -> int | None:
    """The batch size to use: ``batch_size``, or the one that the inputs fix.

    Args:
        owner: the method, for messages.
        inputs: what the model takes.
        batch_size: as given; ``None``: nothing is.
        samples: how many there are in all.

    Raises:
        ValueError: the inputs fix another batch size, or one that does not divide the number of samples.
    """
    fixed = fixed_batch_size(inputs)
    if fixed is None:
        return batch_size
    takes = f"{owner}: {_takes(inputs, fixed)}"
    if batch_size not in (None, fixed):
        raise DataError(f"{takes}, got batch_size {batch_size}; leave batch_size out, or build the model for another")
    if samples % fixed:
        raise DataError(f"{takes}, got {samples} in all; cut or pad the data to a multiple of {fixed}")
    return fixed


def check_batch(inputs: Sequence[FeedSpec], samples: int) -> None:
    """Raise unless a batch of that many samples can be fed.

    Raises:
        ValueError: the inputs fix another batch size.
    """
    fixed = fixed_batch_size(inputs)
    if fixed not in (None, samples):
        raise DataError(f"{_takes(inputs, fixed)}, got a batch of {samples}")


def _takes(inputs: Sequence[FeedSpec], fixed: int | None) -> str:
    which = next(spec for spec in inputs if spec.shape and spec.shape[0] is not None)
    return f"the model takes batches of exactly {fixed} samples (input {which.name!r} has shape {which.shape})"
