"""Keras' module of this name: recurrent layers and their cells."""

from __future__ import annotations

from kcompile.layers.recurrent.abstract_cell import AbstractRNNCell
from kcompile.layers.recurrent.base import RNN
from kcompile.layers.recurrent.cell_base import DropoutRNNCellMixin
from kcompile.layers.recurrent.cells import GRUCell, LSTMCell, SimpleRNNCell
from kcompile.layers.recurrent.cudnn import CuDNNGRU, CuDNNLSTM
from kcompile.layers.recurrent.layers import GRU, LSTM, SimpleRNN
from kcompile.layers.recurrent.stacked import StackedRNNCells
from kcompile.layers.recurrent.step import Recurrent

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "AbstractRNNCell",
    "CuDNNGRU",
    "CuDNNLSTM",
    "DropoutRNNCellMixin",
    "GRUCell",
    "LSTMCell",
    "Recurrent",
    "SimpleRNN",
    "SimpleRNNCell",
    "StackedRNNCells",
]
