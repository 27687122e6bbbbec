"""A matrix product with a bias, in one kernel. Passes make it; nothing else needs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kcompile.ir.core import Array, Builder, Gradients, Node, Op, Value, apply
from kcompile.ir.dims import Size
from kcompile.ir.errors import IRError
from kcompile.ir.ops.arrays.reduction import reduce_sum
from kcompile.ir.ops.elementwise.functions import Add
from kcompile.ir.ops.products.linalg import MatMul
from kcompile.ir.ops.shapes.batching import merged, parted
from kcompile.ir.types import TensorType, same_dim


@dataclass(frozen=True)
class Gemm(Op):
    """``x @ y + bias`` of two matrices, each transposed first if asked, and a bias per column (ONNX Gemm)."""

    half = True
    heavy = True

    transpose_x: bool = False
    transpose_y: bool = False

    def infer(self, x: TensorType, y: TensorType, bias: TensorType) -> TensorType:  # type: ignore[override]
        if not x.is_float or bias.dtype != x.dtype:
            raise IRError(f"needs operands of one floating point type, got {x}, {y} and {bias}")
        if x.rank != 2 or y.rank != 2:
            raise IRError(f"needs two matrices, got {x} and {y}")
        result = self.product.infer(x, y)
        if bias.rank != 1 or not same_dim(bias.shape[0], result.shape[1]):
            raise IRError(f"the bias {bias} must have one entry per column of {result}")
        return result

    @property
    def product(self) -> MatMul:
        """The matrix product alone."""
        return MatMul(self.transpose_x, self.transpose_y)

    def evaluate(self, *arrays: Array) -> Array:
        x, y, bias = arrays
        return self.product.evaluate(x, y) + bias

    def flops(self, node: Node, size: Size) -> int:
        inner = node.inputs[0].shape[-2 if self.transpose_x else -1]
        return (2 * size(inner) + 1) * node.outputs[0].type.elements(size)

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (g,) = grads
        if g is None:
            return [None] * 3
        return [*self.product.vjp(inputs[:2], outputs, grads), reduce_sum(g, 0)]

    def batched(self, inputs: Sequence[Value], stacked: Sequence[bool]) -> tuple[Value, ...]:
        x, y, bias = inputs
        if tuple(stacked) == (True, False, False) and not self.transpose_x:
            return (parted(gemm(merged(x), y, bias, False, self.transpose_y), *x.shape[:2]),)
        product = self.product.batched(inputs[:2], stacked[:2]) if any(stacked[:2]) else (apply(self.product, x, y),)
        return Add().batched((*product, bias), (any(stacked[:2]), stacked[2]))

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        return b.op("Gemm", *names, transA=int(self.transpose_x), transB=int(self.transpose_y))


def gemm(x: Value, y: Value, bias: Value, transpose_x: bool = False, transpose_y: bool = False) -> Value:
    """``x @ y + bias`` of two matrices and a vector."""
    return apply(Gemm(transpose_x, transpose_y), x, y, bias)
