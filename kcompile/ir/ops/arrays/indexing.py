"""Ops that pick elements by index, and those that add to picked elements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from kcompile.ir.core import (
    Array,
    Builder,
    Gradients,
    Node,
    Op,
    Permutation,
    Value,
    apply,
    apply_multi,
    constant,
    constant_of,
)
from kcompile.ir.dims import Dim, Size, as_integers, product
from kcompile.ir.errors import IRError
from kcompile.ir.ops.arrays.scatter_lowering import lower_scatter_nd_add, sum_rows
from kcompile.ir.ops.elementwise.arithmetic import where
from kcompile.ir.ops.elementwise.comparison import equal, less
from kcompile.ir.ops.elementwise.functions import cast
from kcompile.ir.ops.shapes.axes import check_axes, normalize_axis
from kcompile.ir.ops.shapes.batching import all_stacked, behind
from kcompile.ir.ops.shapes.kernel_types import narrowed, widened
from kcompile.ir.ops.shapes.moving import Moving
from kcompile.ir.ops.shapes.reshaping import expand, expand_dims, reshape, transpose
from kcompile.ir.ops.shapes.sizes import iota
from kcompile.ir.types import TensorType, same_dim

INDEX_TYPES = ("int32", "int64")


def _check_indices(indices: TensorType) -> None:
    if indices.dtype not in INDEX_TYPES:
        raise IRError(f"indices are {indices}; cast them to int32 or int64")


def _check_addable(updates: TensorType) -> None:
    if updates.dtype == "bool":
        raise IRError("adds numbers, got bool; cast them first")


@dataclass(frozen=True)
class Gather(Moving):
    """Slices of the first operand along ``axis`` at the places in the second (negative: from the back)."""

    exact_on_sizes = True

    axis: int

    def infer(self, x: TensorType, indices: TensorType) -> TensorType:  # type: ignore[override]
        check_axes((self.axis,), x.rank)
        _check_indices(indices)
        return x.with_shape((*x.shape[: self.axis], *indices.shape, *x.shape[self.axis + 1 :]))

    def evaluate(self, *arrays: Array) -> Array:
        return np.take(arrays[0], arrays[1], self.axis)

    def on_sizes(self, *arrays: Array) -> Array | None:
        """At known places."""
        x, indices = arrays
        known = all(isinstance(number, int) for number in indices.flat)
        return self.evaluate(x, indices.astype(np.int64)) if known else None

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (x, indices), (g,) = inputs, grads
        if g is None:
            return [None, None]
        return [scatter_add(indices, g, x.shape[self.axis], self.axis), None]

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        return b.op("Gather", *names, axis=self.axis)

    def permuted(self, node: Node, permutation: Permutation) -> tuple[Op, tuple[Permutation | None, ...]] | None:
        """The axes that come from the indices stay together, in order."""
        count = node.inputs[1].rank
        new_axis = _run_start(permutation, self.axis, count)
        if new_axis is None:
            return None
        rest = [
            axis if axis < self.axis else axis - count + 1
            for axis in permutation
            if not self._from_indices(axis, count)
        ]
        return Gather(new_axis), ((*rest[:new_axis], self.axis, *rest[new_axis:]), None)

    def batched(self, inputs: Sequence[Value], stacked: Sequence[bool]) -> tuple[Value, ...] | None:
        x, indices = inputs
        if all(stacked):
            return None
        if stacked[0]:
            return (gather(x, indices, self.axis + 1),)
        found = gather(x, indices, self.axis)
        return (transpose(found, (self.axis, *range(self.axis), *range(self.axis + 1, found.rank))),)

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
        if updates.rank < indices.rank or not all(map(same_dim, indices.shape, updates.shape[: indices.rank])):
            raise IRError(f"the updates {updates} do not start with the shape of the indices {indices}")
        _check_addable(updates)
        return updates.with_shape((self.size, *updates.shape[indices.rank :]))

    def evaluate(self, *arrays: Array) -> Array:
        indices, updates = arrays
        result = np.zeros(as_integers((self.size, *updates.shape[indices.ndim :])), updates.dtype)
        np.add.at(result, indices, updates)
        return result

    def flops(self, node: Node, size: Size) -> int:
        return node.inputs[1].type.elements(size)

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (g,) = grads
        return [None, None if g is None else gather(g, inputs[0])]

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        indices, updates = names
        kind = node.inputs[0].type
        rows = product(kind.shape)
        column = b.reshape(as_int64(b, indices, kind.dtype), kind, (rows, 1))
        table, updates_type = node.outputs[0].type, node.inputs[1].type
        updates = b.reshape(updates, updates_type, (rows, *table.shape[1:]))
        return sum_rows(b, zeros(b, node), table, column, rows, updates)

    def permuted(self, node: Node, permutation: Permutation) -> tuple[Op, tuple[Permutation | None, ...]] | None:
        """The rows stay in front."""
        if permutation[0] != 0:
            return None
        count = node.inputs[0].rank
        return self, (None, (*range(count), *(axis - 1 + count for axis in permutation[1:])))

    def summed(self, inputs: Sequence[Value], stacked: Sequence[bool]) -> Value | None:
        return apply(self, *all_stacked(inputs, stacked))


@dataclass(frozen=True)
class GatherElements(Moving):
    """Element by element: the one at the place along ``axis`` that the index at the same position names."""

    axis: int

    def infer(self, x: TensorType, indices: TensorType) -> TensorType:  # type: ignore[override]
        check_axes((self.axis,), x.rank)
        _check_indices(indices)
        if x.rank != indices.rank:
            raise IRError(f"the indices {indices} do not have the number of axes of {x}")
        for axis, (n, count) in enumerate(zip(x.shape, indices.shape, strict=True)):
            if axis != self.axis and not same_dim(n, count):
                raise IRError(f"{x} and the indices {indices} differ on axis {axis}")
        return x.with_shape(indices.shape)

    def evaluate(self, *arrays: Array) -> Array:
        return np.take_along_axis(arrays[0], arrays[1], self.axis)

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (x, indices), (g,) = inputs, grads
        if g is None:
            return [None, None]
        return [apply(ScatterElementsAdd(x.shape[self.axis], self.axis), indices, g), None]

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        return b.op("GatherElements", *names, axis=self.axis)

    def permuted(self, node: Node, permutation: Permutation) -> tuple[Op, tuple[Permutation | None, ...]]:
        return GatherElements(permutation.index(self.axis)), (permutation, permutation)

    def batched(self, inputs: Sequence[Value], stacked: Sequence[bool]) -> tuple[Value, ...]:
        return behind(self, inputs, stacked, axis=self.axis + 1)


@dataclass(frozen=True)
class ScatterElementsAdd(Op):
    """Zeros, ``size`` along ``axis``, to which each update is added where its index says.

    Operands are the indices and the updates, of one shape. The gradient of :class:`GatherElements`.
    """

    size: Dim
    axis: int

    def infer(self, indices: TensorType, updates: TensorType) -> TensorType:  # type: ignore[override]
        check_axes((self.axis,), updates.rank)
        _check_indices(indices)
        _check_addable(updates)
        if indices.rank != updates.rank or not all(map(same_dim, indices.shape, updates.shape)):
            raise IRError(f"the updates {updates} do not have the shape of the indices {indices}")
        return updates.with_shape(self._with_size(updates.shape))

    def _with_size(self, shape: Sequence[Dim]) -> tuple[Dim, ...]:
        return (*shape[: self.axis], self.size, *shape[self.axis + 1 :])

    def evaluate(self, *arrays: Array) -> Array:
        indices, updates = arrays
        result = np.zeros(as_integers(self._with_size(updates.shape)), updates.dtype)
        places: list[Array] = list(np.indices(updates.shape, sparse=True))
        places[self.axis] = indices
        np.add.at(result, tuple(places), updates)
        return result

    def flops(self, node: Node, size: Size) -> int:
        return node.inputs[1].type.elements(size)

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (g,) = grads
        return [None, None if g is None else gather_elements(g, inputs[0], self.axis)]

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        return b.op("ScatterElements", zeros(b, node), *names, axis=self.axis, reduction="add")

    def permuted(self, node: Node, permutation: Permutation) -> tuple[Op, tuple[Permutation | None, ...]]:
        return ScatterElementsAdd(self.size, permutation.index(self.axis)), (permutation, permutation)

    def batched(self, inputs: Sequence[Value], stacked: Sequence[bool]) -> tuple[Value, ...]:
        return behind(self, inputs, stacked, axis=self.axis + 1)


@dataclass(frozen=True)
class GatherNd(Moving):
    """The slices whose leading indices are listed along the last axis of the second operand."""

    def infer(self, x: TensorType, indices: TensorType) -> TensorType:  # type: ignore[override]
        return x.with_shape(_nd_shape(x, indices))

    def evaluate(self, *arrays: Array) -> Array:
        x, indices = arrays
        return np.asarray(x[tuple(np.moveaxis(indices, -1, 0))])

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (x, indices), (g,) = inputs, grads
        if g is None:
            return [None, None]
        return [scatter_nd_add(expand(constant(0, x.dtype), x.shape), indices, g), None]

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        return b.op("GatherND", names[0], as_int64(b, names[1], node.inputs[1].dtype))


@dataclass(frozen=True)
class ScatterNdAdd(Op):
    """The first operand, with the third added at the slices that the second names as in :class:`GatherNd`."""

    def infer(self, x: TensorType, indices: TensorType, updates: TensorType) -> TensorType:  # type: ignore[override]
        wanted = _nd_shape(x, indices)
        _check_addable(updates)
        if updates.dtype != x.dtype or updates.rank != len(wanted) or not all(map(same_dim, updates.shape, wanted)):
            raise IRError(f"the updates are {updates}; {x} at indices {indices} takes {x.with_shape(wanted)}")
        return x

    def evaluate(self, *arrays: Array) -> Array:
        x, indices, updates = arrays
        result = x.copy()
        np.add.at(result, tuple(np.moveaxis(indices, -1, 0)), updates)
        return result

    def flops(self, node: Node, size: Size) -> int:
        return node.inputs[2].type.elements(size)

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (g,) = grads
        return [g, None, None if g is None else gather_nd(g, inputs[1])]

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        x, indices, updates = names
        types = [value.type for value in node.inputs]
        places = as_int64(b, indices, types[1].dtype)
        return lower_scatter_nd_add(b, x, types[0], places, types[1].with_dtype("int64"), updates)


def _nd_shape(x: TensorType, indices: TensorType) -> tuple[Dim, ...]:
    _check_indices(indices)
    depth = indices.shape[-1] if indices.rank else 0
    if not isinstance(depth, int) or not 1 <= depth <= x.rank:
        raise IRError(f"the last axis of the indices {indices} must list 1 to {x.rank} places in {x}")
    return (*indices.shape[:-1], *x.shape[depth:])


def as_int64(b: Builder, name: str, dtype: str) -> str:
    """The tensor ``name`` of element type ``dtype`` as int64."""
    return name if dtype == "int64" else b.op("Cast", name, to="int64")


def zeros(b: Builder, node: Node) -> str:
    """Zeros of the type of the result of ``node``."""
    type = node.outputs[0].type
    return b.op("Expand", b.constant(0, type.dtype), b.dims(type.shape))


@dataclass(frozen=True)
class TopK(Op):
    """The ``k`` largest elements along the last axis, largest first, and their int64 places.

    Of equal elements the first one comes first.
    """

    aborts_if_empty = True  # before ONNX Runtime 1.31

    name: ClassVar[str] = "top_k"
    k: int

    def infer(self, x: TensorType) -> tuple[TensorType, ...]:  # type: ignore[override]
        if x.rank == 0 or x.dtype in ("bool", "uint64"):
            raise IRError(f"needs numbers with at least one axis, got {x}")
        n = x.shape[-1]
        if self.k < 0 or (isinstance(n, int) and self.k > n):
            raise IRError(f"k is {self.k}, the last axis has {n} elements")
        top = x.with_shape((*x.shape[:-1], self.k))
        return top, top.with_dtype("int64")

    def evaluate(self, *arrays: Array) -> tuple[Array, ...]:
        (x,) = arrays
        # A stable sort of the reversed row, read backwards, leaves equal elements in their order.
        ascending = np.argsort(x[..., ::-1], axis=-1, kind="stable")
        places = (x.shape[-1] - 1 - ascending[..., ::-1])[..., : self.k]
        return np.take_along_axis(x, places, -1), places

    def flops(self, node: Node, size: Size) -> int:
        return node.inputs[0].type.elements(size)

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (x,), g, last = inputs, grads[0], inputs[0].rank - 1
        return [None if g is None else apply(ScatterElementsAdd(x.shape[last], last), outputs[1], g)]

    def lower(self, b: Builder, node: Node, *names: str) -> tuple[str, ...]:
        dtype = node.inputs[0].dtype
        x, k = widened(b, names[0], dtype), b.constant([self.k], "int64")
        values, places = b.multi("TopK", x, k, outputs=2, axis=-1)
        return narrowed(b, values, dtype), places

    def batched(self, inputs: Sequence[Value], stacked: Sequence[bool]) -> tuple[Value, ...]:
        return apply_multi(self, *inputs)


# ---- functions


def gather(x: Value, indices: Value, axis: int = 0) -> Value:
    """The slices of ``x`` along ``axis`` at ``indices`` (int32 or int64, negative ones from the back).

    The axes of ``indices`` take the place of ``axis``.
    """
    return apply(Gather(normalize_axis(axis, x.rank)), x, indices)


def as_indices(x: Value) -> Value:
    """``x`` as ``int32`` or ``int64``, which ONNX takes for indices."""
    if x.dtype in ("int32", "int64"):
        return x
    return cast(x, "int64" if x.dtype in ("uint32", "uint64") else "int32")


def is_checked_outside(dtype: str) -> bool:
    """Whether indices of a type can be compared, and made too large, before they are made ``int32`` or ``int64``.

    Small types cannot hold the number of rows, and ONNX Runtime lacks kernels for some.
    """
    return dtype in ("int32", "int64") or dtype.startswith("float")


def from_front(indices: Value, size: Dim) -> Value:
    """``indices`` of which negative ones are as wrong as those from ``size`` on, so that ONNX Runtime refuses both.

    The operators of ONNX would count them from the back.
    """
    array = constant_of(indices)
    if array is not None and not (array < 0).any():
        return indices
    outside = size if isinstance(size, int) else np.iinfo(np.int32).max
    return where(less(indices, 0), outside, indices)


def scatter_add(indices: Value, updates: Value, size: Dim, axis: int = 0) -> Value:
    """Zeros, with ``size`` places along ``axis``, to which ``updates`` are added.

    The gradient of :func:`gather`.
    """
    count = indices.rank
    axis = normalize_axis(axis, updates.rank - count + 1)
    moved = [*range(axis, axis + count), *range(axis), *range(axis + count, updates.rank)]
    result = apply(ScatterAdd(size), indices, transpose(updates, moved))
    return transpose(result, [*range(1, axis + 1), 0, *range(axis + 1, result.rank)])


def gather_elements(x: Value, indices: Value, axis: int) -> Value:
    """``numpy.take_along_axis``: for each index the element of ``x`` at that place along ``axis``."""
    return apply(GatherElements(normalize_axis(axis, x.rank)), x, indices)


def gather_nd(x: Value, indices: Value) -> Value:
    """The slices ``x[i, j, ...]``, where the last axis of ``indices`` lists ``i, j, ...``."""
    return apply(GatherNd(), x, indices)


def scatter_nd_add(x: Value, indices: Value, updates: Value) -> Value:
    """``x`` with ``updates`` added at the slices that ``indices`` name as in :func:`gather_nd`."""
    return apply(ScatterNdAdd(), x, indices, updates)


def one_hot(indices: Value, depth: int, dtype: str = "float32", axis: int = -1) -> Value:
    """1 at each index along a new axis of size ``depth``, else 0; all 0 where an index is out of range."""
    axis = normalize_axis(axis, indices.rank + 1)
    places = iota(depth, indices.dtype)
    column = reshape(places, (depth, *(1,) * (indices.rank - axis)))
    return cast(equal(expand_dims(indices, axis), column), dtype)


def top_k(x: Value, k: int) -> tuple[Value, Value]:
    """The ``k`` largest elements along the last axis, largest first, and their int64 places."""
    values, places = apply_multi(TopK(k), x)
    return values, places
