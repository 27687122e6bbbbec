"""Run any graph in NumPy: the meaning of the language, and the oracle of the tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from kcompile.ir.core import (
    Array,
    Graph,
    Input,
    Op,
    Value,
    Variable,
)
from kcompile.ir.dims import Dim, name_of, substitute
from kcompile.ir.errors import IRError
from kcompile.ir.rebuilding import bind


@dataclass
class Result:
    """``outputs`` by name and ``updates`` by variable."""

    outputs: dict[str, Array]
    updates: dict[Variable, Array] = field(default_factory=dict)


def interpret(
    graph: Graph,
    feeds: Mapping[str, ArrayLike] | None = None,
    state: Mapping[Variable, ArrayLike] | None = None,
) -> Result:
    """Evaluate ``graph`` with NumPy.

    Args:
        graph: any graph.
        feeds: an array for each input, by label.
        state: an array for each variable that the graph reads.

    Raises:
        IRError: a feed is missing or does not fit the input's type.
    """
    feeds = feeds or {}
    state = state or {}
    arrays: dict[Value, Array] = {}
    sizes: dict[str, Dim] = {}
    for value in graph.inputs:
        assert isinstance(value.op, Input)
        if value.op.label not in feeds:
            raise IRError(f"no feed for input {value.op.label!r} of type {value.type}")
        array = np.asarray(feeds[value.op.label], dtype=value.dtype)
        match_sizes(value.shape, array.shape, sizes, f"input {value.op.label!r}")
        arrays[value] = array
    for node in graph.nodes():
        if node.outputs and node.outputs[0] in arrays:
            continue
        if isinstance(node.op, Variable):
            if node.op not in state:
                raise IRError(f"no state for variable {node.op.label!r} of type {node.op.type}")
            arrays[node.outputs[0]] = np.asarray(state[node.op], dtype=node.op.type.dtype)
            continue
        op = bind(node.op, sizes)
        results = evaluate(op, *(arrays[value] for value in node.inputs))
        for value, array in zip(node.outputs, results, strict=True):
            arrays[value] = np.asarray(array, dtype=value.dtype)
    return Result(
        {name: arrays[value] for name, value in graph.outputs.items()},
        {variable: arrays[value] for variable, value in graph.updates.items()},
    )


def evaluate(op: Op, *arrays: Array) -> tuple[Array, ...]:
    """All results of ``op`` on ``arrays``, without NumPy's floating point warnings."""
    with np.errstate(all="ignore"):
        results = op.evaluate(*arrays)
    return results if isinstance(results, tuple) else (results,)


def match_sizes(shape: tuple[Dim, ...], actual: tuple[int, ...], sizes: dict[str, Dim], what: str) -> None:
    """Check ``actual`` against ``shape`` and note in ``sizes`` what the named sizes are.

    Raises:
        IRError: the rank or a size differs, or a name has two sizes.
    """
    if len(shape) != len(actual):
        raise IRError(f"{what} has shape {actual}; expected {len(shape)} axes: {shape}")
    for axis, (dim, size) in enumerate(zip(shape, actual, strict=True)):
        name = name_of(dim)
        if name is not None:
            sizes.setdefault(name, size)
        dim = substitute(dim, sizes)
        if isinstance(dim, int) and dim != size:
            raise IRError(f"{what} has shape {actual}; expected {shape}: axis {axis} is {size}, not {dim}")
