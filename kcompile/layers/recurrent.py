"""Keras' module of this name: recurrent layers and their cells."""

from __future__ import annotations

from kcompile.layers.recurrent_abstract_cell import AbstractRNNCell
from kcompile.layers.recurrent_base import RNN
from kcompile.layers.recurrent_cell_base import DropoutRNNCellMixin
from kcompile.layers.recurrent_cells import GRUCell, LSTMCell, SimpleRNNCell
from kcompile.layers.recurrent_cudnn import CuDNNGRU, CuDNNLSTM
from kcompile.layers.recurrent_layers import GRU, LSTM, SimpleRNN
from kcompile.layers.recurrent_stacked import StackedRNNCells
from kcompile.layers.recurrent_step import Recurrent

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
