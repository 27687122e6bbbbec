"""Convolution and pooling over one and three axes, as the same on images."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import prod

from kcompile.ir import costs
from kcompile.ir.core import Node, Value, apply, constant, constant_of
from kcompile.ir.ops.arrays.shaping import concat, reshape, slice_axes, transpose
from kcompile.ir.ops.elementwise.functions import add, maximum, mul
from kcompile.ir.ops.spatial.convolution import (
    Conv,
    ConvInputGrad,
    ConvWeightGrad,
)
from kcompile.ir.ops.spatial.convolution_base import Convolution
from kcompile.ir.ops.spatial.depth_pooling import DepthMaxGrad, DepthRepeat
from kcompile.ir.ops.spatial.depth_windows import depth_windows
from kcompile.ir.ops.spatial.pooling import (
    AveragePool,
    AveragePoolGrad,
    MaxPool,
    MaxPoolGather,
    MaxPoolGrad,
)
from kcompile.ir.ops.spatial.pooling_base import Pooling
from kcompile.ir.ops.spatial.spatial import Pads, static_pads
from kcompile.ir.types import TensorType


def gains(node: Node, block: int, is_image: bool) -> bool:
    """Whether a convolution is faster on images: sequences always, volumes where kernels on blocked tensors take it.

    ``is_image`` says that its input was computed as images.
    """
    op = node.op
    assert isinstance(op, Convolution)
    fits = op.data_format == "channels_first" and node.inputs[0].dtype == "float32"
    if not fits or len(op.strides) == 2 or (len(op.strides) == 3 and op.groups > 1) or static_pads(op.pads) is None:
        return False
    if len(op.strides) == 1:
        return True
    volumes = [node.inputs[i] for i in op.activations]
    if op.activation_output:
        volumes.append(node.outputs[0])
    if not all(isinstance(size, int) for value in volumes for size in value.shape[1:3]):
        return False
    if isinstance(op, ConvWeightGrad):
        return True
    w = node.inputs[1].type
    if isinstance(op, ConvInputGrad) and (len(node.inputs) == 3 or not all(taps_by_phase(op, w))):
        return False  # a bias is added by the kernel for volumes; without taps some slices would be zeros
    pointwise = prod(w.static_shape[:-2]) == 1  # a matrix product of each volume
    blocks = isinstance(op, ConvInputGrad) or w.static_shape[-1] % block == 0
    return is_image or (blocks and not pointwise)


def convolve(op: Convolution, types: Sequence[TensorType], operands: Sequence[Value], output: TensorType) -> Value:
    """The convolution or gradient ``op`` of images; ``types`` and ``output`` are those of sequences or volumes.

    The result is an image, or the whole gradient of the filter.
    """
    if len(op.strides) == 1:
        return of_sequences(op, operands, output)
    match op:
        case Conv():
            return conv_of_volumes(op, depth(types[0]), depth(output), *operands)
        case ConvInputGrad():
            return input_grad_of_volumes(op, depth(types[0]), depth(output), *operands)
        case ConvWeightGrad():
            return weight_grad_of_volumes(op, depth(types[0]), depth(types[1]), *operands)
    raise TypeError(f"{op.name} is no convolution")


def depth(volume: TensorType) -> int:
    """The depth of a channels-first volume, which is known."""
    return volume.with_shape(volume.shape[2:3]).static_shape[0]


# ---- sequences: images of one row

NO_PAD: Pads = ((0, 0),)


def of_sequences(op: Convolution, operands: Sequence[Value], output: TensorType) -> Value:
    """A convolution with a filter of one row."""
    geometry = (1, *op.strides), NO_PAD + op.pads, (1, *op.dilations), op.groups, op.data_format
    if isinstance(op, ConvWeightGrad):
        return reshape(apply(ConvWeightGrad(*geometry, (1, *op.kernel)), *operands), output.shape)
    x, w, *bias = operands
    frozen = constant_of(w)
    row = reshape(w, (1, *w.shape)) if frozen is None else constant(frozen[None])
    if isinstance(op, ConvInputGrad):
        return apply(ConvInputGrad(*geometry, (1, *op.sizes)), x, row, *bias)
    return apply(Conv(*geometry), x, row, *bias)


# ---- volumes: images of a larger batch


def of_slices(op: Convolution) -> tuple[tuple[int, ...], Pads, tuple[int, ...], int, str]:
    """The attributes of ``op`` without those of the depth."""
    return op.strides[1:], op.pads[1:], op.dilations[1:], 1, op.data_format


def front(op: Convolution) -> int:
    """How many slices of padding come before a volume."""
    (before,) = op.pads[0][:1]
    assert isinstance(before, int)
    return before


def met_slices(op: Convolution, taps: int) -> list[int]:
    """The slices that the first window meets."""
    return [tap * op.dilations[0] - front(op) for tap in range(taps)]


def conv_of_volumes(op: Conv, deep: int, count: int, x: Value, w: Value, *bias: Value) -> Value:
    """The slices that a window meets are further channels."""
    taps, *kernel, inner, out = w.type.static_shape
    windows = depth_windows(x, deep, count, op.strides[0], met_slices(op, taps))
    filters = reshape(transpose(w, (1, 2, 0, 3, 4)), (*kernel, taps * inner, out))
    return apply(Conv(*of_slices(op)), windows, filters, *bias)


def weight_grad_of_volumes(op: ConvWeightGrad, deep: int, count: int, x: Value, g: Value) -> Value:
    """As for the convolution; without strides, the windows that a slice of the input is in are further outputs instead.

    The gradient is copied less often than the input, and one with few outputs then fills the kernel's vectors.
    """
    taps, *kernel = op.kernel
    met = met_slices(op, taps)
    flat = ConvWeightGrad(*of_slices(op), tuple(kernel))
    _, channels, *_ = x.shape
    _, out, *_ = g.shape
    if op.strides[0] == 1 and isinstance(channels, int) and channels >= costs.FEW_CHANNELS:
        dw = apply(flat, x, depth_windows(g, count, deep, 1, [-offset for offset in met]))
        return transpose(reshape(dw, (*kernel, channels, taps, out)), (3, 0, 1, 2, 4))
    dw = apply(flat, depth_windows(x, deep, count, op.strides[0], met), g)
    return transpose(reshape(dw, (*kernel, taps, channels, out)), (2, 0, 1, 3, 4))


def taps_by_phase(op: ConvInputGrad, w: TensorType) -> list[list[int]]:
    """For each remainder of a slice's number by the stride, which slices of the filter meet it."""
    stride, step = op.strides[0], op.dilations[0]
    taps = range(w.static_shape[0])
    return [[tap for tap in taps if (phase + front(op) - tap * step) % stride == 0] for phase in range(stride)]


