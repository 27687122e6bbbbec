"""``x[...]``: indexing of values of the IR as NumPy and TensorFlow do it."""

from __future__ import annotations

from typing import Any

import numpy as np

from kcompile import ir
from kcompile.common.errors import DataTypeError, PlaceError
from kcompile.ir.ops.arrays import indexing, shaping


def index(x: ir.Value, key: Any) -> ir.Value:
    """``x[key]`` for integers, slices, ``...``, ``None``, and one integer value (a gather).

    Raises:
        IndexError: too many indices, or an index out of range.
        TypeError: an index of another kind.
    """
    keys = list(key) if isinstance(key, tuple) else [key]
    given = sum(1 for k in keys if k is not None and k is not Ellipsis)
    if given > x.rank:
        raise PlaceError(f"too many indices: {given} for a tensor of shape {x.shape}")
    fill = [slice(None)] * (x.rank - given)
    where = next((i for i, k in enumerate(keys) if k is Ellipsis), len(keys))
    keys[where : where + 1] = fill
    axis = 0
    dropped: list[int] = []
    added: list[int] = []
    axes: list[int] = []
    starts: list[int] = []
    ends: list[int | None] = []
    steps: list[int] = []
    gathers: list[tuple[int, ir.Value]] = []
    for position, k in enumerate(keys):
        if k is None:
            added.append(position - len(dropped))
            continue
        if isinstance(k, (int, np.integer)) and not isinstance(k, bool):
            size = x.shape[axis]
            if isinstance(size, int) and not -size <= k < size:
                raise PlaceError(f"index {k} is out of range for axis {axis} of size {size}")
            axes.append(axis)
            starts.append(int(k))
            ends.append(int(k) + 1 if k != -1 else None)
            steps.append(1)
            dropped.append(axis)
        elif isinstance(k, slice):
            if k != slice(None):
                axes.append(axis)
                step = int(k.step or 1)
                starts.append(int(k.start) if k.start is not None else (0 if step > 0 else -1))
                ends.append(None if k.stop is None else int(k.stop))
                steps.append(step)
        elif isinstance(k, ir.Value):
            gathers.append((axis, k))
            if k.rank == 0:
                dropped.append(axis)
        else:
            raise DataTypeError(f"a tensor cannot be indexed with {k!r}; use integers, slices, ... or None")
        axis += 1
    if len(gathers) > 1:
        raise DataTypeError("index a tensor with at most one array or tensor; use K.gather")
    for axis, indices in gathers:
        if indices.rank > 1:
            raise DataTypeError("index a tensor with an array of rank 0 or 1; use K.gather")
        x = indexing.gather(x, indices, axis)
        if indices.rank == 0:
            x = shaping.expand_dims(x, axis)
    if axes:
        x = shaping.slice_axes(x, axes, starts, ends, steps)
    if dropped:
        x = shaping.squeeze(x, sorted(dropped))
    for position in added:
        x = shaping.expand_dims(x, position)
    return x
