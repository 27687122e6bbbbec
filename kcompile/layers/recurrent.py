"""Keras' module of this name: recurrent layers and their cells."""

from __future__ import annotations

from kcompile.layers.recurrent_base import RNN
from kcompile.layers.recurrent_cell_base import DropoutRNNCellMixin
from kcompile.layers.recurrent_cells import GRUCell, LSTMCell, SimpleRNNCell
from kcompile.layers.recurrent_layers import GRU, LSTM, Recurrent, SimpleRNN
from kcompile.layers.recurrent_stacked import StackedRNNCells

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "DropoutRNNCellMixin",
    "GRUCell",
    "LSTMCell",
    "Recurrent",
    "SimpleRNN",
    "SimpleRNNCell",
    "StackedRNNCells",
]
