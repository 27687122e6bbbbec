"""Targets of models of which not every output has a loss: given for those that have, or for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kcompile.data.adapters import is_array_like


def wanted(value: Any, names: Sequence[str], outputs: Sequence[str]) -> Any:
    """``y``, ``sample_weight`` or ``class_weight`` without the entries of outputs that take no targets.

    Args:
        value: as the user gave it.
        names: the outputs that take targets. outputs: all outputs of the model.
    """
    if value is None or len(names) >= len(outputs):
        return value
    if isinstance(value, Mapping):
        dropped = set(outputs) - set(names)
        return {key: item for key, item in value.items() if key not in dropped} if dropped & set(value) else value
    entries = isinstance(value, (list, tuple)) and len(value) == len(outputs)
    if entries and all(item is None or isinstance(item, Mapping) or is_array_like(item) for item in value):
        kept = [item for name, item in zip(outputs, value, strict=True) if name in names]
        return kept[0] if len(names) == 1 else kept
    return value
