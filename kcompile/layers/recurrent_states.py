"""The states of recurrent layers: their sizes, first values, and the variables that stateful layers keep them in."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from kcompile import backend as K
from kcompile import ir
from kcompile.backend.shape import as_dims
from kcompile.backend.variables import Variable
from kcompile.engine.tensor import Tensor, as_tensor
from kcompile.errors import DataTypeError
from kcompile.ir.ops import shaping
from kcompile.utils.nest import flatten, is_nested, pack


def state_form(cell: Any) -> Any:
    """``state_size`` of a cell as a list (or tuple) of sizes, also where it is a single one."""
    return cell.state_size if is_nested(cell.state_size) else [cell.state_size]


def state_shapes(cell: Any) -> list[tuple[int, ...]]:
    """The shape of each state of a cell, without the batch axis."""
    return [size_as_shape(size) for size in flatten(cell.state_size)]


def size_as_shape(size: Any) -> tuple[int, ...]:
    """A size as cells give it, a number or a shape (which answers ``as_list``), as a tuple."""
    return tuple(size.as_list()) if hasattr(size, "as_list") else (int(size),)


def output_form(cell: Any) -> Any:
    """``output_size`` of a cell; the size of its first state if it does not tell."""
    size = getattr(cell, "output_size", None)
    return flatten(cell.state_size)[0] if size is None else size


def first_states(cell: Any, batch: Any, dtype: str) -> Any:
    """The states before the first step, in the form of ``state_size``: what the cell says, else zeros.

    Args:
        cell: asked by its ``get_initial_state(inputs, batch_size, dtype)``, given those arguments that it takes.
        batch: the batch size: a number, an IR size, or a symbolic tensor.
        dtype: element type.
    """
    own = getattr(cell, "get_initial_state", None)
    if own is None:
        zeros = [zero_state(batch, shape, dtype) for shape in state_shapes(cell)]
        return pack(state_form(cell), zeros)
    size = batch if isinstance(batch, (int, Tensor)) else Tensor(shaping.dims_vector((batch,)))[0]
    states = own(**taken_by(own, {"inputs": None, "batch_size": size, "dtype": dtype}))
    found = [as_tensor(state) for state in flatten(states)]
    return pack(state_form(cell), [K.cast(x, dtype) if x.value.type.is_float else x for x in found])


def zero_state(batch: Any, shape: Sequence[int], dtype: str) -> Tensor:
    """Zeros of shape ``(batch, *shape)``; the batch size is a number, a symbolic tensor, or an IR size."""
    return Tensor(shaping.expand(ir.constant(0, dtype), (*as_dims([batch]), *shape)))


def state_variables(owner: str, names: Sequence[str], states: Sequence[Tensor]) -> list[Variable]:
    """Variables that hold ``states`` from one batch to the next."""
    return [
        Variable(state.numpy(), state.dtype, f"{owner}_state_{name}", role="state", trainable=False)
        for name, state in zip(names, states, strict=True)
    ]


def takes(function: Callable[..., Any], argument: str) -> bool:
    """Whether a function has a parameter of that name."""
    return argument in inspect.signature(function).parameters


def taken_by(function: Callable[..., Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """Those of ``arguments`` that a function takes."""
    return {name: value for name, value in arguments.items() if takes(function, name)}


def check_cell(owner: str, cell: Any) -> None:
    """Raise unless ``cell`` can be one.

    Raises:
        ValueError (also a TypeError): it has no ``call`` method or no ``state_size``.
    """
    if not callable(getattr(cell, "call", None)) and not callable(cell):
        raise DataTypeError(f"{owner}: a cell needs a method call(inputs, states), which {cell!r} has not")
    if not hasattr(cell, "state_size"):
        raise DataTypeError(
            f"{owner}: a cell needs an attribute state_size (a size, or one for each state), which {cell!r} has not"
        )


def differs_by_phase(cell: Any) -> bool:
    """Whether training and inference run a cell differently: ours know, others may if ``call`` takes ``training``."""
    known = getattr(cell, "differs_by_phase", None)
    return takes(getattr(cell, "call", cell), "training") if known is None else bool(known)


def forget_masks(cell: Any) -> None:
    """Let a cell (and those in it) draw new dropout masks, for the next sequences."""
    for name in ("reset_dropout_mask", "reset_recurrent_dropout_mask"):
        reset = getattr(cell, name, None)
        if reset is not None:
            reset()
    for inner in getattr(cell, "cells", ()):
        forget_masks(inner)


def runs_over_time(cell: Any) -> bool:
    """Whether a cell knows how to run over all steps at once, and its ``call`` was not replaced in a subclass."""
    for cls in type(cell).__mro__:
        if "over_time" in vars(cls) or "call" in vars(cls):
            return "over_time" in vars(cls)
    return False
