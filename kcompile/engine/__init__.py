"""keras.engine: the base classes, each loaded when it is first used (the backend itself imports from here)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kcompile.common.doors import door

if TYPE_CHECKING:
    from kcompile.engine.input_layer import Input, InputLayer
    from kcompile.engine.layer import Layer
    from kcompile.engine.layer_base import Node
    from kcompile.engine.network import Network
    from kcompile.engine.node import InputSpec, get_source_inputs
    from kcompile.models.model import Model
    from kcompile.models.sequential import Sequential

_NAMES = {
    "Input": "kcompile.engine.input_layer",
    "InputLayer": "kcompile.engine.input_layer",
    "InputSpec": "kcompile.engine.node",
    "Layer": "kcompile.engine.layer",
    "Model": "kcompile.models.model",
    "Network": "kcompile.engine.network",
    "Node": "kcompile.engine.layer_base",
    "Sequential": "kcompile.models.sequential",
    "get_source_inputs": "kcompile.engine.node",
}
# Keras' modules of things that stand elsewhere here.
_MODULES = ("base_layer", "data_adapter", "sequential", "topology", "training")

__getattr__, __dir__ = door(__name__, _NAMES, _MODULES)

__all__ = [
    "Input", "InputLayer", "InputSpec", "Layer", "Model", "Network", "Node", "Sequential", "get_source_inputs",
]  # fmt: skip
