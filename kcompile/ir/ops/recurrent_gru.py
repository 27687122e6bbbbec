"""The GRU: Cho et al. (2014), in Keras' order of gates, with the reset gate before or after the product."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from kcompile.ir.core import Array, Gradients, Value, apply_multi
from kcompile.ir.errors import IRError
from kcompile.ir.ops.arithmetic import add, mul, sub
from kcompile.ir.ops.recurrent_activations import activation_named
from kcompile.ir.ops.recurrent_base import (
    Operands,
    Recurrence,
    backward,
    check_stash,
    mask_weights,
    product,
    start_of_steps,
    weight_gradient,
)
from kcompile.ir.ops.reduction import reduce_sum
from kcompile.ir.ops.reshaping import expand_dims
from kcompile.ir.ops.slicing import concat, slice_axes, split
from kcompile.ir.types import TensorType


@dataclass(frozen=True, kw_only=True)
class Gru(Recurrence):
    """``z, r = s(...)``, ``h = z * h + (1 - z) * hh``, gates in the order z, r, h.

    With ``reset_after`` (Keras 3's default, and what GPUs compute) ``hh = a(x + r * (h @ w + bias))``, else
    ``hh = a(x + (r * h) @ w)``. Results: ``h`` after each step, the last ``h``; for gradients, the gates after their
    activations, ``[T, N, 3 * H]``.
    """

    recurrent_activation: str = "sigmoid"
    reset_after: bool = True
    has_bias: bool = False

    gates: ClassVar[int] = 3
    states: ClassVar[int] = 1

    @property
    def biased(self) -> bool:
        return self.has_bias

    def activations(self) -> tuple[str, ...]:
        return self.activation, self.recurrent_activation

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        if self.has_bias and not self.reset_after:
            raise IRError("there is a recurrent bias only if the reset gate comes after the product")
        return super().infer(*types)

    def stashed(self, sequence: TensorType) -> tuple[TensorType, ...]:
        return (sequence.with_shape((*sequence.shape[:-1], 3 * sequence.shape[-1])),)

    def evaluate(self, *arrays: Array) -> tuple[Array, ...]:
        x, recurrent, bias, (h,), mask, scale = self.operands(arrays)
        activation = activation_named(self.activation).evaluate
        gate = activation_named(self.recurrent_activation).evaluate
        w_z, w_r, w_h = np.split(recurrent, 3, axis=-1)
        zero = np.zeros((*recurrent.shape[:-2], 1, recurrent.shape[-1]), x.dtype)
        b_z, b_r, b_h = np.split(zero if bias is None else bias[..., np.newaxis, :], 3, axis=-1)
        ys, gates = np.empty((len(x), *h.shape), h.dtype), np.empty_like(x)
        for t in range(len(x))[:: -1 if self.reverse else 1]:
            x_z, x_r, x_h = np.split(x[t], 3, axis=-1)
            start = h if scale is None else h * scale
            z, r = gate(x_z + start @ w_z + b_z), gate(x_r + start @ w_r + b_r)
            hh = activation(x_h + (r * (start @ w_h + b_h) if self.reset_after else (r * start) @ w_h))
            gates[t] = np.concatenate([z, r, hh], axis=-1)
            keep = True if mask is None else mask[t][..., np.newaxis]
            ys[t] = h = np.where(keep, z * start + (1 - z) * hh, h)
        return (ys, h, gates) if self.stash else (ys, h)

    def step(
        self, operands: Operands[Value], states: Sequence[Value], x: Value
    ) -> tuple[tuple[Value, ...], tuple[Value, ...]]:
        (h,) = states
        activation = activation_named(self.activation).apply
        gate = activation_named(self.recurrent_activation).apply
        units = h.shape[-1]
        for_gates, x_h = split(x, [2 * units, units], -1)
        if self.reset_after:
            inner = product(h, operands.recurrent)
            if operands.bias is not None:
                inner = add(inner, expand_dims(operands.bias, -2))
            inner_gates, inner_h = split(inner, [2 * units, units], -1)
            z, r = split(gate(add(for_gates, inner_gates)), [units, units], -1)
            hh = activation(add(x_h, mul(r, inner_h)))
        else:
            w_gates, w_h = split(operands.recurrent, [2 * units, units], -1)
            z, r = split(gate(add(for_gates, product(h, w_gates))), [units, units], -1)
            hh = activation(add(x_h, product(mul(r, h), w_h)))
        return (add(hh, mul(z, sub(h, hh))),), (concat([z, r, hh], -1),)

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        check_stash(self)
        operands = self.operands(inputs)
        ys, _, gates = outputs
        slope, gate_slope = (activation_named(name).slope for name in self.activations())
        h = start_of_steps(operands, ys, self.reverse)
        z, r, hh = split(gates, [ys.shape[-1]] * 3, -1)
        # Each step is linear in the gradient of h; its factors are known for all steps at once.
        to_z, to_h, to_r = mul(sub(h, hh), gate_slope(z)), mul(sub(1, z), slope(hh)), gate_slope(r)
        extra = None
        if grads[2] is not None:
            extra = mul(grads[2], concat([gate_slope(z), to_r, slope(hh)], -1))
        if operands.mask is not None:
            weights = mask_weights(operands.mask, ys)
            to_z, to_h, z = mul(to_z, weights), mul(to_h, weights), mul(z, weights)
        gradients = self._reset_after if self.reset_after else self._reset_before
        return gradients(operands, ys, h, _Factors(to_z, to_r, to_h, z, r, extra), grads[:2])

    def _reset_after(self, operands: Operands[Value], ys: Value, h: Value, by: _Factors, grads: Gradients) -> Gradients:
        units = ys.shape[-1]
        inner = product(h, self._weights(operands, 2, 3))
        if operands.bias is not None:
            inner = add(inner, expand_dims(slice_axes(operands.bias, [-1], [2 * units], [None]), -2))
        into_r = mul(inner, by.r_slope)
        factors = concat([by.to_z, mul(by.to_h, into_r), mul(by.to_h, by.r)], -1)
        extra = by.extra
        extra_h = None
        if extra is not None:
            g_z, g_r, extra_h = split(extra, [units] * 3, -1)
            extra = concat([g_z, add(g_r, mul(extra_h, into_r)), mul(extra_h, by.r)], -1)

        def step(
            g_h: Value, others: Sequence[Value], at: Mapping[str, Value]
        ) -> tuple[Value, Sequence[Value], Sequence[Value]]:
            g_inner = mul(concat([g_h, g_h, g_h], -1), at["factors"])
            if "extra" in at:
                g_inner = add(g_inner, at["extra"])
            through = product(g_inner, operands.recurrent, transpose_y=True)
            return add(through, mul(g_h, at["z"])), [], [g_inner, g_h]

        sequences = {"factors": factors, "extra": extra, "z": by.z}
        rest, (g_inner, g_h) = backward(self, operands, ys, step, sequences, grads)
        g_hh = mul(g_h, by.to_h)
        g_x = concat(
            [slice_axes(g_inner, [-1], [None], [2 * units]), g_hh if extra_h is None else add(g_hh, extra_h)], -1
        )
        bias = [reduce_sum(g_inner, [0, g_inner.rank - 2])] if self.has_bias else []
        return [g_x, weight_gradient(h, g_inner), *bias, *rest]

    def _reset_before(
        self, operands: Operands[Value], ys: Value, h: Value, by: _Factors, grads: Gradients
    ) -> Gradients:
        units = ys.shape[-1]
        w_gates, w_h = self._weights(operands, 0, 2), self._weights(operands, 2, 3)

        def step(
            g_h: Value, others: Sequence[Value], at: Mapping[str, Value]
        ) -> tuple[Value, Sequence[Value], Sequence[Value]]:
            g_hh = mul(g_h, at["to_h"])
            if "extra_h" in at:
                g_hh = add(g_hh, at["extra_h"])
            g_reset = product(g_hh, w_h, transpose_y=True)
            g_gates = mul(concat([g_h, g_reset], -1), at["to_gates"])
            if "extra_gates" in at:
                g_gates = add(g_gates, at["extra_gates"])
            through = add(product(g_gates, w_gates, transpose_y=True), mul(g_reset, at["r"]))
            return add(through, mul(g_h, at["z"])), [], [concat([g_gates, g_hh], -1)]

        extra_gates, extra_h = split(by.extra, [2 * units, units], -1) if by.extra is not None else (None, None)
        sequences = {
            "to_h": by.to_h,
            "to_gates": concat([by.to_z, mul(h, by.r_slope)], -1),
            "r": by.r,
            "z": by.z,
            "extra_h": extra_h,
            "extra_gates": extra_gates,
        }
        rest, (g_x,) = backward(self, operands, ys, step, sequences, grads)
        g_gates, g_hh = split(g_x, [2 * units, units], -1)
        g_w = concat([weight_gradient(h, g_gates), weight_gradient(mul(h, by.r), g_hh)], -1)
        return [g_x, g_w, *rest]

    def _weights(self, operands: Operands[Value], first: int, end: int) -> Value:
        """The columns of the recurrent kernel for some gates."""
        units = operands.initial[0].shape[-1]
        return slice_axes(operands.recurrent, [-1], [first * units], [end * units])


class _Factors(NamedTuple):
    """What a step multiplies gradients with; ``extra`` is the gradient of the gates before their activations."""

    to_z: Value
    r_slope: Value
    to_h: Value
    z: Value
    r: Value
    extra: Value | None


def gru(
    projected: Value,
    recurrent: Value,
    recurrent_bias: Value | None,
    h0: Value,
    mask: Value | None = None,
    scale: Value | None = None,
    *,
    activation: str = "tanh",
    recurrent_activation: str = "sigmoid",
    reset_after: bool = True,
    reverse: bool = False,
    unroll: bool = False,
) -> tuple[Value, Value]:
    """A GRU over time, given the projected inputs of all steps; see :class:`Gru`.

    Args:
        projected: ``x @ kernel + bias`` of all steps, ``[T, N, 3 * H]``, gates in the order z, r, h.
        recurrent: the recurrent kernel ``[H, 3 * H]``.
        recurrent_bias: added to ``h @ recurrent``, ``[3 * H]``, or ``None``; only with ``reset_after``.
        h0: the initial state ``[N, H]``.
        mask: bool ``[T, N]``; where it is false, the state stays.
        scale: ``[N, H]``, multiplied with ``h`` at the start of each step, also where it is kept by ``z``.
        activation: of the new state, a key of ``recurrent_activations.ACTIVATIONS``.
        recurrent_activation: of the gates z and r, likewise.
        reset_after: whether the reset gate comes after the product with the recurrent kernel.
        reverse: from the last step to the first.
        unroll: straight-line code instead of a loop; ``T`` must be known.

    Returns:
        ``h`` after each step ``[T, N, H]``, in the order of the inputs, and the last ``h`` ``[N, H]``.

    Raises:
        IRError: the operands do not fit together, or an activation is unknown.
    """
    op = Gru(
        activation=activation,
        recurrent_activation=recurrent_activation,
        reset_after=reset_after,
        has_bias=recurrent_bias is not None,
        reverse=reverse,
        unroll=unroll,
        masked=mask is not None,
        scaled=scale is not None,
    )
    given = [projected, recurrent, recurrent_bias, h0, mask, scale]
    ys, h, _ = apply_multi(op, *(value for value in given if value is not None))
    return ys, h
