"""What arguments of layers are."""

from __future__ import annotations

from collections.abc import Sequence

from kcompile import ir
from kcompile.common.lists import is_shape_list
from kcompile.engine.layer import Shape
from kcompile.symbolic.tensor import Tensor

Ints = int | Sequence[int]
"""One number for all axes, or one for each."""

Margins = int | Sequence[int | Sequence[int]]
"""A number for all sides, one for each axis, or a pair (before, after) for each axis."""

Shapes = Shape | Sequence[Shape]
"""Of one tensor, or of several."""

Tensors = Tensor | Sequence[Tensor]

Phase = bool | int | Tensor | None
"""The argument ``training``: whether it is; ``None``: as the learning phase says."""

Mask = Tensor | None
"""Which steps count; ``None``: all."""

Masks = Mask | Sequence[Mask]

BatchSize = ir.Dim | Tensor
"""A number, the size of an axis, or a tensor that holds the number."""


def each_shape(shapes: Shapes) -> list[Shape]:
    """The shapes of one or several tensors, as a list."""
    return [tuple(shape) for shape in (shapes if is_shape_list(shapes) else [shapes])]  # type: ignore[arg-type]
