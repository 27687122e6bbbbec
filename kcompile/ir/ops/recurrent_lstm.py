"""The LSTM: Hochreiter and Schmidhuber (1997), with the forget gate of Gers et al. (2000), in Keras' order of gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from kcompile.ir.core import Array, Gradients, Value, apply_multi
from kcompile.ir.ops.arithmetic import add, mul, sub
from kcompile.ir.ops.recurrent_activations import activation_named
from kcompile.ir.ops.recurrent_base import (
    Operands,
    Recurrence,
    backward,
    check_stash,
    mask_weights,
    previous,
    product,
    start_of_steps,
    weight_gradient,
)
from kcompile.ir.ops.slicing import concat, split
from kcompile.ir.types import TensorType


@dataclass(frozen=True, kw_only=True)
class Lstm(Recurrence):
    """``i, f, o = s(...)``, ``c = f * c + i * a(...)``, ``h = o * a(c)``: activations ``a``, recurrent ones ``s``.

    Gates are in the order i, f, c, o. Results: ``h`` after each step, the last ``h`` and ``c``; for gradients, ``c``
    after each step and the gates after their activations, ``[T, N, 4 * H]``.
    """

    recurrent_activation: str = "sigmoid"

    gates: ClassVar[int] = 4
    states: ClassVar[int] = 2

    def activations(self) -> tuple[str, ...]:
        return self.activation, self.recurrent_activation

    def stashed(self, sequence: TensorType) -> tuple[TensorType, ...]:
        return sequence, sequence.with_shape((*sequence.shape[:-1], 4 * sequence.shape[-1]))

    def evaluate(self, *arrays: Array) -> tuple[Array, ...]:
        x, recurrent, _, (h, c), mask, scale = self.operands(arrays)
        activation = activation_named(self.activation).evaluate
        gate = activation_named(self.recurrent_activation).evaluate
        ys, cs, gates = np.empty((len(x), *h.shape), h.dtype), np.empty((len(x), *h.shape), h.dtype), np.empty_like(x)
        for t in range(len(x))[:: -1 if self.reverse else 1]:
            i, f, g, o = np.split(x[t] + (h if scale is None else h * scale) @ recurrent, 4, axis=-1)
            i, f, g, o = gate(i), gate(f), activation(g), gate(o)
            gates[t] = np.concatenate([i, f, g, o], axis=-1)
            next_c = f * c + i * g
            next_h = o * activation(next_c)
            keep = True if mask is None else mask[t][..., np.newaxis]
            h, c = np.where(keep, next_h, h), np.where(keep, next_c, c)
            ys[t], cs[t] = h, c
        return (ys, h, c, cs, gates) if self.stash else (ys, h, c)

    def step(
        self, operands: Operands[Value], states: Sequence[Value], x: Value
    ) -> tuple[tuple[Value, ...], tuple[Value, ...]]:
        h, c = states
        activation = activation_named(self.activation).apply
        gate = activation_named(self.recurrent_activation).apply
        parts = split(add(x, product(h, operands.recurrent)), [h.shape[-1]] * 4, -1)
        i, f, g, o = gate(parts[0]), gate(parts[1]), activation(parts[2]), gate(parts[3])
        c = add(mul(f, c), mul(i, g))
        return (mul(o, activation(c)), c), (concat([i, f, g, o], -1),)

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        check_stash(self)
        operands = self.operands(inputs)
        ys, _, _, cs, gates = outputs
        slope, gate_slope = (activation_named(name).slope for name in self.activations())
        i, f, g, o = split(gates, [ys.shape[-1]] * 4, -1)
        active = activation_named(self.activation).apply(cs)
        c_before = previous(cs, operands.initial[1], self.reverse)
        # Each step is linear in the gradients of h and c; its factors are known for all steps at once.
        c_by_h = mul(o, slope(active))
        factors = concat(
            [mul(g, gate_slope(i)), mul(c_before, gate_slope(f)), mul(i, slope(g)), mul(active, gate_slope(o))], -1
        )
        g_gates = None
        if grads[4] is not None:
            g_gates = mul(grads[4], concat([gate_slope(i), gate_slope(f), slope(g), gate_slope(o)], -1))
        if operands.mask is not None:
            weights = mask_weights(operands.mask, ys)
            c_by_h, factors = mul(c_by_h, weights), mul(factors, weights)
            f = add(mul(f, weights), sub(1, weights))
        sequences = {"c_by_h": c_by_h, "factors": factors, "f": f, "g_c": grads[3], "g_gates": g_gates}

        def step(
            g_h: Value, others: Sequence[Value], at: Mapping[str, Value]
        ) -> tuple[Value, Sequence[Value], Sequence[Value]]:
            g_c = add(others[0], at["g_c"]) if "g_c" in at else others[0]
            g_c = add(g_c, mul(g_h, at["c_by_h"]))
            g_x = mul(concat([g_c, g_c, g_c, g_h], -1), at["factors"])
            if "g_gates" in at:
                g_x = add(g_x, at["g_gates"])
            return product(g_x, operands.recurrent, transpose_y=True), [mul(g_c, at["f"])], [g_x]

        rest, (g_x,) = backward(self, operands, ys, step, sequences, grads[:3])
        return [g_x, weight_gradient(start_of_steps(operands, ys, self.reverse), g_x), *rest]


def lstm(
    projected: Value,
    recurrent: Value,
    h0: Value,
    c0: Value,
    mask: Value | None = None,
    scale: Value | None = None,
    *,
    activation: str = "tanh",
    recurrent_activation: str = "sigmoid",
    reverse: bool = False,
    unroll: bool = False,
) -> tuple[Value, Value, Value]:
    """An LSTM over time, given the projected inputs of all steps; see :class:`Lstm`.

    Args:
        projected: ``x @ kernel + bias`` of all steps, ``[T, N, 4 * H]``, gates in the order i, f, c, o.
        recurrent: the recurrent kernel ``[H, 4 * H]``.
        h0: the initial output ``[N, H]``.
        c0: the initial cell state ``[N, H]``.
        mask: bool ``[T, N]``; where it is false, the states stay, and ``h`` is what it was.
        scale: ``[N, H]``, multiplied with ``h`` at the start of each step (a dropout mask).
        activation: of the cell's input and output, a key of ``recurrent_activations.ACTIVATIONS``.
        recurrent_activation: of the gates i, f and o, likewise.
        reverse: from the last step to the first.
        unroll: straight-line code instead of a loop; ``T`` must be known.

    Returns:
        ``h`` after each step ``[T, N, H]``, in the order of the inputs, and the last ``h`` and ``c``, ``[N, H]``.

    Raises:
        IRError: the operands do not fit together, or an activation is unknown.
    """
    op = Lstm(
        activation=activation,
        recurrent_activation=recurrent_activation,
        reverse=reverse,
        unroll=unroll,
        masked=mask is not None,
        scaled=scale is not None,
    )
    options = [value for value in (mask, scale) if value is not None]
    ys, h, c, *_ = apply_multi(op, projected, recurrent, h0, c0, *options)
    return ys, h, c
