"""Batch normalization with known statistics costs nothing: it is folded into the layer before or after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from kcompile.ir.core import (
    Array,
    Graph,
    Node,
    Value,
    apply,
    constant,
    constant_of,
)
from kcompile.ir.ops.elementwise.functions import Add, Div, Mul, Sub, add, mul
from kcompile.ir.ops.products.gemm import Gemm, gemm
from kcompile.ir.ops.products.linalg import MatMul
from kcompile.ir.ops.shapes.reshaping import Reshape, reshape
from kcompile.ir.ops.spatial.convolution import Conv, ConvInputGrad
from kcompile.ir.ops.spatial.normalization import BatchNormInference
from kcompile.ir.ops.spatial.spatial import channel_axis
from kcompile.ir.rebuilding import rebuild
from kcompile.passes.machinery.report import fired
from kcompile.passes.machinery.rewrite import count_uses, in_regions

LARGE_SHIFT = 16.0
"""A larger shift (of numbers as they are after scaling) is not folded into the layer after it: subtracting first is
exact, while sums of large products that cancel lose digits (prices, years, times in seconds)."""


@dataclass(frozen=True)
class _Affine:
    """``x * scale + shift`` per channel on ``axis``, in float64."""

    axis: int
    scale: Array
    shift: Array


def fold_batch_norm(graph: Graph) -> Graph:
    """Put batch norms with constant parameters into constant weights of convolutions and dense layers.

    So are other scales and shifts of the input of a layer, such as the division of images by 255. A batch
    norm without such a neighbour becomes a multiplication and an addition, unless its channels are on axis 1:
    there ONNX has one kernel for both.
    """
    graph = in_regions(graph, fold_batch_norm)
    uses = count_uses(graph)

    def rule(node: Node, inputs: tuple[Value, ...]) -> Value | None:
        if isinstance(node.op, BatchNormInference):
            affine = _affine(node.op, inputs)
            if affine is None:
                return None
            alone = uses[node.inputs[0]] == 1
            folded = _into_producer(inputs[0], affine) if alone else None
            if folded is None and alone and _reshapes_alone(node.inputs[0], uses):
                folded = _into_reshaped(inputs[0], affine)
            if folded is not None:
                fired("batch norm into the layer before")
                return folded
            if affine.axis == 1 and inputs[0].rank > 2:
                return None
            fired("batch norm as scale and shift")
            return _scaled(inputs[0], affine)
        if isinstance(node.op, (MatMul, Gemm, Conv)) and uses[node.inputs[0]] == 1:
            return _into_consumer(node, inputs)
        return None

    return rebuild(graph, rule)


def _affine(op: BatchNormInference, inputs: tuple[Value, ...]) -> _Affine | None:
    arrays = [constant_of(value) for value in inputs[1:]]
    known = [array.astype(np.float64) for array in arrays if array is not None]
    if len(known) != 4:
        return None
    scale, offset, mean, variance = known
    with np.errstate(all="ignore"):
        factor = scale / np.sqrt(variance + op.epsilon)
        return _Affine(op.axis, factor, offset - mean * factor)


def _scaled(x: Value, affine: _Affine) -> Value:
    shape = [-1 if axis == affine.axis else 1 for axis in range(x.rank)]
    scale, shift = (constant(part.reshape(shape), x.dtype) for part in (affine.scale, affine.shift))
    return add(mul(x, scale), shift)


# ---- into the layer before


def _into_producer(y: Value, affine: _Affine) -> Value | None:
    """The layer that computes ``y``, with the batch norm in its weights."""
    match y.op:
        case Conv() if affine.axis == channel_axis(y.rank, y.op.data_format):
            x, w, *bias = y.node.inputs
            weights = _times(w, affine.scale, -1)
            shift = _shifted(bias[0] if bias else None, affine)
            if weights is not None and shift is not None:
                return apply(y.op, x, weights, constant(shift, y.dtype))
        case ConvInputGrad(groups=1) if affine.axis == channel_axis(y.rank, y.op.data_format):
            x, w = y.node.inputs
            weights = _times(w, affine.scale, -2)
            if weights is not None:
                return _plus(apply(y.op, x, weights), affine.shift, affine.axis)
        case MatMul() | Gemm() if y.rank == 2 and affine.axis == 1:
            x, w, *bias = y.node.inputs
            weights = _times(w, affine.scale, -2 if y.op.transpose_y else -1)
            shift = _shifted(bias[0] if bias else None, affine)
            if weights is not None and shift is not None:
                return gemm(x, weights, constant(shift, y.dtype), y.op.transpose_x, y.op.transpose_y)
    return _through_bias(y, affine)


def _reshapes_alone(y: Value, uses: Mapping[Value, int]) -> bool:
    return isinstance(y.op, Reshape) and uses[y.node.inputs[0]] == 1


def _into_reshaped(y: Value, affine: _Affine) -> Value | None:
    """The same through the reshape that makes images of the rows of a dense layer, their channels last."""
    if not isinstance(y.op, Reshape) or affine.axis != y.rank - 1 or affine.scale.size == 0:
        return None
    (rows,) = y.node.inputs
    width = rows.shape[-1] if rows.rank == 2 else None
    if not isinstance(width, int) or rows.shape[0] != y.shape[0] or width % affine.scale.size:
        return None
    count = width // affine.scale.size
    folded = _into_producer(rows, _Affine(1, np.tile(affine.scale, count), np.tile(affine.shift, count)))
    return None if folded is None else reshape(folded, y.shape)


def _through_bias(y: Value, affine: _Affine) -> Value | None:
    """A transposed convolution keeps its bias outside: (x + b) * s + t = x * s + (b * s + t)."""
    if not isinstance(y.op, Add):
        return None
    product, bias = y.node.inputs
    array = constant_of(bias)
    if array is None or not isinstance(product.op, ConvInputGrad) or product.type != y.type:
        return None
    lifted = array.reshape((1,) * (y.rank - array.ndim) + array.shape)
    if lifted.size not in (1, lifted.shape[affine.axis]):
        return None
    with np.errstate(all="ignore"):
        shift = lifted.reshape(-1).astype(np.float64) * affine.scale + affine.shift
    return _into_producer(product, _Affine(affine.axis, affine.scale, shift))


def _times(w: Value, scale: Array, axis: int) -> Value | None:
    """A constant ``w`` times ``scale`` along ``axis``."""
    array = constant_of(w)
    if array is None:
        return None
    shape = [1] * array.ndim
    shape[axis] = -1
    with np.errstate(all="ignore"):
        return constant(array * scale.reshape(shape), w.dtype)


def _shifted(bias: Value | None, affine: _Affine) -> Array | None:
    if bias is None:
        return affine.shift
    array = constant_of(bias)
    with np.errstate(all="ignore"):
        return None if array is None else array.astype(np.float64) * affine.scale + affine.shift


def _plus(x: Value, shift: Array, axis: int) -> Value:
    return add(x, reshape(constant(shift, x.dtype), [-1 if i == axis else 1 for i in range(x.rank)]))


# ---- into the layer after


def _into_consumer(node: Node, inputs: tuple[Value, ...]) -> Value | None:
    """(x * s + t) @ w + b -> x @ (s * w) + (t @ w + b); for a convolution too, whose padding allows no t."""
    weights = constant_of(inputs[1])
    bias = constant_of(inputs[2]) if len(inputs) == 3 else None
    if weights is None or (len(inputs) == 3 and bias is None):
        return None
    op, axis = node.op, inputs[0].rank - 1
    if isinstance(op, Conv):
        axis = channel_axis(inputs[0].rank, op.data_format)
    elif not isinstance(op, (MatMul, Gemm)) or inputs[0].rank != 2 or inputs[1].rank != 2 or op.transpose_x:
        return None
    affine = _peeled(inputs[0], axis)
    if affine is None:
        return None
    x, scale, shift = affine
    if not np.abs(shift).max(initial=0) <= LARGE_SHIFT:
        return None
    if shift.any() and isinstance(op, Conv) and any(pair != (0, 0) for pair in op.pads):
        return None
    fired("scale and shift into the layer after")
    per_weight = _spread_over_weights(scale, weights, op), _spread_over_weights(shift, weights, op)
    with np.errstate(all="ignore"):
        scaled = constant(weights * per_weight[0], x.dtype)
        columns = 0 if isinstance(op, (MatMul, Gemm)) and op.transpose_y else weights.ndim - 1
        total = (weights * per_weight[1]).sum(tuple(a for a in range(weights.ndim) if a != columns))
    if bias is None and not shift.any():
        return apply(op, x, scaled)
    offset = constant(total if bias is None else total + bias, x.dtype)
    if isinstance(op, Conv):
        return apply(op, x, scaled, offset)
    assert isinstance(op, (MatMul, Gemm))
    return gemm(x, scaled, offset, transpose_y=op.transpose_y)


def _spread_over_weights(vector: Array, weights: Array, op: object) -> Array:
    """What each weight is multiplied with, given a factor for each input channel (or column)."""
    if not isinstance(op, Conv):
        transposed = isinstance(op, (MatMul, Gemm)) and op.transpose_y
        return vector if transposed else vector[:, None]
    # Output channels are ordered by group, and each sees the input channels of its group only.
    inner, out = weights.shape[-2:]
    return np.repeat(vector.reshape(op.groups, inner), out // op.groups, axis=0).T


def _peeled(value: Value, axis: int) -> tuple[Value, Array, Array] | None:
    """``(x, scale, shift)`` if ``value`` is ``x * scale + shift`` with constants per channel on ``axis``."""
    channels = value.shape[axis]
    if not isinstance(channels, int):
        return None
    scale, shift, x = np.ones(channels), np.zeros(channels), value
    while True:
        step = _one_step(x, axis, channels)
        if step is None:
            return None if x is value else (x, scale, shift)
        x, by, plus = step
        with np.errstate(all="ignore"):
            scale, shift = scale * by, shift + plus * scale


def _one_step(value: Value, axis: int, channels: int) -> tuple[Value, Array, Array] | None:
    if isinstance(value.op, BatchNormInference):
        affine = _affine(value.op, value.node.inputs)
        fits = affine is not None and affine.axis == axis
        return (value.node.inputs[0], affine.scale, affine.shift) if affine is not None and fits else None
    if not isinstance(value.op, (Add, Sub, Mul, Div)) or not value.type.is_float:
        return None
    x, operand = value.node.inputs
    vector = _vector_of(operand, value.rank, axis, channels)
    if vector is None or x.type != value.type:
        return None
    match value.op:
        case Add():
            return x, np.ones(channels), vector
        case Sub():
            return x, np.ones(channels), -vector
        case Mul():
            return x, vector, np.zeros(channels)
    with np.errstate(all="ignore"):
        return x, 1 / vector, np.zeros(channels)


def _vector_of(operand: Value, rank: int, axis: int, channels: int) -> Array | None:
    """A constant that differs along ``axis`` only, as a vector of finite float64 numbers."""
    array = constant_of(operand)
    if array is None:
        return None
    lifted = array.reshape((1,) * (rank - array.ndim) + array.shape)
    if lifted.size not in (1, lifted.shape[axis]) or not np.isfinite(array).all():
        return None
    return np.broadcast_to(lifted.reshape(-1).astype(np.float64), (channels,))
