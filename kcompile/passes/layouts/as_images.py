"""Sequences and volumes as images, for which the CPU has the faster kernels.

A sequence is an image of one row. The slices of a volume are images of a larger batch, in which a convolution also sums
over the slices that its windows meet: these become further channels. This pass, for the native CPU target alone,
rewrites the convolutions, and lets the ops between them work on images, so that few values change their form.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from kcompile.ir.core import (
    Graph,
    Node,
    Value,
    apply,
    apply_multi,
)
from kcompile.ir.dims import Dim
from kcompile.ir.ops.arrays.reduction import ReduceMax, ReduceMean, ReduceMin, ReduceSum, Reduction
from kcompile.ir.ops.arrays.shaping import reshape, transpose
from kcompile.ir.ops.arrays.slicing import Concat, Pad, Slice
from kcompile.ir.ops.elementwise.base import Elementwise
from kcompile.ir.ops.shapes.reshaping import Transpose
from kcompile.ir.ops.spatial.convolution import ConvWeightGrad
from kcompile.ir.ops.spatial.convolution_base import Convolution
from kcompile.ir.ops.spatial.enlarging import Enlarge, EnlargeGrad
from kcompile.ir.ops.spatial.normalization import BatchNormGrad, BatchNormInference, BatchNormTraining
from kcompile.ir.ops.spatial.pooling_base import Pooling
from kcompile.ir.ops.spatial.spatial import to_channels_first, to_channels_last
from kcompile.ir.rebuilding import rebuild
from kcompile.ir.types import TensorType
from kcompile.passes.layouts.image_convolutions import convolve, gains, pool
from kcompile.passes.machinery.report import fired
from kcompile.passes.machinery.rewrite import in_regions

SEQUENCE, VOLUME = 3, 5
"""Their numbers of axes."""

NESTED = (ReduceSum, ReduceMean, ReduceMax, ReduceMin)
"""Reductions that may be done over some axes first and over the others then."""


def as_images(graph: Graph, block: int) -> Graph:
    """Convolutions over one and three axes, and what lies between them, on images where that is faster.

    ``block`` is the number of channels that the kernels take together.
    """
    graph = in_regions(graph, lambda region: as_images(region, block))
    return rebuild(graph, ImageWalk(lambda node, is_image: gains(node, block, is_image)).rule)


class ImageWalk:
    """Remembers the images of which the values computed so far are the plain form.

    ``gains`` tells which convolutions are faster on images, given whether their input was computed as such.
    """

    def __init__(self, gains: Callable[[Node, bool], bool]) -> None:
        self.gains = gains
        self.images: dict[Value, Value] = {}

    def rule(self, node: Node, inputs: tuple[Value, ...]) -> Value | tuple[Value, ...] | None:
        """The results of ``node`` computed on images, in plain form; ``None`` if it stays as it is."""
        op, output = node.op, node.outputs[0] if node.outputs else None
        if isinstance(op, Convolution) and self.gains(node, inputs[0] in self.images):
            fired(op.name)
            result = convolve(op, [value.type for value in inputs], self.operands(op, inputs), node.outputs[0].type)
            return result if isinstance(op, ConvWeightGrad) else self.plain(result, node.outputs[0].type)
        if output is None or not any(value in self.images for value in inputs):
            return None
        match op:
            case Transpose(permutation=order) if order == to_channels_last(inputs[0].rank):
                return reshape(transpose(self.images[inputs[0]], to_channels_last(4)), output.shape)
            case Reduction():
                return self.reduction(op, inputs[0], output.type)
            case BatchNormTraining(axis=1) | BatchNormGrad(axis=1) | BatchNormInference(axis=1):
                tensors = [self.image(value) if value.rank > 1 else value for value in inputs]
                first, *vectors = apply_multi(op, *tensors)
                found = self.plain(first, output.type)
                return (found, *vectors) if vectors else found
            case Enlarge(mode="nearest", factors=(1, 1, factor)) | EnlargeGrad(mode="nearest", factors=(1, 1, factor)):
                return self.plain(apply(type(op)((1, 1, 1, factor), "nearest"), self.images[inputs[0]]), output.type)
            case Concat(axis=1):
                return self.plain(apply(op, *map(self.image, inputs)), output.type)
            case Pad(pads=(batch, channels, steps)):
                padded = dataclasses.replace(op, pads=(batch, channels, (0, 0), steps))
                return self.plain(apply(padded, self.images[inputs[0]]), output.type)
            case Slice(axes=axes) if output.rank == SEQUENCE:
                cut = dataclasses.replace(op, axes=tuple(axis + (axis == 2) for axis in axes))
                return self.plain(apply(cut, self.images[inputs[0]]), output.type)
            case Elementwise() if any(x in self.images and x.shape == output.shape for x in inputs):
                operands = [self.broadcast(value, output.type) for value in inputs]
                known = [value for value in operands if value is not None]
                return self.plain(apply(op, *known), output.type) if len(known) == len(operands) else None
            case Pooling():
                images = pool(op, [value.type for value in inputs], self.operands(op, inputs))
                return None if images is None else self.plain(images, output.type)
        return None

    # -- the two forms

    def image(self, x: Value) -> Value:
        """The image of a sequence, or those of a volume: (batch, channels, height, width)."""
        if x in self.images:
            return self.images[x]
        if isinstance(x.op, Transpose) and x.op.permutation == to_channels_first(x.rank):
            last = x.node.inputs[0]
            return transpose(reshape(last, image_shape(last.shape, x.rank - 1)), to_channels_first(4))
        apart = transpose(x, (0, 2, 1, 3, 4)) if x.rank == VOLUME else x
        return reshape(apart, image_shape(apart.shape, 1 if x.rank == SEQUENCE else 2))

    def operands(self, op: Convolution | Pooling, inputs: tuple[Value, ...]) -> list[Value]:
        return [self.image(value) if i in op.activations else value for i, value in enumerate(inputs)]

    def plain(self, image: Value, type: TensorType) -> Value:
        """The sequence or volume of this type that ``image`` is."""
        result = image
        if type.rank == VOLUME:
            batch, channels, depth, *rest = type.shape
            result = transpose(reshape(image, (batch, depth, channels, *rest)), (0, 2, 1, 3, 4))
        else:
            result = reshape(image, type.shape)
        self.images[result] = image
        return result

    # -- what needs more than its op on images

    def broadcast(self, x: Value, output: TensorType) -> Value | None:
        """``x``, which broadcasts to ``output``, so that it broadcasts to its image; ``None`` if it does not."""
        if x.rank == 0:
            return x
        if x.shape == output.shape:
            return self.image(x)
        shape = (1,) * (output.rank - x.rank) + x.shape
        if output.rank == SEQUENCE:
            return reshape(x, (*shape[:2], 1, shape[2]))
        return reshape(x, (1, shape[1], *shape[3:])) if (shape[0], shape[2]) == (1, 1) else None

    def reduction(self, op: Reduction, x: Value, output: TensorType) -> Value | None:
        """Over all axes of an image but the channels, or all but them and the batch."""
        spatial = tuple(range(2, x.rank))
        if type(op) not in NESTED or op.axes not in (spatial, (0, *spatial)):
            return None
        result = apply(type(op)((0, 2, 3) if 0 in op.axes else (2, 3)), self.images[x])
        if x.rank == VOLUME and 0 not in op.axes:
            result = apply(type(op)((1,)), reshape(result, (x.shape[0], x.shape[2], x.shape[1])))
        return reshape(result, output.shape)


def image_shape(shape: tuple[Dim, ...], channels: int) -> tuple[Dim, ...]:
    """The shape of the image, or the images, of a value with the axis ``channels``: one axis less or more.

    Sequences get a row; the batch and the depth of volumes are joined.
    """
    if len(shape) == VOLUME:
        return (shape[0] * shape[1], *shape[2:])
    return (*shape[:1], 1, *shape[1:]) if channels == 2 else (*shape[:2], 1, shape[2])
