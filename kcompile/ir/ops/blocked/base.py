"""What ops on blocked tensors share: the order of elements in memory, and how windows slide.

A blocked tensor has the type of a channels-first image; see :mod:`kcompile.ir.ops.blocked.blocked`.
"""

from __future__ import annotations

import math

import numpy as np

from kcompile.ir.core import Array, Node, Op
from kcompile.ir.dims import Dim, Size
from kcompile.ir.errors import IRError
from kcompile.ir.ops.spatial.convolution_base import conv_flops, filter_gradient_flops, input_gradient_flops
from kcompile.ir.ops.spatial.spatial import Pads
from kcompile.ir.types import TensorType, same_dim


def to_blocks(x: Array, block: int) -> Array:
    """The elements of a channels-first array in blocked order; the shape stays."""
    batch, channels, height, width = x.shape
    parts = x.reshape(batch, channels // block, block, height, width)
    return parts.transpose(0, 1, 3, 4, 2).reshape(x.shape)


def from_blocks(x: Array, block: int) -> Array:
    """The inverse of :func:`to_blocks`."""
    batch, channels, height, width = x.shape
    parts = x.reshape(batch, channels // block, height, width, block)
    return parts.transpose(0, 1, 4, 2, 3).reshape(x.shape)


def pad_channels(x: TensorType, axis: int, block: int) -> TensorType:
    """``x`` with whole blocks along an axis, if it has that one and its size is known."""
    size = x.shape[axis] if axis < x.rank else None
    return x.with_shape((*x.shape[:axis], padded(size, block), *x.shape[axis:][1:])) if isinstance(size, int) else x


def check_added(other: TensorType, y: TensorType) -> None:
    """Raises IRError unless ``other`` can be added to ``y`` without broadcasting."""
    if other.rank != y.rank or not all(same_dim(a, b) for a, b in zip(other.shape, y.shape, strict=True)):
        raise IRError(f"cannot add {other} to {y}")


def padded(channels: int, block: int) -> int:
    """The number of channels in whole blocks."""
    return -(-channels // block) * block


def takes_plain(x: TensorType, block: int) -> bool:
    """Whether an input of the convolution kernel is not blocked: it has fewer channels than a block."""
    return isinstance(x.shape[1], int) and x.shape[1] < block


class BlockedOp(Op, abstract=True):
    """An op on blocked tensors of float32."""

    block: int

    def check(self, x: TensorType) -> TensorType:
        """``x``, if it can be blocked.

        Raises:
            IRError: it cannot.
        """
        channels = x.shape[1] if x.rank == 4 else None
        if x.dtype != "float32" or not isinstance(channels, int) or channels % self.block:
            raise IRError(f"needs a float32 image with a multiple of {self.block} channels, got {x}")
        return x

    def blocks(self, x: Array) -> Array:
        """A channels-first array in blocked order, with zeros up to a whole block of channels."""
        rest = padded(x.shape[1], self.block) - x.shape[1]
        return to_blocks(np.pad(x, [(0, 0), (0, rest), (0, 0), (0, 0)]), self.block)

    def plain(self, x: Array, channels: int | None = None) -> Array:
        """The channels-first array, or its first ``channels`` channels."""
        return from_blocks(x, self.block)[:, :channels]


class BlockedWindows(BlockedOp, abstract=True):
    """A convolution or a gradient of one: how its windows slide."""

    heavy = True
    convolves = True

    strides: tuple[int, ...]
    pads: Pads
    dilations: tuple[int, ...]


class FusedConvolution(BlockedWindows, abstract=True):
    """A convolution in one pass with what often follows: the addition of the last operand, if ``adds``; ``relu``."""

    adds: bool
    relu: bool

    def flops(self, node: Node, size: Size) -> int:
        return conv_flops(node, size, len(node.inputs) - 2)


class BlockedInputGradient(BlockedWindows, abstract=True):
    """The gradient with respect to an image of spatial ``sizes``."""

    sizes: tuple[Dim, ...]

    def flops(self, node: Node, size: Size) -> int:
        return input_gradient_flops(node, size)


class BlockedFilterGradient(BlockedWindows, abstract=True):
    """The gradient with respect to a filter of spatial sizes ``kernel``; the input may lie in ``parts``."""

    kernel: tuple[int, ...]
    parts: int

    def flops(self, node: Node, size: Size) -> int:
        return filter_gradient_flops(node, size, self.kernel)


class BlockedPooling(BlockedOp, abstract=True):
    """2-D pooling of a blocked tensor: how its windows slide."""

    window: tuple[int, ...]
    strides: tuple[int, ...]
    pads: Pads

    def flops(self, node: Node, size: Size) -> int:
        read, made = (value.type.elements(size) for value in (node.inputs[0], node.outputs[0]))
        return min(read, made) * math.prod(self.window)
