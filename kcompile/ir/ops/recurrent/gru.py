"""The GRU: Cho et al. (2014), in Keras' order of gates, with the reset gate before or after the product."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from kcompile.ir.core import Array, Gradients, Value, apply_multi
from kcompile.ir.errors import IRError
from kcompile.ir.ops.arrays.slicing import concat, split
from kcompile.ir.ops.elementwise.arithmetic import add, mul, sub
from kcompile.ir.ops.recurrent.activations import activation_named
from kcompile.ir.ops.recurrent.base import (
    Operands,
    Recurrence,
    backward,
    parameter_gradients,
    plus,
    product,
    weight_gradient,
    with_bias,
)
from kcompile.ir.types import TensorType


@dataclass(frozen=True, kw_only=True)
class Gru(Recurrence):
    """``z, r = s(...)``, ``h = z * h + (1 - z) * hh``, gates in the order z, r, h.

    With ``reset_after`` (Keras 3's default, and what GPUs compute) ``hh = a(x + r * (h @ w + bias))``, else
    ``hh = a(x + (r * h) @ w)``. Results: ``h`` after each step, and the last ``h``. The stash: ``h`` before each step,
    ``z``, ``r``, ``hh``, and with ``reset_after`` ``inner``, the part of ``h @ w + bias`` that ``r`` scales.
    """

    recurrent_activation: str = "sigmoid"
    reset_after: bool = True

    gates: ClassVar[int] = 3
    states: ClassVar[int] = 1

    def activations(self) -> tuple[str, ...]:
        return self.activation, self.recurrent_activation

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        if self.has_bias and not self.reset_after:
            raise IRError("there is a recurrent bias only if the reset gate comes after the product")
        return super().infer(*types)

    def stashed(self) -> tuple[str, ...]:
        return ("h", "z", "r", "hh", "inner") if self.reset_after else ("h", "z", "r", "hh")

    def evaluate(self, *arrays: Array) -> tuple[Array, ...]:
        x, recurrent, bias, (h,), mask, scale = self.operands(arrays)
        activation, gate = (activation_named(name).evaluate for name in self.activations())
        w_z, w_r, w_h = np.split(recurrent, 3, axis=-1)
        zero = np.zeros((*recurrent.shape[:-2], recurrent.shape[-1]), x.dtype)
        b_z, b_r, b_h = np.split((zero if bias is None else bias)[..., np.newaxis, :], 3, axis=-1)
        ys, *stash = (np.empty((len(x), *h.shape), h.dtype) for _ in range(1 + len(self.stashed())))
        for t in range(len(x))[:: -1 if self.reverse else 1]:
            x_z, x_r, x_h = np.split(x[t], 3, axis=-1)
            start = h if scale is None else h * scale
            z, r = gate(x_z + start @ w_z + b_z), gate(x_r + start @ w_r + b_r)
            inner = start @ w_h + b_h
            hh = activation(x_h + (r * inner if self.reset_after else (r * start) @ w_h))
            for kept, array in zip(stash, (h, z, r, hh, inner), strict=False):
                kept[t] = array
            keep = True if mask is None else mask[t][..., np.newaxis]
            ys[t] = h = np.where(keep, z * start + (1 - z) * hh, h)
        return self.chosen((ys, h, *stash))

    def step(
        self, operands: Operands[Value], states: Sequence[Value], x: Value
    ) -> tuple[Sequence[Value], Sequence[Value]]:
        (h,) = states
        units = h.shape[-1]
        activation, gate = (activation_named(name).apply for name in self.activations())
        for_gates, x_h = split(x, [2 * units, units], -1)
        if self.reset_after:
            products = product(h, operands.recurrent)
            products = with_bias(operands, products)
            gates, inner = split(products, [2 * units, units], -1)
            z, r = split(gate(add(for_gates, gates)), [units, units], -1)
            hh = activation(add(x_h, mul(r, inner)))
            return (add(hh, mul(z, sub(h, hh))),), (z, r, hh, inner)
        w_gates, w_h = split(operands.recurrent, [2 * units, units], -1)
        z, r = split(gate(add(product(h, w_gates), for_gates)), [units, units], -1)
        hh = activation(add(product(mul(r, h), w_h), x_h))
        return (add(hh, mul(z, sub(h, hh))),), (z, r, hh)

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        operands = self.operands(inputs)
        units = operands.recurrent.shape[-2]
        w_gates, w_h = split(operands.recurrent, [2 * units, units], -1)
        activation, gate = (activation_named(name) for name in self.activations())

        def step(
            g_h: Value, others: Sequence[Value], at: Mapping[str, Value]
        ) -> tuple[Value, Sequence[Value], Sequence[Value]]:
            h, z, r, hh = (at[name] for name in ("h", "z", "r", "hh"))
            direct = mul(g_h, z)
            g_z = gate.through_factor(z, sub(h, hh), g_h, direct, at.get("z'"))
            g_hh = mul(plus(mul(g_h, sub(1, z)), at.get("hh'")), activation.slope(hh))
            if self.reset_after:
                g_inner = mul(g_hh, r)
                g_r = gate.through_factor(r, at["inner"], g_hh, g_inner, at.get("r'"))
                g_products = concat([g_z, g_r, plus(g_inner, at.get("inner'"))], -1)
                back = product(g_products, operands.recurrent, transpose_y=True)
                return add(back, direct), [], [concat([g_z, g_r, g_hh], -1), g_products]
            g_reset = product(g_hh, w_h, transpose_y=True)
            through_reset = mul(g_reset, r)
            g_r = gate.through_factor(r, h, g_reset, through_reset, at.get("r'"))
            g_gates = concat([g_z, g_r], -1)
            back = product(g_gates, w_gates, transpose_y=True)
            return add(back, add(direct, through_reset)), [], [concat([g_gates, g_hh], -1)]

        rest, (g_x, *more), h = backward(self, operands, outputs, grads, step)
        if self.reset_after:
            (g_products,) = more
            return [g_x, *parameter_gradients(operands, h, g_products), *rest]
        g_gates, g_hh = split(g_x, [2 * units, units], -1)
        reset = mul(h, outputs[2 + self.stashed().index("r")])
        return [g_x, concat([weight_gradient(h, g_gates), weight_gradient(reset, g_hh)], -1), *rest]


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
    ys, h, *_ = apply_multi(op, *(value for value in given if value is not None))
    return ys, h
