"""Keras' module of this name since 2.1.3: layers and their nodes."""

from kcompile.engine.layer import Layer
from kcompile.engine.node import InputSpec, Node

__all__ = ["InputSpec", "Layer", "Node"]
