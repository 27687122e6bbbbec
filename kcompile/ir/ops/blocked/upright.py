"""Filter gradients of sequences, which are images of one row, as those of images of one column."""

from __future__ import annotations

import dataclasses
from typing import TypeVar

from kcompile.ir import costs
from kcompile.ir.ops.blocked.base import BlockedFilterGradient
from kcompile.ir.ops.blocked.tiles import WindowSum
from kcompile.ir.types import TensorType

GradientOp = TypeVar("GradientOp", bound=BlockedFilterGradient)


def upright(op: GradientOp, x: TensorType, g: TensorType) -> tuple[GradientOp, TensorType, TensorType]:
    """The same gradient, of an image of one column if that is cheaper; in memory nothing changes.

    ``x`` is channels-last. The elements of the filter, with all channels each, are neighbours in a row of the result,
    or rows of it. The former fills vectors better, but computes what lies between dilated elements too.
    """
    if op.kernel[0] != 1 or x.shape[1] != 1 or g.shape[2] != 1 or op.pads[0] != (0, 0):
        return op, x, g
    (channels,) = x.with_shape(x.shape[3:]).static_shape
    if not stands(channels, op.kernel[1], op.dilations[1]):
        return op, x, g
    geometry = {name: getattr(op, name)[::-1] for name in ("strides", "pads", "dilations", "kernel")}
    column = dataclasses.replace(op, **geometry)
    return column, x.with_shape((x.shape[0], *x.shape[2:0:-1], channels)), g.with_shape((*g.shape[:2], *g.shape[:1:-1]))


def upright_sum(row: WindowSum) -> WindowSum:
    """The sum that the lowering of ``row`` computes, if it is one of sequences."""
    if row.kernel[0] != 1 or row.windows[0] != 1 or not stands(row.channels, row.kernel[1], row.dilations[1]):
        return row
    geometry = {name: getattr(row, name)[::-1] for name in ("windows", "strides", "dilations", "kernel")}
    return dataclasses.replace(row, **geometry)


def stands(channels: int, kernel: int, dilation: int) -> bool:
    """Whether a column is cheaper than a row."""
    return dilation > 1 or kernel * whole(channels) <= costs.MOST_WASTE * whole(channels * kernel)


def whole(positions: int) -> int:
    """How many results the kernel computes for so many in a row."""
    return -(-positions // costs.POSITIONS) * costs.POSITIONS
