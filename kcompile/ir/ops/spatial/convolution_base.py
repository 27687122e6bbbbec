"""What the ops of convolution share: how windows slide, and into how many groups the channels fall."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kcompile.ir.core import Array, Node
from kcompile.ir.dims import Dim, Size
from kcompile.ir.errors import IRError
from kcompile.ir.ops.spatial.spatial import Pads, SpatialOp, output_size, rank_error
from kcompile.ir.types import TensorType


@dataclass(frozen=True)
class Convolution(SpatialOp, abstract=True):
    """What the three ops share: how windows slide, and into how many independent groups the channels fall.

    ``groups`` divides the input channels and the output channels; output channels are ordered by group.
    """

    heavy = True
    convolves = True

    strides: tuple[int, ...]
    pads: Pads
    dilations: tuple[int, ...]
    groups: int
    data_format: str

    def check(self, spatial: int, *types: TensorType) -> None:
        """Raises IRError unless the attributes fit ``spatial`` axes and the types are of one float type."""
        self.check_format()
        if not 1 <= spatial <= 3:
            raise rank_error("convolution", types[0])
        for what, item in (("strides", self.strides), ("pads", self.pads), ("dilations", self.dilations)):
            if len(item) != spatial:
                raise IRError(f"{what} {item} has {len(item)} entries for {spatial} spatial axes")
        if min(self.strides + self.dilations) < 1 or self.groups < 1:
            raise IRError(
                f"strides {self.strides}, dilations {self.dilations}, groups {self.groups} must be at least 1"
            )
        if any(isinstance(dim, int) and dim < 0 for pair in self.pads for dim in pair):
            raise IRError(f"pads {self.pads} must not be negative")
        if any(not type.is_float or type.dtype != types[0].dtype for type in types):
            raise IRError("operands must have one floating point type")

    def windows(self, sizes: Sequence[Dim], kernel: Sequence[int]) -> tuple[Dim, ...]:
        """How many windows fit along each axis of an input of spatial ``sizes``."""
        axes = zip(sizes, kernel, self.strides, self.pads, self.dilations, strict=True)
        return tuple(output_size(*axis) for axis in axes)

    def grouped(self, x: Array) -> Array:
        """A channels-first array as (batch, group, channels of the group, elements)."""
        return x.reshape(x.shape[0], self.groups, x.shape[1] // self.groups, math.prod(x.shape[2:]))

    def grouped_filter(self, w: Array) -> Array:
        """A filter as (spatial..., group, channels in, channels out)."""
        parts = w.reshape(*w.shape[:-1], self.groups, w.shape[-1] // self.groups)
        return np.moveaxis(parts, -2, -3)


def kernel_of(w: TensorType) -> tuple[int, ...]:
    """The spatial sizes of a filter.

    Raises:
        IRError: a size of the filter is symbolic.
    """
    if not w.is_static:
        raise IRError(f"the filter must have known sizes, got {w}")
    return w.static_shape[:-2]


def conv_flops(node: Node, size: Size, added: int) -> int:
    """Floating point operations of a convolution with the filter ``node.inputs[1]`` and so many terms added."""
    return node.outputs[0].type.elements(size) * (_per_window(node, size) + added)


def input_gradient_flops(node: Node, size: Size) -> int:
    """The same for the input gradient: each element of the gradient meets its whole window."""
    return node.inputs[0].type.elements(size) * _per_window(node, size)


def filter_gradient_flops(node: Node, size: Size, kernel: Sequence[int]) -> int:
    """The same for the filter gradient: each element of the gradient meets its window in each channel of its group."""
    return 2 * node.inputs[1].type.elements(size) * math.prod(kernel) * size(node.outputs[0].shape[-2])


def _per_window(node: Node, size: Size) -> int:
    w = node.inputs[1].type
    return 2 * w.elements(size) // max(size(w.shape[-1]), 1)


@dataclass(frozen=True)
class FilterGradient(Convolution, abstract=True):
    """The gradient with respect to a filter of spatial sizes ``kernel``."""

    kernel: tuple[int, ...]

    def flops(self, node: Node, size: Size) -> int:
        return filter_gradient_flops(node, size, self.kernel)
