"""keras.models: models."""

from kcompile.engine.cloning import clone_model
from kcompile.engine.input_layer import Input
from kcompile.engine.sequential import Sequential
from kcompile.engine.training import Model

__all__ = ["Input", "Model", "Sequential", "clone_model"]
