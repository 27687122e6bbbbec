"""Sequences as images of one row, in files: ONNX Runtime has its faster convolution kernels for images alone.

It uses them by itself where filters are constant, and keeps tensors in their order from one convolution to the next.
So the ops between two convolutions work on images too, and where one has few input channels, it becomes an image only
if that is wanted by the next.
"""

from __future__ import annotations

from kcompile.ir import costs
from kcompile.ir.core import (
    Graph,
    Node,
    Value,
    constant_of,
)
from kcompile.ir.ops.arrays.slicing import Concat, Pad, Slice
from kcompile.ir.ops.elementwise.base import Elementwise
from kcompile.ir.ops.spatial.convolution import Conv, ConvInputGrad
from kcompile.ir.ops.spatial.enlarging import Enlarge
from kcompile.ir.ops.spatial.normalization import BatchNormInference
from kcompile.ir.ops.spatial.pooling import AveragePool, MaxPool
from kcompile.ir.ops.spatial.spatial import static_pads
from kcompile.ir.rebuilding import rebuild
from kcompile.passes.layouts.as_images import SEQUENCE, ImageWalk
from kcompile.passes.machinery.rewrite import in_regions

BETWEEN = (Elementwise, MaxPool, AveragePool, Enlarge, BatchNormInference, Concat, Pad, Slice)
"""Ops that work on images as well."""


def sequences_as_images(graph: Graph) -> Graph:
    """Convolutions over one axis with constant filters, and what lies between them, on images where that is faster."""
    graph = in_regions(graph, sequences_as_images)
    chosen: set[Value] = set()
    wanted: set[Value] = set()
    for node in reversed(graph.nodes()):
        if _may(node) and (_gains(node) or node.outputs[0] in wanted):
            chosen.update(node.outputs)
            wanted.add(node.inputs[0])
        elif isinstance(node.op, BETWEEN) and node.outputs[0] in wanted:
            wanted.update(value for value in node.inputs if value.rank == SEQUENCE)
    if not chosen:
        return graph
    walk = ImageWalk(lambda node, is_image: node.outputs[0] in chosen or (is_image and _may(node)))
    return rebuild(graph, walk.rule)


def _may(node: Node) -> bool:
    """Whether the op is a convolution of sequences, transposed or not, with a constant filter."""
    op = node.op
    if not isinstance(op, (Conv, ConvInputGrad)) or len(op.strides) != 1 or op.groups != 1:
        return False
    known = constant_of(node.inputs[1]) is not None and static_pads(op.pads) is not None
    return known and op.data_format == "channels_first" and node.inputs[0].dtype == "float32"


def _gains(node: Node) -> bool:
    if not isinstance(node.op, Conv):
        return False
    taps, inner, outer = node.inputs[1].type.static_shape
    return costs.blocks_by_itself(inner, outer, taps)
