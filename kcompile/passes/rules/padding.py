"""Rules about zeros around images: the windows of the next op can stand for them."""

from __future__ import annotations

import dataclasses

from kcompile.ir.core import Node, Value, apply
from kcompile.ir.ops.arrays.slicing import Concat, Pad
from kcompile.ir.ops.elementwise.functions import Relu
from kcompile.ir.ops.shapes.reshaping import Transpose
from kcompile.ir.ops.spatial.convolution import Conv
from kcompile.ir.ops.spatial.pooling import MaxPool
from kcompile.ir.ops.spatial.spatial import Pads, SpatialOp, channel_axis
from kcompile.passes.machinery.rewrite import Rules

RULES = Rules()


@RULES.on(Conv)
def conv_of_pad(node: Node) -> Value | None:
    """conv(pad(x)) -> conv(x) with larger pads."""
    op, (x, *others) = node.op, node.inputs
    assert isinstance(op, Conv)
    around = _zeros_around(x, op)
    if around is None:
        return None
    pads = tuple((a + c, b + d) for (a, b), (c, d) in zip(op.pads, around, strict=True))
    return apply(dataclasses.replace(op, pads=pads), x.node.inputs[0], *others)


@RULES.on(MaxPool)
def max_pool_of_pad(node: Node) -> Value | None:
    """max_pool(pad(x)) -> max_pool(x) with pads, where x is never negative and every window holds an element of x.

    The zeros are then never larger than the largest element; where that is zero too, its gradient is zero anyway.
    """
    op, (x,) = node.op, node.inputs
    assert isinstance(op, MaxPool)
    around = _zeros_around(x, op)
    if around is None or any(pair != (0, 0) for pair in op.pads) or not _never_negative(x.node.inputs[0]):
        return None
    short = [max(pair) < size for pair, size in zip(_integers(around), op.window, strict=True)]
    return apply(dataclasses.replace(op, pads=around), x.node.inputs[0]) if all(short) else None


def _zeros_around(x: Value, op: SpatialOp) -> Pads | None:
    """How many zeros ``x`` has around each spatial axis of something else; ``None`` if it has them elsewhere too."""
    pad = x.op
    if not isinstance(pad, Pad) or pad.mode != "constant" or pad.value != 0:
        return None
    channels = channel_axis(x.rank, op.data_format)
    if pad.pads[0] != (0, 0) or pad.pads[channels] != (0, 0):
        return None
    around = tuple(pair for axis, pair in enumerate(pad.pads) if axis not in (0, channels))
    return around if all(isinstance(amount, int) and amount >= 0 for pair in around for amount in pair) else None


def _integers(pads: Pads) -> list[tuple[int, ...]]:
    return [tuple(amount for amount in pair if isinstance(amount, int)) for pair in pads]


def _never_negative(x: Value) -> bool:
    """Whether no element is below zero, as far as the ops tell that made it."""
    match x.op:
        case Relu():
            return True
        case MaxPool(pads=pads) if all(pair == (0, 0) for pair in pads):
            return _never_negative(x.node.inputs[0])
        case Transpose() | Concat():
            return all(map(_never_negative, x.node.inputs))
    return False
