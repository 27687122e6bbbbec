"""Batch normalization, in training (statistics of the batch) and in inference (given statistics)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kcompile.ir.core import (
    Array,
    Builder,
    Gradients,
    Node,
    Value,
    apply,
    apply_multi,
)
from kcompile.ir.errors import IRError
from kcompile.ir.ops.arrays.reduction import reduce_mean, reduce_sum
from kcompile.ir.ops.arrays.shaping import reshape
from kcompile.ir.ops.elementwise.functions import add, div, mul, neg, power, sub
from kcompile.ir.ops.shapes.axes import normalize_axis
from kcompile.ir.ops.spatial import normalization_lowering as lowering
from kcompile.ir.ops.spatial.normalization_base import Normalization
from kcompile.ir.types import TensorType


def _along(vector: Value, axis: int, rank: int) -> Value:
    """A vector as a tensor that broadcasts along ``axis``."""
    return reshape(vector, [-1 if i == axis else 1 for i in range(rank)])


def _spread(vector: Array, axis: int, rank: int) -> Array:
    return vector.reshape([-1 if i == axis else 1 for i in range(rank)])


@dataclass(frozen=True)
class BatchNormTraining(Normalization):
    """(y, mean, variance): ``x`` normalized by its own statistics, times ``scale``, plus ``offset``.

    The variance is the biased one (divided by the number of elements). Ioffe & Szegedy, 2015.
    """

    def infer(self, x: TensorType, scale: TensorType, offset: TensorType) -> tuple[TensorType, ...]:  # type: ignore[override]
        self.check(x, scale, offset)
        return x, scale, scale

    def evaluate(self, *arrays: Array) -> tuple[Array, ...]:
        x, scale, offset = arrays
        over = self.others(x.ndim)
        mean, variance = x.mean(over), x.var(over)
        return _normalize(x, scale, offset, mean, variance, self), mean, variance

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (x, scale, _), (_, mean, variance) = inputs, outputs
        g, g_mean, g_variance = grads
        dx: Value | None = None
        dscale: Value | None = None
        doffset: Value | None = None
        if g is not None:
            dx, dscale, doffset = apply_multi(BatchNormGrad(self.axis, self.epsilon), g, x, scale, mean, variance)
        # The statistics are rarely differentiated themselves; they are means over all but one axis.
        if g_mean is not None:
            dx = _plus(dx, _along(div(g_mean, self.count(x)), self.axis, x.rank))
        if g_variance is not None:
            slope = _along(mul(div(g_variance, self.count(x)), 2), self.axis, x.rank)
            dx = _plus(dx, mul(sub(x, _along(mean, self.axis, x.rank)), slope))
        return [dx, dscale, doffset]

    def lower(self, b: Builder, node: Node, *names: str) -> tuple[str, ...]:
        return lowering.training(b, self, node.inputs[0].type, *names)


@dataclass(frozen=True)
class BatchNormGrad(Normalization):
    """The gradients (dx, dscale, doffset) of batch norm in training, given that of its first output.

    ``mean`` and ``variance`` are those that the forward pass computed.
    """

    @property
    def tensors(self) -> int:
        return 2

    def infer(  # type: ignore[override]
        self, g: TensorType, x: TensorType, scale: TensorType, mean: TensorType, variance: TensorType
    ) -> tuple[TensorType, ...]:
        self.check(x, scale, mean, variance)
        if g.dtype != x.dtype or g.rank != x.rank:
            raise IRError(f"the gradient {g} must have the type {x}")
        return x, scale, scale

    def evaluate(self, *arrays: Array) -> tuple[Array, ...]:
        g, x, scale, mean, variance = arrays
        over, rank = self.others(x.ndim), x.ndim
        inverse = 1 / np.sqrt(variance + self.epsilon)
        centered = (x - _spread(mean, self.axis, rank)) * _spread(inverse, self.axis, rank)
        doffset, dscale = g.sum(over), (g * centered).sum(over)
        count = x.size // x.shape[self.axis] or 1
        rest = g - _spread(doffset / count, self.axis, rank) - centered * _spread(dscale / count, self.axis, rank)
        return rest * _spread(scale * inverse, self.axis, rank), dscale, doffset

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        """Second order: each output is a sum of products of ``g``, the normalized ``x`` and vectors."""
        g, x, scale, mean, variance = inputs
        t, u, v = grads
        over, rank = self.others(x.rank), x.rank

        def along(vector: Value) -> Value:
            return _along(vector, self.axis, rank)

        inverse = power(add(variance, self.epsilon), -0.5)
        deviation = sub(x, along(mean))
        normal = mul(deviation, along(inverse))
        dg: Value | None = None
        dnormal: Value | None = None
        dfactor: Value | None = None
        if t is not None:
            # dx = scale * inverse * (g - mean(g) - normal * mean(g * normal))
            scaled = mul(t, along(mul(scale, inverse)))
            slope = reduce_mean(mul(scaled, normal), over, keepdims=True)
            overlap = reduce_mean(mul(g, normal), over, keepdims=True)
            dg = sub(sub(scaled, reduce_mean(scaled, over, keepdims=True)), mul(normal, slope))
            dnormal = neg(add(mul(scaled, overlap), mul(g, slope)))
            rest = sub(sub(g, reduce_mean(g, over, keepdims=True)), mul(normal, overlap))
            dfactor = reduce_sum(mul(t, rest), over)
        if u is not None:
            dg = _plus(dg, mul(normal, along(u)))
            dnormal = _plus(dnormal, mul(g, along(u)))
        if v is not None:
            dg = _plus(dg, mul(add(mul(g, 0), 1), along(v)))
        dx = dmean = dscale = dvariance = None
        dinverse: Value | None = None
        if dnormal is not None:
            dx = mul(dnormal, along(inverse))
            dmean = neg(reduce_sum(dx, over))
            dinverse = reduce_sum(mul(dnormal, deviation), over)
        if dfactor is not None:
            dscale = mul(dfactor, inverse)
            dinverse = _plus(dinverse, mul(dfactor, scale))
        if dinverse is not None:
            dvariance = mul(mul(dinverse, power(inverse, 3)), -0.5)
        return [dg, dx, dscale, dmean, dvariance]

    def lower(self, b: Builder, node: Node, *names: str) -> tuple[str, ...]:
        return lowering.gradient(b, self, node.inputs[1].type, *names)


def _plus(total: Value | None, term: Value) -> Value:
    return term if total is None else add(total, term)


@dataclass(frozen=True)
class BatchNormInference(Normalization):
    """``(x - mean) / sqrt(variance + epsilon) * scale + offset`` per channel (ONNX BatchNormalization)."""

    def infer(  # type: ignore[override]
        self, x: TensorType, scale: TensorType, offset: TensorType, mean: TensorType, variance: TensorType
    ) -> TensorType:
        self.check(x, scale, offset, mean, variance)
        return x

    def evaluate(self, *arrays: Array) -> Array:
        x, scale, offset, mean, variance = arrays
        return _normalize(x, scale, offset, mean, variance, self)

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (x, scale, _, mean, variance), (g,) = inputs, grads
        if g is None:
            return [None] * 5
        over = self.others(x.rank)
        inverse = power(add(variance, self.epsilon), -0.5)
        doffset = reduce_sum(g, over)
        weighted = reduce_sum(mul(g, sub(x, _along(mean, self.axis, x.rank))), over)
        factor = mul(scale, inverse)
        return [
            mul(g, _along(factor, self.axis, x.rank)),
            mul(weighted, inverse),
            doffset,
            neg(mul(doffset, factor)),
            mul(mul(weighted, mul(scale, power(inverse, 3))), -0.5),
        ]

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        return lowering.inference(b, self, node.inputs[0].type, *names)

    def batched(self, inputs: Sequence[Value], stacked: Sequence[bool]) -> tuple[Value, ...] | None:
        return None if any(stacked[1:]) else (apply(dataclasses.replace(self, axis=self.axis + 1), *inputs),)


def _normalize(x: Array, scale: Array, offset: Array, mean: Array, variance: Array, op: Normalization) -> Array:
    factor = scale / np.sqrt(variance + op.epsilon)
    centered = x - _spread(mean, op.axis, x.ndim)
    result: Array = centered * _spread(factor, op.axis, x.ndim) + _spread(offset, op.axis, x.ndim)
    return result


def batch_norm_training(
    x: Value, scale: Value, offset: Value, axis: int = -1, epsilon: float = 1e-3
) -> tuple[Value, Value, Value]:
    """(y, mean, variance) of batch normalization with the (biased) statistics of ``x``.

    Raises:
        IRError: ``scale`` or ``offset`` do not have one entry per channel on ``axis``.
    """
    op = BatchNormTraining(normalize_axis(axis, x.rank), float(epsilon))
    y, mean, variance = apply_multi(op, x, scale, offset)
    return y, mean, variance


def batch_norm_inference(
    x: Value, scale: Value, offset: Value, mean: Value, variance: Value, axis: int = -1, epsilon: float = 1e-3
) -> Value:
    """Batch normalization with given statistics.

    Raises:
        IRError: a parameter does not have one entry per channel on ``axis``.
    """
    op = BatchNormInference(normalize_axis(axis, x.rank), float(epsilon))
    return apply(op, x, scale, offset, mean, variance)
