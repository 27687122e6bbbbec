"""How far rounding alone may move a model's outputs: the graph in NumPy, with the known error of each operator put in.

Kernels differ in the order of their sums and in how they approximate functions; each is right to some units in the last
place *of what goes in*. An error of that size, of random sign, is added to the results of every operator; where outputs
move by it, they cannot be told to be wrong: a sigmoid of 1e-5 comes from one of numbers near 1, and differs by 5e-8.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kcompile.ir.core import Array, Graph, Input, Leaf, Node, Op, Value, Variable
from kcompile.ir.dims import Dim
from kcompile.ir.interpret import evaluate, match_sizes
from kcompile.ir.ops.arrays.indexing import Gather, GatherElements, GatherNd
from kcompile.ir.ops.arrays.reduction import ReduceMean, ReduceSum
from kcompile.ir.ops.arrays.slicing import Concat, Pad, Slice, Split
from kcompile.ir.ops.elementwise.arithmetic import Add, Sub
from kcompile.ir.ops.elementwise.functions import Erf, Sigmoid, Tanh
from kcompile.ir.ops.loops.scan import Scan
from kcompile.ir.ops.products.gemm import Gemm
from kcompile.ir.ops.products.linalg import MatMul
from kcompile.ir.ops.products.softmax import Softmax
from kcompile.ir.ops.recurrent.base import Recurrence
from kcompile.ir.ops.shapes.reshaping import Expand, Reshape, Transpose
from kcompile.ir.ops.spatial.convolution import Conv, ConvInputGrad
from kcompile.ir.ops.spatial.normalization_base import Normalization
from kcompile.ir.ops.spatial.pooling import AveragePool, MaxPool
from kcompile.ir.rebuilding import bind

EXACT = (Concat, Expand, Gather, GatherElements, GatherNd, MaxPool, Pad, Reshape, Slice, Split, Transpose)
"""What moves numbers only."""

SUMS = (Add, AveragePool, Conv, ConvInputGrad, Gemm, MatMul, ReduceMean, ReduceSum, Sub)
"""What adds: errors are relative to the sum of the magnitudes."""

OF_ONE = (Erf, Recurrence, Scan, Sigmoid, Softmax, Tanh)
"""What is approximated to some units in the last place of 1, or goes through such functions."""

ULPS = 4.0
"""Units in the last place that a kernel may be off."""


def moved(graph: Graph, feeds: Mapping[str, Array], state: Mapping[Variable, Array], epsilon: float) -> list[Array]:
    """The outputs and new states with errors put in.

    Args:
        graph: as :func:`~kcompile.ir.interpret.interpret` takes it, with the feeds and the state.
        epsilon: the unit in the last place of 1, of the precision in which the model is run.
    """
    random = np.random.default_rng(0)
    arrays: dict[Value, Array] = {}
    sizes: dict[str, Dim] = {}
    for value in graph.inputs:
        assert isinstance(value.op, Input)
        arrays[value] = np.asarray(feeds[value.op.label], value.dtype)
        match_sizes(value.shape, arrays[value].shape, sizes, value.op.label)
    for node in graph.nodes():
        if node.outputs[0] in arrays:
            continue
        if isinstance(node.op, Variable):
            arrays[node.outputs[0]] = np.asarray(state[node.op], node.op.type.dtype)
            continue
        op, operands = bind(node.op, sizes), [arrays[value] for value in node.inputs]
        for value, array in zip(node.outputs, evaluate(op, *operands), strict=True):
            array = np.asarray(array, value.dtype)
            if not _is_exact(node) and array.dtype.kind == "f":
                sign = random.choice(np.array([-1.0, 1.0], array.dtype), array.shape)
                with np.errstate(all="ignore"):
                    error = (sign * ULPS * epsilon * _magnitude(op, operands, array)).astype(array.dtype)
                    array = np.where(np.isfinite(error), array + error, array)
            arrays[value] = array
    results = [*graph.outputs.values(), *graph.updates.values()]
    return [arrays[value] for value in results]


def _is_exact(node: Node) -> bool:
    return isinstance(node.op, (Leaf, *EXACT))


def _magnitude(op: Op, operands: list[Array], result: Array) -> Array:
    """Of what the error of the result is relative to."""
    if isinstance(op, SUMS) and all(array.dtype.kind == "f" for array in operands):
        if isinstance(op, (Add, Sub)):
            return np.abs(operands[0]) + np.abs(operands[1])
        found = evaluate(op, *(np.abs(array) for array in operands))[0]
        return np.asarray(found, result.dtype)
    magnitude = np.abs(result)
    if isinstance(op, OF_ONE):
        magnitude = np.maximum(magnitude, 1.0)
    elif isinstance(op, Normalization):
        magnitude = np.maximum(magnitude, magnitude.max(initial=0.0) / 8)
    return magnitude
