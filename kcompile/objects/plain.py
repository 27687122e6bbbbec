"""Configurations as files have them: of nothing but what JSON has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kcompile.common.errors import KCompileError, shown
from kcompile.objects.custom import get_registered_name
from kcompile.objects.dialects import lambdas
from kcompile.objects.making import FunctionName


def plain(value: Any, owner: str = "the object") -> Any:
    """A configuration of nothing but what JSON has: lists for tuples, numbers for NumPy's, bytecode for lambdas.

    Raises:
        ValueError: something that JSON has no form for; ``owner`` says where it is.
    """
    if isinstance(value, Mapping):
        if value.get("class_name") == "Lambda" and isinstance(value.get("config"), Mapping):
            owner = f"layer {value['config'].get('name')!r} (Lambda)"
        return {str(key): plain(item, owner) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, owner) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist(), owner)
    if isinstance(value, FunctionName):
        return str(value)
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, slice):
        return {part: plain(getattr(value, part), owner) for part in ("start", "stop", "step")}
    if value is Ellipsis:
        return {"class_name": "__ellipsis__", "config": {}}
    if callable(value):
        if getattr(value, "__name__", "<lambda>") != "<lambda>":
            return get_registered_name(value)
        config = lambdas.written(value, owner)["config"]
        return [config["value"], plain(config["defaults"], owner), plain(config["closure"], owner)]
    raise KCompileError(f"{owner} cannot be saved: its configuration holds {shown(value)}, for which JSON has no form")
