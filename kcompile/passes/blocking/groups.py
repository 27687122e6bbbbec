"""Which convolutions with groups, and gradients of them, the blocked kernels of the CPU compute."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from kcompile.ir import costs
from kcompile.ir.core import (
    Graph,
    Node,
    Value,
    apply,
    constant_of,
)
from kcompile.ir.ops.arrays.reduction import reduce_sum
from kcompile.ir.ops.arrays.shaping import concat, expand, reshape, slice_axes
from kcompile.ir.ops.blocked.blocked import BlockedConvWeightGrad
from kcompile.ir.ops.blocked.groups import (
    BlockedDepthwiseWeightGrad,
    BlockedGroupedConv,
    BlockedGroupedConvInputGrad,
)
from kcompile.ir.ops.blocked.groups_lowering import is_depthwise, reversed_pads
from kcompile.ir.ops.spatial.convolution import (
    Conv,
    ConvInputGrad,
    ConvWeightGrad,
)
from kcompile.ir.ops.spatial.convolution_base import Convolution
from kcompile.ir.ops.spatial.spatial import static_pads
from kcompile.ir.rebuilding import rebuild
from kcompile.passes.blocking.convolutions import Kernels
from kcompile.passes.machinery.report import fired
from kcompile.passes.machinery.rewrite import in_regions


def depthwise(node: Node) -> bool:
    """Whether a convolution or gradient is that of each channel by itself, with one filter."""
    assert isinstance(node.op, Convolution)
    filters = node.outputs[0] if isinstance(node.op, ConvWeightGrad) else node.inputs[1]
    return is_depthwise(node.op.groups, filters.type)


def repeat_channels(graph: Graph, block: int) -> Graph:
    """Depthwise convolutions with several filters per channel as ones with a single filter of repeated channels, where
    the blocked kernels take them: their filters are the same.
    """
    graph = in_regions(graph, lambda region: repeat_channels(region, block))
    kernels = Kernels(block)

    def rule(node: Node, inputs: tuple[Value, ...]) -> Value | None:
        op = node.op
        if not isinstance(op, Convolution) or op.data_format != "channels_first" or len(op.strides) != 2:
            return None
        w = (node.outputs[0] if isinstance(op, ConvWeightGrad) else node.inputs[1]).type.static_shape
        if op.groups == 1 or w[-2] != 1 or w[-1] == op.groups or static_pads(op.pads) is None:
            return None
        if isinstance(op, Conv) and constant_of(node.inputs[1]) is not None:
            return None
        image = node.outputs[0] if isinstance(op, ConvInputGrad) else node.inputs[0]
        many = image.type.with_shape((image.shape[0], w[-1], *image.shape[2:]))
        if not kernels.fits(many):
            return None
        batch, channels, *sizes = image.shape
        apart = batch, channels, w[-1] // op.groups, *sizes
        single = dataclasses.replace(op, groups=w[-1])
        fired("channels repeated")
        if isinstance(op, ConvInputGrad):
            return reduce_sum(reshape(apply(single, *inputs), apart), [2])
        repeated = expand(reshape(inputs[0], (batch, channels, 1, *sizes)), apart)
        return apply(single, reshape(repeated, many.shape), *inputs[1:])

    return rebuild(graph, rule)


def takes_groups(node: Node, kernels: Kernels) -> bool:
    """Whether ``node`` is a convolution with groups, or a gradient of one, that the blocked kernels compute.

    They always gain: the plain kernel computes one group after the other.
    """
    op = node.op
    if not isinstance(op, Convolution) or op.groups == 1 or op.data_format != "channels_first":
        return False
    images = node.inputs[:2] if isinstance(op, ConvWeightGrad) else (node.inputs[0], node.outputs[0])
    pads = [pad for pair in op.pads for pad in pair]
    if len(op.strides) != 2 or not all(isinstance(pad, int) for pad in pads):
        return False
    # The plain ways to a depthwise filter gradient take ten times as long, so that filling up blocks pays.
    fits = all(kernels.fits(image.type) for image in images) or (isinstance(op, ConvWeightGrad) and depthwise(node))
    if not fits or not (depthwise(node) or _whole_blocks(node, kernels.block)):
        return False
    match op:
        case Conv():
            # ONNX Runtime does the same for constant filters.
            return constant_of(node.inputs[1]) is None
        case ConvInputGrad():
            g, w = (value.type for value in node.inputs)
            known = all(isinstance(size, int) for size in (*op.sizes, *g.shape[2:]))
            slides = max(op.strides) == 1 or (known and depthwise(node))
            return slides and reversed_pads(op, g, w) is not None
    return all(isinstance(size, int) for image in images for size in image.shape[1:])


def _whole_blocks(node: Node, block: int) -> bool:
    """Whether each group has whole blocks of inputs and outputs."""
    assert isinstance(node.op, Convolution)
    filters = node.outputs[0] if isinstance(node.op, ConvWeightGrad) else node.inputs[1]
    inner, out = filters.type.static_shape[-2:]
    whole = inner % block == 0 and out % (node.op.groups * block) == 0
    return whole and (node.op.groups <= costs.MANY_GROUPS or not isinstance(node.op, ConvWeightGrad))


def wanted_blocked(node: Node) -> Sequence[Value]:
    """The inputs that such a convolution or gradient takes blocked."""
    if isinstance(node.op, ConvWeightGrad):
        return node.inputs if depthwise(node) else node.inputs[1:]
    return node.inputs[:1]


def convolution(op: Conv | ConvInputGrad, x: Value, operands: Sequence[Value], block: int) -> Value:
    """The convolution, or input gradient, of a blocked ``x``, blocked too."""
    if isinstance(op, ConvInputGrad):
        gradient = BlockedGroupedConvInputGrad(op.strides, op.pads, op.dilations, op.groups, block, op.sizes)
        return apply(gradient, x, *operands)
    return apply(BlockedGroupedConv(op.strides, op.pads, op.dilations, op.groups, block), x, *operands)


def depthwise_weight_grad(op: ConvWeightGrad, x: Value, g: Value, block: int) -> Value:
    """The filter gradient of a depthwise convolution, from a blocked input and gradient."""
    gradient = BlockedDepthwiseWeightGrad(op.strides, op.pads, op.dilations, block, op.kernel, op.groups)
    return apply(gradient, x, g)


def weight_grad_by_groups(op: ConvWeightGrad, x: Value, g: Value, block: int) -> Value:
    """The filter gradient of each group, side by side: ``x`` is channels-last, ``g`` blocked."""
    channels, outputs = x.type.with_shape((x.shape[3], g.shape[1])).static_shape
    inner, out = channels // op.groups, outputs // op.groups
    each = BlockedConvWeightGrad(op.strides, op.pads, op.dilations, block, op.kernel)
    found = []
    for group in range(op.groups):
        part = slice_axes(x, (3,), (group * inner,), ((group + 1) * inner,), (1,))
        # Whole blocks are cut out, so that blocked order does not matter.
        found.append(apply(each, part, slice_axes(g, (1,), (group * out,), ((group + 1) * out,), (1,))))
    return concat(found, 3)
