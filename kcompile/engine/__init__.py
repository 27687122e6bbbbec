"""keras.engine: the base classes, each loaded when it is first used (the backend itself imports from here)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kcompile.engine.input_layer import Input, InputLayer
    from kcompile.engine.layer import Layer
    from kcompile.engine.network import Network
    from kcompile.engine.node import InputSpec, Node, get_source_inputs
    from kcompile.models.model import Model
    from kcompile.models.sequential import Sequential

_MODULES = {
    "Input": "input_layer",
    "InputLayer": "input_layer",
    "InputSpec": "node",
    "Layer": "layer",
    "Model": "training",
    "Network": "network",
    "Node": "node",
    "Sequential": "sequential",
    "get_source_inputs": "node",
}
# Keras' modules of things that stand elsewhere here.
_DOORS = ("base_layer", "data_adapter", "sequential", "topology", "training")


def __getattr__(name: str) -> Any:
    if name in _DOORS:
        return importlib.import_module(f"kcompile.engine.{name}")
    if name not in _MODULES:
        from kcompile.common.absent_names import absent

        return absent(__name__)(name)
    return getattr(importlib.import_module(f"kcompile.engine.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_DOORS, *_MODULES})


__all__ = [
    "Input", "InputLayer", "InputSpec", "Layer", "Model", "Network", "Node", "Sequential", "get_source_inputs",
]  # fmt: skip
