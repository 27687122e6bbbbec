"""Estimates of the work that a graph takes: floating point operations, and bytes read and written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from kcompile.ir.core import Constant, Graph, Leaf, Node, Value
from kcompile.ir.dims import Dim, names_in, substitute
from kcompile.ir.ops.arrays.reduction import Reduction
from kcompile.ir.ops.blocked.blocked import (
    BlockedAffine,
    BlockedBatchNormGrad,
    BlockedConv,
    BlockedConvInputGrad,
    BlockedConvWeightGrad,
    BlockedMean,
    BlockedPool,
)
from kcompile.ir.ops.elementwise.base import Elementwise
from kcompile.ir.ops.elementwise.random import RandomBits
from kcompile.ir.ops.products.gemm import Gemm
from kcompile.ir.ops.products.linalg import MatMul
from kcompile.ir.ops.products.softmax import LogSoftmax, Softmax
from kcompile.ir.ops.recurrent.base import Recurrence
from kcompile.ir.ops.recurrent.operators import RecurrentOperator
from kcompile.ir.ops.shapes.reshaping import Reshape
from kcompile.ir.ops.spatial.convolution import Conv, ConvInputGrad, ConvWeightGrad
from kcompile.ir.ops.spatial.enlarging import Enlarge, EnlargeGrad
from kcompile.ir.ops.spatial.normalization_base import Normalization
from kcompile.ir.ops.spatial.pooling_base import Pooling


@dataclass(frozen=True, slots=True)
class Work:
    """Floating point operations (a multiplication and an addition count as two) and bytes moved."""

    flops: int = 0
    bytes: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(self.flops + other.flops, self.bytes + other.bytes)


def work_of_graph(graph: Graph, sizes: Mapping[str, int] | None = None) -> Work:
    """The work of one execution.

    Args:
        graph: any graph. Regions count once.
        sizes: the symbolic sizes; those not given count as 1.
    """
    nodes = graph.nodes()
    inside = (work_of_graph(region, sizes) for node in nodes for region in node.op.regions)
    return sum_of_work(work_of_node(node, sizes) for node in nodes) + sum_of_work(inside)


def sum_of_work(parts: Iterable[Work]) -> Work:
    """The work of all parts."""
    flops = moved = 0
    for part in parts:
        flops += part.flops
        moved += part.bytes
    return Work(flops, moved)


def work_of_node(node: Node, sizes: Mapping[str, int] | None = None) -> Work:
    """The work of one node; constants, variables, inputs and reshapes are free."""
    if isinstance(node.op, (Leaf, Constant, Reshape)):
        return Work()
    known = sizes or {}
    values = [*node.inputs, *node.outputs]
    moved = sum(elements(value, known) * np.dtype(value.dtype).itemsize for value in values)
    return Work(_flops(node, known), moved)


def _flops(node: Node, sizes: Mapping[str, int]) -> int:
    output = elements(node.outputs[0], sizes)
    match node.op:
        case MatMul(transpose_x=transpose_x) | Gemm(transpose_x=transpose_x):
            inner = node.inputs[0].shape[-2 if transpose_x else -1]
            bias = len(node.inputs) - 2
            return (2 * _size(inner, sizes) + bias) * output
        case ConvWeightGrad(kernel=kernel) | BlockedConvWeightGrad(kernel=kernel):
            # Each element of the gradient meets every position of the kernel and every channel of its group.
            inner = node.outputs[0].shape[-2]
            return 2 * elements(node.inputs[1], sizes) * math.prod(kernel) * _size(inner, sizes)
        case Conv() | BlockedConv():
            return output * (_per_window(node, sizes) + len(node.inputs) - 2)
        case ConvInputGrad() | BlockedConvInputGrad():
            products = elements(node.inputs[0], sizes) * _per_window(node, sizes)
            return products + output * (len(node.inputs) - 2)
        case Recurrence():
            units = node.inputs[1].shape[-2]
            return (2 * _size(units, sizes) + 4) * elements(node.inputs[0], sizes)
        case RecurrentOperator():
            # Each step multiplies with all of w and r.
            products = elements(node.inputs[1], sizes) + elements(node.inputs[2], sizes)
            steps = math.prod(_size(dim, sizes) for dim in node.inputs[0].shape[:2])
            return 2 * steps * products
        case Pooling(window=window) | BlockedPool(window=window):
            return min(elements(v, sizes) for v in (node.inputs[0], node.outputs[0])) * math.prod(window)
        case Enlarge(mode="linear"):
            return 4 * output
        case EnlargeGrad(mode=mode):
            return elements(node.inputs[0], sizes) * (4 if mode == "linear" else 1)
        case Normalization() | BlockedBatchNormGrad():
            return 4 * output
        case BlockedAffine():
            return (len(node.inputs) - 1) * output
        case Softmax() | LogSoftmax():
            return 4 * output
        case Reduction() | BlockedMean():
            return elements(node.inputs[0], sizes)
        case RandomBits():
            return 4 * output
        case Elementwise():
            return output
    return 0


def _per_window(node: Node, sizes: Mapping[str, int]) -> int:
    """The operations for one element of the result of a convolution with the filter ``node.inputs[1]``."""
    w = node.inputs[1]
    return 2 * elements(w, sizes) // max(_size(w.shape[-1], sizes), 1)


def elements(value: Value, sizes: Mapping[str, int], otherwise: int = 1) -> int:
    """The number of elements of ``value``; symbolic sizes that are not given count as ``otherwise``."""
    return math.prod(_size(dim, sizes, otherwise) for dim in value.shape)


def _size(dim: Dim, sizes: Mapping[str, int], otherwise: int = 1) -> int:
    if isinstance(dim, int):
        return dim
    result = substitute(dim, {name: sizes.get(name, otherwise) for name in names_in(dim)})
    assert isinstance(result, int)
    return max(result, 0)
