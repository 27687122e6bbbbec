"""Filter gradients of sequences, which are images of one row, as those of images of one column."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from kcompile.ir import costs
from kcompile.ir.types import TensorType

if TYPE_CHECKING:
    from kcompile.ir.ops.blocked import BlockedConvWeightGrad

MOST_WASTE = 1.15
"""So much more may be computed for rows of a result that end in the middle of a vector."""


def upright(
    op: BlockedConvWeightGrad, x: TensorType, g: TensorType
) -> tuple[BlockedConvWeightGrad, TensorType, TensorType]:
    """The same gradient, of an image of one column if that is cheaper; in memory nothing changes.

    ``x`` is channels-last. The elements of the filter, with all channels each, are neighbours in a row of the result,
    or rows of it. The former fills vectors better, but computes what lies between dilated elements too.
    """
    if op.kernel[0] != 1 or x.shape[1] != 1 or g.shape[2] != 1 or op.pads[0] != (0, 0):
        return op, x, g
    (channels,) = x.with_shape(x.shape[3:]).static_shape
    across, down = whole(channels * op.kernel[1]), op.kernel[1] * whole(channels)
    if op.dilations[1] == 1 and down > MOST_WASTE * across:
        return op, x, g
    geometry = {name: getattr(op, name)[::-1] for name in ("strides", "pads", "dilations", "kernel")}
    column = dataclasses.replace(op, **geometry)
    return column, x.with_shape((x.shape[0], *x.shape[2:0:-1], channels)), g.with_shape((*g.shape[:2], *g.shape[:1:-1]))


def whole(positions: int) -> int:
    """How many results the kernel computes for so many in a row."""
    return -(-positions // costs.POSITIONS) * costs.POSITIONS
