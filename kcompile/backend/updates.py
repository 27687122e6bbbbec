"""K: updates of variables: pairs that steps and functions apply, and that change the variable when evaluated."""

from __future__ import annotations

from typing import Any

from kcompile.common.errors import DataTypeError, ShapeError, shown
from kcompile.symbolic.tensor import Array, Tensor, as_tensor
from kcompile.symbolic.variable import Variable, current_trace


class Update(tuple[Variable, Tensor]):
    """``(variable, new value)``: for ``layer.add_update`` and ``K.function(updates=...)``.

    Evaluating it (``K.eval``, ``K.get_value``, ``numpy()``, or as an output of ``K.function``) gives the new value and
    changes the variable, as an assignment of TensorFlow 1 does.
    """

    __slots__ = ()

    @property
    def new(self) -> Tensor:
        """The new value, as a tensor."""
        return self[1]

    @property
    def shape(self) -> Any:
        return self[1].shape

    @property
    def dtype(self) -> str:
        return self[0].dtype

    def numpy(self) -> Array:
        """The new value, which the variable has from now on.

        Raises:
            ValueError: it depends on a model input, which has no value here.
        """
        from kcompile.symbolic.functions import evaluate

        return evaluate([self])[0]

    def eval(self, session: object = None) -> Array:
        """As ``numpy()``."""
        return self.numpy()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        array = self.numpy()
        return array if dtype is None else array.astype(dtype)


def update(x: Any, new_x: Any) -> Update:
    """The update of ``x`` to ``new_x``; see :class:`Update`.

    Raises:
        TypeError: ``x`` is no variable. ValueError: ``new_x`` has another shape.
    """
    return _noted(x, new_x)


def update_add(x: Any, increment: Any) -> Update:
    """The update of ``x`` to ``x + increment``."""
    return _noted(x, x + increment)


def update_sub(x: Any, decrement: Any) -> Update:
    """The update of ``x`` to ``x - decrement``."""
    return _noted(x, x - decrement)


def moving_average_update(x: Any, value: Any, momentum: float) -> Update:
    """The update of ``x`` to ``x * momentum + value * (1 - momentum)``."""
    return _noted(x, as_tensor(x) * momentum + as_tensor(value) * (1.0 - momentum))


def _noted(x: Any, new: Any) -> Update:
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
