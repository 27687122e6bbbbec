"""The LSTM: Hochreiter and Schmidhuber (1997), with the forget gate of Gers et al. (2000), in Keras' order of gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from kcompile.ir.core import Array, Gradients, Value, apply_multi
from kcompile.ir.ops.arrays.slicing import concat, split
from kcompile.ir.ops.elementwise.arithmetic import add, mul, sub
from kcompile.ir.ops.recurrent.activations import activation_named
from kcompile.ir.ops.recurrent.base import Operands, Recurrence, backward, parameter_gradients, plus, product, with_bias


@dataclass(frozen=True, kw_only=True)
class Lstm(Recurrence):
    """``i, f, o = s(...)``, ``c = f * c + i * a(...)``, ``h = o * a(c)``: activations ``a``, recurrent ones ``s``.

    Gates are in the order i, f, c, o. Results: ``h`` after each step, the last ``h`` and ``c``. The stash: ``h`` and
    ``c`` before each step, ``i``, ``f``, ``g = a(...)``, ``o`` and ``a(c)``.
    """

    recurrent_activation: str = "sigmoid"

    gates: ClassVar[int] = 4
    states: ClassVar[int] = 2

    def activations(self) -> tuple[str, ...]:
        return self.activation, self.recurrent_activation

    def stashed(self) -> tuple[str, ...]:
        return "h", "c", "i", "f", "g", "o", "a"

    def evaluate(self, *arrays: Array) -> tuple[Array, ...]:
        x, recurrent, bias, (h, c), mask, scale = self.operands(arrays)
        activation, gate = (activation_named(name).evaluate for name in self.activations())
        ys, *stash = (np.empty((len(x), *h.shape), h.dtype) for _ in range(8))
        for t in range(len(x))[:: -1 if self.reverse else 1]:
            x_t = x[t] if bias is None else x[t] + bias[..., np.newaxis, :]
            i, f, g, o = np.split(x_t + (h if scale is None else h * scale) @ recurrent, 4, axis=-1)
            i, f, g, o = gate(i), gate(f), activation(g), gate(o)
            next_c = f * c + i * g
            a = activation(next_c)
            for kept, array in zip(stash, (h, c, i, f, g, o, a), strict=True):
                kept[t] = array
            keep = True if mask is None else mask[t][..., np.newaxis]
            h, c = np.where(keep, o * a, h), np.where(keep, next_c, c)
            ys[t] = h
        return self.chosen((ys, h, c, *stash))

    def step(
        self, operands: Operands[Value], states: Sequence[Value], x: Value
    ) -> tuple[Sequence[Value], Sequence[Value]]:
        h, c = states
        activation, gate = (activation_named(name).apply for name in self.activations())
        parts = split(with_bias(operands, add(product(h, operands.recurrent), x)), [h.shape[-1]] * 4, -1)
        i, f, g, o = gate(parts[0]), gate(parts[1]), activation(parts[2]), gate(parts[3])
        next_c = add(mul(f, c), mul(i, g))
        a = activation(next_c)
        return (mul(o, a), next_c), (c, i, f, g, o, a)

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        operands = self.operands(inputs)
        activation, gate = (activation_named(name) for name in self.activations())

        def step(
            g_h: Value, others: Sequence[Value], at: Mapping[str, Value]
        ) -> tuple[Value, Sequence[Value], Sequence[Value]]:
            c, i, f, g, o, a = (at[name] for name in self.stashed()[1:])
            g_c = others[0]
            kept = None
            if "mask" in at:
                g_c = mul(g_c, at["mask"])
                kept = sub(others[0], g_c)
            g_a = mul(g_h, o)
            g_c = add(g_c, mul(plus(g_a, at.get("a'")), activation.slope(a)))
            g_g, before = mul(g_c, i), mul(g_c, f)
            g_x = concat(
                [
                    gate.through_factor(i, g, g_c, g_g, at.get("i'")),
                    gate.through_factor(f, c, g_c, before, at.get("f'")),
                    mul(plus(g_g, at.get("g'")), activation.slope(g)),
                    gate.through_factor(o, a, g_h, g_a, at.get("o'")),
                ],
                -1,
            )
            before = plus(plus(before, at.get("c'")), kept)
            return product(g_x, operands.recurrent, transpose_y=True), [before], [g_x]

        rest, (g_x,), h = backward(self, operands, outputs, grads, step)
        return [g_x, *parameter_gradients(operands, h, g_x), *rest]


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
