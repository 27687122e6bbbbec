"""What follows a convolution, done by its kernel: batch norm with given statistics, a sum, relu."""

from __future__ import annotations

import dataclasses

from kcompile.ir import costs
from kcompile.ir.core import (
    Graph,
    Node,
    Value,
    apply,
    constant_of,
)
from kcompile.ir.dims import product
from kcompile.ir.ops.blocked.blocked import BlockedAffine, BlockedConv
from kcompile.ir.ops.blocked.few import BlockedConvFew
from kcompile.ir.ops.blocked.groups import BlockedGroupedConv
from kcompile.ir.ops.elementwise.functions import Add, Relu, add, mul, power, sub
from kcompile.ir.ops.spatial.convolution import Conv
from kcompile.ir.ops.spatial.normalization import BatchNormInference
from kcompile.ir.ops.spatial.spatial import channel_axis
from kcompile.ir.rebuilding import rebuild
from kcompile.passes.machinery.report import fired
from kcompile.passes.machinery.rewrite import count_uses, in_regions


def scale_filters(graph: Graph) -> Graph:
    """Batch norm with given statistics as a factor of the filter before it and a bias.

    The filter is scaled each time the graph runs; that is done where it has fewer elements than a batch of images.
    (Of constant weights, ``fold_batch_norm`` has left nothing to do.)
    """
    graph = in_regions(graph, scale_filters)
    uses = count_uses(graph)

    def rule(node: Node, inputs: tuple[Value, ...]) -> Value | None:
        if not isinstance(node.op, BatchNormInference) or not isinstance(inputs[0].op, Conv):
            return None
        y, (x, w, *bias) = inputs[0], inputs[0].node.inputs
        conv = inputs[0].op
        size, filters = product(y.shape[1:]), w.type.size
        smaller = isinstance(size, int) and isinstance(filters, int) and filters <= costs.LEAST_BATCH * size
        along = node.op.axis == channel_axis(y.rank, conv.data_format)
        if uses[node.inputs[0]] > 1 or not smaller or not along or constant_of(w) is not None:
            return None
        fired("batch norm into filter")
        scale, offset, mean, variance = inputs[1:]
        factor = mul(scale, power(add(variance, node.op.epsilon), -0.5))
        shifted = sub(bias[0], mean) if bias else mul(mean, -1)
        return apply(conv, x, mul(w, factor), add(mul(shifted, factor), offset))

    return rebuild(graph, rule)


def join_blocked(graph: Graph) -> Graph:
    """Sums and relu into the blocked convolution or batch norm before them, if nobody else uses that."""
    graph = in_regions(graph, join_blocked)
    uses = count_uses(graph)

    def rule(node: Node, inputs: tuple[Value, ...]) -> Value | None:
        match node.op:
            case Relu() if uses[node.inputs[0]] == 1:
                op = inputs[0].op
                if isinstance(op, BlockedConv | BlockedConvFew | BlockedGroupedConv | BlockedAffine) and not op.relu:
                    fired("relu into the op before")
                    return apply(dataclasses.replace(op, relu=True), *inputs[0].node.inputs)
            case Add() if inputs[0].shape == inputs[1].shape:
                for old, new, other in zip(node.inputs, inputs, inputs[::-1], strict=True):
                    op = new.op
                    if (
                        isinstance(op, BlockedConv | BlockedGroupedConv | BlockedAffine)
                        and uses[old] == 1
                        and not (op.relu or op.adds)
                    ):
                        fired("sum into the op before")
                        return apply(dataclasses.replace(op, adds=True), *new.node.inputs, other)
        return None

    return rebuild(graph, rule)
