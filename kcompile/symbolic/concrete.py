"""Tensors that depend on no input: what they are worth now, for ``print``, ``format``, ``bool`` and the like."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kcompile import ir
from kcompile.common.errors import DataTypeError, NoNumberError
from kcompile.ir.ops.loops.control import LearningPhase
from kcompile.runtime import evaluate as runtime
from kcompile.symbolic.advice import on_numbers
from kcompile.symbolic.trace import current_trace

Array = NDArray[Any]
MOST_SHOWN = 10_000
"""Tensors of more elements are shown without their values."""


class Symbolic(Protocol):
    """A tensor, as far as its value is concerned."""

    @property
    def value(self) -> ir.Value: ...
    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int | None, ...]: ...
    @property
    def dtype(self) -> str: ...
    def numpy(self) -> Array: ...


def evaluated(tensors: Sequence[Symbolic], updates: Mapping[ir.Variable, ir.Value] | None = None) -> list[Array]:
    """The values of tensors that depend on variables and constants only, and of those that variables have from now on.

    Args:
        tensors: at least one.
        updates: new values of variables.

    Raises:
        ValueError: one depends on a model input, or a step is being traced.
    """
    values = [x.value for x in tensors]
    leaves = [node for node in ir.toposort([*values, *(updates or {}).values()]) if not node.inputs]
    if current_trace() is not None and any(isinstance(node.op, (ir.Input, ir.Variable)) for node in leaves):
        raise NoNumberError(
            f"{tensors[0]!r} has no number while a step is being traced (once, for all batches), so NumPy, float(), if "
            "and the like cannot use it; compute with K functions, and choose with K.switch"
        )
    inputs = {node.op.label for node in leaves if isinstance(node.op, ir.Input)}
    if inputs:
        raise NoNumberError(
            f"{tensors[0]!r} depends on input {', '.join(sorted(inputs))}, which has no value here; "
            "use model.predict, or K.function to compute it from arrays"
        )
    return runtime.evaluate(values, updates)


def has_value(value: ir.Value) -> bool:
    """Whether ``value`` is made of constants and variables alone, and evaluating it changes nothing."""
    return all(_is_fixed(node.op) for node in ir.toposort([value]) if not node.inputs)


def _is_fixed(op: ir.Op) -> bool:
    random = isinstance(op, ir.Variable) and op.role == "rng"  # whose next number is for whom asks for it
    return not isinstance(op, (ir.Input, LearningPhase)) and not random


def is_traced(value: ir.Value) -> bool:
    """Whether code of a layer, loss or metric is being traced, for which a variable's value would become a constant."""
    variables = any(isinstance(node.op, ir.Variable) for node in ir.toposort([value]))
    return variables and bool(ir.constant(0.0).node.scope)  # that of what is being traced


def described(x: Symbolic) -> str:
    """How a tensor is shown: with its value, if it has one."""
    text = f"<Tensor {x.name!r} shape={tuple(x.shape)} dtype={x.dtype}"
    value = shown_value(x)
    return f"{text} value={value}>" if value else f"{text}>"


def shown_value(x: Symbolic) -> str:
    """The numbers on one line; nothing if there are none, or too many."""
    type_ = x.value.type
    if not type_.is_static or math.prod(type_.static_shape) > MOST_SHOWN or not has_value(x.value):
        return ""
    try:
        array = x.numpy()
    except (ValueError, RuntimeError):
        return ""  # to show a thing must not fail
    text = str(array) if array.ndim == 0 else np.array2string(array, separator=", ", threshold=20, edgeitems=2)
    return " ".join(text.split())


def numbers(x: Symbolic) -> Array:
    """The value of a tensor for functions of NumPy or Python.

    Raises:
        ValueError: it depends on an input.
    """
    try:
        return x.numpy()
    except NoNumberError as error:
        raise NoNumberError(f"{error}{on_numbers()}") from None


def number(x: Symbolic, what: str) -> Any:
    """The value of a tensor of one element, as a NumPy scalar; ``what`` it is asked for.

    Raises:
        ValueError: it depends on an input. TypeError: it has more than one element.
    """
    array = numbers(x)
    if array.size != 1:
        raise DataTypeError(f"{x!r} has no {what}: it has {array.size} elements")
    return array.reshape(())[()]
