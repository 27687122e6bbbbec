"""Ops that cut tensors and put them together: concat, split, slice, pad."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kcompile.ir.core import Array, Builder, Gradients, Node, Op, Permutation, Value, apply, apply_multi, constant
from kcompile.ir.dims import Dim
from kcompile.ir.errors import IRError
from kcompile.ir.ops.arrays.reduction import reduce_sum
from kcompile.ir.ops.elementwise.functions import add
from kcompile.ir.ops.shapes.axes import check_axes, normalize_axes, normalize_axis
from kcompile.ir.ops.shapes.batching import behind
from kcompile.ir.ops.shapes.moving import Moving
from kcompile.ir.ops.shapes.reshaping import expand, expand_dims, reshape
from kcompile.ir.types import TensorType, same_dim

FIRST, LAST = np.iinfo(np.int64).min, np.iinfo(np.int64).max
"""ONNX's bounds of an open slice."""


@dataclass(frozen=True)
class Concat(Moving):
    """The operands one after the other along ``axis``."""

    exact_on_sizes = True

    axis: int

    def infer(self, *types: TensorType) -> TensorType:
        if not types:
            raise IRError("needs at least one operand")
        first = types[0]
        check_axes((self.axis,), first.rank)
        shape = list(first.shape)
        for other in types[1:]:
            if other.dtype != first.dtype or other.rank != first.rank:
                raise IRError("operands differ in element type or number of axes")
            for axis, dim in enumerate(other.shape):
                if axis == self.axis:
                    shape[axis] = shape[axis] + dim
                elif not same_dim(shape[axis], dim):
                    raise IRError(f"operands have sizes {shape[axis]} and {dim} on axis {axis}")
                elif isinstance(dim, int):
                    shape[axis] = dim
        return first.with_shape(tuple(shape))

    def evaluate(self, *arrays: Array) -> Array:
        return np.concatenate(arrays, self.axis)

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (g,) = grads
        if g is None:
            return [None] * len(inputs)
        return split(g, [x.shape[self.axis] for x in inputs], self.axis)

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        return b.op("Concat", *names, axis=self.axis)

    def permuted(self, node: Node, permutation: Permutation) -> tuple[Op, tuple[Permutation | None, ...]]:
        return Concat(permutation.index(self.axis)), (permutation,) * len(node.inputs)

    def batched(self, inputs: Sequence[Value], stacked: Sequence[bool]) -> tuple[Value, ...]:
        return behind(self, inputs, stacked, axis=self.axis + 1)


@dataclass(frozen=True)
class Split(Moving):
    """Consecutive parts of the given ``sizes`` along ``axis``."""

    exact_on_sizes = True

    sizes: tuple[Dim, ...]
    axis: int

    def infer(self, x: TensorType) -> tuple[TensorType, ...]:  # type: ignore[override]
        check_axes((self.axis,), x.rank)
        total: Dim = 0
        for size in self.sizes:
            total = total + size
        if not same_dim(total, x.shape[self.axis]):
            raise IRError(f"sizes {self.sizes} do not add up to the {x.shape[self.axis]} of axis {self.axis}")
        shapes = ((*x.shape[: self.axis], size, *x.shape[self.axis + 1 :]) for size in self.sizes)
        return tuple(x.with_shape(shape) for shape in shapes)

    def evaluate(self, *arrays: Array) -> tuple[Array, ...]:
        bounds = np.cumsum(np.array(self.sizes[:-1], dtype=np.int64))
        return tuple(np.split(arrays[0], bounds, self.axis))

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        parts = [
            expand(constant(0, output.dtype), output.shape) if g is None else g
            for g, output in zip(grads, outputs, strict=True)
        ]
        return [concat(parts, self.axis)]

    def lower(self, b: Builder, node: Node, *names: str) -> tuple[str, ...]:
        return b.multi("Split", names[0], b.dims(self.sizes), outputs=len(self.sizes), axis=self.axis)

    def permuted(self, node: Node, permutation: Permutation) -> tuple[Op, tuple[Permutation | None, ...]]:
        return Split(self.sizes, permutation.index(self.axis)), (permutation,)

    def batched(self, inputs: Sequence[Value], stacked: Sequence[bool]) -> tuple[Value, ...]:
        return behind(self, inputs, stacked, axis=self.axis + 1)


