"""NaN goes through recurrent operators, though ONNX Runtime's kernels stop it.

Those of LSTM and GRU add the bias with a function that turns NaN into a number (1.31), while the NaN of an initial
state remains in the state that is carried on. So sequences that hold a NaN start from NaN. Other than in a loop, their
results are NaN for all steps, also those before.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from functools import reduce

import numpy as np

from kcompile.ir.core import (
    Graph,
    Node,
    Value,
    constant,
    constant_of,
    make_node,
)
from kcompile.ir.ops.arrays.indexing import Gather
from kcompile.ir.ops.arrays.nan_search import any_nan
from kcompile.ir.ops.arrays.slicing import Concat, Slice, Split
from kcompile.ir.ops.elementwise.arithmetic import where
from kcompile.ir.ops.elementwise.comparison import less, logical_or
from kcompile.ir.ops.recurrent.operators import OnnxRNN, RecurrentOperator
from kcompile.ir.ops.shapes.reshaping import Reshape, Transpose, reshape
from kcompile.ir.ops.shapes.sizes import iota
from kcompile.ir.rebuilding import rebuild
from kcompile.passes.machinery.report import fired
from kcompile.passes.recurrence.reshaped_axes import axis_before_reshape

SEARCH = "search"
"""In place of a mark: whether there is a NaN has to be looked up."""


def carry_nan(graph: Graph) -> Graph:
    """Let recurrent operators start from NaN where their sequences hold one."""
    known: dict[Node, Value | None] = {}

    def rule(node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...] | None:
        op = node.op
        if not isinstance(op, RecurrentOperator) or isinstance(op, OnnxRNN):
            return None
        x, _, r, _, *rest = inputs
        found = _with_nan(x, rest[0] if op.with_lengths else None, known)
        if found is None:
            made = node if inputs == node.inputs else make_node(op, *inputs)
        else:
            fired(f"NaN through {op.onnx}")
            given = rest[op.with_lengths :] if op.with_states else [_zero_state(r)] * op.states
            states = [where(found, np.nan, state) for state in given]
            marked = dataclasses.replace(op, with_states=True)
            made = make_node(marked, *inputs[: 4 + op.with_lengths], *states)
        known[made] = found
        return made.outputs

    return rebuild(graph, rule)


def _with_nan(x: Value, lengths: Value | None, known: dict[Node, Value | None]) -> Value | None:
    """Which sequences of ``x`` hold a NaN: bool ``[1, N, 1]``; ``None``: none of them can.

    ``known`` tells it of the operators so far, whose results hold NaN if their sequences did.
    """
    found = list(dict.fromkeys(_marks(x, 1, known)))
    if SEARCH not in found:
        marks = [mark for mark in found if isinstance(mark, Value)]
        return reduce(logical_or, marks) if marks else None
    if lengths is None:
        return any_nan(x, [0, 2])
    steps = reshape(iota(x.shape[0], "int32"), (x.shape[0], 1, 1))
    return any_nan(where(less(steps, reshape(lengths, (1, x.shape[1], 1))), x, 0), [0, 2])


def _marks(value: Value, axis: int, known: Mapping[Node, Value | None]) -> Iterator[Value | str | None]:
    """For all of which ``value`` consists: which sequences hold NaN, ``None`` if none can, ``SEARCH`` if it is unknown.

    ``axis`` is that of the sequences.
    """
    array = constant_of(value)
    if not value.type.is_float or (array is not None and not np.isnan(array).any()):
        return
    operands = value.node.inputs
    place: int | None = axis
    match value.op:
        case Gather():
            # Rows of a table are the same for all sequences.
            yield from (SEARCH if mark else None for mark in _marks(operands[0], 0, known))
            return
        case RecurrentOperator() if value.node in known and axis == value.rank - 2:
            yield known[value.node]
            return
        case Transpose(permutation=permutation):
            place = permutation[axis]
        case Reshape():
            place = axis_before_reshape(operands[0], value, axis)
        case Slice(axes=axes):
            place = None if axis in axes else axis
        case Concat(axis=joined) | Split(axis=joined):
            place = None if axis == joined else axis
        case _:
            place = None
    if place is None:
        yield SEARCH
        return
    for operand in operands:
        yield from _marks(operand, place, known)


def _zero_state(r: Value) -> Value:
    """Zeros that broadcast to the initial state of an operator with recurrent weights ``r``."""
    directions, _, units = r.type.static_shape
    return constant(np.zeros((directions, 1, units)), r.dtype)
