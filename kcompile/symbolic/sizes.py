"""Sizes as users give them, as sizes of the IR."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from kcompile import ir
from kcompile.common.errors import KCompileError
from kcompile.ir.ops.shapes.sizes import dims_of
from kcompile.symbolic.tensor import Tensor

Sizes: TypeAlias = "Tensor | Iterable[int | ir.SymbolicDim | Tensor | None]"
"""What shapes are given as; sizes may be what ``K.shape(x)[0]`` is."""


def as_dims(dims: Sizes) -> tuple[ir.Dim, ...]:
    """Sizes from numbers, ``-1``, ``None`` (as ``-1``), symbolic tensors such as ``K.shape(x)[0]``, or a whole tensor.

    Raises:
        ValueError: a tensor whose value does not follow from the sizes of the inputs.
    """
    if isinstance(dims, Tensor):
        known = dims_of(dims.value)
        if known is None:
            raise KCompileError(f"{dims!r} is not known while the model is built; shapes may depend on K.shape only")
        return known
    result: list[ir.Dim] = []
    for dim in dims:
        if isinstance(dim, Tensor):
            result += as_dims(dim)
        else:
            result.append(-1 if dim is None else dim if isinstance(dim, ir.SymbolicDim) else int(dim))
    return tuple(result)