@dataclass(frozen=True)
class Slice(Moving):
    """``sizes[i]`` elements along ``axes[i]``: those at ``starts[i]``, ``starts[i] + steps[i]``, ...

    Starts are counted from the front; a step may be negative. On symbolic axes the elements are
    taken to exist.
    """

    exact_on_sizes = True

    axes: tuple[int, ...]
    starts: tuple[Dim, ...]
    sizes: tuple[Dim, ...]
    steps: tuple[int, ...]

    def infer(self, x: TensorType) -> TensorType:  # type: ignore[override]
        check_axes(self.axes, x.rank)
        if not len(self.axes) == len(self.starts) == len(self.sizes) == len(self.steps) or 0 in self.steps:
            raise IRError("needs one start, size and non-zero step for each axis")
        shape = list(x.shape)
        for axis, start, size, step in self._parts():
            n = shape[axis]
            if isinstance(size, int) and size < 0:
                raise IRError(f"axis {axis} would get the size {size}")
            if isinstance(start, int) and isinstance(size, int) and isinstance(n, int) and size:
                ends = start, start + (size - 1) * step
                if min(ends) < 0 or max(ends) >= n:
                    raise IRError(f"elements {ends[0]} to {ends[1]} are not all on axis {axis} of size {n}")
            shape[axis] = size
        return x.with_shape(tuple(shape))

    def _parts(self) -> zip[tuple[int, Dim, Dim, int]]:
        return zip(self.axes, self.starts, self.sizes, self.steps, strict=True)

    def evaluate(self, *arrays: Array) -> Array:
        (x,) = arrays
        index: list[slice | Array] = [slice(None)] * x.ndim
        for axis, start, size, step in self._parts():
            index = [slice(None)] * x.ndim
            index[axis] = np.array([start + k * step for k in range(size)], dtype=np.int64)  # type: ignore[arg-type]
            x = x[tuple(index)]
        return x

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (g,) = grads
        if g is None:
            return [None]
        pads: list[tuple[Dim, Dim]] = [(0, 0)] * g.rank
        for axis, start, size, step in self._parts():
            if step < 0:
                g = reverse(g, axis)
                start, step = start + (size - 1) * step, -step
            if step > 1:
                g = _dilate(g, axis, step)
            pads[axis] = (start, inputs[0].shape[axis] - start - g.shape[axis])
        return [pad(g, pads)]

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        starts: list[Dim] = []
        ends: list[Dim] = []
        for axis, start, size, step in self._parts():
            n = node.inputs[0].shape[axis]
            end = start + size * step
            if step > 0 and end == n:
                end = LAST
            elif isinstance(end, int) and end < 0:
                end = FIRST
            elif step < 0 and not isinstance(end, int):
                end = end - n  # it may come out below 0, where ONNX would count from the back; so it always does
            # ONNX counts negative starts from the back, which spares computing a symbolic size.
            from_back = start - n if not isinstance(start, int) else 0
            starts.append(from_back if isinstance(from_back, int) and from_back < 0 else start)
            ends.append(end)
        axes, steps = b.constant(self.axes, "int64"), b.constant(self.steps, "int64")
        return b.op("Slice", names[0], b.dims(starts), b.dims(ends), axes, steps)

    def permuted(self, node: Node, permutation: Permutation) -> tuple[Op, tuple[Permutation | None, ...]]:
        axes = tuple(permutation.index(axis) for axis in self.axes)
        return Slice(axes, self.starts, self.sizes, self.steps), (permutation,)

    def batched(self, inputs: Sequence[Value], stacked: Sequence[bool]) -> tuple[Value, ...]:
        return behind(self, inputs, stacked, axes=tuple(axis + 1 for axis in self.axes))


def _dilate(x: Value, axis: int, step: int) -> Value:
    """``step - 1`` zeros after each element along ``axis``."""
    apart = expand_dims(x, axis + 1)
    pads = [(0, 0)] * apart.rank
    pads[axis + 1] = (0, step - 1)
    return reshape(pad(apart, pads), (*x.shape[:axis], x.shape[axis] * step, *x.shape[axis + 1 :]))


