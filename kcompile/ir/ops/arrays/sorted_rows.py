"""Rows that are added to a part of a table: what a gradient with few non-zero rows is to an update in parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kcompile.ir.core import Array, Builder, Node, Op, Value, apply, constant
from kcompile.ir.dims import Size, as_integers
from kcompile.ir.errors import IRError
from kcompile.ir.ops.arrays.cumulative import cumsum
from kcompile.ir.ops.arrays.indexing import gather, scatter_add, top_k
from kcompile.ir.ops.arrays.reduction import reduce_sum
from kcompile.ir.ops.arrays.shaping import concat, expand_dims, reshape, slice_axes
from kcompile.ir.ops.elementwise.arithmetic import cast, where
from kcompile.ir.ops.elementwise.comparison import less, not_equal
from kcompile.ir.ops.elementwise.functions import add, mod, mul, neg
from kcompile.ir.ops.shapes.sizes import iota
from kcompile.ir.types import TensorType, same_dim


@dataclass(frozen=True)
class AddSortedRows(Op):
    """``x`` with some of the rows added.

    Operands: x [rows of the part, ...]; places int64 [R, 1]; rows [R, ...]; first and end int64 [1]: the rows from
    ``first`` up to ``end`` are added at the rows of ``x`` that the places name, each at most once.
    """

    in_place = True

    def infer(self, *types: TensorType) -> TensorType:
        x, places, rows, first, end = types
        column, one = TensorType("int64", (places.shape[0], 1)), TensorType("int64", (1,))
        if places != column or first != one or end != one:
            raise IRError(f"places must be a column and ends single int64 numbers, got {places}, {first}, {end}")
        if not same_dim(places.shape[0], rows.shape[0]) or rows.with_shape((x.shape[0], *rows.shape[1:])) != x:
            raise IRError(f"rows {rows} at {places} cannot be added to {x}")
        return x

    def evaluate(self, *arrays: Array) -> Array:
        x, places, rows, first, end = arrays
        mine = slice(int(first[0]), int(end[0]))
        result = x.copy()
        np.add.at(result, places[mine, 0], rows[mine])
        return result

    def flops(self, node: Node, size: Size) -> int:
        return node.inputs[2].type.elements(size)

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        x, places, rows, first, end = names
        axis = b.constant([0], "int64")
        mine = [b.op("Slice", operand, first, end, axis) for operand in (places, rows)]
        return b.op("ScatterND", x, *mine, reduction="add")


@dataclass(frozen=True)
class SortedRows:
    """Where and what the non-zero rows of a table are: places int64 [R] ascending, rows [R, ...].

    No place is named twice; the last entries may lie behind the end of the table.
    """

    places: Value
    rows: Value

    def ends(self, starts: Sequence[int]) -> Value:
        """How many places lie before each of ``starts``, int64."""
        column = constant(np.asarray(starts, np.int64)[:, None])
        before = cast(less(expand_dims(self.places, 0), column), "int32")
        return cast(reduce_sum(before, (1,)), "int64")

    def within_parts(self, height: int) -> Value:
        """The places, counted from the start of their part of ``height`` rows; int64 [R, 1]."""
        return expand_dims(mod(self.places, height), 1)


def sorted_rows(indices: Value, updates: Value, size: int) -> SortedRows:
    """The non-zero rows of ``scatter_add(indices, updates, size)``; rows of one place are summed.

    Args:
        indices: integers of known sizes, negative ones count from the end.
        updates: their shape starts with that of ``indices``.
        size: the rows of the table.
    """
    (count,) = as_integers((indices.type.size,))
    flat = cast(reshape(indices, (count,)), "int64")
    flat = where(less(flat, 0), add(flat, size), flat)
    descending, order = top_k(neg(flat), count)
    ascending = neg(descending)
    rows = gather(reshape(updates, (count, *updates.shape[indices.rank :])), order)
    # Equal places are neighbours now: number the groups, and put the sum of each into the row of its number.
    differs = not_equal(slice_axes(ascending, (0,), (1,), (count,)), slice_axes(ascending, (0,), (0,), (count - 1,)))
    begins = concat([constant(np.ones(1, np.int64)), cast(differs, "int64")], 0)
    group = add(cumsum(begins, 0), -1)
    groups = reduce_sum(begins)
    places = scatter_add(group, mul(begins, ascending), count)
    places = where(less(iota(count), groups), places, constant(np.int64(size)))
    return SortedRows(places, scatter_add(group, rows, count))


def add_sorted_rows(x: Value, places: Value, rows: Value, first: Value, end: Value) -> Value:
    """``x`` with the rows from ``first`` to ``end`` added at ``places``; see :class:`AddSortedRows`."""
    return apply(AddSortedRows(), x, places, rows, first, end)
