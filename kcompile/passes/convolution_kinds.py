"""Transposed convolutions that move by one element are convolutions with a filter turned around: take the faster."""

from __future__ import annotations

import numpy as np

from kcompile.ir.core import Graph, Node, Value, apply, constant, constant_of, rebuild
from kcompile.ir.dims import Dim
from kcompile.ir.ops.convolution import Conv, ConvInputGrad
from kcompile.ir.ops.elementwise import Add
from kcompile.ir.ops.spatial import Pads, channel_axis, span, spatial_sizes
from kcompile.passes.fuse import vector_along
from kcompile.passes.report import fired
from kcompile.passes.rewrite import count_uses, in_regions

MANY_OUTPUTS = 16
"""From so many output channels on ONNX Runtime's convolution is faster; with fewer, most of its registers hold nothing.
A transposed one of 16 to 32 channels on 64 x 64 takes 1.6 times as long with 16 outputs, 0.4 times with 4."""

FEW_INPUTS = 4
"""With so few input channels a transposed convolution is a product of nearly empty matrices, and always slower."""


def convolution_kinds(graph: Graph) -> Graph:
    """Transposed convolutions with constant filters get their biases, and become plain ones where that is faster."""
    graph = in_regions(graph, convolution_kinds)
    uses = count_uses(graph)

    def rule(node: Node, inputs: tuple[Value, ...]) -> Value | None:
        match node.op:
            case Add():
                for old, x, y in ((node.inputs[0], *inputs), (node.inputs[1], *inputs[::-1])):
                    if uses[old] == 1 and (biased := _biased(x, y, node.outputs[0])) is not None:
                        return biased
            case ConvInputGrad():
                return _plain(node.op, *inputs)
        return None

    return rebuild(graph, rule)


def _biased(y: Value, bias: Value, total: Value) -> Value | None:
    """``y + bias`` in one op, if ``y`` is a convolution of either kind, with a constant filter and no bias yet."""
    op = y.op
    if not isinstance(op, Conv | ConvInputGrad) or len(y.node.inputs) > 2 or y.type != total.type:
        return None
    if constant_of(y.node.inputs[1]) is None:
        return None
    vector = vector_along(bias, y, channel_axis(y.rank, op.data_format))
    if vector is None:
        return None
    fired("convolution with bias")
    return apply(op, *y.node.inputs, vector)


def _plain(op: ConvInputGrad, x: Value, w: Value, *bias: Value) -> Value | None:
    """The convolution that computes this transposed one, if there is one and it is faster."""
    weights = constant_of(w)
    if weights is None or op.groups > 1 or set(op.strides) != {1} or not np.isfinite(weights).all():
        return None
    outputs, channels = weights.shape[-2:]
    if outputs < MANY_OUTPUTS and channels > FEW_INPUTS:
        return None
    counts = spatial_sizes(x.shape, op.data_format)
    pads: Pads = tuple(map(_pads, op.sizes, counts, weights.shape, op.dilations, op.pads))
    if not all(isinstance(pad, int) and pad >= 0 for pair in pads for pad in pair):
        return None
    fired("transposed convolution as a plain one")
    turned = np.flip(weights, tuple(range(weights.ndim - 2))).swapaxes(-1, -2)
    plain = Conv(op.strides, pads, op.dilations, 1, op.data_format)
    return apply(plain, x, constant(np.ascontiguousarray(turned), w.dtype), *bias)


def _pads(size: Dim, count: Dim, kernel: int, dilation: int, pads: tuple[Dim, Dim]) -> tuple[Dim, Dim]:
    """Of one axis: ``count`` elements, padded, have ``size`` windows."""
    reach = span(kernel, dilation) - 1
    before = reach - pads[0]
    return before, size + reach - count - before