def input_grad_of_volumes(op: ConvInputGrad, count: int, deep: int, g: Value, w: Value) -> Value:
    """Each slice sums over the windows that met it, with as many slices of the filter."""
    _, *kernel, inner, out = w.type.static_shape
    stride, step = op.strides[0], op.dilations[0]
    rows = -(-deep // stride)
    parts = []
    for phase, taps in enumerate(taps_by_phase(op, w.type)):
        met = [(phase + front(op) - tap * step) // stride for tap in taps]
        windows = depth_windows(g, count, rows, 1, met)
        chosen = w if stride == 1 else concat([slice_axes(w, [0], [tap], [tap + 1]) for tap in taps], 0)
        filters = reshape(transpose(chosen, (1, 2, 3, 0, 4)), (*kernel, inner, len(taps) * out))
        parts.append(apply(ConvInputGrad(*of_slices(op), op.sizes[1:]), windows, filters))
    if stride == 1:
        return parts[0]
    batch, image = g.shape[0] // count, parts[0].shape[1:]
    apart = concat([reshape(part, (batch, rows, 1, *image)) for part in parts], 2)
    volumes = reshape(apart, (batch, rows * stride, *image))
    return reshape(slice_axes(volumes, [1], [0], [deep]), (batch * deep, *image))


# ---- pooling


def pool(op: Pooling, types: Sequence[TensorType], operands: Sequence[Value]) -> Value | None:
    """Pooling of images; ``None`` where it would be no faster. ``types`` are those of sequences or volumes."""
    if len(op.window) == 1:
        return pool_rows(op, operands)
    tiles = op.window[0] == op.strides[0] and op.pads[0] == (0, 0) and op.data_format == "channels_first"
    return pool_volumes(op, types, operands) if tiles else None


def pool_rows(op: Pooling, operands: Sequence[Value]) -> Value | None:
    """Pooling of images of one row."""
    geometry = (1, *op.window), (1, *op.strides), NO_PAD + op.pads, op.data_format
    match op:
        case AveragePoolGrad():
            return apply(AveragePoolGrad(*geometry, (1, *op.sizes)), *operands)
        case MaxPool() | AveragePool() | MaxPoolGrad() | MaxPoolGather():
            return apply(type(op)(*geometry), *operands)
    return None


def pool_volumes(op: Pooling, types: Sequence[TensorType], operands: Sequence[Value]) -> Value | None:
    """Pooling of slices, then of whole slices along the depth, where windows lie side by side."""
    geometry = op.window[1:], op.strides[1:], op.pads[1:], op.data_format
    size = op.window[0]
    deep = op.sizes[0] if isinstance(op, AveragePoolGrad) else types[-1].shape[2]
    if not isinstance(deep, int):
        return None
    match op:
        case MaxPool():
            return reduce(maximum, slices(apply(MaxPool(*geometry), *operands), deep, size))
        case AveragePool():
            parts = slices(apply(AveragePool(*geometry), *operands), deep, size)
            return mul(reduce(add, parts), 1 / size)
        case MaxPoolGrad():
            g, x = operands
            along = apply(DepthMaxGrad(deep, size), g, apply(MaxPool(*geometry), x))
            return apply(MaxPoolGrad(*geometry), along, x)
        case AveragePoolGrad():
            g = mul(apply(AveragePoolGrad(*geometry, op.sizes[1:]), *operands), 1 / size)
            return apply(DepthRepeat(deep, size), g)
    return None


def slices(x: Value, deep: int, size: int) -> list[Value]:
    """The first slices of all windows, the second, and so on."""
    return [depth_windows(x, deep, deep // size, size, (i,)) for i in range(size)]
