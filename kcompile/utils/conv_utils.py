"""Keras' module of this name: sizes of convolutions and pools."""

from kcompile.common.window_sizes import (
    conv_input_length,
    conv_output_length,
    convert_kernel,
    deconv_length,
    normalize_padding,
    normalize_tuple,
)

__all__ = [
    "conv_input_length",
    "conv_output_length",
    "convert_kernel",
    "deconv_length",
    "normalize_padding",
    "normalize_tuple",
]
