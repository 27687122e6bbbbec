"""Keras' module of this name."""

from kcompile.layers.base.families import export
from kcompile.layers.wrappers import bidirectional, time_distributed, wrapper
from kcompile.layers.wrappers.bidirectional import *
from kcompile.layers.wrappers.time_distributed import *
from kcompile.layers.wrappers.wrapper import *

export(globals(), bidirectional, time_distributed, wrapper)
