"""Element types for which ONNX Runtime has kernels that reduce, sum up and order numbers."""

from __future__ import annotations

from kcompile.ir.core import Builder

KERNEL_TYPES = ("float16", "float32", "float64", "int32", "int64")


def widened(b: Builder, x: str, dtype: str) -> str:
    """The tensor ``x`` of element type ``dtype``, as int64 if there are no kernels for it."""
    return x if dtype in KERNEL_TYPES else b.op("Cast", x, to="int64")


def narrowed(b: Builder, y: str, dtype: str) -> str:
    """What was computed from a :func:`widened` tensor, in its element type ``dtype`` again."""
    return y if dtype in KERNEL_TYPES else b.op("Cast", y, to=dtype)