MODES = ("constant", "reflect", "edge")


@dataclass(frozen=True)
class Pad(Moving):
    """``pads[i]`` elements before and after axis ``i``.

    ``mode``: ``constant`` (``value``), ``reflect`` (mirrored, the border not repeated) or ``edge``
    (the border repeated). In ``constant`` mode a negative amount removes elements, as in ONNX.
    """

    pads: tuple[tuple[Dim, Dim], ...]
    mode: str = "constant"
    value: float = 0.0

    def infer(self, x: TensorType) -> TensorType:  # type: ignore[override]
        if len(self.pads) != x.rank:
            raise IRError(f"needs a pair of pads for each of {x.rank} axes, got {len(self.pads)}")
        if self.mode not in MODES:
            raise IRError(f"mode {self.mode!r} is unknown; use one of {', '.join(MODES)}")
        for axis, (n, pair) in enumerate(zip(x.shape, self.pads, strict=True)):
            for amount in pair:
                if self.mode != "constant" and isinstance(amount, int) and amount < 0:
                    raise IRError(f"mode {self.mode!r} cannot remove elements (pads {pair} on axis {axis})")
                if self.mode == "reflect" and isinstance(amount, int) and isinstance(n, int) and amount >= max(n, 1):
                    raise IRError(f"axis {axis} of size {n} is too short to be reflected by {amount}")
        shape = tuple(n + before + after for n, (before, after) in zip(x.shape, self.pads, strict=True))
        if any(isinstance(n, int) and n < 0 for n in shape):
            raise IRError(f"pads {self.pads} remove more than {x} has")
        return x.with_shape(shape)

    def evaluate(self, *arrays: Array) -> Array:
        (x,) = arrays
        pads = np.array(self.pads, dtype=np.int64).reshape(-1, 2)
        x = x[tuple(slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(pads, x.shape, strict=True))]
        pads = np.maximum(pads, 0)
        if self.mode == "constant":
            return np.pad(x, pads, constant_values=np.asarray(self.value).astype(x.dtype))
        return np.pad(x, pads, mode=self.mode)  # type: ignore[call-overload,no-any-return]

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (g,) = grads
        if g is None:
            return [None]
        if self.mode == "constant":
            return [pad(g, [(before * -1, after * -1) for before, after in self.pads])]
        for axis, (n, pair) in enumerate(zip(inputs[0].shape, self.pads, strict=True)):
            if pair != (0, 0):
                g = _fold_border(g, axis, n, pair, self.mode)
        return [g]

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        pads = [before for before, _ in self.pads] + [after for _, after in self.pads]
        if self.mode != "constant":
            return b.op("Pad", names[0], b.dims(pads), mode=self.mode)
        dtype = node.inputs[0].dtype
        if dtype in ("int16", "uint16"):  # no kernel in ONNX Runtime
            padded = b.op("Pad", b.op("Cast", names[0], to="int32"), b.dims(pads), b.constant(self.value, "int32"))
            return b.op("Cast", padded, to=dtype)
        value = b.constant(self.value, dtype) if self.value else ""
        return b.op("Pad", names[0], b.dims(pads), *([value] if value else []))

    def permuted(self, node: Node, permutation: Permutation) -> tuple[Op, tuple[Permutation | None, ...]]:
        return Pad(tuple(self.pads[axis] for axis in permutation), self.mode, self.value), (permutation,)

    def batched(self, inputs: Sequence[Value], stacked: Sequence[bool]) -> tuple[Value, ...]:
        return behind(self, inputs, stacked, pads=((0, 0), *self.pads))


def _fold_border(g: Value, axis: int, n: Dim, pair: tuple[Dim, Dim], mode: str) -> Value:
    """Add the gradient of mirrored or repeated elements along ``axis`` to that of the elements they show."""
    before, after = pair
    left, middle, right = split(g, [before, n, after], axis)
    parts: list[tuple[Value, Dim]] = []
    if mode == "reflect":
        parts = [(reverse(left, axis), 1), (reverse(right, axis), n - 1 - after)]
    else:
        parts = [(reduce_sum(left, axis, keepdims=True), 0), (reduce_sum(right, axis, keepdims=True), n - 1)]
    for part, start in parts:
        if part.shape[axis] != 0:
            pads: list[tuple[Dim, Dim]] = [(0, 0)] * g.rank
            pads[axis] = (start, n - start - part.shape[axis])
            middle = add(middle, pad(part, pads))
    return middle


