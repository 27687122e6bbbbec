"""Keras' module of this name: recurrent layers and their cells."""

from kcompile.layers.base.families import export
from kcompile.layers.recurrent import abstract_cell, base, cells, cudnn, layers, stacked, step
from kcompile.layers.recurrent.abstract_cell import *
from kcompile.layers.recurrent.base import *
from kcompile.layers.recurrent.cell_base import DropoutRNNCellMixin as DropoutRNNCellMixin
from kcompile.layers.recurrent.cells import *
from kcompile.layers.recurrent.cudnn import *
from kcompile.layers.recurrent.layers import *
from kcompile.layers.recurrent.stacked import *
from kcompile.layers.recurrent.step import *

export(globals(), abstract_cell, base, cells, cudnn, layers, stacked, step)
