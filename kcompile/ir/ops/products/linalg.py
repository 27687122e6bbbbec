"""Matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from kcompile.ir import costs
from kcompile.ir.core import Array, Builder, Gradients, Node, Op, Permutation, Value, apply
from kcompile.ir.dims import Dim, Size, product
from kcompile.ir.errors import IRError
from kcompile.ir.ops.elementwise.base import broadcastable
from kcompile.ir.ops.shapes.axes import normalize_axes, normalize_axis
from kcompile.ir.ops.shapes.reshaping import expand_dims, reshape, squeeze, transpose
from kcompile.ir.types import TensorType, broadcast_shapes, same_dim


@dataclass(frozen=True)
class MatMul(Op):
    """The product of the matrices on the last two axes, each transposed first if asked.

    Leading axes broadcast.
    """

    half = True
    heavy = True

    name: ClassVar[str] = "matmul"
    transpose_x: bool = False
    transpose_y: bool = False

    def infer(self, x: TensorType, y: TensorType) -> TensorType:  # type: ignore[override]
        if x.dtype != y.dtype or x.dtype == "bool":
            raise IRError(f"needs two operands of one number type, got {x} and {y}")
        if x.rank < 2 or y.rank < 2:
            raise IRError(f"needs operands with at least 2 axes, got {x} and {y}")
        rows, inner = x.shape[-2:][:: -1 if self.transpose_x else 1]
        inner_y, columns = y.shape[-2:][:: -1 if self.transpose_y else 1]
        if not same_dim(inner, inner_y):
            raise IRError(f"the contracted sizes of {x} and {y} are {inner} and {inner_y}")
        return x.with_shape((*broadcast_shapes(x.shape[:-2], y.shape[:-2]), rows, columns))

    def evaluate(self, *arrays: Array) -> Array:
        x, y = arrays
        return np.matmul(  # type: ignore[no-any-return]
            np.swapaxes(x, -1, -2) if self.transpose_x else x,
            np.swapaxes(y, -1, -2) if self.transpose_y else y,
        )

    def flops(self, node: Node, size: Size) -> int:
        inner = node.inputs[0].shape[-2 if self.transpose_x else -1]
        return 2 * size(inner) * node.outputs[0].type.elements(size)

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (x, y), (g,) = inputs, grads
        if g is None:
            return [None, None]
        for_x = (
            _product(y, g, self.transpose_y, True) if self.transpose_x else _product(g, y, False, not self.transpose_y)
        )
        for_y = (
            _product(g, x, True, self.transpose_x) if self.transpose_y else _product(x, g, not self.transpose_x, False)
        )
        return [for_x, for_y]

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        x, y = (value.type for value in node.inputs)
        if not (self.transpose_x or self.transpose_y):
            return b.op("MatMul", *names)
        if not b.target.portable and b.target.provider == "cpu" and self._narrow(x, y):
            swapped_back = b.op("FusedMatMul", names[1], names[0], domain="com.microsoft", transA=1)
            return b.op("Transpose", swapped_back, perm=[1, 0])
        if x.is_float and x.rank == y.rank == 2:
            return b.op("Gemm", *names, transA=int(self.transpose_x), transB=int(self.transpose_y))
        if not b.target.portable and x.dtype == "float32":
            flags = {"transA": int(self.transpose_x), "transB": int(self.transpose_y)}
            return b.op("FusedMatMul", *names, domain="com.microsoft", **flags)
        transposed = (self.transpose_x, self.transpose_y)
        swapped = (
            b.op("Transpose", name, perm=[*range(type.rank - 2), type.rank - 1, type.rank - 2]) if flag else name
            for name, type, flag in zip(names, (x, y), transposed, strict=True)
        )
        return b.op("MatMul", *swapped)

    def _narrow(self, x: TensorType, y: TensorType) -> bool:
        """Whether ``x.T @ y`` is better computed as ``(y.T @ x).T``."""
        if not self.transpose_x or self.transpose_y or x.rank != 2 or y.rank != 2 or x.dtype != "float32":
            return False
        if not (x.is_static and y.is_static):
            return False
        (inner, rows), (_, columns) = x.static_shape, y.static_shape
        return costs.product_turned(rows, inner, columns)

    def permuted(self, node: Node, permutation: Permutation) -> tuple[Op, tuple[Permutation | None, ...]] | None:
        """Leading axes may move; the matrices stay on the last two."""
        rank = len(permutation)
        if permutation[-2:] != (rank - 2, rank - 1):
            return None
        return self, (permutation, permutation)

    def batched(self, inputs: Sequence[Value], stacked: Sequence[bool]) -> tuple[Value, ...]:
        x, y = inputs
        if stacked[0] and not stacked[1] and y.rank == 2:
            return (matmul(x, y, self.transpose_x, self.transpose_y),)  # as one product, if that is possible
        return (apply(self, *broadcastable(inputs, stacked)),)

    def summed(self, inputs: Sequence[Value], stacked: Sequence[bool]) -> Value | None:
        """The slices side by side: their axis is contracted too."""
        if not all(stacked) or inputs[0].rank != 3 or inputs[1].rank != 3:
            return None
        x, y = inputs
        return dot_general(x, y, ((0, 1 if self.transpose_x else 2), (0, 2 if self.transpose_y else 1)))


def _product(x: Value, y: Value, transpose_x: bool, transpose_y: bool) -> Value:
    return apply(MatMul(transpose_x, transpose_y), x, y)


def matmul(x: Value, y: Value, transpose_x: bool = False, transpose_y: bool = False) -> Value:
    """``numpy.matmul`` of the operands, with the last two axes of each swapped first if asked.

    The leading axes of ``x`` are merged into rows if ``y`` is a single matrix, so that the product and both
    of its gradients are each one large matrix product.
    """
    if x.rank == 1:
        return squeeze(matmul(expand_dims(x, 0), y, False, transpose_y), -2 if y.rank > 1 else 0)
    if y.rank == 1:
        return squeeze(matmul(x, expand_dims(y, 1), transpose_x, False), -1)
    if x.rank > 2 and y.rank == 2 and not transpose_x:
        flat = reshape(x, (product(x.shape[:-1]), x.shape[-1]))
        result = _product(flat, y, False, transpose_y)
        return reshape(result, (*x.shape[:-1], result.shape[-1]))
    return _product(x, y, transpose_x, transpose_y)


Axes = Sequence[int]


def dot_general(x: Value, y: Value, contract: tuple[Axes, Axes], batch: tuple[Axes, Axes] = ((), ())) -> Value:
    """Sum of products over the ``contract`` axes of ``x`` and ``y``.

    These pair up in order, as do the ``batch`` axes.

    Returns:
        a value with the batch axes, then the remaining axes of ``x``, then those of ``y``.

    Raises:
        IRError: an axis does not exist or has two roles, or the sizes of a pair differ.
    """
    roles = []
    for value, contracted, batched in zip((x, y), contract, batch, strict=True):
        c = [normalize_axis(axis, value.rank) for axis in contracted]
        n = [normalize_axis(axis, value.rank) for axis in batched]
        normalize_axes([*c, *n], value.rank)
        roles.append((n, [axis for axis in range(value.rank) if axis not in (*c, *n)], c))
    (batch_x, free_x, contract_x), (batch_y, free_y, contract_y) = roles
    if len(batch_x) != len(batch_y) or len(contract_x) != len(contract_y):
        raise IRError(f"dot_general: {contract} and {batch} do not pair the axes of {x.type} and {y.type}")
    for axis_x, axis_y in zip([*batch_x, *contract_x], [*batch_y, *contract_y], strict=True):
        if not same_dim(x.shape[axis_x], y.shape[axis_y]):
            raise IRError(f"dot_general: axis {axis_x} of {x.type} does not fit axis {axis_y} of {y.type}")
    left, transpose_x = _as_matrices(x, batch_x, free_x, contract_x)
    right, transpose_y = _as_matrices(y, batch_y, contract_y, free_y)
    shape = [value.shape[axis] for value, axes in ((x, batch_x), (x, free_x), (y, free_y)) for axis in axes]
    return reshape(_product(left, right, transpose_x, transpose_y), shape)


def _as_matrices(x: Value, batch: Axes, rows: Axes, columns: Axes) -> tuple[Value, bool]:
    """``x`` as a batch of matrices, and whether transposed (if that spares moving elements)."""
    natural = bool(rows and columns) and [*batch, *columns, *rows] == list(range(x.rank))
    first, second = (columns, rows) if natural else (rows, columns)
    moved = transpose(x, (*batch, *first, *second))
    sizes: list[Dim] = [x.shape[axis] for axis in batch]
    sizes += [product(x.shape[axis] for axis in first), product(x.shape[axis] for axis in second)]
    return reshape(moved, sizes), natural


__all__ = ["MatMul", "dot_general", "matmul"]
