"""Tensors that depend on no input: what they are worth now, for ``print``, ``format``, ``bool`` and the like."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kcompile import ir
from kcompile.common.errors import DataTypeError
from kcompile.ir.ops.loops.control import LearningPhase

if TYPE_CHECKING:
    from kcompile.symbolic.tensor import Array, Tensor

MOST_SHOWN = 10_000
"""Tensors of more elements are shown without their values."""


def has_value(x: Tensor) -> bool:
    """Whether ``x`` is made of constants and variables alone, and evaluating it changes nothing."""
    return all(_is_fixed(node.op) for node in ir.toposort([x.value]) if not node.inputs)


def _is_fixed(op: ir.Op) -> bool:
    random = isinstance(op, ir.Variable) and op.role == "rng"  # whose next number is for whom asks for it
    return not isinstance(op, (ir.Input, LearningPhase)) and not random


def is_traced(x: Tensor) -> bool:
    """Whether code of a layer, loss or metric is being traced, for which a variable's value would become a constant."""
    variables = any(isinstance(node.op, ir.Variable) for node in ir.toposort([x.value]))
    return variables and bool(ir.constant(0.0).node.scope)  # that of what is being traced


def described(x: Tensor) -> str:
    """How a tensor is shown: with its value, if it has one."""
    text = f"<Tensor {x.name!r} shape={tuple(x.shape)} dtype={x.dtype}"
    value = shown_value(x)
    return f"{text} value={value}>" if value else f"{text}>"


def shown_value(x: Tensor) -> str:
    """The numbers on one line; nothing if there are none, or too many."""
    if None in x.shape or np.prod(x.shape, dtype=int) > MOST_SHOWN or not has_value(x):
        return ""
    try:
        array = x.numpy()
    except (ValueError, RuntimeError):
        return ""  # to show a thing must not fail
    text = str(array) if array.ndim == 0 else np.array2string(array, separator=", ", threshold=20, edgeitems=2)
    return " ".join(text.split())


def number(x: Tensor, what: str) -> Array:
    """The value of a tensor of one element, as a NumPy scalar; ``what`` it is asked for.

    Raises:
        ValueError: it depends on an input. TypeError: it has more than one element.
    """
    array = x._number()
    if array.size != 1:
        raise DataTypeError(f"{x!r} has no {what}: it has {array.size} elements")
    result: Array = array.reshape(())[()]
    return result
