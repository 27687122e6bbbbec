"""Max and average pooling over 1 to 3 spatial axes, with their gradients as first-class ops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from kcompile.ir.core import Array, Builder, Gradients, Value, apply
from kcompile.ir.dims import Dim
from kcompile.ir.errors import IRError
from kcompile.ir.ops.spatial import pooling_lowering as lowering
from kcompile.ir.ops.spatial.pooling_base import Pooling
from kcompile.ir.ops.spatial.spatial import (
    Pads,
    arrange,
    integers,
    spatial_sizes,
)
from kcompile.ir.types import TensorType, same_dim


@dataclass(frozen=True)
class MaxPool(Pooling):
    """The largest element of each window (ONNX MaxPool)."""

    half = True

    def infer(self, x: TensorType) -> TensorType:  # type: ignore[override]
        return self.pooled(x)

    def evaluate(self, *arrays: Array) -> Array:
        y: Array = self.stacked(self.first(arrays[0]), -np.inf).max(0)
        return self.back(y)

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (x,), (g,) = inputs, grads
        return [None if g is None else apply(self.as_op(MaxPoolGrad), g, x)]

    def as_op(self, op: type[Pooling]) -> Pooling:
        """Another op with the same windows."""
        return op(self.window, self.strides, self.pads, self.data_format)

    def lower_channels_first(self, b: Builder, types: Sequence[TensorType], output: TensorType, *names: str) -> str:
        return lowering.max_pool(b, self, types[0], *names)


@dataclass(frozen=True)
class MaxPoolGrad(Pooling):
    """The gradient of ``max_pool(x)`` given that of its result; the first of several maxima gets it."""

    activations: ClassVar[tuple[int, ...]] = (0, 1)

    def infer(self, g: TensorType, x: TensorType) -> TensorType:  # type: ignore[override]
        pooled = self.pooled(x)
        if g.dtype != x.dtype or g.rank != x.rank:
            raise IRError(f"the gradient {g} must have the type {pooled}")
        if not all(same_dim(a, b) for a, b in zip(g.shape, pooled.shape, strict=True)):
            raise IRError(f"the gradient {g} must have the type {pooled}")
        return x

    def evaluate(self, *arrays: Array) -> Array:
        g, x = self.first(arrays[0]), self.first(arrays[1])
        stacked = self.stacked(x, -np.inf)
        chosen = np.zeros(stacked.shape, g.dtype)
        np.put_along_axis(chosen, stacked.argmax(0)[None], g[None], axis=0)
        return self.back(self.spread(chosen, x.shape[2:]))

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        x, (t,) = inputs[1], grads
        op = MaxPoolGather(self.window, self.strides, self.pads, self.data_format)
        return [None if t is None else apply(op, t, x), None]

    def lower_channels_first(self, b: Builder, types: Sequence[TensorType], output: TensorType, *names: str) -> str:
        return lowering.max_pool_grad(b, self, types[1], types[0], *names)


@dataclass(frozen=True)
class MaxPoolGather(Pooling):
    """The element of ``t`` where each window of ``x`` has its (first) maximum: the adjoint of MaxPoolGrad."""

    activations: ClassVar[tuple[int, ...]] = (0, 1)

    def infer(self, t: TensorType, x: TensorType) -> TensorType:  # type: ignore[override]
        if t.dtype != x.dtype or t.rank != x.rank:
            raise IRError(f"both operands must have one type, got {t} and {x}")
        return self.pooled(x)

    def evaluate(self, *arrays: Array) -> Array:
        t, x = self.first(arrays[0]), self.first(arrays[1])
        places = self.stacked(x, -np.inf).argmax(0)[None]
        return self.back(np.take_along_axis(self.stacked(t, 0.0), places, axis=0)[0])

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        x, (g,) = inputs[1], grads
        op = MaxPoolGrad(self.window, self.strides, self.pads, self.data_format)
        return [None if g is None else apply(op, g, x), None]

    def lower_channels_first(self, b: Builder, types: Sequence[TensorType], output: TensorType, *names: str) -> str:
        return lowering.max_pool_gather(b, self, types[1], *names)


@dataclass(frozen=True)
class AveragePool(Pooling):
    """The mean of each window, padding excluded (ONNX AveragePool)."""

    half = True

    def infer(self, x: TensorType) -> TensorType:  # type: ignore[override]
        return self.pooled(x)

    def evaluate(self, *arrays: Array) -> Array:
        x = self.first(arrays[0])
        return self.back(self.stacked(x, 0.0).sum(0) / self.members(x.shape[2:]).astype(x.dtype))

    def members(self, sizes: Sequence[int]) -> Array:
        """How many elements that are not padding each window has."""
        total: Array = self.stacked(np.ones((1, 1, *sizes)), 0.0).sum(0)
        return total

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (x,), (g,) = inputs, grads
        sizes = spatial_sizes(x.shape, self.data_format)
        op = AveragePoolGrad(self.window, self.strides, self.pads, self.data_format, sizes)
        return [None if g is None else apply(op, g)]

    def lower_channels_first(self, b: Builder, types: Sequence[TensorType], output: TensorType, *names: str) -> str:
        return lowering.average_pool(b, self, types[0], *names)


@dataclass(frozen=True)
class AveragePoolGrad(Pooling):
    """The gradient of ``average_pool`` with respect to its input of spatial ``sizes``."""

    sizes: tuple[Dim, ...]

    def infer(self, g: TensorType) -> TensorType:  # type: ignore[override]
        self.check(g)
        if len(self.sizes) != g.rank - 2:
            raise IRError(f"the gradient {g} and sizes {self.sizes} must have the same spatial rank")
        batch, channels, counts = self.split(g)
        expected = self.counts(self.sizes)
        if not all(same_dim(a, b) for a, b in zip(counts, expected, strict=True)):
            raise IRError(f"an input of sizes {self.sizes} has {expected} windows, but {g} has {counts}")
        return g.with_shape(arrange(batch, channels, self.sizes, self.data_format))

    def evaluate(self, *arrays: Array) -> Array:
        g, sizes = self.first(arrays[0]), integers(self.sizes)
        forward = AveragePool(self.window, self.strides, self.pads, "channels_first")
        share = g / forward.members(sizes).astype(g.dtype)
        repeated = np.broadcast_to(share, (int(np.prod(self.window)), *share.shape))
        return self.back(self.spread(repeated, sizes))

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (t,) = grads
        op = AveragePool(self.window, self.strides, self.pads, self.data_format)
        return [None if t is None else apply(op, t)]

    def lower_channels_first(self, b: Builder, types: Sequence[TensorType], output: TensorType, *names: str) -> str:
        return lowering.average_pool_grad(b, self, types[0], output, *names)


def max_pool(
    x: Value,
    window: Sequence[int],
    strides: Sequence[int] | None = None,
    pads: Sequence[tuple[Dim, Dim]] | None = None,
    data_format: str = "channels_last",
) -> Value:
    """The largest element of each window.

    Args:
        x: (batch, spatial..., channels), or (batch, channels, spatial...) for ``channels_first``.
        window: its size along each spatial axis.
        strides: default: the window, so that windows do not overlap.
        pads: (before, after) per spatial axis, smaller than the window (default: none).

    Raises:
        IRError: the attributes do not fit ``x``, or no window fits into it.
    """
    return apply(MaxPool(*_attributes(window, strides, pads), data_format), x)


def average_pool(
    x: Value,
    window: Sequence[int],
    strides: Sequence[int] | None = None,
    pads: Sequence[tuple[Dim, Dim]] | None = None,
    data_format: str = "channels_last",
) -> Value:
    """The mean of each window; padding is not counted. Arguments and errors as for :func:`max_pool`."""
    return apply(AveragePool(*_attributes(window, strides, pads), data_format), x)


def _attributes(
    window: Sequence[int], strides: Sequence[int] | None, pads: Sequence[tuple[Dim, Dim]] | None
) -> tuple[tuple[int, ...], tuple[int, ...], Pads]:
    around = tuple((before, after) for before, after in pads) if pads is not None else ((0, 0),) * len(window)
    return tuple(window), tuple(strides or window), around
