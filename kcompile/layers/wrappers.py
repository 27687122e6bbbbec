"""Keras' module of this name."""

from kcompile.layers.time_distributed import TimeDistributed
from kcompile.layers.wrapper import Wrapper

__all__ = ["TimeDistributed", "Wrapper"]
