"""K: updates of variables: pairs that steps and functions apply, and that change the variable when evaluated."""

from __future__ import annotations

from typing import Any

from kcompile.common.errors import DataTypeError, ShapeError, shown
from kcompile.symbolic.tensor import TensorLike, as_tensor
from kcompile.symbolic.trace import current_trace
from kcompile.symbolic.updates import Update
from kcompile.symbolic.variable import Variable


def update(x: Variable, new_x: TensorLike) -> Update:
    """The update of ``x`` to ``new_x``; see :class:`~kcompile.symbolic.updates.Update`.

    Raises:
        TypeError: ``x`` is no variable. ValueError: ``new_x`` has another shape.
    """
    return _noted(x, new_x)


def update_add(x: Variable, increment: TensorLike) -> Update:
    """The update of ``x`` to ``x + increment``."""
    return _noted(x, x + increment)


def update_sub(x: Variable, decrement: TensorLike) -> Update:
    """The update of ``x`` to ``x - decrement``."""
    return _noted(x, x - decrement)


def moving_average_update(x: Variable, value: TensorLike, momentum: float) -> Update:
    """The update of ``x`` to ``x * momentum + value * (1 - momentum)``."""
    return _noted(x, as_tensor(x) * momentum + as_tensor(value) * (1.0 - momentum))


def _noted(x: Any, new: TensorLike) -> Update:
    """The update; a step that is being traced makes it at once."""
    if not isinstance(x, Variable):
        raise DataTypeError(f"K.update needs a variable, got {shown(x)}")
    value = as_tensor(new)
    sizes = zip(x.shape, value.shape, strict=False)
    if value.ndim != x.ndim or any(None not in (a, b) and a != b for a, b in sizes):
        raise ShapeError(f"variable {x.label!r} has shape {tuple(x.shape)}; its update has shape {tuple(value.shape)}")
    if (trace := current_trace()) is not None:
        trace.append((x, value))
    return Update((x, value))
