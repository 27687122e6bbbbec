"""Keras' module of this name."""

from kcompile.layers.bidirectional import Bidirectional
from kcompile.layers.time_distributed import TimeDistributed
from kcompile.layers.wrapper import Wrapper

__all__ = ["Bidirectional", "TimeDistributed", "Wrapper"]
