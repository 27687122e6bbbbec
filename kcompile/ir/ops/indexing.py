"""Ops that pick elements by index, and those that add to picked elements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kcompile.ir.builder import Builder
from kcompile.ir.core import Array, Gradients, Node, Op, Permutation, Value, apply
from kcompile.ir.dims import Dim
from kcompile.ir.errors import IRError
from kcompile.ir.ops.axes import check_axes, normalize_axis
from kcompile.ir.ops.reshaping import transpose
from kcompile.ir.types import TensorType, same_dim

INDEX_TYPES = ("int32", "int64")


def _check_indices(indices: TensorType) -> None:
    if indices.dtype not in INDEX_TYPES:
        raise IRError(f"indices are {indices}; cast them to int32 or int64")


@dataclass(frozen=True)
class Gather(Op):
    """Slices of the first operand along ``axis`` at the places that the second names (negative: from the back)."""

    axis: int

    def infer(self, x: TensorType, indices: TensorType) -> TensorType:  # type: ignore[override]
        check_axes((self.axis,), x.rank)
        _check_indices(indices)
        return x.with_shape((*x.shape[: self.axis], *indices.shape, *x.shape[self.axis + 1 :]))

    def evaluate(self, *arrays: Array) -> Array:
        return np.take(arrays[0], arrays[1], self.axis)

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (x, indices), (g,) = inputs, grads
        if g is None:
            return [None, None]
        return [scatter_add(indices, g, x.shape[self.axis], self.axis), None]

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        return b.op("Gather", *names, axis=self.axis)

    def permuted(
        self, node: Node, permutation: Permutation
    ) -> tuple[Op, tuple[Permutation | None, ...]] | None:
        """The axes that come from the indices stay together, in order."""
        x, indices = node.inputs
        count = indices.rank
        new_axis = _run_start(permutation, self.axis, count)
        if new_axis is None:
            return None
        rest = [
            axis if axis < self.axis else axis - count + 1
            for axis in permutation
            if not self._from_indices(axis, count)
        ]
        return Gather(new_axis), ((*rest[:new_axis], self.axis, *rest[new_axis:]), None)

    def _from_indices(self, axis: int, count: int) -> bool:
        return self.axis <= axis < self.axis + count


def _run_start(permutation: Permutation, axis: int, count: int) -> int | None:
    """Where ``permutation`` puts the axes from ``axis`` on, if it keeps these ``count`` together."""
    if count == 0:
        # Without axes to keep together the place is free: before the first axis that came after it.
        return axis if permutation == tuple(range(len(permutation))) else None
    start = permutation.index(axis)
    run = tuple(range(axis, axis + count))
    return start if permutation[start : start + count] == run else None


@dataclass(frozen=True)
class ScatterAdd(Op):
    """Zeros with ``size`` rows, to which each row of the updates is added at the place that its index names.

    Operands are the indices, of any rank, and the updates, whose shape starts with that of the indices.
    """

    size: Dim

    def infer(self, indices: TensorType, updates: TensorType) -> TensorType:  # type: ignore[override]
        _check_indices(indices)
        if updates.rank < indices.rank or not all(
            map(same_dim, indices.shape, updates.shape[: indices.rank])
        ):
            raise IRError(f"the updates {updates} do not start with the shape of the indices {indices}")
        if updates.dtype == "bool":
            raise IRError("adds numbers, got bool; cast them first")
        return updates.with_shape((self.size, *updates.shape[indices.rank :]))

    def evaluate(self, *arrays: Array) -> Array:
        indices, updates = arrays
        result = np.zeros((self.size, *updates.shape[indices.ndim :]), updates.dtype)  # type: ignore[arg-type]
        np.add.at(result, indices, updates)
        return result

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (g,) = grads
        return [None, None if g is None else gather(g, inputs[0])]

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        indices, updates = names
        kind, output = node.inputs[0].type, node.outputs[0].type
        if kind.dtype != "int64":
            indices = b.op("Cast", indices, to="int64")
        column = b.reshape(indices, kind, (*kind.shape, 1))
        zeros = b.op("Expand", b.constant(0, output.dtype), b.dims(output.shape))
        return b.op("ScatterND", zeros, column, updates, reduction="add")

    def permuted(
        self, node: Node, permutation: Permutation
    ) -> tuple[Op, tuple[Permutation | None, ...]] | None:
        """The rows stay in front."""
        if permutation[0] != 0:
            return None
        count = node.inputs[0].rank
        return self, (None, (*range(count), *(axis - 1 + count for axis in permutation[1:])))


# ---- functions


def gather(x: Value, indices: Value, axis: int = 0) -> Value:
    """The slices of ``x`` along ``axis`` at ``indices`` (int32 or int64, negative ones from the back).

    The axes of ``indices`` take the place of ``axis``.
    """
    return apply(Gather(normalize_axis(axis, x.rank)), x, indices)


def scatter_add(indices: Value, updates: Value, size: Dim, axis: int = 0) -> Value:
    """Zeros, with ``size`` places along ``axis``, to which ``updates`` are added: the gradient of :func:`gather`."""
    count = indices.rank
    axis = normalize_axis(axis, updates.rank - count + 1)
    moved = [*range(axis, axis + count), *range(axis), *range(axis + count, updates.rank)]
    result = apply(ScatterAdd(size), indices, transpose(updates, moved))
    return transpose(result, [*range(1, axis + 1), 0, *range(axis + 1, result.rank)])
