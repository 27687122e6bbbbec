"""Running sums and products along an axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from kcompile.ir.core import Array, Builder, Gradients, Graph, Node, Op, Permutation, Value, apply, input_value
from kcompile.ir.dims import Size
from kcompile.ir.errors import IRError
from kcompile.ir.ops.arrays.slicing import pad
from kcompile.ir.ops.arrays.slicing import reverse as flip
from kcompile.ir.ops.elementwise.comparison import equal
from kcompile.ir.ops.elementwise.functions import add, cast, mul
from kcompile.ir.ops.shapes.axes import check_axes, normalize_axis
from kcompile.ir.ops.shapes.batching import behind
from kcompile.ir.ops.shapes.kernel_types import narrowed, widened
from kcompile.ir.ops.shapes.reshaping import expand, reshape
from kcompile.ir.ops.shapes.sizes import iota
from kcompile.ir.types import TensorType, same_dim


@dataclass(frozen=True)
class CumSum(Op):
    """Sums of all elements up to each one, along ``axis``.

    ``exclusive`` leaves out the element itself; ``reverse`` sums from the end.
    """

    name: ClassVar[str] = "cumsum"
    axis: int
    exclusive: bool = False
    reverse: bool = False

    def infer(self, x: TensorType) -> TensorType:  # type: ignore[override]
        check_axes((self.axis,), x.rank)
        if x.dtype == "bool":
            raise IRError("needs numbers, got bool; cast it first")
        return x

    def evaluate(self, *arrays: Array) -> Array:
        x = np.flip(arrays[0], self.axis) if self.reverse else arrays[0]
        y = np.cumsum(x, self.axis, dtype=x.dtype)
        if self.exclusive:
            y = y - x
        return np.flip(y, self.axis) if self.reverse else y

    def flops(self, node: Node, size: Size) -> int:
        return node.outputs[0].type.elements(size)

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (g,) = grads
        return [None if g is None else cumsum(g, self.axis, self.exclusive, not self.reverse)]

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        dtype = node.inputs[0].dtype
        x, axis = widened(b, names[0], dtype), b.constant(self.axis, "int64")
        return narrowed(b, b.op("CumSum", x, axis, exclusive=int(self.exclusive), reverse=int(self.reverse)), dtype)

    def permuted(self, node: Node, permutation: Permutation) -> tuple[Op, tuple[Permutation | None, ...]]:
        return CumSum(permutation.index(self.axis), self.exclusive, self.reverse), (permutation,)

    def batched(self, inputs: Sequence[Value], stacked: Sequence[bool]) -> tuple[Value, ...]:
        return behind(self, inputs, stacked, axis=self.axis + 1)


@dataclass(frozen=True)
class LinearRecurrence(Op):
    """``h[k] = a[k] * h[k-1] + b[k]`` along ``axis``, starting from zero; ``reverse`` starts at the end.

    The gradient of a linear recurrence is one in the other direction, so that it needs no division.
    """

    axis: int
    reverse: bool = False

    def infer(self, a: TensorType, b: TensorType) -> TensorType:  # type: ignore[override]
        check_axes((self.axis,), a.rank)
        if a.dtype != b.dtype or a.dtype == "bool":
            raise IRError(f"needs two operands of one number type, got {a} and {b}")
        if a.rank != b.rank or not all(map(same_dim, a.shape, b.shape)):
            raise IRError(f"needs two operands of one shape, got {a} and {b}")
        return a

    def evaluate(self, *arrays: Array) -> Array:
        a, b = (np.moveaxis(array, self.axis, 0) for array in arrays)
        h = np.zeros_like(b)
        state = np.zeros_like(b[0]) if len(b) else None
        for k in range(len(b))[:: -1 if self.reverse else 1]:
            state = a[k] * state + b[k]
            h[k] = state
        return np.moveaxis(h, 0, self.axis)

    def flops(self, node: Node, size: Size) -> int:
        return 2 * node.outputs[0].type.elements(size)

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (a, _), (h,), (g,) = inputs, outputs, grads
        if g is None:
            return [None, None]
        # Each h[k] reaches the output directly and through h[k+1], whose factor is a[k+1].
        following = _delayed(a, self.axis, not self.reverse)
        total = apply(LinearRecurrence(self.axis, not self.reverse), following, g)
        return [mul(total, _delayed(h, self.axis, self.reverse)), total]

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        type = node.outputs[0].type
        rest = (*type.shape[: self.axis], *type.shape[self.axis + 1 :])
        state, factor, term = (input_value(label, type.dtype, rest) for label in ("state", "factor", "term"))
        following = add(mul(factor, state), term)
        step = Graph([state, factor, term], {"next": following, "result": following}, name="step")
        start = b.op("Expand", b.constant(0, type.dtype), b.dims(rest))
        backwards = int(self.reverse)
        _, results = b.multi(
            "Scan",
            start,
            *names,
            outputs=2,
            body=b.subgraph(step, [None] * 3),
            num_scan_inputs=2,
            scan_input_axes=[self.axis] * 2,
            scan_input_directions=[backwards] * 2,
            scan_output_axes=[self.axis],
            scan_output_directions=[backwards],
        )
        return results

    def permuted(self, node: Node, permutation: Permutation) -> tuple[Op, tuple[Permutation | None, ...]]:
        return LinearRecurrence(permutation.index(self.axis), self.reverse), (permutation, permutation)

    def batched(self, inputs: Sequence[Value], stacked: Sequence[bool]) -> tuple[Value, ...]:
        return behind(self, inputs, stacked, axis=self.axis + 1)


def _delayed(x: Value, axis: int, reverse: bool) -> Value:
    """``x`` moved by one place along ``axis`` towards the end (``reverse``: the start); a zero enters."""
    pads = [(0, 0)] * x.rank
    pads[axis] = (-1, 1) if reverse else (1, -1)
    return x if x.shape[axis] == 0 else pad(x, pads)


# ---- functions


def cumsum(x: Value, axis: int, exclusive: bool = False, reverse: bool = False) -> Value:
    """Running sums along ``axis``; see :class:`CumSum`."""
    return apply(CumSum(normalize_axis(axis, x.rank), exclusive, reverse), x)


def cumprod(x: Value, axis: int, exclusive: bool = False, reverse: bool = False) -> Value:
    """Running products along ``axis``, with the options of :func:`cumsum`.

    A linear recurrence, so that the gradient is exact also where elements are zero.
    """
    axis = normalize_axis(axis, x.rank)
    first = cast(equal(iota(x.shape[axis]), 0), x.dtype)
    if reverse:
        first = flip(first, 0)
    first = reshape(first, (*first.shape, *(1,) * (x.rank - 1 - axis)))
    # The first of the products of all elements before is 1; the others follow from their neighbours.
    before = apply(LinearRecurrence(axis, reverse), _delayed(x, axis, reverse), expand(first, x.shape))
    return before if exclusive else mul(before, x)
