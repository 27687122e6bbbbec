"""Recurrent layers become single operators, for inference, where no gradient needs what happens inside."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kcompile.ir.core import (
    Graph,
    Node,
    Value,
    constant,
)
from kcompile.ir.ops.arrays.indexing import gather
from kcompile.ir.ops.arrays.slicing import concat
from kcompile.ir.ops.elementwise.arithmetic import maximum, where
from kcompile.ir.ops.elementwise.comparison import less
from kcompile.ir.ops.recurrent.base import Recurrence
from kcompile.ir.ops.recurrent.gru import Gru
from kcompile.ir.ops.recurrent.lstm import Lstm
from kcompile.ir.ops.recurrent.operators import (
    ONNX_ACTIVATIONS,
    OnnxGRU,
    OnnxLSTM,
    OnnxRNN,
    RecurrentOperator,
    recurrent_operator,
)
from kcompile.ir.ops.recurrent.rnn import Rnn
from kcompile.ir.ops.shapes.reshaping import Expand, Reshape, Transpose, expand_dims, reshape, squeeze, transpose
from kcompile.ir.ops.shapes.sizes import iota
from kcompile.ir.rebuilding import rebuild
from kcompile.passes.algebra.cse import cse
from kcompile.passes.machinery.report import fired
from kcompile.passes.machinery.rewrite import count_uses, in_regions, rewrite, uniform_of
from kcompile.passes.recurrence.carry_nan import carry_nan
from kcompile.passes.recurrence.masked_sequences import Packing, is_all_true
from kcompile.passes.recurrence.projections import projection_of
from kcompile.passes.recurrence.two_directions import join_directions
from kcompile.passes.rules.recurrent import RULES

GATE_ORDER: dict[type[Recurrence], tuple[int, ...]] = {Lstm: (0, 3, 1, 2), Gru: (0, 1, 2), Rnn: (0,)}
"""Which of Keras' gates (i, f, c, o for the LSTM) come one after the other in ONNX' weights (i, o, f, c)."""


def lower_recurrence(graph: Graph) -> Graph:
    """Make one ONNX LSTM, GRU or RNN of each recurrence with the projection of its input, or of two over one input.

    Those whose activations or dropout the operators do not know stay loops. Masked ones become operators on sequences
    whose valid steps have been moved to the front.
    """
    graph = in_regions(graph, lower_recurrence)
    if not any(isinstance(node.op, Recurrence) for node in graph.nodes()):
        return graph
    graph = rewrite(graph, RULES)
    uses = count_uses(graph)
    packing = Packing()

    def rule(node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...] | None:
        op = node.op
        if not isinstance(op, Recurrence):
            return None
        stash = node.outputs[op.sequence + op.states :]
        if any(value in uses for value in stash):
            return None  # gradients read what the loop stores
        results = _lowered(op, inputs, op.sequence and node.outputs[0] in uses, packing)
        return None if results is None else (*results[0 if op.sequence else 1 :], *stash)

    lowered = rebuild(graph, rule)
    return graph if lowered is graph else rewrite(carry_nan(join_directions(cse(lowered))), RULES)


def _lowered(
    op: Recurrence, inputs: Sequence[Value], with_sequence: bool, packing: Packing
) -> tuple[Value, ...] | None:
    """The states after each step, and the last ones, by one operator; ``None`` if there is none that computes them.

    Unless ``with_sequence``, nobody reads the first result, so that it may be anything.
    """
    projected, recurrent, recurrent_bias, initial, mask, scale = op.operands(inputs)
    if projected.rank != 3 or projected.dtype != "float32" or 0 in projected.shape:
        return None
    if any(name not in ONNX_ACTIVATIONS for name in op.activations()) or (scale is not None and uniform_of(scale) != 1):
        return None
    projection = projection_of(projected)
    if projection is None:
        return None
    x, kernel, bias = projection
    mask = None if mask is None or is_all_true(mask) else mask
    from_zero = all(map(_is_zero, initial))
    operator = _operator_for(op, mask is not None, not from_zero)
    fired(f"recurrence as {operator.onnx}")
    sequences = None
    if mask is not None:
        sequences, x = packing.pack(x, mask)
    # ONNX Runtime's RNN up to 1.25 reads outside of its memory where a sequence has no step, so it does one in vain;
    # and it leaves what comes after a sequence as it finds it.
    careful = isinstance(operator, OnnxRNN)
    lengths = None if sequences is None else sequences.lengths
    if lengths is not None and careful:
        lengths = maximum(lengths, 1)
    order = GATE_ORDER[type(op)]
    y, *finals = recurrent_operator(
        operator,
        x,
        _weights(kernel, order),
        _weights(recurrent, order),
        concat([_biases(value, order, recurrent) for value in (bias, recurrent_bias)], 1),
        lengths,
        [] if from_zero else [expand_dims(state, 0) for state in initial],
    )
    y, finals = squeeze(y, 1), [squeeze(state, 0) for state in finals]
    if sequences is not None:
        if careful and with_sequence:
            steps = expand_dims(iota(y.shape[0], "int32"), 1)
            y = where(expand_dims(less(steps, sequences.lengths), -1), y, 0)
        if careful or not from_zero:  # the others give zeros where there is no step
            finals = [where(sequences.empty, old, new) for old, new in zip(initial, finals, strict=True)]
        if with_sequence:
            y = packing.unpack(sequences, y, None if from_zero else initial[0], finals[0], op.reverse)
    return y, *finals


def _operator_for(op: Recurrence, with_lengths: bool, with_states: bool) -> RecurrentOperator:
    direction = "reverse" if op.reverse else "forward"
    match op:
        case Lstm(activation=activation, recurrent_activation=gate):
            return OnnxLSTM(direction, (gate, activation, activation), with_lengths, with_states)
        case Gru(activation=activation, recurrent_activation=gate, reset_after=after):
            return OnnxGRU(direction, (gate, activation), with_lengths, with_states, linear_before_reset=after)
    return OnnxRNN(direction, (op.activation,), with_lengths, with_states)


# ---- weights in ONNX' order


def _weights(matrix: Value, order: Sequence[int]) -> Value:
    """``[K, gates * H]`` as ``[1, gates * H, K]``, with the gates in another order."""
    return expand_dims(_ordered(transpose(matrix), order), 0)


def _biases(vector: Value | None, order: Sequence[int], like: Value) -> Value:
    """``[gates * H]``, or zeros if there is none, as ``[1, gates * H]``, with the gates in another order."""
    if vector is None:
        return constant(np.zeros((1, like.type.static_shape[1])), like.dtype)
    return expand_dims(_ordered(vector, order), 0)


def _ordered(gates: Value, order: Sequence[int]) -> Value:
    """The groups of rows, one for each gate, in another order."""
    if list(order) == list(range(len(order))):
        return gates
    rows, *rest = gates.shape
    assert isinstance(rows, int)
    apart = reshape(gates, (len(order), rows // len(order), *rest))
    return reshape(gather(apart, constant(order, "int64")), gates.shape)


# ---- states


def _is_zero(value: Value) -> bool:
    while isinstance(value.op, (Expand, Reshape, Transpose)):
        (value,) = value.node.inputs
    return bool(uniform_of(value) == 0)
