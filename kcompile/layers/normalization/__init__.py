"""Keras' module of this name: layers that normalize."""

from kcompile.layers.base.families import export
from kcompile.layers.normalization import batch
from kcompile.layers.normalization.batch import *

export(globals(), batch)
