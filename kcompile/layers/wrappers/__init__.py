"""Keras' module of this name."""

from kcompile.layers.base.families import export
from kcompile.layers.wrappers import bidirectional, spectral_normalization, time_distributed, wrapper
from kcompile.layers.wrappers.bidirectional import *
from kcompile.layers.wrappers.spectral_normalization import *
from kcompile.layers.wrappers.time_distributed import *
from kcompile.layers.wrappers.wrapper import *

export(globals(), bidirectional, spectral_normalization, time_distributed, wrapper)
