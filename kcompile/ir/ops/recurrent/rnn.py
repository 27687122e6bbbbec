"""The simple recurrent network: Elman (1990)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from kcompile.ir.core import Array, Gradients, Value, apply_multi
from kcompile.ir.ops.elementwise.arithmetic import add, mul
from kcompile.ir.ops.recurrent.activations import activation_named
from kcompile.ir.ops.recurrent.base import Operands, Recurrence, backward, parameter_gradients, product, with_bias


@dataclass(frozen=True, kw_only=True)
class Rnn(Recurrence):
    """``h = a(x + h @ w)``. Results: ``h`` after each step, and the last ``h``. The stash: ``h`` before each step."""

    gates: ClassVar[int] = 1
    states: ClassVar[int] = 1

    def evaluate(self, *arrays: Array) -> tuple[Array, ...]:
        x, recurrent, bias, (h,), mask, scale = self.operands(arrays)
        activation = activation_named(self.activation).evaluate
        ys, before = np.empty((len(x), *h.shape), h.dtype), np.empty((len(x), *h.shape), h.dtype)
        for t in range(len(x))[:: -1 if self.reverse else 1]:
            before[t] = h
            x_t = x[t] if bias is None else x[t] + bias[..., np.newaxis, :]
            after = activation(x_t + (h if scale is None else h * scale) @ recurrent)
            ys[t] = h = after if mask is None else np.where(mask[t][..., np.newaxis], after, h)
        return self.chosen((ys, h, before))

    def step(
        self, operands: Operands[Value], states: Sequence[Value], x: Value
    ) -> tuple[Sequence[Value], Sequence[Value]]:
        (h,) = states
        total = with_bias(operands, add(product(h, operands.recurrent), x))
        return (activation_named(self.activation).apply(total),), ()

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        operands = self.operands(inputs)
        slope = activation_named(self.activation).slope

        def step(
            g_h: Value, others: Sequence[Value], at: Mapping[str, Value]
        ) -> tuple[Value, Sequence[Value], Sequence[Value]]:
            # Where the mask is false, ys is not what the activation gave, but g_h is 0 there.
            g_x = mul(g_h, slope(at["ys"]))
            return product(g_x, operands.recurrent, transpose_y=True), [], [g_x]

        rest, (g_x,), h = backward(self, operands, outputs, grads, step)
        return [g_x, *parameter_gradients(operands, h, g_x), *rest]


def rnn(
    projected: Value,
    recurrent: Value,
    h0: Value,
    mask: Value | None = None,
    scale: Value | None = None,
    *,
    activation: str = "tanh",
    reverse: bool = False,
    unroll: bool = False,
) -> tuple[Value, Value]:
    """A simple recurrent network over time, given the projected inputs of all steps; see :class:`Rnn`.

    Args:
        projected: ``x @ kernel + bias`` of all steps, ``[T, N, H]``.
        recurrent: the recurrent kernel ``[H, H]``.
        h0: the initial state ``[N, H]``.
        mask: bool ``[T, N]``; where it is false, the state stays.
        scale: ``[N, H]``, multiplied with ``h`` at the start of each step (a dropout mask).
        activation: a key of ``recurrent_activations.ACTIVATIONS``.
        reverse: from the last step to the first.
        unroll: straight-line code instead of a loop; ``T`` must be known.

    Returns:
        ``h`` after each step ``[T, N, H]``, in the order of the inputs, and the last ``h`` ``[N, H]``.

    Raises:
        IRError: the operands do not fit together, or the activation is unknown.
    """
    op = Rnn(activation=activation, reverse=reverse, unroll=unroll, masked=mask is not None, scaled=scale is not None)
    ys, h, _ = apply_multi(op, projected, recurrent, h0, *(value for value in (mask, scale) if value is not None))
    return ys, h
