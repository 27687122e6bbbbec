"""Files: models in HDF5, ``.keras`` archives, JSON and YAML, of every version of Keras.

Nothing in a file is trusted: see :mod:`kcompile.saving.limits`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kcompile.saving.models import load_model, load_weights, save_model, save_weights

_NAMES = {
    "load_model": "models",
    "load_weights": "models",
    "save_model": "models",
    "save_weights": "models",
}


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'kcompile.saving' has no attribute {name!r}")
    return getattr(importlib.import_module(f"kcompile.saving.{_NAMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_NAMES})


__all__ = ["load_model", "load_weights", "save_model", "save_weights"]
