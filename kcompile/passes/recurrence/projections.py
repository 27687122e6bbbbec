"""Sequences that are products: finding ``x``, ``kernel`` and ``bias`` again in ``x @ kernel + bias``."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from kcompile.ir.core import Value, apply
from kcompile.ir.dims import Dim
from kcompile.ir.ops.arrays.slicing import Slice, Split
from kcompile.ir.ops.elementwise.arithmetic import Add, add
from kcompile.ir.ops.products.gemm import Gemm
from kcompile.ir.ops.products.linalg import MatMul
from kcompile.ir.ops.shapes.reshaping import Reshape, Transpose, reshape, transpose
from kcompile.passes.fusion.fuse import vector_along


class Projection(NamedTuple):
    """``x @ kernel + bias``: ``[T, N, K]``, ``[K, M]`` and, if there is one, ``[M]``."""

    x: Value
    kernel: Value
    bias: Value | None


def projection_of(value: Value) -> Projection | None:
    """The parts of ``value``, of three axes, if it is a sequence multiplied with a matrix.

    Sees through reshapes and transposes between product, bias and result, and finds its columns in a wider product.
    """
    operands = value.node.inputs
    match value.op:
        case Add():
            for product, other in (operands, operands[::-1]):
                bias = vector_along(other, value, value.rank - 1)
                found = projection_of(product) if bias is not None and product.type == value.type else None
                if found is not None:
                    return found._replace(bias=bias if found.bias is None or bias is None else add(found.bias, bias))
        case Transpose(permutation=permutation) if permutation[-1] == value.rank - 1:
            found = projection_of(operands[0])
            return found and found._replace(x=transpose(found.x, permutation))
        case Reshape() if operands[0].rank > 1 and operands[0].shape[-1] == value.shape[-1]:
            found = projection_of(operands[0])
            return found and found._replace(x=_reshaped(found.x, (*value.shape[:-1], found.x.shape[-1])))
        case Slice(axes=(axis,)) if axis == value.rank - 1:
            found = projection_of(operands[0])
            return found and _columns(found, value.op)
        case Split(axis=axis, sizes=sizes) if axis == value.rank - 1:
            found = projection_of(operands[0])
            start = sum(sizes[: value.index])
            return found and _columns(found, Slice((axis,), (start,), (sizes[value.index],), (1,)))
        case MatMul(transpose_x=False, transpose_y=turned) | Gemm(transpose_x=False, transpose_y=turned):
            x, kernel, *rest = operands
            if kernel.rank == 2:
                return Projection(x, transpose(kernel) if turned else kernel, rest[0] if rest else None)
    return None


def _columns(whole: Projection, part: Slice) -> Projection:
    """Some of the columns of a projection: those of the kernel and the bias."""
    bias = whole.bias and apply(dataclasses.replace(part, axes=(0,)), whole.bias)
    return Projection(whole.x, apply(dataclasses.replace(part, axes=(1,)), whole.kernel), bias)


def _reshaped(x: Value, shape: tuple[Dim, ...]) -> Value:
    """As ``reshape``, but of what was reshaped before, so that equal sequences are one value."""
    while isinstance(x.op, Reshape):
        (x,) = x.node.inputs
    return reshape(x, shape)
