"""What the ``batched`` methods of ops share: operands with a new axis 0, along which slices are stacked."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from kcompile.ir.core import Op, Value, make_node
from kcompile.ir.dims import Dim, product
from kcompile.ir.ops.shapes.reshaping import expand, reshape


def count_of(inputs: Sequence[Value], stacked: Sequence[bool]) -> Dim:
    """How many slices there are."""
    return next(value.shape[0] for value, flag in zip(inputs, stacked, strict=True) if flag)


def all_stacked(inputs: Sequence[Value], stacked: Sequence[bool]) -> list[Value]:
    """All operands stacked: those that are the same for every slice are repeated."""
    count = count_of(inputs, stacked)
    return [x if flag else expand(x, (count, *x.shape)) for x, flag in zip(inputs, stacked, strict=True)]


def with_ones(x: Value, rank: int) -> Value:
    """A stacked value with ``rank`` axes: slices get leading axes of size 1."""
    return reshape(x, (x.shape[0], *(1,) * (rank - x.rank), *x.shape[1:]))


def behind(op: Op, inputs: Sequence[Value], stacked: Sequence[bool], **attributes: Any) -> tuple[Value, ...]:
    """``op`` with ``attributes`` that name axes behind the new one, on operands that are all stacked."""
    return make_node(dataclasses.replace(op, **attributes), *all_stacked(inputs, stacked)).outputs


def merged(x: Value) -> Value:
    """A stacked value with its first two axes as one."""
    return reshape(x, (product(x.shape[:2]), *x.shape[2:]))


def parted(x: Value, count: Dim, size: Dim) -> Value:
    """The opposite of :func:`merged`: ``count`` slices, whose first axis has ``size`` elements."""
    return reshape(x, (count, size, *x.shape[1:]))
