"""Keras' module of this name up to 2.2: layers, their nodes, and networks of them."""

from kcompile.engine.input_layer import Input, InputLayer
from kcompile.engine.layer import Layer
from kcompile.engine.layer_base import Node
from kcompile.engine.network import Network
from kcompile.engine.node import InputSpec, get_source_inputs

Container = Network

__all__ = ["Container", "Input", "InputLayer", "InputSpec", "Layer", "Network", "Node", "get_source_inputs"]
