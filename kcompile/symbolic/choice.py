"""Tensors that are one thing or another, by a condition."""

from __future__ import annotations

from kcompile.ir.ops.arrays import shaping
from kcompile.ir.ops.elementwise import functions as elementwise
from kcompile.ir.ops.loops.control import select
from kcompile.symbolic.tensor import Tensor, TensorLike, as_tensor, common_dtype


def chosen(condition: TensorLike, then: TensorLike, otherwise: TensorLike) -> Tensor:
    """``then`` where ``condition`` is true (not zero), else ``otherwise``.

    The condition is a scalar, or has the leading axes of the others.
    """
    a, b = common_dtype(as_tensor(then).value, as_tensor(otherwise).value)
    where = elementwise.cast(as_tensor(condition).value, "bool")
    if where.rank == 0:
        return Tensor(select(where, a, b))
    while where.rank < max(a.rank, b.rank):
        where = shaping.expand_dims(where, where.rank)
    return Tensor(elementwise.where(where, a, b))
