"""Graphs of models that are built from their first data, and failures that leave no trace."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from kcompile.common import config
from kcompile.common.errors import DataError
from kcompile.data.adapters import is_array_like, raw_array
from kcompile.engine.input_layer import Input


def inputs_for(x: Any, model: str, takes_one: bool) -> Any:
    """Symbolic inputs for the first data that a model sees: one, a list, or a dictionary of them.

    Args:
        x: as given to ``fit``.
        model: its name, for messages.
        takes_one: whether a list is always the samples of one input.

    Raises:
        ValueError: there is no data.
    """
    inputs: list[Any] = []
    for path, name, value in _first_arrays(x, model, takes_one):
        array = raw_array(value, path)
        dtype = "int32" if array.dtype.kind in "iu" and array.dtype != np.uint8 else config.floatx()
        inputs.append(Input(shape=array.shape[1:] or (1,), dtype=dtype, name=name))
    if isinstance(x, dict) and not takes_one:
        return dict(zip(x, inputs, strict=True))
    return inputs if len(inputs) > 1 else inputs[0]


def _first_arrays(x: Any, model: str, takes_one: bool) -> list[tuple[str, str | None, Any]]:
    """For each input what to call it, its name, its array."""
    if x is None:
        raise DataError(f"x is missing: model {model!r} is built from its first data.")
    if isinstance(x, dict) and x:
        return [(f"x[{name!r}]", str(name), value) for name, value in x.items()]
    arrays = isinstance(x, (list, tuple)) and bool(x) and all(is_array_like(item) for item in x)
    if arrays and (len(x) == 1 or not takes_one):
        return [(f"x[{i}]", None, value) for i, value in enumerate(x)]
    return [("x", None, x)]


@contextlib.contextmanager
def undone_by_errors(things: Sequence[object]) -> Iterator[None]:
    """An error leaves the attributes of ``things`` as they were, and the lists and dictionaries in them."""
    before = [(thing, _copied(vars(thing))) for thing in things]
    try:
        yield
    except BaseException:
        for thing, attributes in before:
            vars(thing).clear()
            vars(thing).update(attributes)
        raise


def _copied(attributes: dict[str, Any]) -> dict[str, Any]:
    """Attributes, with lists and dictionaries that do not grow with those of now."""
    return {key: value.copy() if isinstance(value, (list, dict)) else value for key, value in attributes.items()}
