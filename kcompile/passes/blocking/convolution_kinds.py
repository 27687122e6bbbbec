"""A convolution that moves by one element is a transposed one with its filter turned around: take the faster one.

ONNX Runtime's convolution computes 16 output channels at a time (8 with AVX2), whether there are so many or not. Its
transposed convolution is a matrix product with a row for each output channel and place of the filter, which are then
added up where they belong. So the transposed one is faster for few output channels, and slower for many.
"""

from __future__ import annotations

from math import prod

import numpy as np

from kcompile.ir import costs
from kcompile.ir.core import (
    Array,
    Graph,
    Node,
    Value,
    apply,
    constant,
    constant_of,
)
from kcompile.ir.dims import Dim
from kcompile.ir.ops.elementwise.functions import Add
from kcompile.ir.ops.spatial.convolution import Conv, ConvInputGrad
from kcompile.ir.ops.spatial.spatial import Pads, channel_axis, span, spatial_sizes
from kcompile.ir.rebuilding import rebuild
from kcompile.passes.fusion.fuse import vector_along
from kcompile.passes.machinery.report import fired
from kcompile.passes.machinery.rewrite import count_uses, in_regions


def convolution_kinds(graph: Graph) -> Graph:
    """Convolutions with constant filters become transposed ones or the other way around; transposed ones get biases."""
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
            case Conv():
                return _transposed(node.op, node.outputs[0], *inputs)
        return None

    return rebuild(graph, rule)


def _biased(y: Value, bias: Value, total: Value) -> Value | None:
    """``y + bias`` in one op, if ``y`` is a convolution of either kind, with a constant filter and no bias yet."""
    op = y.op
    if not isinstance(op, Conv | ConvInputGrad) or len(y.node.inputs) > 2 or y.type != total.type:
        return None
    if constant_of(y.node.inputs[1]) is None or op.groups > 1:
        return None
    vector = vector_along(bias, y, channel_axis(y.rank, op.data_format))
    if vector is None:
        return None
    fired("convolution with bias")
    return apply(op, *y.node.inputs, vector)


def _plain(op: ConvInputGrad, x: Value, w: Value, *bias: Value) -> Value | None:
    """The convolution that computes this transposed one, if there is one and it is faster."""
    weights = _weights(op, w)
    if weights is None:
        return None
    outputs, channels = weights.shape[-2:]
    if outputs < costs.MANY_OUTPUTS and channels > costs.FEW_INPUTS:
        return None
    counts = spatial_sizes(x.shape, op.data_format)
    pads: Pads = tuple(map(_pads, op.sizes, counts, weights.shape, op.dilations, op.pads))
    if not all(isinstance(pad, int) and pad >= 0 for pair in pads for pad in pair):
        return None
    fired("transposed convolution as a plain one")
    plain = Conv(op.strides, pads, op.dilations, 1, op.data_format)
    return apply(plain, x, _turned(weights), *bias)


def _transposed(op: Conv, y: Value, x: Value, w: Value, *bias: Value) -> Value | None:
    """The transposed convolution that computes this plain one, if there is one and it is faster."""
    weights = _weights(op, w)
    if weights is None:
        return None
    *kernel, channels, outputs = weights.shape
    if outputs > costs.FEW_OUTPUTS or channels < costs.SOME_INPUTS or prod(kernel) == 1:
        return None
    table, counts = outputs * prod(kernel), spatial_sizes(x.shape, op.data_format)
    pixels = [count for count in counts if isinstance(count, int)]
    if table > 2 * channels and (len(pixels) < len(counts) or table * prod(pixels) > costs.TABLE_OF_TRANSPOSED):
        return None
    reaches = [span(size, dilation) - 1 for size, dilation in zip(kernel, op.dilations, strict=True)]
    pads: Pads = tuple((reach - a, reach - b) for reach, (a, b) in zip(reaches, op.pads, strict=True))
    if not all(isinstance(pad, int) and pad >= 0 for pair in pads for pad in pair):
        return None
    fired("convolution as a transposed one")
    sizes = spatial_sizes(y.shape, op.data_format)
    transposed = ConvInputGrad(op.strides, pads, op.dilations, 1, op.data_format, sizes)
    return apply(transposed, x, _turned(weights), *bias)


def _weights(op: Conv | ConvInputGrad, w: Value) -> Array | None:
    """The filter, if the convolution can be of either kind; times the zeros of the padding it must give zeros."""
    weights = constant_of(w)
    if weights is None or op.groups > 1 or set(op.strides) != {1} or not np.isfinite(weights).all():
        return None
    return weights


def _turned(weights: Array) -> Value:
    """The filter for the other kind: turned around, inputs and outputs exchanged."""
    turned = np.flip(weights, tuple(range(weights.ndim - 2))).swapaxes(-1, -2)
    return constant(np.ascontiguousarray(turned))


def _pads(size: Dim, count: Dim, kernel: int, dilation: int, pads: tuple[Dim, Dim]) -> tuple[Dim, Dim]:
    """Of one axis: ``count`` elements, padded, have ``size`` windows."""
    reach = span(kernel, dilation) - 1
    before = reach - pads[0]
    return before, size + reach - count - before
