"""All functions that move elements without computing, under one name."""

from kcompile.ir.ops.arrays.slicing import concat, pad, reverse, slice_axes, split, stack
from kcompile.ir.ops.shapes.reshaping import expand, expand_dims, reshape, squeeze, tile, transpose
from kcompile.ir.ops.shapes.sizes import dims_of, dims_vector, iota

__all__ = [
    "concat",
    "dims_of",
    "dims_vector",
    "expand",
    "expand_dims",
    "iota",
    "pad",
    "reshape",
    "reverse",
    "slice_axes",
    "split",
    "squeeze",
    "stack",
    "tile",
    "transpose",
]
