"""Keras' module of this name since 2.1.3: layers and their nodes."""

from kcompile.engine.layer import Layer
from kcompile.engine.layer_base import Node
from kcompile.engine.node import InputSpec

__all__ = ["InputSpec", "Layer", "Node"]
