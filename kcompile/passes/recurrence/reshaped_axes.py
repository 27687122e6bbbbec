"""Which axis of what is reshaped an axis of the result was."""

from __future__ import annotations

from kcompile.ir.core import Value
from kcompile.ir.dims import product


def axis_before_reshape(source: Value, result: Value, axis: int) -> int | None:
    """The axis of ``source`` along which its elements lie as they do along ``axis`` of ``result``, a reshape of it.

    ``None`` if there is none: the axis was cut, or joined with others.
    """
    size, before = result.shape[axis], product(result.shape[:axis])
    for place, dim in enumerate(source.shape):
        if dim == size and product(source.shape[:place]) == before:
            return place
    return None
