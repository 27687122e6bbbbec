"""What the pooling ops share: how windows slide."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kcompile.ir.core import Array, Node
from kcompile.ir.dims import Dim, Size
from kcompile.ir.errors import IRError
from kcompile.ir.ops.spatial.spatial import (
    Pads,
    SpatialOp,
    arrange,
    crop,
    integers,
    offsets,
    output_size,
    pad_spatial,
    rank_error,
)
from kcompile.ir.types import TensorType


@dataclass(frozen=True)
class Pooling(SpatialOp, abstract=True):
    """What the pooling ops share: how windows slide. Padding never counts as an element."""

    window: tuple[int, ...]
    strides: tuple[int, ...]
    pads: Pads
    data_format: str

    def check(self, x: TensorType) -> None:
        """Raises IRError unless the attributes fit ``x``."""
        self.check_format()
        spatial = x.rank - 2
        if not 1 <= spatial <= 3:
            raise rank_error("pooling", x)
        if not x.is_float:
            raise IRError(f"needs a floating point tensor, got {x}")
        for what, item in (("window", self.window), ("strides", self.strides), ("pads", self.pads)):
            if len(item) != spatial:
                raise IRError(f"{what} {item} has {len(item)} entries for {spatial} spatial axes")
        if min(self.window + self.strides) < 1:
            raise IRError(f"window {self.window} and strides {self.strides} must be at least 1")
        for size, pair in zip(self.window, self.pads, strict=True):
            if any(isinstance(dim, int) and not 0 <= dim < size for dim in pair):
                raise IRError(f"pads {self.pads} must be at least 0 and smaller than the window {self.window}")

    def counts(self, sizes: Sequence[Dim]) -> tuple[Dim, ...]:
        """How many windows fit along each axis of an input of spatial ``sizes``."""
        axes = zip(sizes, self.window, self.strides, self.pads, strict=True)
        return tuple(output_size(*axis) for axis in axes)

    def pooled(self, x: TensorType) -> TensorType:
        """The type of the pooled ``x``."""
        self.check(x)
        batch, channels, sizes = self.split(x)
        return x.with_shape(arrange(batch, channels, self.counts(sizes), self.data_format))

    def stacked(self, x: Array, fill: float) -> Array:
        """The windows of a channels-first array: (positions in the window, batch, channels, windows...)."""
        counts = integers(self.counts(x.shape[2:]))
        x = pad_spatial(x, self.pads, fill)
        ones = (1,) * len(self.window)
        return np.stack([x[index] for _, index in offsets(self.window, counts, self.strides, ones)])

    def spread(self, stacked: Array, sizes: Sequence[int]) -> Array:
        """The adjoint of :meth:`stacked`: adds each window element to its place in a channels-first array."""
        counts = stacked.shape[3:]
        extents = [size + sum(integers(pair)) for size, pair in zip(sizes, self.pads, strict=True)]
        x = np.zeros((*stacked.shape[1:3], *extents), stacked.dtype)
        for part, (_, index) in zip(
            stacked, offsets(self.window, counts, self.strides, (1,) * len(self.window)), strict=True
        ):
            x[index] += part
        return crop(x, self.pads, sizes)

    def flops(self, node: Node, size: Size) -> int:
        read, made = (value.type.elements(size) for value in (node.inputs[0], node.outputs[0]))
        return min(read, made) * math.prod(self.window)