# ---- functions


def concat(values: Sequence[Value], axis: int) -> Value:
    """The values one after the other along ``axis``; sizes on other axes agree."""
    if len(values) == 1:
        return values[0]
    if not values:
        raise IRError("concat needs at least one value")
    return apply(Concat(normalize_axis(axis, values[0].rank)), *values)


def split(x: Value, sizes: Sequence[Dim], axis: int) -> tuple[Value, ...]:
    """Consecutive parts of ``x`` along ``axis``."""
    if len(sizes) == 1 and sizes[0] == x.shape[normalize_axis(axis, x.rank)]:
        return (x,)
    return apply_multi(Split(tuple(sizes), normalize_axis(axis, x.rank)), x)


def slice_axes(
    x: Value,
    axes: Sequence[int],
    starts: Sequence[Dim | None],
    ends: Sequence[Dim | None],
    steps: Sequence[int] | None = None,
) -> Value:
    """``x[start:end:step]`` along each of ``axes``, as in NumPy: negative bounds count from the back,
    ``None`` is open.

    On an axis of symbolic size the bounds cannot be clipped to it: they are taken to lie inside, and symbolic
    bounds to be counted from the front.
    """
    found = []
    for axis, start, end, step in zip(axes, starts, ends, steps or [1] * len(axes), strict=True):
        axis = normalize_axis(axis, x.rank)
        first, size = _slice_bounds(x.shape[axis], start, end, step)
        if (first, size, step) != (0, x.shape[axis], 1):
            found.append((axis, first, size, step))
    if not found:
        return x
    found.sort(key=lambda part: part[0])
    kept, begins, sizes, strides = zip(*found, strict=True)
    return apply(Slice(kept, begins, sizes, strides), x)


def _slice_bounds(n: Dim, start: Dim | None, end: Dim | None, step: int) -> tuple[Dim, Dim]:
    """The first element and the number of elements of ``[start:end:step]`` on an axis of size ``n``."""
    if step == 0:
        raise IRError("a slice has step 0; use a positive or negative step")
    numbers = [bound for bound in (n, start, end) if bound is not None]
    if all(isinstance(bound, int) for bound in numbers):
        covered = range(*slice(start, end, step).indices(n))  # type: ignore[arg-type]
        return (covered.start if covered else 0), len(covered)
    first = _from_front(n, start, 0 if step > 0 else n - 1)
    last = _from_front(n, end, n if step > 0 else -1)
    distance = last - first if step > 0 else first - last
    size = (distance + (abs(step) - 1)) // abs(step)
    return (0, 0) if isinstance(size, int) and size <= 0 else (first, size)


def _from_front(n: Dim, bound: Dim | None, default: Dim) -> Dim:
    if bound is None:
        return default
    return n + bound if isinstance(bound, int) and bound < 0 else bound


def reverse(x: Value, axes: Sequence[int] | int) -> Value:
    """``x`` backwards along ``axes``."""
    chosen = normalize_axes(axes, x.rank)
    if not chosen:
        return x
    return apply(
        Slice(
            chosen,
            tuple(x.shape[a] - 1 for a in chosen),
            tuple(x.shape[a] for a in chosen),
            (-1,) * len(chosen),
        ),
        x,
    )


def pad(x: Value, pads: Sequence[tuple[Dim, Dim]], mode: str = "constant", value: float = 0.0) -> Value:
    """``x`` with ``pads[i] = (before, after)`` elements added on axis ``i``; see :class:`Pad`."""
    pairs = tuple((before, after) for before, after in pads)
    if len(pairs) == x.rank and all(pair == (0, 0) for pair in pairs):
        return x
    return apply(Pad(pairs, mode, value), x)


def stack(values: Sequence[Value], axis: int) -> Value:
    """The values, of one shape, along a new axis."""
    return concat([expand_dims(value, axis) for value in values], axis)
