"""Fusion: transposes and biases go into the products that they belong to, softmax is shared."""

from __future__ import annotations

from kcompile.ir.core import (
    Graph,
    Node,
    Value,
    apply,
    constant,
    constant_of,
)
from kcompile.ir.dims import Dim, product
from kcompile.ir.ops.arrays.reduction import ReduceSum, Reduction
from kcompile.ir.ops.arrays.slicing import Concat, concat
from kcompile.ir.ops.elementwise.functions import Add, Exp
from kcompile.ir.ops.products.gemm import Gemm, gemm
from kcompile.ir.ops.products.linalg import MatMul
from kcompile.ir.ops.products.softmax import LogSoftmax, Softmax
from kcompile.ir.ops.shapes.reshaping import Reshape, Transpose, reshape
from kcompile.ir.ops.spatial.convolution import Conv
from kcompile.ir.ops.spatial.spatial import channel_axis
from kcompile.ir.rebuilding import rebuild
from kcompile.passes.machinery.report import fired
from kcompile.passes.machinery.rewrite import Rules, count_uses, in_regions, rewrite
from kcompile.passes.rules.movement import permutation_of

RULES = Rules()


def fuse(graph: Graph) -> Graph:
    """Put transposes and biases into matrix products and convolutions; share softmax."""
    return _fuse_with_uses(rewrite(graph, RULES))


# ---- transposes


@RULES.on(MatMul, Gemm)
def transposed_operand(node: Node) -> Value | None:
    """matmul(transpose(x), y) -> matmul(x, y, transpose_x=True); the same for y and for gemm."""
    assert isinstance(node.op, (MatMul, Gemm))
    x, y, *bias = node.inputs
    source_x, source_y = _untransposed(x), _untransposed(y)
    if source_x is None and source_y is None:
        return None
    op = type(node.op)(node.op.transpose_x != (source_x is not None), node.op.transpose_y != (source_y is not None))
    return apply(op, x if source_x is None else source_x, y if source_y is None else source_y, *bias)


@RULES.on(Transpose)
def transposed_product(node: Node) -> Value | None:
    """transpose(matmul(x, y)) -> matmul(y, x) with both transposed."""
    (product,) = node.inputs
    if _untransposed(node.outputs[0]) is None or not isinstance(product.op, MatMul):
        return None
    x, y = product.node.inputs
    return apply(MatMul(not product.op.transpose_y, not product.op.transpose_x), y, x)


def _untransposed(value: Value) -> Value | None:
    """``x`` if ``value`` is ``x`` with its last two axes swapped."""
    if not isinstance(value.op, Transpose):
        return None
    swapped = (*range(value.rank - 2), value.rank - 1, value.rank - 2)
    return value.node.inputs[0] if permutation_of(value.node) == swapped else None


# ---- what depends on who else uses a value


def _fuse_with_uses(graph: Graph) -> Graph:
    graph = in_regions(graph, _fuse_with_uses)
    uses = count_uses(graph)
    # Whichever comes first in execution order computes the softmax.
    wanted = {(node.inputs[0], node.op.axis) for node in graph.nodes() if isinstance(node.op, Softmax)}
    softmaxes: dict[tuple[Value, int], Value] = {}

    def softmax_of(x: Value, axis: int) -> Value:
        if (x, axis) not in softmaxes:
            softmaxes[x, axis] = apply(Softmax(axis), x)
        return softmaxes[x, axis]

    def rule(node: Node, inputs: tuple[Value, ...]) -> Value | None:
        match node.op:
            case Add():
                for old, x, y in ((node.inputs[0], *inputs), (node.inputs[1], *inputs[::-1])):
                    result = _with_bias(x, y, node.outputs[0], uses[old])
                    if result is not None:
                        return result
            case Reshape() if uses[node.inputs[0]] == 1:
                return _reduced_in_shape(inputs[0], node.outputs[0])
            case Reduction() if uses[node.inputs[0]] == 1:
                return _reduced_parts(node.op, inputs[0])
            case Softmax(axis=axis):
                return softmax_of(inputs[0], axis)
            case Exp() if isinstance(inputs[0].op, LogSoftmax):
                axis = inputs[0].op.axis
                if (node.inputs[0].node.inputs[0], axis) in wanted:
                    fired("exp of log softmax")
                    return softmax_of(inputs[0].node.inputs[0], axis)
        return None

    return rebuild(graph, rule)


