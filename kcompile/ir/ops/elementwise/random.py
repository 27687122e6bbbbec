"""Random numbers as pure functions of a counter, so that a training step stays an ordinary graph.

A random tensor is determined by a scalar ``counter`` (a variable of role ``rng`` that the training step
increments), by the ``stream`` (an integer that tells the random ops of a model apart), and by its shape.
Nothing is hidden in a kernel: the same counter gives the same bits in NumPy and under every execution
provider, and the forward and the backward pass share one mask because they share one node.

The generator costs two passes over memory. The axes are split into rows (the first) and columns (the
others). Each row and each column gets a 32-bit word from an integer hash of its position (multiplication
and xor-shift, the "lowbias32" constants of C. Wellons, 2018), and each row a second, odd word ``c``:
short vectors only. An element is then ``(a ^ b) * c mod 2**32`` of its row's words ``a, c`` and its
column's word ``b``. The exclusive or breaks the low-rank structure of a plain outer product. The upper
24 bits pass tests of mean, variance, bytes, rows, columns, rectangles, singular values, neighbours,
streams and counters (tests/test_random.py); the lowest bits are too regular, and are not used here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kcompile.ir.core import Array, Builder, Gradients, Node, Op, Permutation, Value, apply, constant
from kcompile.ir.dims import Dim, Size, product
from kcompile.ir.errors import IRError
from kcompile.ir.ops.elementwise.base import Elementwise
from kcompile.ir.ops.elementwise.comparison import bitwise_and, less, less_equal
from kcompile.ir.ops.elementwise.functions import add, cast, cos, log, mul, neg, sqrt, sub
from kcompile.ir.types import TensorType, dtype_name, tensor_type

STREAMS = 2**31
"""Streams are the integers below this; the upper half serves ops that need two words per element."""

_POSITION, _COUNTER, _STREAM, _OFFSET = 0x9E3779B9, 0x85EBCA6B, 0xC2B2AE35, 0x27D4EB2F
_ROUNDS = ((16, 0x7FEB352D), (15, 0x846CA68B))
_SECOND_WORD = (15, 0x2C1B3C6D)


@dataclass(frozen=True, eq=False)
class RandomBits(Op):
    """uint32 words of which the upper 24 bits are uniform; ``order`` permutes the axes of the result.

    Compared by identity: two random ops are never merged, not even by mistake of the front end.
    """

    shape: tuple[Dim, ...]
    stream: int
    order: Permutation

    def infer(self, counter: TensorType) -> TensorType:  # type: ignore[override]
        if counter.rank != 0 or counter.dtype not in ("int64", "uint32"):
            raise IRError(f"needs an int64 or uint32 scalar as counter, got {counter}")
        return tensor_type("uint32", tuple(self.shape[axis] for axis in self.order))

    def flops(self, node: Node, size: Size) -> int:
        return 4 * node.outputs[0].type.elements(size)

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        return [None]

    def permuted(self, node: Node, permutation: Permutation) -> tuple[Op, tuple[None]]:
        order = tuple(self.order[axis] for axis in permutation)
        return RandomBits(self.shape, self.stream, order), (None,)

    @property
    def _key_offset(self) -> int:
        return (self.stream * _STREAM + _OFFSET) % 2**32

    def evaluate(self, *arrays: Array) -> Array:
        shape = tensor_type("uint32", self.shape).static_shape
        columns = math.prod(shape[1:]) if len(shape) > 1 else 0
        rows = shape[0] if shape else 1
        key = np.uint32((int(arrays[0]) * _COUNTER + self._key_offset) % 2**32)
        word = np.arange(columns + rows, dtype=np.uint32) * np.uint32(_POSITION) + key
        for shift, factor in _ROUNDS:
            word = (word ^ (word >> np.uint32(shift))) * np.uint32(factor)
        word ^= word >> np.uint32(16)
        if len(shape) < 2:
            return word.reshape(shape)
        row = word[columns:].reshape(rows, *(1 for _ in shape[1:]))
        shift, factor = _SECOND_WORD
        multiplier = (row ^ (row >> np.uint32(shift))) * np.uint32(factor) | np.uint32(1)
        bits: Array = (row ^ word[:columns].reshape(1, *shape[1:])) * multiplier
        return bits.transpose(self.order)

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        rank = len(self.shape)
        rows = self.shape[0] if rank else 1
        columns = product(self.shape[1:]) if rank > 1 else 0
        key = b.op("Mul", b.op("Cast", names[0], to="int64"), b.constant(_COUNTER, "int64"))
        key = b.op("Cast", b.op("Add", key, b.constant(self._key_offset, "int64")), to="uint32")
        zero, one = b.constant(0, "int64"), b.constant(1, "int64")
        count = b.op("Squeeze", b.dims([columns + rows]))
        positions = b.op("Cast", b.op("Range", zero, count, one), to="uint32")
        word = b.op("Add", b.op("Mul", positions, b.constant(_POSITION, "uint32")), key)
        for shift, factor in _ROUNDS:
            word = b.op("Mul", _xor_shift(b, word, shift), b.constant(factor, "uint32"))
        word = _xor_shift(b, word, 16)
        if rank == 0:
            return b.op("Squeeze", word)
        return word if rank == 1 else self._combine(b, word, columns)

    def _combine(self, b: Builder, word: str, columns: Dim) -> str:
        """The words of all columns and then of all rows, combined in ``order``."""
        border, axes = b.dims([columns]), b.constant([0], "int64")
        row = b.op("Slice", word, border, b.constant([np.iinfo(np.int64).max], "int64"), axes)
        column = b.op("Slice", word, b.constant([0], "int64"), border, axes)
        # The short vectors are transposed here, so that a change of layout costs no pass over the result.
        rest = tuple(self.order[i] for i in range(len(self.order)) if self.order[i] != 0)
        natural = tuple(range(1, len(self.shape)))
        column_type = tensor_type("uint32", (columns,))
        if rest != natural:
            column = b.reshape(column, column_type, self.shape[1:])
            column = b.op("Transpose", column, perm=[axis - 1 for axis in rest])
            column_type = tensor_type("uint32", tuple(self.shape[axis] for axis in rest))
        place = self.order.index(0)
        after = len(self.order) - place - 1
        row = b.op("Unsqueeze", row, b.constant(list(range(1, 1 + after)), "int64")) if after else row
        shape = [self.shape[axis] if axis else 1 for axis in self.order[1 if place == 0 else 0 :]]
        column = b.reshape(column, column_type, shape)
        shift, factor = _SECOND_WORD
        multiplier = b.op("Mul", _xor_shift(b, row, shift), b.constant(factor, "uint32"))
        multiplier = b.op("BitwiseOr", multiplier, b.constant(1, "uint32"))
        return b.op("Mul", b.op("BitwiseXor", row, column), multiplier)


def _xor_shift(b: Builder, word: str, shift: int) -> str:
    if b.target.provider == "cuda":  # which has no BitShift kernel
        return b.op("BitwiseXor", word, b.op("Div", word, b.constant(2**shift, "uint32")))
    return b.op("BitwiseXor", word, b.op("BitShift", word, b.constant(shift, "uint32"), direction="RIGHT"))


@dataclass(frozen=True)
class DropoutMask(Elementwise):
    """``1 / (1 - rate)`` where the random bits lie below ``(1 - rate) * 2**32``, else 0."""

    rate: float
    dtype: str

    @property
    def _scale(self) -> float:
        return 1 / (1 - self.rate)

    @property
    def _threshold(self) -> int:
        return min(round((1 - self.rate) * 2**32), 2**32 - 1)

    def infer(self, bits: TensorType) -> TensorType:  # type: ignore[override]
        if bits.dtype != "uint32":
            raise IRError(f"needs uint32 random bits, got {bits}")
        if not 0 <= self.rate < 1:
            raise IRError(f"needs a rate of at least 0 and below 1, got {self.rate}")
        if not self.dtype.startswith("float"):
            raise IRError(f"makes floating point masks, not {self.dtype}")
        return bits.with_dtype(self.dtype)

    def evaluate(self, *arrays: Array) -> Array:
        kept = arrays[0] < np.uint32(self._threshold)
        return kept * np.array(self._scale, self.dtype)  # type: ignore[no-any-return]

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        return [None]

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        kept = b.op("Less", names[0], b.constant(self._threshold, "uint32"))
        scale = b.constant(self._scale, self.dtype)
        if self.dtype == "float64":
            return b.op("Mul", b.op("Cast", kept, to=self.dtype), scale)
        # One pass over bytes and one over the result, where Cast and Mul would be two over the result.
        return b.op("DequantizeLinear", b.op("Cast", kept, to="uint8"), scale)


# ---- functions


def random_bits(counter: Value, shape: Sequence[Dim], stream: int) -> Value:
    """uint32 words; the upper 24 bits are uniform and independent.

    Args:
        counter: an int64 or uint32 scalar; a new value gives new bits everywhere.
        shape: sizes, possibly symbolic.
        stream: tells this tensor from others with the same counter, ``0 <= stream < 2**31``.

    Raises:
        IRError: the counter is no integer scalar, or the stream is out of range.
    """
    if not 0 <= stream < STREAMS:
        raise IRError(f"random streams are numbered from 0 to 2**31 - 1, got {stream}")
    return _bits(counter, shape, stream)


def _bits(counter: Value, shape: Sequence[Dim], stream: int) -> Value:
    return apply(RandomBits(tuple(shape), stream, tuple(range(len(shape)))), counter)


def _unit_interval(bits: Value, dtype: str) -> Value:
    """Multiples of 2**-24 in [0, 1) (float16: of 2**-11, so that rounding never reaches 1)."""
    kept = 11 if dtype == "float16" else 24
    exact = cast(bitwise_and(bits, 2**32 - 2 ** (32 - kept)), "float32")
    return cast(mul(exact, 2.0**-32), dtype)


def random_uniform(
    counter: Value,
    shape: Sequence[Dim],
    stream: int,
    minval: float = 0.0,
    maxval: float = 1.0,
    dtype: str = "float32",
) -> Value:
    """Uniform numbers from ``minval`` up to ``maxval``, which rounding may reach unless ``minval`` is 0.

    For the other arguments see :func:`random_bits`.
    """
    dtype = dtype_name(dtype)
    x = _unit_interval(random_bits(counter, shape, stream), dtype)
    if maxval - minval != 1:
        x = mul(x, maxval - minval)
    return add(x, minval) if minval else x


def random_normal(
    counter: Value,
    shape: Sequence[Dim],
    stream: int,
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: str = "float32",
) -> Value:
    """Normal numbers, by the transform of Box and Muller (1958); tails end at 5.9 standard deviations."""
    # 1 - u is never 0, so the logarithm is finite.
    radius = sqrt(mul(log(sub(1.0, _unit_interval(random_bits(counter, shape, stream), "float32"))), -2.0))
    angle = mul(_unit_interval(_bits(counter, shape, stream + STREAMS), "float32"), 2 * math.pi)
    return _shifted(mul(radius, cos(angle)), mean, stddev, dtype)


# Giles, "Approximating the erfinv function" (2010): the polynomial in w - 2.5 for w = -log(1 - x*x) < 5.
_INVERSE_ERF = (
    2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
    -0.00125372503, -0.00417768164, 0.246640727, 1.50140941,
)  # fmt: skip


def random_truncated_normal(
    counter: Value,
    shape: Sequence[Dim],
    stream: int,
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: str = "float32",
) -> Value:
    """Normal numbers within two standard deviations of the mean, by the inverse of the distribution."""
    bound = math.erf(math.sqrt(2))
    x = random_uniform(counter, shape, stream, -bound, bound)
    w = sub(neg(log(sub(1.0, mul(x, x)))), 2.5)
    series = constant(_INVERSE_ERF[0], "float32")
    for coefficient in _INVERSE_ERF[1:]:
        series = add(mul(series, w), coefficient)
    return _shifted(mul(mul(x, series), math.sqrt(2)), mean, stddev, dtype)


def _shifted(x: Value, mean: float, stddev: float, dtype: str) -> Value:
    x = cast(x, dtype)
    if stddev != 1:
        x = mul(x, stddev)
    return add(x, mean) if mean else x


def bernoulli(counter: Value, shape: Sequence[Dim], probability: float, stream: int, dtype: str = "float32") -> Value:
    """1 with this probability, else 0 (or True and False, for dtype ``bool``).

    Raises:
        IRError: the probability lies outside [0, 1].
    """
    if not 0 <= probability <= 1:
        raise IRError(f"a probability lies between 0 and 1, got {probability}")
    threshold, bits = round(probability * 2**32), random_bits(counter, shape, stream)
    return cast(less(bits, threshold) if threshold < 2**32 else less_equal(bits, 2**32 - 1), dtype)


def dropout_mask(counter: Value, shape: Sequence[Dim], rate: float, stream: int, dtype: str = "float32") -> Value:
    """0 with probability ``rate``, else ``1 / (1 - rate)``.

    Raises:
        IRError: the rate is not in [0, 1).
    """
    return apply(DropoutMask(float(rate), dtype_name(dtype)), random_bits(counter, shape, stream))


def dropout(
    x: Value, counter: Value, rate: float, stream: int, noise_shape: Sequence[Dim | None] | None = None
) -> Value:
    """``x`` with elements zeroed with probability ``rate``, the others scaled to keep the mean.

    The gradient multiplies by the same mask, which is computed once.

    Args:
        x: floating point values of any rank.
        counter: as for :func:`random_bits`.
        rate: the probability of a zero, in [0, 1).
        stream: as for :func:`random_bits`.
        noise_shape: the shape of the mask, which broadcasts over ``x``; ``None``: the size of ``x``.

    Raises:
        IRError: the rate is out of range, or ``noise_shape`` has another rank than ``x``.
    """
    if noise_shape is not None and len(noise_shape) != x.rank:
        raise IRError(f"noise_shape {tuple(noise_shape)} needs as many axes as the value has: {x.type}")
    shape = (
        x.shape
        if noise_shape is None
        else [size if dim is None else dim for dim, size in zip(noise_shape, x.shape, strict=True)]
    )
    return mul(x, dropout_mask(counter, shape, rate, stream, x.dtype)) if rate else x
