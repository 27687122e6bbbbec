"""What layers share that normalize over axes, with weights of the sizes of these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcompile import ir
from kcompile.common.checks import check_int
from kcompile.common.errors import KCompileError, ShapeError
from kcompile.ir.dims import Dim
from kcompile.ir.ops.arrays import shaping
from kcompile.ir.ops.elementwise import functions as elementwise
from kcompile.ir.ops.shapes.axes import inverse
from kcompile.symbolic.tensor import Tensor, as_float, as_tensor


def check_axes(owner: str, axis: Any) -> int | list[int]:
    """The argument ``axis``: an integer, or a list of several.

    Raises:
        ValueError: something else, an axis that is given twice, or none.
    """
    if not isinstance(axis, (list, tuple)):
        return check_int(owner, "axis", axis)
    whole = [check_int(owner, "axis", item) for item in axis]
    if not whole or len(set(whole)) < len(whole):
        raise KCompileError(f"{owner}: axis must name at least one axis, and each once, got {axis!r}")
    return whole[0] if len(whole) == 1 else whole


def axes_of(where: str, axis: int | list[int], input_shape: Sequence[int | None]) -> list[int]:
    """The axes, counted from the front, in the order given.

    Raises:
        ValueError: an input of this shape has no such axis, or one is named twice.
    """
    rank = len(input_shape)
    listed = axis if isinstance(axis, list) else [axis]
    found = [item % rank if -rank <= item < rank else None for item in listed]
    if None in found:
        raise KCompileError(
            f"{where}: axis={axis} does not exist in the input shape {tuple(input_shape)}; use {-rank} to {rank - 1}"
        )
    if len(set(found)) < len(found):
        raise KCompileError(f"{where}: axis={axis} names an axis of the input shape {tuple(input_shape)} twice")
    return [item for item in found if item is not None]


def sizes_of(where: str, axes: Sequence[int], input_shape: Sequence[int | None]) -> tuple[int, ...]:
    """The sizes of these axes, for weights.

    Raises:
        ValueError: one is unknown.
    """
    found = []
    for axis in axes:
        size = input_shape[axis]
        if size is None:
            raise ShapeError(
                f"{where} needs a known size of axis {axis}, got input shape {tuple(input_shape)}; "
                "give it in Input(shape=...)"
            )
        found.append(int(size))
    return tuple(found)


class Rows:
    """``x`` with the axes in question last, in ascending order, and the way back."""

    def __init__(self, x: Any, axes: Sequence[int]) -> None:
        value = as_float(x).value
        self.dtype = value.dtype
        kept = [axis for axis in range(value.rank) if axis not in axes]
        self.order = (*kept, *sorted(axes))
        self.first = len(kept)
        self.moved = self.order != tuple(range(value.rank))
        self.x = shaping.transpose(value, self.order) if self.moved else value

    def parameter(self, weight: Any, default: float) -> ir.Value:
        """A weight in the shape of a row; without one, ``default`` everywhere."""
        shape: tuple[Dim, ...] = self.x.shape[self.first :]
        if weight is None:
            return shaping.expand(ir.constant(default, self.dtype), shape)
        return elementwise.cast(shaping.reshape(as_tensor(weight).value, shape), self.dtype)

    def back(self, y: ir.Value) -> Tensor:
        """What was computed from :attr:`x`, with its axes where those of the input are."""
        return Tensor(shaping.transpose(y, inverse(self.order)) if self.moved else y)
