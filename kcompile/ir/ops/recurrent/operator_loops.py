"""ONNX's recurrent operators written as loops, for targets that have no kernels for them: CUDA, mostly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from kcompile.ir.core import Value, constant
from kcompile.ir.ops.arrays.indexing import gather
from kcompile.ir.ops.arrays.slicing import split, stack
from kcompile.ir.ops.elementwise.arithmetic import add, mul, sub, where
from kcompile.ir.ops.elementwise.comparison import greater, less
from kcompile.ir.ops.products.linalg import matmul
from kcompile.ir.ops.recurrent.base import Step, loop
from kcompile.ir.ops.shapes.reshaping import expand_dims
from kcompile.ir.ops.shapes.sizes import iota

Functions = Sequence[Callable[[Value], Value]]
NextStates = Callable[[Functions, Value, Value, Value, Sequence[Value]], Sequence[Value]]
"""The states after a step, from activations, recurrent weights and their bias, projected input, and states before."""


def loops(
    next_states: NextStates,
    directions: Sequence[tuple[bool, Functions]],
    x: Value,
    w: Value,
    r: Value,
    b: Value,
    lengths: Value | None,
    states: Sequence[Value],
) -> tuple[Value, ...]:
    """What :class:`~.recurrent_operators.RecurrentOperator` computes, by one loop for each direction.

    Args:
        next_states: one step.
        directions: for each whether it is reversed, and its activations.
        x, w, r, b, lengths, states: the operands.
    """
    results = []
    for d, (reverse, functions) in enumerate(directions):
        place = constant(d, "int64")
        kernel, recurrent, bias = (gather(value, place) for value in (w, r, b))
        halves = split(bias, [recurrent.shape[0]] * 2, 0)
        sequences = [add(matmul(x, kernel, transpose_y=True), halves[0])]
        if lengths is not None:
            steps = expand_dims(iota(x.shape[0], lengths.dtype), 1)
            sequences.append(expand_dims(less(steps, expand_dims(lengths, 0)), -1))

        advance = partial(next_states, functions, recurrent, halves[1])

        def step(
            before: Sequence[Value], slices: Sequence[Value], advance: Callable[..., Sequence[Value]] = advance
        ) -> Step:
            after = advance(slices[0], before)
            if lengths is None:
                return after, after[:1]
            kept = [where(slices[1], new, old) for new, old in zip(after, before, strict=True)]
            return kept, [where(slices[1], after[0], 0)]

        finals, (y,) = loop(step, [gather(state, place) for state in states], sequences, reverse, unroll=False)
        if lengths is not None:
            finals = tuple(where(expand_dims(greater(lengths, 0), -1), state, 0) for state in finals)
        results.append((y, *finals))
    ys, *rest = zip(*results, strict=True)
    return (stack(ys, 1), *(stack(parts, 0) for parts in rest))


def lstm_step(functions: Functions, r: Value, bias: Value, x: Value, states: Sequence[Value]) -> Sequence[Value]:
    """Gates in the order i, o, f, c."""
    gate, activation, output = functions
    h, c = states
    i, o, f, g = split(add(add(x, matmul(h, r, transpose_y=True)), bias), [c.shape[1]] * 4, -1)
    c = add(mul(gate(f), c), mul(gate(i), activation(g)))
    return [mul(gate(o), output(c)), c]


def gru_step(functions: Functions, r: Value, bias: Value, x: Value, states: Sequence[Value]) -> Sequence[Value]:
    """Gates in the order z, r, h; the reset gate multiplies the state."""
    gate, activation = functions
    (h,) = states
    units = [h.shape[1]] * 3
    (x_z, x_r, x_h), (r_z, r_r, r_h), (b_z, b_r, b_h) = split(x, units, -1), split(r, units, 0), split(bias, units, 0)
    update = gate(add(add(x_z, matmul(h, r_z, transpose_y=True)), b_z))
    reset = gate(add(add(x_r, matmul(h, r_r, transpose_y=True)), b_r))
    new = activation(add(add(x_h, matmul(mul(reset, h), r_h, transpose_y=True)), b_h))
    return [add(mul(update, h), mul(sub(1, update), new))]


def gru_step_after(functions: Functions, r: Value, bias: Value, x: Value, states: Sequence[Value]) -> Sequence[Value]:
    """Gates in the order z, r, h; the reset gate multiplies the product of the state."""
    gate, activation = functions
    (h,) = states
    units = [h.shape[1]] * 3
    inner = add(matmul(h, r, transpose_y=True), bias)
    (x_z, x_r, x_h), (h_z, h_r, h_h) = split(x, units, -1), split(inner, units, -1)
    update = gate(add(x_z, h_z))
    new = activation(add(x_h, mul(gate(add(x_r, h_r)), h_h)))
    return [add(mul(update, h), mul(sub(1, update), new))]


def rnn_step(functions: Functions, r: Value, bias: Value, x: Value, states: Sequence[Value]) -> Sequence[Value]:
    """A simple recurrence."""
    return [functions[0](add(add(x, matmul(states[0], r, transpose_y=True)), bias))]
