"""Keras' module of this name: convolutional recurrent layers."""

from kcompile.layers.recurrent.conv_lstm import ConvLSTM2D
from kcompile.layers.recurrent.conv_lstm_cells import ConvLSTM2DCell

__all__ = ["ConvLSTM2D", "ConvLSTM2DCell"]
