"""Ops that keep all elements: reshape, transpose, and repetition by broadcasting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kcompile.ir import costs
from kcompile.ir.core import Array, Builder, Gradients, Node, Op, Permutation, Value, apply
from kcompile.ir.dims import Dim, as_integers, divide_exactly, product
from kcompile.ir.errors import IRError
from kcompile.ir.ops.shapes.axes import check_permutation, inverse, normalize_axes, normalize_axis
from kcompile.ir.ops.shapes.moving import Moving
from kcompile.ir.types import TensorType, same_dim


@dataclass(frozen=True)
class Reshape(Moving):
    """The same elements in row-major order under another ``shape``."""

    exact_on_sizes = True

    free = True

    shape: tuple[Dim, ...]

    def infer(self, x: TensorType) -> TensorType:  # type: ignore[override]
        if not same_dim(x.size, product(self.shape)):
            raise IRError(f"{x} has {x.size} elements, the shape {self.shape} has {product(self.shape)}")
        return x.with_shape(self.shape)

    def evaluate(self, *arrays: Array) -> Array:
        return arrays[0].reshape(as_integers(self.shape))

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (g,) = grads
        return [None if g is None else reshape(g, inputs[0].shape)]

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        return b.reshape(names[0], node.inputs[0].type, self.shape)

    def permuted(self, node: Node, permutation: Permutation) -> tuple[Op, tuple[Permutation | None, ...]] | None:
        """Axes that a reshape merges or splits can move only together."""
        groups = _reshape_groups(node.inputs[0].shape, self.shape)
        wanted: list[int] = []
        position = 0
        while position < len(permutation):
            source, target = next(g for g in groups if permutation[position] in g[1])
            if permutation[position : position + len(target)] != tuple(target):
                return None
            wanted += source
            position += len(target)
        dropped = [axis for source, target in groups if not target for axis in source]
        return Reshape(tuple(self.shape[axis] for axis in permutation)), (tuple(dropped + wanted),)

    def batched(self, inputs: Sequence[Value], stacked: Sequence[bool]) -> tuple[Value, ...]:
        (x,) = inputs
        return (reshape(x, (x.shape[0], *self.shape)),)


def _reshape_groups(source: Sequence[Dim], target: Sequence[Dim]) -> list[tuple[list[int], list[int]]]:
    """The finest runs of source axes and of target axes that hold the same elements."""
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(source) or j < len(target):
        if i < len(source) and j < len(target) and source[i] == target[j]:
            groups.append(([i], [j]))
            i, j = i + 1, j + 1
        elif j < len(target) and target[j] == 1:
            groups.append(([], [j]))
            j += 1
        elif i < len(source) and source[i] == 1:
            groups.append(([i], []))
            i += 1
        else:
            group = _smallest_group(source, target, i, j)
            groups.append(group)
            i, j = i + len(group[0]), j + len(group[1])
    return groups


def _smallest_group(source: Sequence[Dim], target: Sequence[Dim], i: int, j: int) -> tuple[list[int], list[int]]:
    for total in range(2, len(source) - i + len(target) - j + 1):
        for taken in range(max(1, total - len(target) + j), min(total, len(source) - i + 1)):
            ends = i + taken, j + total - taken
            if product(source[i : ends[0]]) == product(target[j : ends[1]]):
                return list(range(i, ends[0])), list(range(j, ends[1]))
    return list(range(i, len(source))), list(range(j, len(target)))


@dataclass(frozen=True)
class Transpose(Moving):
    """Axis ``i`` of the result is axis ``permutation[i]`` of the operand."""

    exact_on_sizes = True

    permutation: tuple[int, ...]

    def infer(self, x: TensorType) -> TensorType:  # type: ignore[override]
        check_permutation(self.permutation, x.rank)
        return x.with_shape(tuple(x.shape[axis] for axis in self.permutation))

    def evaluate(self, *arrays: Array) -> Array:
        return arrays[0].transpose(self.permutation)

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (g,) = grads
        return [None if g is None else transpose(g, inverse(self.permutation))]

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        return b.op("Transpose", names[0], perm=list(self.permutation))

    def permuted(self, node: Node, permutation: Permutation) -> tuple[Op, tuple[Permutation | None, ...]]:
        return Transpose(tuple(self.permutation[axis] for axis in permutation)), (None,)

    def batched(self, inputs: Sequence[Value], stacked: Sequence[bool]) -> tuple[Value, ...]:
        return (transpose(inputs[0], (0, *(axis + 1 for axis in self.permutation))),)


@dataclass(frozen=True)
class Expand(Moving):
    """Repetition along axes of size 1 (and new leading axes) up to ``shape``."""

    exact_on_sizes = True

    shape: tuple[Dim, ...]

    def infer(self, x: TensorType) -> TensorType:  # type: ignore[override]
        wanted = self.shape[len(self.shape) - x.rank :] if len(self.shape) >= x.rank else ()
        if len(wanted) != x.rank or not all(n == 1 or same_dim(n, m) for n, m in zip(x.shape, wanted, strict=True)):
            raise IRError(f"{x} does not broadcast to {self.shape}")
        return x.with_shape(self.shape)

    def evaluate(self, *arrays: Array) -> Array:
        return np.broadcast_to(arrays[0], as_integers(self.shape))

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        return list(grads)

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        x = node.inputs[0].shape
        missing = len(self.shape) - len(x)
        # A size of 1 leaves what is there, which spares computing symbolic sizes.
        shape = [1 if i >= missing and x[i - missing] == n else n for i, n in enumerate(self.shape)]
        if (tail := self.inner(x)) and b.target.provider == "cpu" and node.inputs[0].type.dtype == "float32":
            return b.op("Mul", names[0], b.constant(np.ones(tail), "float32"))
        return b.op("Expand", names[0], b.dims(shape))

    def inner(self, x: Sequence[Dim]) -> tuple[int, ...]:
        """The last sizes, if only they differ and ONNX Runtime's Expand takes longer to repeat so few elements than a
        product with ones (two to three times as long).
        """
        kept = len(x)
        while kept and x[kept - 1] == 1:
            kept -= 1
        tail = [dim for dim in self.shape[kept:] if isinstance(dim, int)]
        same = len(x) == len(self.shape) == kept + len(tail) and x[:kept] == self.shape[:kept]
        return tuple(tail) if same and 2 <= math.prod(tail) <= costs.REPEATED else ()

    def permuted(self, node: Node, permutation: Permutation) -> tuple[Op, tuple[Permutation | None, ...]]:
        shape = tuple(self.shape[axis] for axis in permutation)
        return Expand(shape), (permutation if node.inputs[0].rank else None,)

    def batched(self, inputs: Sequence[Value], stacked: Sequence[bool]) -> tuple[Value, ...]:
        (x,) = inputs
        missing = len(self.shape) + 1 - x.rank
        return (expand(reshape(x, (x.shape[0], *(1,) * missing, *x.shape[1:])), (x.shape[0], *self.shape)),)


# ---- functions


def reshape(x: Value, shape: Sequence[Dim]) -> Value:
    """``x`` under another shape; one size may be -1, which is computed here from the others.

    Raises:
        IRError: the number of elements differs, or -1 cannot be expressed as a whole size.
    """
    shape = tuple(shape)
    if -1 in shape:
        rest = [dim for dim in shape if dim != -1]
        missing = divide_exactly(x.type.size, product(rest)) if len(rest) == len(shape) - 1 else None
        if missing is None:
            raise IRError(f"reshape of {x.type} to {shape}: the -1 stands for no whole size")
        shape = tuple(missing if dim == -1 else dim for dim in shape)
    return x if shape == x.shape else apply(Reshape(shape), x)


def transpose(x: Value, permutation: Sequence[int] | None = None) -> Value:
    """``x`` with its axes in another order; by default reversed."""
    order = tuple(range(x.rank))[::-1] if permutation is None else tuple(permutation)
    order = tuple(normalize_axis(axis, x.rank) for axis in order)
    return x if order == tuple(range(x.rank)) else apply(Transpose(order), x)


def expand(x: Value, shape: Sequence[Dim]) -> Value:
    """``x`` broadcast to ``shape``."""
    return x if x.shape == tuple(shape) else apply(Expand(tuple(shape)), x)


def expand_dims(x: Value, axis: int) -> Value:
    """``x`` with a new axis of size 1 at ``axis`` of the result."""
    axis = normalize_axis(axis, x.rank + 1)
    return reshape(x, (*x.shape[:axis], 1, *x.shape[axis:]))


def squeeze(x: Value, axes: Sequence[int] | int) -> Value:
    """``x`` without the named axes, which have size 1.

    Raises:
        IRError: one has another size.
    """
    dropped = normalize_axes(axes, x.rank)
    for axis in dropped:
        if not same_dim(x.shape[axis], 1):
            raise IRError(f"squeeze of {x.type}: axis {axis} has size {x.shape[axis]}, not 1")
    return reshape(x, [dim for axis, dim in enumerate(x.shape) if axis not in dropped])


def tile(x: Value, repeats: Sequence[Dim]) -> Value:
    """All of ``x`` ``repeats[i]`` times along axis ``i``.

    Raises:
        IRError: not one repeat for each axis.
    """
    if len(repeats) != x.rank:
        raise IRError(f"tile of {x.type} needs {x.rank} repeats, got {tuple(repeats)}")
    apart: list[Dim] = []
    full: list[Dim] = []
    for n, count in zip(x.shape, repeats, strict=True):
        apart += [n] if count == 1 else [1, n]
        full += [n] if count == 1 else [count, n]
    total = tuple(n * count for n, count in zip(x.shape, repeats, strict=True))
    return reshape(expand(reshape(x, apart), full), total)
