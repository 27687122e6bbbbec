"""Keras' module of this name: layers that normalize."""

from kcompile.layers.base.families import export
from kcompile.layers.normalization import batch, group, layer, rms, unit
from kcompile.layers.normalization.batch import *
from kcompile.layers.normalization.group import *
from kcompile.layers.normalization.layer import *
from kcompile.layers.normalization.rms import *
from kcompile.layers.normalization.unit import *

export(globals(), batch, group, layer, rms, unit)
