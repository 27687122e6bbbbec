"""Which sizes of the exported model's inputs are fixed, and what the others are called."""

from __future__ import annotations

import keyword
from collections.abc import Mapping, Sequence
from typing import Any

from kcompile.common.errors import DataTypeError, KCompileError, listed, shown, unknown_name
from kcompile.ir.core import Graph, Input, Value
from kcompile.ir.dims import Dim, name_of, named, names_in

Dims = Mapping[str, Sequence[int | str | None]]


def sizes_of(graph: Graph, dims: Dims | None, batch_size: int | None) -> dict[str, Dim]:
    """What named sizes of the graph are to be: integers, or other names.

    Args:
        graph: any graph; its inputs have sizes that are known or have a name.
        dims: for each input (those left out stay as they are) its whole shape with the batch: an integer fixes a size,
            a string names it, ``None`` leaves it.
        batch_size: the size of every input's first axis.

    Raises:
        DataTypeError: ``dims`` is no dict.
        KCompileError: there is no such input, its rank or a known size is another, or one size would get two values.
    """
    sizes: dict[str, Dim] = {}
    inputs = {value.op.label: value for value in graph.inputs if isinstance(value.op, Input)}
    if batch_size is not None:
        _check_size(batch_size, "batch_size")
        for label, value in inputs.items():
            if value.rank:
                _set(sizes, value, 0, batch_size, f"batch_size of input {label!r}")
    if dims is not None and not isinstance(dims, Mapping):
        raise DataTypeError(f"export: dims are shapes by the names of inputs, got {shown(dims)}")
    for label, shape in (dims or {}).items():
        if label not in inputs:
            raise unknown_name("input in dims", label, inputs)
        value = inputs[label]
        if isinstance(shape, (str, int)) or len(shape) != value.rank:
            raise KCompileError(
                f"export: dims of input {label!r} are {shape!r}; expected {value.rank} sizes, as in {_shown(value)}"
            )
        for axis, size in enumerate(shape):
            if size is not None:
                what = f"axis {axis} of input {label!r}"
                _check_size(size, what)
                _set(sizes, value, axis, size, what)
    return sizes


def _check_size(size: Any, what: str) -> None:
    if isinstance(size, str):
        if not size.isidentifier() or keyword.iskeyword(size):
            raise KCompileError(f"export: {what} is called {size!r}; use letters, digits and _ for names of sizes")
    elif not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise KCompileError(f"export: {what} is {size!r}; use a whole number from 1 on, a name, or None")


def _set(sizes: dict[str, Dim], value: Value, axis: int, size: int | str, what: str) -> None:
    """Note that this axis gets a size.

    Raises:
        KCompileError: it has another one.
    """
    present = value.shape[axis]
    wanted: Dim = named(size) if isinstance(size, str) else size
    if isinstance(present, int):
        if present != wanted:
            raise KCompileError(f"export: {what} cannot be {size!r}, the model was built for {present}")
        return
    name = name_of(present)
    if name is None:
        raise KCompileError(f"export: {what} is {present}; set {listed(sorted(names_in(present)))} on another axis")
    if sizes.setdefault(name, wanted) != wanted:
        raise KCompileError(f"export: {what} would be {size!r}, but the same size {name!r} is {sizes[name]} elsewhere")


def _shown(value: Value) -> str:
    return f"({', '.join(str(dim) for dim in value.shape)}{',' if value.rank == 1 else ''})"
