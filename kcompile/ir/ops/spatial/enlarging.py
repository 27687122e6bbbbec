"""Tensors enlarged by whole factors: elements repeated, or interpolated between their centres; and the gradient."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kcompile.ir.core import Array, Builder, Gradients, Node, Op, Permutation, Value, apply
from kcompile.ir.dims import Dim, Size, divide_exactly
from kcompile.ir.errors import IRError
from kcompile.ir.ops.shapes.axes import normalize_axis
from kcompile.ir.ops.shapes.batching import merged, parted
from kcompile.ir.ops.shapes.reshaping import expand
from kcompile.ir.ops.spatial import enlarging_lowering as lowering
from kcompile.ir.ops.spatial.interpolation import places
from kcompile.ir.types import TensorType


@dataclass(frozen=True)
class Enlarging(Op, abstract=True):
    """What enlarging and its gradient share.

    ``factors`` has a whole number for each axis. ``mode`` is ``nearest`` (each element is repeated) or ``linear``:
    elements lie at the centres of their cells, what lies between two centres is interpolated, what lies outside of
    all is the nearest element. Linear are one or two neighbouring axes of a float image with 4 axes, not the batch.
    """

    factors: tuple[int, ...]
    mode: str

    def check(self, x: TensorType) -> None:
        """Raises IRError unless the attributes fit ``x``."""
        if len(self.factors) != x.rank or min(self.factors, default=1) < 1:
            raise IRError(f"needs a whole factor of at least 1 for each axis of {x}, got {self.factors}")
        if self.mode not in ("nearest", "linear"):
            raise IRError(f"mode {self.mode!r} is unknown; use 'nearest' or 'linear'")
        if self.mode == "linear" and not (x.is_float and self._is_image()):
            raise IRError(f"interpolates neighbouring axes of float images, not {x} by {self.factors}")

    def _is_image(self) -> bool:
        return len(self.factors) == 4 and self.factors[0] == 1 and 1 in (self.factors[1], self.factors[3])

    def permuted(self, node: Node, permutation: Permutation) -> tuple[Op, tuple[Permutation | None, ...]] | None:
        op = dataclasses.replace(self, factors=tuple(self.factors[axis] for axis in permutation))
        return (op, (permutation,)) if self.mode == "nearest" or op._is_image() else None

    def batched(self, inputs: Sequence[Value], stacked: Sequence[bool]) -> tuple[Value, ...]:
        """The slices go into the first axis, of which each element is treated alike."""
        (x,) = inputs
        y = apply(self, merged(x))
        size = divide_exactly(y.shape[0], x.shape[0])
        assert size is not None
        return (parted(y, x.shape[0], size),)


@dataclass(frozen=True)
class Enlarge(Enlarging):
    """``x`` with ``factors[i]`` times as many elements along axis ``i`` (ONNX Resize)."""

    half = True

    def infer(self, x: TensorType) -> TensorType:  # type: ignore[override]
        self.check(x)
        return x.with_shape(tuple(n * factor for n, factor in zip(x.shape, self.factors, strict=True)))

    def evaluate(self, *arrays: Array) -> Array:
        (y,) = arrays
        for axis, factor in enumerate(self.factors):
            if factor == 1:
                continue
            if self.mode == "nearest":
                y = y.repeat(factor, axis)
            else:
                before, after, share = places(y.shape[axis], factor)
                share = share.astype(y.dtype).reshape(-1, *(1,) * (y.ndim - 1 - axis))
                y = y.take(before, axis) * (1 - share) + y.take(after, axis) * share
        return y

    def flops(self, node: Node, size: Size) -> int:
        return 4 * node.outputs[0].type.elements(size) if self.mode == "linear" else 0

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (g,) = grads
        return [None if g is None else apply(EnlargeGrad(self.factors, self.mode), g)]

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        x = node.inputs[0].type
        return (
            lowering.nearest(b, self.factors, x, *names)
            if self.mode == "nearest"
            else lowering.linear(b, self.factors, x, *names)
        )


@dataclass(frozen=True)
class EnlargeGrad(Enlarging):
    """The gradient of :class:`Enlarge`: what each element contributed to is added up for it."""

    def infer(self, g: TensorType) -> TensorType:  # type: ignore[override]
        self.check(g)
        shape: list[Dim] = []
        for n, factor in zip(g.shape, self.factors, strict=True):
            size = divide_exactly(n, factor)
            if size is None:
                raise IRError(f"the sizes of {g} are not multiples of {self.factors}")
            shape.append(size)
        return g.with_shape(tuple(shape))

    def evaluate(self, *arrays: Array) -> Array:
        (dx,) = arrays
        for axis, factor in enumerate(self.factors):
            if factor == 1:
                continue
            size = dx.shape[axis] // factor
            if self.mode == "nearest":
                dx = dx.reshape(*dx.shape[:axis], size, factor, *dx.shape[axis + 1 :]).sum(axis + 1)
            else:
                before, after, share = places(size, factor)
                g = np.moveaxis(dx, axis, 0)
                share = share.astype(g.dtype).reshape(-1, *(1,) * (g.ndim - 1))
                total = np.zeros((size, *g.shape[1:]), g.dtype)
                np.add.at(total, before, g * (1 - share))
                np.add.at(total, after, g * share)
                dx = np.moveaxis(total, 0, axis)
        return dx

    def flops(self, node: Node, size: Size) -> int:
        return (4 if self.mode == "linear" else 1) * node.inputs[0].type.elements(size)

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (t,) = grads
        return [None if t is None else apply(Enlarge(self.factors, self.mode), t)]

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        g, x = node.inputs[0].type, node.outputs[0].type
        if self.mode == "nearest":
            return lowering.nearest_grad(b, self.factors, g, *names)
        return lowering.linear_grad(b, self.factors, g, x, *names)


def enlarge(x: Value, factors: Sequence[int], mode: str = "nearest") -> Value:
    """``x`` with ``factors[i]`` times as many elements along axis ``i``; see :class:`Enlarging` for ``mode``.

    Raises:
        IRError: not one factor of at least 1 for each axis, or what ``linear`` does not take.
        TypeError: a factor is not a whole number.
    """
    factors = tuple(map(operator.index, factors))
    if all(factor == 1 for factor in factors):
        return x
    if mode == "nearest" and all(n == 1 or factor == 1 for n, factor in zip(x.shape, factors, strict=True)):
        return expand(x, [n * factor for n, factor in zip(x.shape, factors, strict=True)])
    return apply(Enlarge(factors, mode), x)


def repeat(x: Value, count: int, axis: int) -> Value:
    """Each element along ``axis`` ``count`` times in a row."""
    axis = normalize_axis(axis, x.rank)
    return enlarge(x, [count if i == axis else 1 for i in range(x.rank)])
