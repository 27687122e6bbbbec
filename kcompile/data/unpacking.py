"""Data of one step, packed and unpacked as tf.keras and Keras 3 do."""

from __future__ import annotations

from typing import Any

from kcompile.common.errors import DataTypeError, shown


def unpack_x_y_sample_weight(data: Any) -> tuple[Any, Any, Any]:
    """``(x, y, sample_weight)`` of what a ``train_step`` is given; ``None`` for what is missing.

    Raises:
        ValueError: a tuple of more than three.
    """
    if isinstance(data, list):
        data = tuple(data)
    if not isinstance(data, tuple):
        return data, None, None
    if not 1 <= len(data) <= 3:
        raise DataTypeError(f"data of a step is x, (x,), (x, y) or (x, y, sample_weight), got {shown(data)}")
    x, y, sample_weight = (*data, None, None)[:3]
    return x, y, sample_weight


def pack_x_y_sample_weight(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """What a ``train_step`` is given for these: ``x``, ``(x,)``, ``(x, y)`` or ``(x, y, sample_weight)``."""
    if sample_weight is not None:
        return x, y, sample_weight
    if y is not None:
        return x, y
    return (x,) if isinstance(x, (list, tuple)) else x
