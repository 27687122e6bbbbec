"""Where NaN is: a reduction that no rounding and no infinity misleads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kcompile.ir.core import Array, Builder, Gradients, Node, Op, Value, apply
from kcompile.ir.dims import Size
from kcompile.ir.errors import IRError
from kcompile.ir.ops.shapes.axes import check_axes
from kcompile.ir.types import TensorType


@dataclass(frozen=True)
class AnyNan(Op):
    """Whether there is a NaN along ``axes``, which are kept with size 1."""

    axes: tuple[int, ...]

    def infer(self, x: TensorType) -> TensorType:  # type: ignore[override]
        check_axes(self.axes, x.rank)
        if not x.is_float:
            raise IRError(f"looks for NaN among floating point numbers, got {x}")
        return TensorType("bool", tuple(1 if axis in self.axes else n for axis, n in enumerate(x.shape)))

    def evaluate(self, *arrays: Array) -> Array:
        return np.asarray(np.isnan(arrays[0]).any(self.axes, keepdims=True))

    def flops(self, node: Node, size: Size) -> int:
        return node.inputs[0].type.elements(size)

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        return [None]

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        # Squares of other numbers add up to some number, or to infinity.
        return b.op("IsNaN", b.op("ReduceSumSquare", names[0], b.constant(self.axes, "int64"), keepdims=1))


def any_nan(x: Value, axes: Sequence[int]) -> Value:
    """Whether there is a NaN along ``axes``, which are kept with size 1."""
    return apply(AnyNan(tuple(axes)), x)
