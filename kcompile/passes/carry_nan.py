"""NaN goes through recurrent operators, though ONNX Runtime's kernels stop it.

Those of LSTM and GRU add the bias with a function that turns NaN into a number (1.31), while the NaN of an initial
state remains in the state that is carried on. So sequences that hold a NaN start from NaN. Other than in a loop, their
results are NaN for all steps, also those before.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from kcompile.ir.core import Graph, Node, Value, constant, constant_of, make_node, rebuild
from kcompile.ir.ops.arithmetic import Cast, where
from kcompile.ir.ops.comparison import less, logical_and
from kcompile.ir.ops.indexing import Gather
from kcompile.ir.ops.nan_search import any_nan
from kcompile.ir.ops.recurrent_operators import OnnxRNN, RecurrentOperator
from kcompile.ir.ops.reduction import reduce_any
from kcompile.ir.ops.reshaping import Expand, Reshape, Transpose, reshape
from kcompile.ir.ops.sizes import iota
from kcompile.ir.ops.slicing import Concat, Slice, Split
from kcompile.passes.report import fired


def carry_nan(graph: Graph) -> Graph:
    """Let recurrent operators start from NaN where their sequences hold one."""

    def rule(node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...] | None:
        op = node.op
        if not isinstance(op, RecurrentOperator) or isinstance(op, OnnxRNN) or not may_be_nan(inputs[0]):
            return None
        fired(f"NaN through {op.onnx}")
        x, _, r, _, *rest = inputs
        if op.with_lengths:
            valid = less(reshape(iota(x.shape[0], "int32"), (x.shape[0], 1, 1)), reshape(rest[0], (1, x.shape[1], 1)))
            found = reduce_any(logical_and(any_nan(x, [2]), valid), 0, keepdims=True)
        else:
            found = any_nan(x, [0, 2])
        given = rest[op.with_lengths :] if op.with_states else [_zero_state(r)] * op.states
        states = [where(found, np.nan, state) for state in given]
        marked = dataclasses.replace(op, with_states=True)
        return make_node(marked, *inputs[: 4 + op.with_lengths], *states).outputs

    return rebuild(graph, rule)


def _zero_state(r: Value) -> Value:
    """Zeros that broadcast to the initial state of an operator with recurrent weights ``r``."""
    directions, _, units = r.type.static_shape
    return constant(np.zeros((directions, 1, units)), r.dtype)


def may_be_nan(value: Value) -> bool:
    """Whether ``value`` may hold a NaN, as far as the graph tells."""
    array = constant_of(value)
    if array is not None:
        return bool(np.isnan(array).any())
    match value.op:
        case Gather() | Cast():
            return may_be_nan(value.node.inputs[0])
        case Expand() | Reshape() | Transpose() | Slice() | Split() | Concat():
            return any(map(may_be_nan, value.node.inputs))
    return value.type.is_float
