"""Normalization of each row by its own statistics; a row is what the trailing axes of a tensor hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kcompile.ir.core import Array, Builder, Gradients, Node, Op, Permutation, Value, apply_multi
from kcompile.ir.dims import Size
from kcompile.ir.errors import IRError
from kcompile.ir.ops.arrays.reduction import count_along, reduce_mean, reduce_sum
from kcompile.ir.ops.elementwise.functions import add, div, mul, neg, power, sub
from kcompile.ir.ops.shapes.axes import normalize_axis
from kcompile.ir.ops.spatial import row_normalization_lowering as lowering
from kcompile.ir.types import TensorType, same_dim


@dataclass(frozen=True)
class RowNormalization(Op, abstract=True):
    """Ops on rows: axes from ``first`` on. The parameters have the shape of a row."""

    first: int
    epsilon: float

    def check(self, x: TensorType, *parameters: TensorType) -> None:
        """Raises IRError unless each of ``parameters`` has the shape of a row of ``x``."""
        if not 0 <= self.first < x.rank:
            raise IRError(f"axis {self.first} is not an axis of {x}")
        if not x.is_float:
            raise IRError(f"needs a floating point tensor, got {x}; cast it first")
        row = x.with_shape(x.shape[self.first :])
        for parameter in parameters:
            if (
                parameter.dtype != x.dtype
                or parameter.rank != row.rank
                or not all(map(same_dim, parameter.shape, row.shape))
            ):
                raise IRError(f"scale and offset of {x} from axis {self.first} on are {row}, got {parameter}")

    def one_per_row(self, x: TensorType) -> TensorType:
        """The type of a statistic, which broadcasts along ``x``."""
        return x.with_shape((*x.shape[: self.first], *(1,) * (x.rank - self.first)))

    def along(self, rank: int) -> tuple[int, ...]:
        """The axes of a row."""
        return tuple(range(self.first, rank))

    def flops(self, node: Node, size: Size) -> int:
        return 6 * node.outputs[0].type.elements(size)

    def permuted(self, node: Node, permutation: Permutation) -> tuple[Op, tuple[Permutation | None, ...]] | None:
        """Rows may be exchanged, what they hold may not."""
        if permutation[self.first :] != self.along(node.outputs[0].rank):
            return None
        return self, (permutation, *(None,) * (len(node.inputs) - 1))

    def batched(self, inputs: Sequence[Value], stacked: Sequence[bool]) -> tuple[Value, ...] | None:
        if any(stacked[1:]):
            return None
        return apply_multi(dataclasses.replace(self, first=self.first + 1), *inputs)

    def mean(self, x: Value) -> Value:
        """The mean of each row."""
        return reduce_mean(x, self.along(x.rank), keepdims=True)

    def through_inverse(self, g: Value, deviation: Value, inverse: Value) -> Value:
        """The gradient of ``deviation`` by way of ``inverse``, which is 1 / sqrt(mean(deviation^2) + epsilon)."""
        share = div(mul(g, power(inverse, 3)), count_along(deviation, self.along(deviation.rank)))
        return neg(mul(deviation, share))


@dataclass(frozen=True)
class LayerNorm(RowNormalization):
    """(y, deviation, inverse): each row of ``x`` less its mean, times ``inverse`` and ``scale``, plus ``offset``.

    ``inverse`` is 1 / sqrt(variance + epsilon), with the variance as the mean of squared deviations. Ba, Kiros and
    Hinton (2016).
    """

    def infer(self, x: TensorType, scale: TensorType, offset: TensorType) -> tuple[TensorType, ...]:  # type: ignore[override]
        self.check(x, scale, offset)
        return x, x, self.one_per_row(x)

    def evaluate(self, *arrays: Array) -> tuple[Array, ...]:
        x, scale, offset = arrays
        along = self.along(x.ndim)
        deviation = x - x.mean(along, keepdims=True)
        inverse = _inverse(deviation, along, self.epsilon)
        return deviation * inverse * scale + offset, deviation, inverse

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (_, scale, _), (_, deviation, inverse) = inputs, outputs
        g, g_deviation, g_inverse = grads
        dx: Value | None = None
        dscale: Value | None = None
        doffset: Value | None = None
        if g is not None:
            normal, scaled = mul(deviation, inverse), mul(g, scale)
            rest = sub(sub(scaled, self.mean(scaled)), mul(normal, self.mean(mul(scaled, normal))))
            dx, rows = mul(rest, inverse), tuple(range(self.first))
            dscale, doffset = reduce_sum(mul(g, normal), rows), reduce_sum(g, rows)
        if g_deviation is not None:
            dx = _plus(dx, sub(g_deviation, self.mean(g_deviation)))
        if g_inverse is not None:
            dx = _plus(dx, self.through_inverse(g_inverse, deviation, inverse))
        return [dx, dscale, doffset]

    def lower(self, b: Builder, node: Node, *names: str) -> tuple[str, ...]:
        return lowering.layer_norm(b, self.first, self.epsilon, node.inputs[0].type, *names)


@dataclass(frozen=True)
class RmsNorm(RowNormalization):
    """(y, inverse): each row of ``x`` times ``inverse`` and ``scale``.

    ``inverse`` is 1 / sqrt(mean(x^2) + epsilon). Zhang and Sennrich (2019).
    """

    def infer(self, x: TensorType, scale: TensorType) -> tuple[TensorType, ...]:  # type: ignore[override]
        self.check(x, scale)
        return x, self.one_per_row(x)

    def evaluate(self, *arrays: Array) -> tuple[Array, ...]:
        x, scale = arrays
        inverse = _inverse(x, self.along(x.ndim), self.epsilon)
        return x * inverse * scale, inverse

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (x, scale), (_, inverse), (g, g_inverse) = inputs, outputs, grads
        dx: Value | None = None
        dscale: Value | None = None
        if g is not None:
            normal, scaled = mul(x, inverse), mul(g, scale)
            dx = mul(sub(scaled, mul(normal, self.mean(mul(scaled, normal)))), inverse)
            dscale = reduce_sum(mul(g, normal), tuple(range(self.first)))
        if g_inverse is not None:
            dx = _plus(dx, self.through_inverse(g_inverse, x, inverse))
        return [dx, dscale]

    def lower(self, b: Builder, node: Node, *names: str) -> tuple[str, ...]:
        return lowering.rms_norm(b, self.first, self.epsilon, node.inputs[0].type, *names)


def _inverse(deviation: Array, along: tuple[int, ...], epsilon: float) -> Array:
    result: Array = 1 / np.sqrt(np.mean(deviation * deviation, along, keepdims=True) + epsilon)
    return result.astype(deviation.dtype)


def _plus(total: Value | None, term: Value) -> Value:
    return term if total is None else add(total, term)


def layer_norm(x: Value, scale: Value, offset: Value, first: int = -1, epsilon: float = 1e-3) -> Value:
    """Layer normalization of the rows that the axes of ``x`` from ``first`` on hold.

    Raises:
        IRError: ``scale`` or ``offset`` do not have the shape of a row.
    """
    return apply_multi(LayerNorm(normalize_axis(first, x.rank), float(epsilon)), x, scale, offset)[0]


def rms_norm(x: Value, scale: Value, first: int = -1, epsilon: float = 1e-6) -> Value:
    """Normalization of the rows that the axes of ``x`` from ``first`` on hold by their root mean squares.

    Raises:
        IRError: ``scale`` does not have the shape of a row.
    """
    return apply_multi(RmsNorm(normalize_axis(first, x.rank), float(epsilon)), x, scale)[0]
