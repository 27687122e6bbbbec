"""Axis arguments: from what users write to what ops store, tuples of distinct axes counted from the front."""

from __future__ import annotations

from collections.abc import Sequence

from kcompile.ir.errors import IRError


def normalize_axis(axis: int, rank: int, what: str = "axis") -> int:
    """``axis`` counted from the front.

    Raises:
        IRError: a tensor of ``rank`` axes has no such axis.
    """
    if not -rank <= axis < rank:
        allowed = f"from {-rank} to {rank - 1}" if rank else "none, the tensor is a scalar"
        raise IRError(f"{what} {axis} does not exist; the axes are {allowed}")
    return axis % rank


def normalize_axes(axes: Sequence[int] | int | None, rank: int) -> tuple[int, ...]:
    """Sorted axes counted from the front; ``None`` stands for all.

    Raises:
        IRError: an axis does not exist or is given twice.
    """
    if axes is None:
        return tuple(range(rank))
    listed = [axes] if isinstance(axes, int) else list(axes)
    result = sorted(normalize_axis(axis, rank) for axis in listed)
    if len(set(result)) != len(result):
        raise IRError(f"axes {tuple(listed)} name an axis twice")
    return tuple(result)


def check_axes(axes: Sequence[int], rank: int) -> None:
    """Verify axes stored in an op.

    Raises:
        IRError: they are not distinct axes counted from the front.
    """
    if len(set(axes)) != len(axes) or not all(0 <= axis < rank for axis in axes):
        raise IRError(f"axes {tuple(axes)} are not distinct axes of a tensor with {rank} axes")


def check_permutation(permutation: Sequence[int], rank: int) -> None:
    """Raises :class:`IRError` unless ``permutation`` lists each of ``rank`` axes once."""
    if sorted(permutation) != list(range(rank)):
        raise IRError(f"{tuple(permutation)} is not a permutation of {rank} axes")


def inverse(permutation: Sequence[int]) -> tuple[int, ...]:
    """The permutation that undoes ``permutation``."""
    return tuple(permutation.index(axis) for axis in range(len(permutation)))
