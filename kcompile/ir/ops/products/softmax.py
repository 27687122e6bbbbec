"""Softmax and its logarithm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kcompile.ir.core import Array, Builder, Gradients, Node, Op, Permutation, Value, apply
from kcompile.ir.dims import Size
from kcompile.ir.errors import IRError
from kcompile.ir.ops.arrays.reduction import reduce_sum
from kcompile.ir.ops.elementwise.functions import exp, mul, sub
from kcompile.ir.ops.shapes.axes import check_axes, normalize_axis
from kcompile.ir.ops.shapes.batching import behind
from kcompile.ir.types import TensorType


@dataclass(frozen=True)
class Softmax(Op):
    """exp(x) / sum(exp(x)) along ``axis``, from the differences to the largest element."""

    axis: int

    def infer(self, x: TensorType) -> TensorType:  # type: ignore[override]
        check_axes((self.axis,), x.rank)
        if not x.is_float:
            raise IRError(f"needs a floating point tensor, got {x}; cast it first")
        return x

    def evaluate(self, *arrays: Array) -> Array:
        powers = np.exp(_below_zero(arrays[0], self.axis))
        return powers / powers.sum(self.axis, keepdims=True)  # type: ignore[no-any-return]

    def flops(self, node: Node, size: Size) -> int:
        return 4 * node.outputs[0].type.elements(size)

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (y,), (g,) = outputs, grads
        if g is None:
            return [None]
        return [mul(y, sub(g, reduce_sum(mul(g, y), self.axis, keepdims=True)))]

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        return b.op("Softmax", names[0], axis=self.axis)

    def permuted(self, node: Node, permutation: Permutation) -> tuple[Op, tuple[Permutation | None, ...]]:
        return Softmax(permutation.index(self.axis)), (permutation,)

    def batched(self, inputs: Sequence[Value], stacked: Sequence[bool]) -> tuple[Value, ...]:
        return behind(self, inputs, stacked, axis=self.axis + 1)


@dataclass(frozen=True)
class LogSoftmax(Op):
    """x - log(sum(exp(x))) along ``axis``, from the differences to the largest element."""

    axis: int

    def infer(self, x: TensorType) -> TensorType:  # type: ignore[override]
        return Softmax(self.axis).infer(x)

    def evaluate(self, *arrays: Array) -> Array:
        lowered = _below_zero(arrays[0], self.axis)
        return lowered - np.log(np.exp(lowered).sum(self.axis, keepdims=True))  # type: ignore[no-any-return]

    def flops(self, node: Node, size: Size) -> int:
        return 4 * node.outputs[0].type.elements(size)

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (y,), (g,) = outputs, grads
        if g is None:
            return [None]
        return [sub(g, mul(exp(y), reduce_sum(g, self.axis, keepdims=True)))]

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        return b.op("LogSoftmax", names[0], axis=self.axis)

    def permuted(self, node: Node, permutation: Permutation) -> tuple[Op, tuple[Permutation | None, ...]]:
        return LogSoftmax(permutation.index(self.axis)), (permutation,)

    def batched(self, inputs: Sequence[Value], stacked: Sequence[bool]) -> tuple[Value, ...]:
        return behind(self, inputs, stacked, axis=self.axis + 1)


def _below_zero(x: Array, axis: int) -> Array:
    return x - x.max(axis, keepdims=True, initial=-np.inf)  # type: ignore[no-any-return]


def softmax(x: Value, axis: int = -1) -> Value:
    """Softmax along ``axis``."""
    return apply(Softmax(normalize_axis(axis, x.rank)), x)


def log_softmax(x: Value, axis: int = -1) -> Value:
    """The logarithm of the softmax along ``axis``."""
    return apply(LogSoftmax(normalize_axis(axis, x.rank)), x)
