"""Comparisons, logic on bools, and bitwise ops on integers: results without gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kcompile.ir.core import Array, Builder, Gradients, Node, Operand, Value
from kcompile.ir.errors import IRError
from kcompile.ir.ops.elementwise.base import Elementwise, binary, unary
from kcompile.ir.types import TensorType, broadcast_shapes


class Comparison(Elementwise, abstract=True):
    """Both operands have one element type; the result is bool."""

    def infer(self, x: TensorType, y: TensorType) -> TensorType:  # type: ignore[override]
        if x.dtype != y.dtype:
            raise IRError(f"operands are {x.dtype} and {y.dtype}; cast one of them")
        return TensorType("bool", broadcast_shapes(x.shape, y.shape))

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        return [None, None]


@dataclass(frozen=True)
class Equal(Comparison):
    commutative = True
    onnx, compute = "Equal", np.equal


@dataclass(frozen=True)
class Less(Comparison):
    onnx, compute = "Less", np.less


@dataclass(frozen=True)
class LessEqual(Comparison):
    onnx, compute = "LessOrEqual", np.less_equal


@dataclass(frozen=True)
class Greater(Comparison):
    onnx, compute = "Greater", np.greater


@dataclass(frozen=True)
class GreaterEqual(Comparison):
    onnx, compute = "GreaterOrEqual", np.greater_equal


class Logical(Elementwise, abstract=True):
    """Operands and result are bool."""

    def infer(self, *types: TensorType) -> TensorType:
        for type in types:
            if type.dtype != "bool":
                raise IRError(f"needs bool tensors, got {type}")
        return TensorType("bool", broadcast_shapes(*(type.shape for type in types)))

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        return [None] * len(inputs)


@dataclass(frozen=True)
class LogicalAnd(Logical):
    commutative = True
    onnx, compute = "And", np.logical_and


@dataclass(frozen=True)
class LogicalOr(Logical):
    commutative = True
    onnx, compute = "Or", np.logical_or


@dataclass(frozen=True)
class LogicalXor(Logical):
    commutative = True
    onnx, compute = "Xor", np.logical_xor


@dataclass(frozen=True)
class LogicalNot(Logical):
    onnx, compute = "Not", np.logical_not


class Test(Elementwise, abstract=True):
    """A question about each floating point number."""

    def infer(self, x: TensorType) -> TensorType:  # type: ignore[override]
        if not x.is_float:
            raise IRError(f"needs a floating point tensor, got {x}")
        return x.with_dtype("bool")

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        return [None]


@dataclass(frozen=True)
class IsNan(Test):
    onnx, compute = "IsNaN", np.isnan


@dataclass(frozen=True)
class IsInf(Test):
    onnx, compute = "IsInf", np.isinf


class Bitwise(Elementwise, abstract=True):
    """Operands and result have one integer type."""

    def infer(self, x: TensorType, y: TensorType) -> TensorType:  # type: ignore[override]
        if x.dtype != y.dtype or "int" not in x.dtype:
            raise IRError(f"needs two integer tensors of one type, got {x} and {y}")
        return x.with_shape(broadcast_shapes(x.shape, y.shape))

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        return [None, None]


@dataclass(frozen=True)
class BitwiseAnd(Bitwise):
    onnx, compute = "BitwiseAnd", np.bitwise_and


@dataclass(frozen=True)
class BitwiseOr(Bitwise):
    onnx, compute = "BitwiseOr", np.bitwise_or


@dataclass(frozen=True)
class BitwiseXor(Bitwise):
    onnx, compute = "BitwiseXor", np.bitwise_xor


@dataclass(frozen=True)
class BitShift(Bitwise):
    """Shift of unsigned integers; ``direction`` is LEFT or RIGHT, amounts are below the width."""

    direction: str
    onnx = "BitShift"

    def infer(self, x: TensorType, y: TensorType) -> TensorType:  # type: ignore[override]
        if not x.dtype.startswith("uint"):
            raise IRError(f"shifts unsigned integers only, got {x}")
        return super().infer(x, y)

    def evaluate(self, *arrays: Array) -> Array:
        shift = np.left_shift if self.direction == "LEFT" else np.right_shift
        return shift(*arrays)

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        return b.op("BitShift", *names, direction=self.direction)


# ---- functions

equal, less, less_equal = binary(Equal()), binary(Less()), binary(LessEqual())
greater, greater_equal = binary(Greater()), binary(GreaterEqual())
logical_and, logical_or, logical_xor = binary(LogicalAnd()), binary(LogicalOr()), binary(LogicalXor())
logical_not, is_nan, is_inf = unary(LogicalNot()), unary(IsNan()), unary(IsInf())
bitwise_and, bitwise_or, bitwise_xor = binary(BitwiseAnd()), binary(BitwiseOr()), binary(BitwiseXor())
shift_left, shift_right = binary(BitShift("LEFT")), binary(BitShift("RIGHT"))


def not_equal(x: Operand, y: Operand) -> Value:
    """x != y, elementwise."""
    return logical_not(equal(x, y))
