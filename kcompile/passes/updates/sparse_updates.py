"""Gradients of which most rows are zero (of embeddings), in the updates of large variables.

Where a chain adds such a gradient, or something that is zero where the gradient is, to a number of its own, a few rows
are added instead: the table of zeros is never made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from kcompile.ir import costs
from kcompile.ir.core import Op, Value, apply
from kcompile.ir.ops.arrays.indexing import ScatterAdd
from kcompile.ir.ops.arrays.shaping import split
from kcompile.ir.ops.arrays.sorted_rows import add_sorted_rows, sorted_rows
from kcompile.ir.ops.elementwise.arithmetic import Abs, Add, Div, Mul, Neg, Sub
from kcompile.ir.ops.elementwise.functions import neg
from kcompile.passes.updates.group_updates import Chain, Operand


@dataclass
class SparseSteps:
    """The steps of a chain that are zero but for some rows.

    ``rows`` has those of each such step; the rest of the chain adds them to its own values. ``places`` are the
    numbers of these rows within their part, int64 [R, 1]; ``ends`` counts the rows before each part, int64 [1].
    """

    places: Value
    rows: dict[int, Value]
    ends: Sequence[Value]
    negated: dict[int, Value] = field(default_factory=dict)

    def added(self, op: Op, operands: tuple[Operand, ...], values: dict[int, Value], part: int) -> Value | None:
        """The result of a step on one part if it adds sparse rows, else ``None``."""
        x, y = (operands[0], operands[1]) if len(operands) == 2 else (None, None)
        if isinstance(op, Add) and x in self.rows:
            x, y = y, x
        if y not in self.rows or not isinstance(x, int) or not isinstance(y, int):
            return None
        rows = self.rows[y]
        if isinstance(op, Sub):
            rows = self.negated.setdefault(y, neg(rows))
        first, end = self.ends[part : part + 2]
        return add_sorted_rows(values[x], self.places, rows, first, end)


def find_sparse_steps(chain: Chain, starts: list[int], uses: dict[Value, int]) -> SparseSteps | None:
    """The sparse steps of a chain, if it has any and only adds them to others.

    Args:
        chain: updates of variables [rows, ...].
        starts: the first row of each part; all parts but the last have the same height.
        uses: how often the graph uses each value; a gradient that others need too is made anyway.
    """
    leaves = dict(zip((n for n, step in enumerate(chain.steps) if step is None), chain.leaves, strict=True))
    found = [number for number, leaf in leaves.items() if _is_sparse(leaf, chain.shape[0])]
    if len(found) != 1:
        return None
    (gradient,) = found
    leaf = leaves[gradient]
    kinds = _kinds(chain, gradient)
    used = sum(operands.count(gradient) for step in chain.steps if step is not None for operands in step[1:])
    if kinds is None or used != uses[leaf]:
        return None
    assert isinstance(leaf.op, ScatterAdd)
    indices, updates = leaf.node.inputs
    sparse = sorted_rows(indices, updates, chain.shape[0])
    rows = {gradient: sparse.rows}
    for number in kinds:
        step = chain.steps[number]
        if step is not None:
            op, operands = step
            rows[number] = apply(op, *(rows[x] if isinstance(x, int) else x for x in operands))
    ends = split(sparse.ends([*starts, chain.shape[0]]), [1] * (len(starts) + 1), 0)
    return SparseSteps(sparse.within_parts(starts[1]), rows, ends)


def _is_sparse(leaf: Value, rows: int) -> bool:
    if not isinstance(leaf.op, ScatterAdd):
        return False
    indices = leaf.node.inputs[0].type
    return indices.is_static and 1 < math.prod(indices.static_shape) * costs.SPARSE <= rows


def _kinds(chain: Chain, gradient: int) -> list[int] | None:
    """The numbers of the sparse steps; ``None`` if one is needed whole."""
    sparse = [gradient]
    for number, step in enumerate(chain.steps):
        if step is None:
            continue
        op, operands = step
        mine = [x in sparse for x in operands]
        if not any(mine):
            continue
        scalars = [isinstance(x, Value) for x in operands]
        if _keeps_zeros(op, mine, scalars):
            sparse.append(number)
        elif not (isinstance(op, Add) or (isinstance(op, Sub) and mine[1])) or any(scalars):
            return None
    return None if any(number in sparse for number in chain.results) else sparse


def _keeps_zeros(op: Op, sparse: list[bool], scalars: list[bool]) -> bool:
    """Whether the result is zero wherever the sparse operands are, and needs nothing else."""
    match op:
        case Neg() | Abs():
            return True
        case Add() | Sub():
            return all(sparse)
        case Mul():
            return all(one or scalar for one, scalar in zip(sparse, scalars, strict=True))
        case Div():
            return sparse[0] and scalars[1]
    return False
