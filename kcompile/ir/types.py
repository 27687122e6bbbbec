"""Types of values: an element type and a shape whose sizes may be symbolic."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from kcompile.ir.dims import Dim, Shape, Size, SymbolicDim, parse_dim, product, substitute
from kcompile.ir.errors import IRError

SHORT_NAMES = {
    "float32": "f32", "float64": "f64", "float16": "f16", "bool": "bool",
    "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64",
    "uint8": "u8", "uint16": "u16", "uint32": "u32", "uint64": "u64",
}  # fmt: skip
LONG_NAMES = {short: long for long, short in SHORT_NAMES.items()}


def dtype_name(dtype: DTypeLike) -> str:
    """The canonical name of an element type, for example ``float32``.

    Raises:
        IRError: the element type has no ONNX tensor type here (complex, strings, objects, dates).
    """
    name = np.dtype(dtype).name
    if name not in SHORT_NAMES:
        raise IRError(f"element type {name!r} is not supported; use one of {', '.join(SHORT_NAMES)}")
    return name


@dataclass(frozen=True, slots=True)
class TensorType:
    """``dtype`` is a NumPy name (``float32``, ``int64``, ``bool``); ``shape`` a tuple of sizes."""

    dtype: str
    shape: Shape

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> Dim:
        """The number of elements."""
        return product(self.shape)

    def elements(self, size: Size) -> int:
        """The number of elements, where ``size`` tells what a size is."""
        return math.prod(map(size, self.shape))

    @property
    def is_float(self) -> bool:
        return self.dtype.startswith("float")

    @property
    def is_static(self) -> bool:
        """Whether all sizes are integers."""
        return all(isinstance(dim, int) for dim in self.shape)

    @property
    def static_shape(self) -> tuple[int, ...]:
        """The shape as integers.

        Raises:
            IRError: a size is symbolic.
        """
        sizes = tuple(dim for dim in self.shape if isinstance(dim, int))
        if len(sizes) != len(self.shape):
            raise IRError(f"the shape of {self} is needed as integers here, but a size is symbolic")
        return sizes

    def with_shape(self, shape: Shape) -> TensorType:
        return TensorType(self.dtype, tuple(shape))

    def with_dtype(self, dtype: str) -> TensorType:
        return TensorType(dtype, self.shape)

    def may_be(self, other: TensorType) -> bool:
        """Whether a value of this type may turn out to have the type ``other`` at run time."""
        same_kind = self.dtype == other.dtype and self.rank == other.rank
        return same_kind and all(map(same_dim, self.shape, other.shape))

    def substitute(self, sizes: Mapping[str, Dim]) -> TensorType:
        return TensorType(self.dtype, tuple(substitute(dim, sizes) for dim in self.shape))

    def __str__(self) -> str:
        return f"{SHORT_NAMES[self.dtype]}[{', '.join(map(str, self.shape))}]"


def tensor_type(dtype: DTypeLike, shape: tuple[Dim, ...] | list[Dim] = ()) -> TensorType:
    """A type from anything NumPy understands as an element type and a sequence of sizes.

    Raises:
        IRError: unsupported element type, or a size that is neither a whole number >= 0 nor symbolic.
    """
    for dim in shape:
        if not isinstance(dim, SymbolicDim) and (not isinstance(dim, (int, np.integer)) or dim < 0):
            raise IRError(f"shape {tuple(shape)} has a size {dim!r}; sizes are whole numbers >= 0 or symbolic")
    return TensorType(dtype_name(dtype), tuple(d if isinstance(d, SymbolicDim) else int(d) for d in shape))


def parse_type(text: str) -> TensorType:
    """Read a type as it is printed: ``f32[batch, 28, 28]``.

    Raises:
        ValueError: the text is not a type.
    """
    short, bracket, rest = text.strip().partition("[")
    if short not in LONG_NAMES or not bracket or not rest.endswith("]"):
        raise ValueError(f"{text!r} is not a type: write for example f32[batch, 3]")
    inner = rest[:-1].strip()
    return TensorType(LONG_NAMES[short], tuple(parse_dim(part) for part in inner.split(",")) if inner else ())


def broadcast_dims(a: Dim, b: Dim) -> Dim | None:
    """The size of an axis after NumPy broadcasting, ``None`` if the two never fit.

    Two different symbolic sizes are taken to be equal at run time; a symbolic size that meets an integer other than
    1 is taken to be that integer. ONNX Runtime refuses others, except for a size that turns out to be 1: that is
    broadcast, and only its gradient, which is not summed, has the wrong shape.
    """
    if a == b or b == 1:
        return a
    if a == 1:
        return b
    if isinstance(a, int) and isinstance(b, int):
        return None
    return a if isinstance(a, int) else b if isinstance(b, int) else a


def broadcast_shapes(*shapes: Shape) -> Shape:
    """The shape to which all of ``shapes`` broadcast.

    Raises:
        IRError: they do not.
    """
    rank = max((len(shape) for shape in shapes), default=0)
    result: list[Dim] = [1] * rank
    for shape in shapes:
        for axis, dim in enumerate(shape, start=rank - len(shape)):
            merged = broadcast_dims(result[axis], dim)
            if merged is None:
                listed = " and ".join(str(tuple(s)) for s in shapes)
                raise IRError(f"shapes {listed} do not broadcast: {result[axis]} against {dim} on axis {axis}")
            result[axis] = merged
    return tuple(result)


def same_dim(a: Dim, b: Dim) -> bool:
    """Whether two sizes may be equal at run time (distinct integers are the only ones that may not)."""
    return a == b or isinstance(a, SymbolicDim) or isinstance(b, SymbolicDim)
