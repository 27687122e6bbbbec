"""The product of elements along axes, whose gradient takes running products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kcompile.ir.core import Array, Gradients, Value, apply
from kcompile.ir.dims import product
from kcompile.ir.ops.arrays.cumulative import cumprod
from kcompile.ir.ops.arrays.reduction import Axes, Reduction
from kcompile.ir.ops.elementwise.functions import mul
from kcompile.ir.ops.shapes.axes import inverse, normalize_axes
from kcompile.ir.ops.shapes.reshaping import reshape, transpose


@dataclass(frozen=True)
class ReduceProd(Reduction):
    """The gradient is exact also where factors are zero: the product of the others, not the quotient."""

    stepwise = True

    exact_on_sizes = True

    onnx = "ReduceProd"

    def evaluate(self, *arrays: Array) -> Array:
        (x,) = arrays
        return np.asarray(np.prod(x, self.axes, x.dtype, keepdims=self.keepdims))

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (x,), (g,) = inputs, grads
        if g is None:
            return [None]
        order = [axis for axis in range(x.rank) if axis not in self.axes] + list(self.axes)
        last = transpose(x, order)
        left = last.shape[: x.rank - len(self.axes)]
        flat = reshape(last, (*left, product(last.shape[len(left) :])))
        others = mul(cumprod(flat, -1, exclusive=True), cumprod(flat, -1, exclusive=True, reverse=True))
        return [mul(self.kept(g, x), transpose(reshape(others, last.shape), inverse(order)))]


def reduce_prod(x: Value, axes: Axes = None, keepdims: bool = False) -> Value:
    """The product along ``axes`` (default: all)."""
    return apply(ReduceProd(normalize_axes(axes, x.rank), keepdims), x)
