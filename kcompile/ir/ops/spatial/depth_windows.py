"""What the windows of a volume meet along its depth, where the slices of the volume are images of a larger batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kcompile.ir.core import Array, Builder, Node, Op, Value, apply
from kcompile.ir.dims import Dim, Size, floor_divide, product
from kcompile.ir.errors import IRError
from kcompile.ir.types import TensorType


@dataclass(frozen=True)
class DepthWindows(Op):
    """Slices of volumes side by side as channels: (batch * depth, channels, height, width) to
    (batch * count, slices * channels, height, width). It comes after differentiation and has no gradient.

    Window ``k`` has the slices ``k * stride + offset`` of its volume, for each of ``offsets``; those before the first
    and behind the last are zeros. What is inside a slice does not matter: it may be in blocked order.
    """

    depth: int
    count: int
    stride: int
    offsets: tuple[int, ...]

    def infer(self, x: TensorType) -> TensorType:  # type: ignore[override]
        if x.rank != 4 or not x.is_float:
            raise IRError(f"needs images of floating point numbers, got {x}")
        if min(self.depth, self.count, self.stride) < 1 or not self.offsets:
            raise IRError(f"depth {self.depth}, count {self.count} and stride {self.stride} must be at least 1")
        if isinstance(x.shape[0], int) and x.shape[0] % self.depth:
            raise IRError(f"{x.shape[0]} slices are not volumes of {self.depth}")
        return x.with_shape((self.volumes(x) * self.count, x.shape[1] * len(self.offsets), *x.shape[2:]))

    def volumes(self, x: TensorType) -> Dim:
        return floor_divide(x.shape[0], self.depth)

    def places(self) -> list[list[int]]:
        """For each window the slices that it has; they may lie outside of the volume."""
        return [[k * self.stride + offset for offset in self.offsets] for k in range(self.count)]

    def evaluate(self, *arrays: Array) -> Array:
        (x,) = arrays
        volumes = x.reshape(-1, self.depth, *x.shape[1:])
        volumes = np.concatenate([volumes, np.zeros_like(volumes[:, :1])], 1)
        inside = [[at if 0 <= at < self.depth else self.depth for at in places] for places in self.places()]
        return volumes[:, inside].reshape(-1, x.shape[1] * len(self.offsets), *x.shape[2:])

    def flops(self, node: Node, size: Size) -> int:
        return 0

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        x, y = node.inputs[0].type, node.outputs[0].type
        volumes = self.volumes(x)
        flat = [at for window in self.places() for at in window]
        before, after = max(0, -min(flat)), max(0, max(flat) + 1 - self.depth)
        pixels = product(x.shape[1:])
        apart = x.with_shape((volumes, self.depth, pixels))
        slices = b.reshape(names[0], x, apart.shape)
        if before or after:
            slices = b.op("Pad", slices, b.dims([0, before, 0, 0, after, 0]))
        indices = [at + before for at in flat]
        if indices != list(range(self.depth + before + after)):
            slices = b.op("Gather", slices, b.constant(indices, "int64"), axis=1)
        return b.reshape(slices, x.with_shape((volumes, len(indices), pixels)), y.shape)


def depth_windows(x: Value, depth: int, count: int, stride: int, offsets: Sequence[int]) -> Value:
    """:class:`DepthWindows` of ``x``; ``x`` itself where each window is one slice, in order."""
    if (count, stride, tuple(offsets)) == (depth, 1, (0,)):
        return x
    return apply(DepthWindows(depth, count, stride, tuple(offsets)), x)