def _reduced_parts(op: Reduction, joined: Value) -> Value | None:
    """sum(concat(x, y)) -> concat(sum(x), sum(y)) where they are joined along an axis that stays."""
    if not isinstance(op, ReduceSum) or not isinstance(joined.op, Concat) or not op.axes or joined.op.axis in op.axes:
        return None  # means, of a network's branches before its last layer, would be more nodes and no less work
    axis = joined.op.axis if op.keepdims else joined.op.axis - sum(other < joined.op.axis for other in op.axes)
    fired("reduction of parts")
    return concat([apply(op, part) for part in joined.node.inputs], axis)


def _reduced_in_shape(reduced: Value, result: Value) -> Value | None:
    """reshape(sum(x)) -> sum(x) with its axes kept or dropped."""
    op = reduced.op
    if not isinstance(op, Reduction):
        return None
    for keepdims in (False, True):
        kept = apply(type(op)(op.axes, keepdims), reduced.node.inputs[0])
        if kept.type == result.type:
            fired("reshape into reduction")
            return kept
    return None


def _with_bias(product: Value, bias: Value, total: Value, uses: int) -> Value | None:
    """product + bias in one op, where nobody else uses the product alone."""
    if uses != 1 or not total.type.is_float or product.type != total.type:
        return None
    match product.op:
        case MatMul() if product.rank == 2:
            vector = vector_along(bias, product, 1)
            if vector is not None:
                fired("matmul with bias")
                x, y = product.node.inputs
                return gemm(x, y, vector, product.op.transpose_x, product.op.transpose_y)
        case Conv() if len(product.node.inputs) == 2:
            vector = vector_along(bias, product, channel_axis(product.rank, product.op.data_format))
            if vector is not None:
                fired("convolution with bias")
                return apply(product.op, *product.node.inputs, vector)
        case Reshape():
            return _bias_before_reshape(product, bias)
    return None


def _bias_before_reshape(product: Value, bias: Value) -> Value | None:
    """reshape(matmul(x, y)) + bias -> reshape(gemm(x, y, bias)): a dense layer on more than two axes."""
    (matrix,) = product.node.inputs
    if not isinstance(matrix.op, MatMul) or matrix.rank != 2 or not product.rank:
        return None
    vector = vector_along(bias, product, product.rank - 1) if matrix.shape[-1] == product.shape[-1] else None
    if vector is None:
        vector = _columns(bias, product, matrix.shape[-1])
    if vector is None:
        return None
    fired("matmul with bias")
    x, y = matrix.node.inputs
    return reshape(gemm(x, y, vector, matrix.op.transpose_x, matrix.op.transpose_y), product.shape)


def _columns(bias: Value, total: Value, columns: Dim) -> Value | None:
    """A bias of several axes as a vector, if these are the last ones of ``total`` and hold all columns."""
    shape = bias.shape[next((i for i, dim in enumerate(bias.shape) if dim != 1), bias.rank) :]
    if len(shape) < 2 or shape != total.shape[-len(shape) :] or product(shape) != columns:
        return None
    array = constant_of(bias)
    return reshape(bias, (columns,)) if array is None else constant(array.reshape(-1))


def vector_along(value: Value, total: Value, axis: int) -> Value | None:
    """``value`` as a vector of the size of ``axis``, if it broadcasts to ``total`` along this axis only."""
    shape: tuple[Dim, ...] = (1,) * (total.rank - value.rank) + value.shape
    if value.rank > total.rank or shape[axis] != total.shape[axis]:
        return None
    if any(dim != 1 for i, dim in enumerate(shape) if i != axis):
        return None
    array = constant_of(value)
    if array is not None:
        return constant(array.reshape(-1))
    if isinstance(value.op, Reshape) and value.node.inputs[0].shape == (shape[axis],):
        return value.node.inputs[0]
    return reshape(value, (shape[axis],))
