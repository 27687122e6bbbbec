"""Sizes as values, and values as sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kcompile.ir.core import Array, Builder, Gradients, Node, Op, Value, apply, constant_of
from kcompile.ir.dims import Dim, Size, as_integers
from kcompile.ir.errors import IRError
from kcompile.ir.types import TensorType, dtype_name


@dataclass(frozen=True)
class DimsVector(Op):
    """The int64 vector of ``dims``: what ONNX computes with Shape."""

    dims: tuple[Dim, ...]

    def infer(self, *types: TensorType) -> TensorType:
        return TensorType("int64", (len(self.dims),))

    def evaluate(self, *arrays: Array) -> Array:
        return np.array(self.dims, dtype=np.int64)

    def flops(self, node: Node, size: Size) -> int:
        return 0

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        return []

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        return b.dims(self.dims)


@dataclass(frozen=True)
class Iota(Op):
    """0, 1, ... ``length - 1``."""

    length: Dim
    dtype: str = "int64"

    def infer(self, *types: TensorType) -> TensorType:
        if isinstance(self.length, int) and self.length < 0:
            raise IRError(f"length {self.length} is negative")
        if dtype_name(self.dtype) == "bool":
            raise IRError("counts in numbers, not bool")
        return TensorType(dtype_name(self.dtype), (self.length,))

    def evaluate(self, *arrays: Array) -> Array:
        return np.arange(*as_integers([self.length]), dtype=self.dtype)

    def flops(self, node: Node, size: Size) -> int:
        return 0

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        return []

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        if isinstance(self.length, int):
            return b.constant(np.arange(self.length), self.dtype)
        end = b.op("Squeeze", b.dims((self.length,)))
        counted = b.op("Range", b.constant(0, "int64"), end, b.constant(1, "int64"))
        return counted if self.dtype == "int64" else b.op("Cast", counted, to=self.dtype)


def dims_vector(dims: Sequence[Dim]) -> Value:
    """The int64 vector of these sizes."""
    return apply(DimsVector(tuple(dims)))


def iota(length: Dim, dtype: str = "int64") -> Value:
    """The vector 0, 1, ... ``length - 1``."""
    return apply(Iota(length, dtype))


# ---- values as sizes

_MOST_SIZES = 64


def dims_of(value: Value) -> tuple[Dim, ...] | None:
    """The sizes that a small integer value holds (a scalar gives one), if they follow from the types alone.

    Understands what programs compute from shapes: :class:`DimsVector` and constants, cut, joined, cast,
    added, multiplied, divided by integers, and reduced.
    """
    found = _symbolic(value)
    return None if found is None else tuple(found.ravel().tolist())


def _symbolic(value: Value) -> Array | None:
    """``value`` as an array of Python integers and symbolic sizes."""
    type = value.type
    if "int" not in type.dtype or not type.is_static or np.prod(type.static_shape) > _MOST_SIZES:
        return None
    op = value.op
    array = constant_of(value)
    if array is not None:
        return array.astype(object) if array.dtype.kind in "iu" else None
    if isinstance(op, DimsVector):
        return _objects(op.dims)
    if isinstance(op, Iota):
        return _objects(range(op.length)) if isinstance(op.length, int) else None
    if not op.exact_on_sizes:
        return None
    operands = [_symbolic(operand) for operand in value.node.inputs]
    arrays: list[Array] = [operand for operand in operands if operand is not None]
    if len(arrays) < len(operands):
        return None
    results = op.on_sizes(*arrays)
    if results is None:
        return None
    results = results if isinstance(results, tuple) else (results,)
    return np.asarray(results[value.index], dtype=object).reshape(value.type.static_shape)


def _objects(dims: Sequence[Dim] | range) -> Array:
    array = np.empty(len(dims), dtype=object)
    array[:] = list(dims)
    return array
