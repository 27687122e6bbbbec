"""Reductions over axes, and the index of the largest or smallest element."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from kcompile.ir.core import Array, Builder, Gradients, Node, Op, Permutation, Value, apply, constant
from kcompile.ir.dims import Dim, Size, product
from kcompile.ir.errors import IRError
from kcompile.ir.ops.elementwise.comparison import equal
from kcompile.ir.ops.elementwise.functions import cast, div, exp, mul, sub
from kcompile.ir.ops.shapes.axes import check_axes, normalize_axes, normalize_axis
from kcompile.ir.ops.shapes.batching import behind
from kcompile.ir.ops.shapes.kernel_types import narrowed, widened
from kcompile.ir.ops.shapes.reshaping import reshape
from kcompile.ir.ops.shapes.sizes import dims_vector
from kcompile.ir.types import TensorType


@dataclass(frozen=True)
class Reduction(Op, abstract=True):
    """One number from all the elements along ``axes``, which disappear or (``keepdims``) get size 1."""

    axes: tuple[int, ...]
    keepdims: bool = False

    onnx: ClassVar[str]
    stepwise: ClassVar[bool] = False
    """Gives back a single element, and may be done along one axis after the other."""
    of_equals: ClassVar[bool] = False
    """Gives back an element that is repeated."""

    def infer(self, x: TensorType) -> TensorType:  # type: ignore[override]
        check_axes(self.axes, x.rank)
        if tuple(sorted(self.axes)) != self.axes:
            raise IRError(f"axes {self.axes} are not sorted")
        self.check(x)
        return x.with_shape(_reduced(x.shape, self.axes, self.keepdims))

    def check(self, x: TensorType) -> None:
        """Raises :class:`IRError` if elements of this type cannot be reduced."""
        if x.dtype == "bool":
            raise IRError("needs numbers, got bool; cast it first")

    def flops(self, node: Node, size: Size) -> int:
        return node.inputs[0].type.elements(size)

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        (x,) = names
        dtype = node.inputs[0].dtype
        if not self.axes:
            return b.op("Identity", x)
        y = b.op(self.onnx, widened(b, x, dtype), b.constant(self.axes, "int64"), keepdims=int(self.keepdims))
        return narrowed(b, y, dtype)

    def permuted(self, node: Node, permutation: Permutation) -> tuple[Op, tuple[Permutation | None, ...]]:
        if self.keepdims:
            axes = tuple(sorted(permutation.index(axis) for axis in self.axes))
            return type(self)(axes, True), (permutation,)
        kept = [axis for axis in range(node.inputs[0].rank) if axis not in self.axes]
        order = iter(kept[axis] for axis in permutation)
        wanted = tuple(axis if axis in self.axes else next(order) for axis in range(node.inputs[0].rank))
        return self, (wanted,)

    def batched(self, inputs: Sequence[Value], stacked: Sequence[bool]) -> tuple[Value, ...]:
        return behind(self, inputs, stacked, axes=tuple(axis + 1 for axis in self.axes))

    def kept(self, reduced: Value, x: Value) -> Value:
        """``reduced`` with the axes of ``x`` again, so that the two broadcast."""
        return reshape(reduced, _reduced(x.shape, self.axes, True))


def _reduced(shape: Sequence[Dim], axes: Sequence[int], keepdims: bool) -> tuple[Dim, ...]:
    return tuple(1 if axis in axes else n for axis, n in enumerate(shape) if keepdims or axis not in axes)


@dataclass(frozen=True)
class ReduceSum(Reduction):
    stepwise = True
    exact_on_sizes = True
    onnx = "ReduceSum"

    def evaluate(self, *arrays: Array) -> Array:
        return np.asarray(np.sum(arrays[0], self.axes, arrays[0].dtype, keepdims=self.keepdims))

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (g,) = grads
        return [None if g is None else self.kept(g, inputs[0])]

    def summed(self, inputs: Sequence[Value], stacked: Sequence[bool]) -> Value:
        (x,) = inputs
        total = reduce_sum(x, (0, *(axis + 1 for axis in self.axes)))
        return reshape(total, _reduced(x.shape[1:], self.axes, self.keepdims))


@dataclass(frozen=True)
class ReduceMean(Reduction):
    of_equals = True
    stepwise = True
    onnx = "ReduceMean"

    def check(self, x: TensorType) -> None:
        if not x.is_float:
            raise IRError(f"needs a floating point tensor, got {x}; cast it first")

    def evaluate(self, *arrays: Array) -> Array:
        return np.asarray(np.mean(arrays[0], self.axes, keepdims=self.keepdims))

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (x,), (g,) = inputs, grads
        if g is None:
            return [None]
        return [self.kept(div(g, count_along(x, self.axes)), x)]


def count_along(x: Value, axes: Sequence[int]) -> Value:
    """The number of elements along ``axes``, as a scalar of the element type of ``x``."""
    count = product(x.shape[axis] for axis in axes)
    if isinstance(count, int):
        return constant(count, x.dtype)
    return cast(reshape(dims_vector((count,)), ()), x.dtype)


class Extreme(Reduction, abstract=True):
    """Equal extreme elements share the gradient, as in TensorFlow."""

    def check(self, x: TensorType) -> None:
        if x.dtype in ("bool", "uint64"):
            raise IRError(f"needs numbers that ONNX Runtime can order, got {x.dtype}; cast it first")

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (x,), (y,), (g,) = inputs, outputs, grads
        if g is None:
            return [None]
        extreme = cast(equal(x, self.kept(y, x)), x.dtype)
        share = div(self.kept(g, x), reduce_sum(extreme, self.axes, keepdims=True))
        return [mul(extreme, share)]


def _lowest(dtype: np.dtype) -> float | int:
    return -np.inf if dtype.kind == "f" else int(np.iinfo(dtype).min)


def _highest(dtype: np.dtype) -> float | int:
    return np.inf if dtype.kind == "f" else int(np.iinfo(dtype).max)


@dataclass(frozen=True)
class ReduceMax(Extreme):
    of_equals = True
    stepwise = True
    onnx = "ReduceMax"

    def evaluate(self, *arrays: Array) -> Array:
        (x,) = arrays
        return np.asarray(np.max(x, self.axes, keepdims=self.keepdims, initial=_lowest(x.dtype)))


@dataclass(frozen=True)
class ReduceMin(Extreme):
    of_equals = True
    stepwise = True
    onnx = "ReduceMin"

    def evaluate(self, *arrays: Array) -> Array:
        (x,) = arrays
        return np.asarray(np.min(x, self.axes, keepdims=self.keepdims, initial=_highest(x.dtype)))


@dataclass(frozen=True)
class ReduceLogSumExp(Reduction):
    """log(sum(exp(x))), computed from the differences to the largest element."""

    name: ClassVar[str] = "logsumexp"
    onnx = "ReduceLogSumExp"

    def check(self, x: TensorType) -> None:
        if not x.is_float:
            raise IRError(f"needs a floating point tensor, got {x}; cast it first")

    def evaluate(self, *arrays: Array) -> Array:
        (x,) = arrays
        largest = np.max(x, self.axes, keepdims=True, initial=-np.inf)
        largest = np.where(np.isfinite(largest), largest, 0).astype(x.dtype)
        total = np.log(np.sum(np.exp(x - largest), self.axes, keepdims=True)) + largest
        return total.reshape(_reduced(x.shape, self.axes, self.keepdims))  # type: ignore[no-any-return]

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (x,), (y,), (g,) = inputs, outputs, grads
        if g is None:
            return [None]
        return [mul(self.kept(g, x), exp(sub(x, self.kept(y, x))))]


class BoolReduction(Reduction, abstract=True):
    """Operand and result are bool."""

    def check(self, x: TensorType) -> None:
        if x.dtype != "bool":
            raise IRError(f"needs a bool tensor, got {x}")

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        if not self.axes:
            return b.op("Identity", names[0])
        numbers = b.op("Cast", names[0], to="int32")
        y = b.op(self.onnx, numbers, b.constant(self.axes, "int64"), keepdims=int(self.keepdims))
        return b.op("Cast", y, to="bool")

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        return [None]


@dataclass(frozen=True)
class ReduceAny(BoolReduction):
    of_equals = True
    stepwise = True
    onnx = "ReduceSum"

    def evaluate(self, *arrays: Array) -> Array:
        return np.asarray(np.any(arrays[0], self.axes, keepdims=self.keepdims))


@dataclass(frozen=True)
class ReduceAll(BoolReduction):
    of_equals = True
    stepwise = True
    onnx = "ReduceProd"

    def evaluate(self, *arrays: Array) -> Array:
        return np.asarray(np.all(arrays[0], self.axes, keepdims=self.keepdims))


# ---- arg max, arg min


@dataclass(frozen=True)
class ArgReduction(Op, abstract=True):
    """The int64 position along ``axis`` of the extreme element; the first of equal ones."""

    axis: int
    keepdims: bool = False

    onnx: ClassVar[str]

    def infer(self, x: TensorType) -> TensorType:  # type: ignore[override]
        check_axes((self.axis,), x.rank)
        if x.dtype in ("bool", "uint64"):
            raise IRError(f"needs numbers that ONNX Runtime can order, got {x.dtype}; cast it first")
        return TensorType("int64", _reduced(x.shape, (self.axis,), self.keepdims))

    def flops(self, node: Node, size: Size) -> int:
        return node.inputs[0].type.elements(size)

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        return [None]

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        x = widened(b, names[0], node.inputs[0].dtype)
        return b.op(self.onnx, x, axis=self.axis, keepdims=int(self.keepdims))

    def permuted(self, node: Node, permutation: Permutation) -> tuple[Op, tuple[Permutation | None, ...]]:
        op, wanted = ReduceSum((self.axis,), self.keepdims).permuted(node, permutation)
        assert isinstance(op, ReduceSum)
        return type(self)(op.axes[0], self.keepdims), wanted

    def batched(self, inputs: Sequence[Value], stacked: Sequence[bool]) -> tuple[Value, ...]:
        return behind(self, inputs, stacked, axis=self.axis + 1)


@dataclass(frozen=True)
class ArgMax(ArgReduction):
    onnx = "ArgMax"

    def evaluate(self, *arrays: Array) -> Array:
        return np.asarray(np.argmax(arrays[0], self.axis, keepdims=self.keepdims))


@dataclass(frozen=True)
class ArgMin(ArgReduction):
    onnx = "ArgMin"

    def evaluate(self, *arrays: Array) -> Array:
        return np.asarray(np.argmin(arrays[0], self.axis, keepdims=self.keepdims))


# ---- functions

Axes = Sequence[int] | int | None


def _reduce(op: type[Reduction], x: Value, axes: Axes, keepdims: bool) -> Value:
    return apply(op(normalize_axes(axes, x.rank), keepdims), x)


def reduce_sum(x: Value, axes: Axes = None, keepdims: bool = False) -> Value:
    """The sum along ``axes`` (default: all)."""
    return _reduce(ReduceSum, x, axes, keepdims)


def reduce_mean(x: Value, axes: Axes = None, keepdims: bool = False) -> Value:
    """The mean along ``axes`` (default: all) of floating point numbers."""
    return _reduce(ReduceMean, x, axes, keepdims)


def reduce_max(x: Value, axes: Axes = None, keepdims: bool = False) -> Value:
    """The largest element along ``axes`` (default: all)."""
    return _reduce(ReduceMax, x, axes, keepdims)


def reduce_min(x: Value, axes: Axes = None, keepdims: bool = False) -> Value:
    """The smallest element along ``axes`` (default: all)."""
    return _reduce(ReduceMin, x, axes, keepdims)


def reduce_any(x: Value, axes: Axes = None, keepdims: bool = False) -> Value:
    """Whether any bool along ``axes`` (default: all) is true."""
    return _reduce(ReduceAny, x, axes, keepdims)


def reduce_all(x: Value, axes: Axes = None, keepdims: bool = False) -> Value:
    """Whether all bools along ``axes`` (default: all) are true."""
    return _reduce(ReduceAll, x, axes, keepdims)


def logsumexp(x: Value, axes: Axes = None, keepdims: bool = False) -> Value:
    """log(sum(exp(x))) along ``axes`` (default: all)."""
    return _reduce(ReduceLogSumExp, x, axes, keepdims)


def arg_max(x: Value, axis: int, keepdims: bool = False) -> Value:
    """The int64 position of the largest element along ``axis``; the first of equal ones."""
    return apply(ArgMax(normalize_axis(axis, x.rank), keepdims), x)


def arg_min(x: Value, axis: int, keepdims: bool = False) -> Value:
    """The int64 position of the smallest element along ``axis``; the first of equal ones."""
    return apply(ArgMin(normalize_axis(axis, x.rank), keepdims), x)


__all__ = [
    "arg_max", "arg_min", "logsumexp", "reduce_all", "reduce_any",
    "reduce_max", "reduce_mean", "reduce_min", "reduce_sum",
]  # fmt: skip
