"""Keras' module of this name."""

from kcompile.layers.wrappers.bidirectional import Bidirectional
from kcompile.layers.wrappers.time_distributed import TimeDistributed
from kcompile.layers.wrappers.wrapper import Wrapper

__all__ = ["Bidirectional", "TimeDistributed", "Wrapper"]
