"""Pooling along the depth of volumes whose slices are images of a larger batch.

What is inside a slice does not matter: it may be in blocked order. The ops come after differentiation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kcompile.ir.core import Array, Builder, Node, Op
from kcompile.ir.dims import Dim, Size, floor_divide, product
from kcompile.ir.errors import IRError
from kcompile.ir.types import TensorType, same_dim


@dataclass(frozen=True)
class DepthOp(Op, abstract=True):
    """``window`` neighbouring slices of volumes of ``depth`` slices make a slice; a ragged end is left out."""

    depth: int
    window: int

    @property
    def count(self) -> int:
        """How many windows a volume has."""
        return self.depth // self.window

    def check(self, pooled: TensorType) -> None:
        """Raises IRError unless these may be the pooled slices."""
        if pooled.rank != 4 or not pooled.is_float:
            raise IRError(f"needs images of floating point numbers, got {pooled}")
        if not 1 <= self.window <= self.depth:
            raise IRError(f"a window of {self.window} slices does not fit volumes of {self.depth}")
        if isinstance(pooled.shape[0], int) and pooled.shape[0] % self.count:
            raise IRError(f"{pooled.shape[0]} slices are not volumes of {self.count}")

    def volumes(self, pooled: TensorType) -> Dim:
        """How many volumes there are."""
        return floor_divide(pooled.shape[0], self.count)

    def whole(self, pooled: TensorType) -> TensorType:
        """The type of the slices before pooling."""
        return pooled.with_shape((self.volumes(pooled) * self.depth, *pooled.shape[1:]))

    def spread(self, parts: Array) -> Array:
        """Slices (volumes, windows, slices of a window, ...) as images, with zeros for the ragged end."""
        volumes = parts.reshape(parts.shape[0], self.count * self.window, *parts.shape[3:])
        ends = [(0, 0), (0, self.depth - volumes.shape[1]), *[(0, 0)] * (volumes.ndim - 2)]
        return np.pad(volumes, ends).reshape(-1, *parts.shape[3:])

    def lower_spread(self, b: Builder, pooled: TensorType, parts: str) -> str:
        """ONNX nodes for :meth:`spread`."""
        n, pixels = self.volumes(pooled), product(pooled.shape[1:])
        together = pooled.with_shape((n, self.count * self.window, pixels))
        apart = pooled.with_shape((n, self.count, self.window, pixels))
        if self.count * self.window == self.depth:
            return b.reshape(parts, apart, self.whole(pooled).shape)
        ends = b.dims([0, 0, 0, 0, self.depth - self.count * self.window, 0])
        padded = b.op("Pad", b.reshape(parts, apart, together.shape), ends)
        return b.reshape(padded, pooled.with_shape((n, self.depth, pixels)), self.whole(pooled).shape)


@dataclass(frozen=True)
class DepthRepeat(DepthOp):
    """Each slice ``window`` times."""

    def infer(self, x: TensorType) -> TensorType:  # type: ignore[override]
        self.check(x)
        return self.whole(x)

    def evaluate(self, *arrays: Array) -> Array:
        (x,) = arrays
        return self.spread(np.repeat(x.reshape(-1, self.count, 1, *x.shape[1:]), self.window, 2))

    def flops(self, node: Node, size: Size) -> int:
        return 0

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        x = node.inputs[0].type
        row = b.reshape(names[0], x, (self.volumes(x), self.count, 1, product(x.shape[1:])))
        return self.lower_spread(b, x, b.op("Concat", *[row] * self.window, axis=2))


@dataclass(frozen=True)
class DepthMaxGrad(DepthOp):
    """``g`` where the largest of the ``window`` slices of ``x`` is, the first if there are several; zero elsewhere."""

    def infer(self, g: TensorType, x: TensorType) -> TensorType:  # type: ignore[override]
        self.check(g)
        whole = self.whole(g)
        if x.dtype != g.dtype or x.rank != 4 or not all(map(same_dim, x.shape, whole.shape)):
            raise IRError(f"the slices of the gradient {g} were of type {whole}, got {x}")
        return x

    def evaluate(self, *arrays: Array) -> Array:
        g, x = arrays
        volumes = x.reshape(-1, self.depth, *x.shape[1:])[:, : self.count * self.window]
        parts = volumes.reshape(-1, self.count, self.window, *x.shape[1:])
        chosen = np.zeros_like(parts)
        gradient = g.reshape(-1, self.count, 1, *g.shape[1:])
        np.put_along_axis(chosen, parts.argmax(2)[:, :, None], gradient, axis=2)
        return self.spread(chosen)

    def flops(self, node: Node, size: Size) -> int:
        return node.inputs[1].type.elements(size)

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        g_type, x_type = (value.type for value in node.inputs)
        n, pixels = self.volumes(g_type), product(g_type.shape[1:])
        row_shape = (n, self.count, pixels)
        volumes = b.reshape(names[1], x_type, (n, self.depth, pixels))
        parts = [
            b.op("Gather", volumes, b.constant([k * self.window + i for k in range(self.count)], "int64"), axis=1)
            for i in range(self.window)
        ]
        best = b.op("Max", *parts)
        g = b.reshape(names[0], g_type, row_shape)
        pieces = []
        for part in parts[:-1]:
            later = b.op("Mul", g, b.op("Cast", b.op("Greater", best, part), to=g_type.dtype))
            pieces.append(b.op("Sub", g, later))
            g = later
        rows = [b.reshape(piece, g_type.with_shape(row_shape), (n, self.count, 1, pixels)) for piece in (*pieces, g)]
        return self.lower_spread(b, g_type, b.op("Concat", *rows, axis=2) if len(rows) > 1 else rows[0])
