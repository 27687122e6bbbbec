"""Keras' module of this name: summaries, where a tensor comes from, and weights between conventions."""

from kcompile.engine.node import get_source_inputs
from kcompile.engine.summary import print_summary
from kcompile.saving.kernels import convert_all_kernels_in_model, convert_dense_weights_data_format

__all__ = [
    "convert_all_kernels_in_model", "convert_dense_weights_data_format", "get_source_inputs", "print_summary",
]  # fmt: skip
