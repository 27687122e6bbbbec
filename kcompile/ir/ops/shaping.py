"""All functions that move elements without computing, under one name."""

from kcompile.ir.ops.reshaping import expand, expand_dims, reshape, squeeze, tile, transpose
from kcompile.ir.ops.sizes import dims_of, dims_vector, iota
from kcompile.ir.ops.slicing import concat, pad, reverse, slice_axes, split, stack

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
