"""Whether elements fall or rise along an axis: this tells which masks are those of right-padded sequences."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kcompile.ir.core import Value, constant_of
from kcompile.ir.ops.elementwise.arithmetic import Cast
from kcompile.ir.ops.elementwise.base import Elementwise
from kcompile.ir.ops.elementwise.comparison import (
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
    LogicalAnd,
    LogicalNot,
    LogicalOr,
)
from kcompile.ir.ops.shapes.reshaping import Expand, Reshape, Transpose
from kcompile.ir.ops.shapes.sizes import Iota
from kcompile.passes.recurrence.reshaped_axes import axis_before_reshape


class Trend(NamedTuple):
    """What is known of an axis: ``falls``: no element is larger than the one before; ``rises``: none is smaller.

    What is constant does both. Of bools, true is the larger.
    """

    falls: bool
    rises: bool

    def __invert__(self) -> Trend:
        return Trend(self.rises, self.falls)

    def __and__(self, other: Trend) -> Trend:
        return Trend(self.falls and other.falls, self.rises and other.rises)


UNKNOWN, CONSTANT = Trend(False, False), Trend(True, True)


def is_right_padded(mask: Value, axis: int = 0) -> bool:
    """Whether along ``axis`` no true element follows a false one, as far as the graph tells.

    It does if the mask is constant, or compares a range with lengths, or combines such masks.
    """
    return trend_of(mask, axis).falls


def trend_of(value: Value, axis: int) -> Trend:
    """What is known of ``value`` along ``axis``. NaN, which has no order, is taken for unknown."""
    if value.shape[axis] == 1:
        return CONSTANT
    array = constant_of(value)
    if array is not None:
        before, after = (np.delete(array, place, axis) for place in (-1, 0)) if array.size else (array, array)
        return Trend(bool((after <= before).all()), bool((after >= before).all()))
    operands = value.node.inputs
    match value.op:
        case Iota():
            return Trend(False, True)
        case Transpose(permutation=permutation):
            return trend_of(operands[0], permutation[axis])
        case Reshape():
            source = axis_before_reshape(operands[0], value, axis)
            return UNKNOWN if source is None else trend_of(operands[0], source)
        case Expand():
            return _operand_trend(operands[0], value, axis)
        case Cast() if _keeps_order(operands[0].dtype, value.dtype):
            return trend_of(operands[0], axis)
        case LogicalNot():
            return ~trend_of(operands[0], axis)
        case Elementwise():
            trends = [_operand_trend(operand, value, axis) for operand in operands]
            match value.op:
                case LogicalAnd() | LogicalOr():
                    return trends[0] & trends[1]
                case Less() | LessEqual():
                    return ~trends[0] & trends[1]
                case Greater() | GreaterEqual():
                    return trends[0] & ~trends[1]
            return CONSTANT if trends and all(trend == CONSTANT for trend in trends) else UNKNOWN
    return UNKNOWN


def _keeps_order(source: str, target: str) -> bool:
    """Whether the cast is exact, or rounds integers; others may wrap around, or meet NaN."""
    return np.can_cast(source, target) or ("int" in source and "float" in target)


def _operand_trend(operand: Value, result: Value, axis: int) -> Trend:
    """The trend of an operand along an axis of the result to which it is broadcast."""
    place = axis - (result.rank - operand.rank)
    return trend_of(operand, place) if place >= 0 else CONSTANT
