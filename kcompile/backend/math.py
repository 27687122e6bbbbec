"""K: elementwise functions, reductions and products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kcompile.backend.numbers import finite
from kcompile.common import config
from kcompile.common.errors import KCompileError
from kcompile.ir.ops.arrays import cumulative, multiplied, reduction, shaping
from kcompile.ir.ops.elementwise import comparison
from kcompile.ir.ops.elementwise import functions as elementwise
from kcompile.ir.ops.elementwise.rectifiers import limited
from kcompile.ir.ops.products import linalg
from kcompile.symbolic.tensor import Tensor, TensorLike, as_float, as_tensor, binary, promote, reduce_axes

Axis = int | Sequence[int] | None


def cast(x: TensorLike, dtype: str) -> Tensor:
    """``x`` in another element type."""
    return Tensor(elementwise.cast(as_tensor(x).value, dtype))


def cast_to_floatx(x: TensorLike) -> Any:
    """An array (or tensor) as ``floatx``."""
    return cast(x, config.floatx()) if isinstance(x, Tensor) else np.asarray(x, dtype=config.floatx())


# ---- one operand


def abs(x: TensorLike) -> Tensor:
    """``|x|``."""
    return Tensor(elementwise.absolute(as_tensor(x).value))


def square(x: TensorLike) -> Tensor:
    """x * x."""
    return Tensor(elementwise.square(as_tensor(x).value))


def sqrt(x: TensorLike) -> Tensor:
    """The square root; negative numbers count as zero, as in Keras."""
    return Tensor(elementwise.sqrt(elementwise.maximum(as_float(x).value, 0)))


def exp(x: TensorLike) -> Tensor:
    """e to the power of x."""
    return Tensor(elementwise.exp(as_float(x).value))


def log(x: TensorLike) -> Tensor:
    """The natural logarithm."""
    return Tensor(elementwise.log(as_float(x).value))


def sin(x: TensorLike) -> Tensor:
    """The sine."""
    return Tensor(elementwise.sin(as_float(x).value))


def cos(x: TensorLike) -> Tensor:
    """The cosine."""
    return Tensor(elementwise.cos(as_float(x).value))


def sign(x: TensorLike) -> Tensor:
    """-1, 0 or 1."""
    return Tensor(elementwise.sign(as_tensor(x).value))


def round(x: TensorLike) -> Tensor:
    """To the nearest whole number, halves to even."""
    return Tensor(elementwise.round_even(as_float(x).value))


def pow(x: TensorLike, a: TensorLike) -> Tensor:
    """x to the power of a."""
    return binary(elementwise.power, x, a)


def clip(x: TensorLike, min_value: Any = None, max_value: Any = None) -> Tensor:
    """``x`` limited to ``[min_value, max_value]``; ``None`` is no limit."""
    if isinstance(min_value, (int, float)) and isinstance(max_value, (int, float)) and max_value < min_value:
        max_value = min_value
    result = as_tensor(x)
    if finite(min_value) and finite(max_value):
        value, low = promote(result, min_value)
        value, high = promote(Tensor(value), max_value)
        if low.dtype == high.dtype == value.dtype:
            return Tensor(limited(value, min_value, max_value))
    if min_value is not None:
        result = binary(elementwise.maximum, result, min_value)
    return result if max_value is None else binary(elementwise.minimum, result, max_value)


def stop_gradient(variables: Any) -> Any:
    """The value itself; gradients stop here. Lists are handled item by item."""
    if isinstance(variables, (list, tuple)):
        return [stop_gradient(x) for x in variables]
    return Tensor(elementwise.stop_gradient(as_tensor(variables).value))


# ---- two operands


def maximum(x: TensorLike, y: TensorLike) -> Tensor:
    """The larger of the two, elementwise."""
    return binary(elementwise.maximum, x, y)


def minimum(x: TensorLike, y: TensorLike) -> Tensor:
    """The smaller of the two, elementwise."""
    return binary(elementwise.minimum, x, y)


def equal(x: TensorLike, y: TensorLike) -> Tensor:
    """x == y, elementwise."""
    return binary(comparison.equal, x, y)


def not_equal(x: TensorLike, y: TensorLike) -> Tensor:
    """x != y, elementwise."""
    return binary(comparison.not_equal, x, y)


def greater(x: TensorLike, y: TensorLike) -> Tensor:
    """x > y, elementwise."""
    return binary(comparison.greater, x, y)


def greater_equal(x: TensorLike, y: TensorLike) -> Tensor:
    """x >= y, elementwise."""
    return binary(comparison.greater_equal, x, y)


def less(x: TensorLike, y: TensorLike) -> Tensor:
    """x < y, elementwise."""
    return binary(comparison.less, x, y)


def less_equal(x: TensorLike, y: TensorLike) -> Tensor:
    """x <= y, elementwise."""
    return binary(comparison.less_equal, x, y)


def logical_and(x: TensorLike, y: TensorLike) -> Tensor:
    """Both, elementwise, of bool tensors."""
    return Tensor(comparison.logical_and(as_tensor(x).value, as_tensor(y).value))


def logical_or(x: TensorLike, y: TensorLike) -> Tensor:
    """Either, elementwise, of bool tensors."""
    return Tensor(comparison.logical_or(as_tensor(x).value, as_tensor(y).value))


def logical_not(x: TensorLike) -> Tensor:
    """The opposite, of a bool tensor."""
    return Tensor(comparison.logical_not(as_tensor(x).value))


# ---- reductions


def sum(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The sum over ``axis`` (``None``: all); of bool, how many are true."""
    value = as_tensor(x).value
    value = elementwise.cast(value, "int32") if value.dtype == "bool" else value
    return Tensor(reduction.reduce_sum(value, reduce_axes(axis), keepdims))


def mean(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The mean over ``axis`` (``None``: all); integers and bool are averaged as ``floatx``."""
    value = as_float(x).value
    return Tensor(reduction.reduce_mean(value, reduce_axes(axis), keepdims))


def prod(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The product over ``axis`` (``None``: all)."""
    value = as_tensor(x).value
    return Tensor(multiplied.reduce_prod(value, reduce_axes(axis), keepdims))


def max(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest along ``axis`` (``None``: all)."""
    value = as_tensor(x).value
    return Tensor(reduction.reduce_max(value, reduce_axes(axis), keepdims))


def min(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The smallest along ``axis`` (``None``: all)."""
    value = as_tensor(x).value
    return Tensor(reduction.reduce_min(value, reduce_axes(axis), keepdims))


def var(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The population variance over ``axis`` (``None``: all)."""
    centered = as_float(x) - mean(x, axis, keepdims=True)
    return mean(square(centered), axis, keepdims)


def std(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The population standard deviation over ``axis`` (``None``: all)."""
    return sqrt(var(x, axis, keepdims))


def any(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether any element is true (not zero), along ``axis`` (``None``: all)."""
    value = elementwise.cast(as_tensor(x).value, "bool")
    return Tensor(reduction.reduce_any(value, reduce_axes(axis), keepdims))


def all(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether all elements are true (not zero), along ``axis`` (``None``: all)."""
    value = elementwise.cast(as_tensor(x).value, "bool")
    return Tensor(reduction.reduce_all(value, reduce_axes(axis), keepdims))


def logsumexp(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(x))) without overflow, over ``axis`` (``None``: all)."""
    value = as_float(x).value
    return Tensor(reduction.logsumexp(value, reduce_axes(axis), keepdims))


def argmax(x: TensorLike, axis: int = -1) -> Tensor:
    """The index (int64) of the largest along ``axis``; of equal ones the first."""
    return Tensor(reduction.arg_max(as_tensor(x).value, axis))


def argmin(x: TensorLike, axis: int = -1) -> Tensor:
    """The index (int64) of the smallest along ``axis``; of equal ones the first."""
    return Tensor(reduction.arg_min(as_tensor(x).value, axis))


def cumsum(x: TensorLike, axis: int = 0) -> Tensor:
    """The running sum along ``axis``."""
    return Tensor(cumulative.cumsum(as_tensor(x).value, axis))


def cumprod(x: TensorLike, axis: int = 0) -> Tensor:
    """The running product along ``axis``."""
    return Tensor(cumulative.cumprod(as_tensor(x).value, axis))


# ---- products


def dot(x: TensorLike, y: TensorLike) -> Tensor:
    """The product over the last axis of ``x`` and the second-last of ``y`` (the only one of a vector).

    Shapes: ``(..., n) x (n, m) -> (..., m)``; in general ``(a..., n) x (b..., n, m) -> (a..., b..., m)``.
    """
    a, b = promote(x, y)
    if a.rank == 0 or b.rank == 0:
        return Tensor(elementwise.mul(a, b))
    if b.rank == 2:
        return Tensor(linalg.matmul(a, b))
    contracted = (b.rank - 2,) if b.rank > 1 else (0,)
    return Tensor(linalg.dot_general(a, b, contract=((a.rank - 1,), contracted), batch=((), ())))


def batch_dot(x: TensorLike, y: TensorLike, axes: int | Sequence[Any] | None = None) -> Tensor:
    """The product of each sample of ``x`` with that of ``y`` over ``axes`` (one per operand).

    Shapes follow Keras: axis 0 is the batch; the default contracts the last axis of ``x`` with the second-last of
    ``y`` (the last if ``y`` has two axes); two vectors per sample give ``(batch, 1)``.

    Raises:
        ValueError: an operand without batch axis, or the batch axis among ``axes``.
    """
    a, b = promote(x, y)
    if a.rank < 2 or b.rank < 2:
        raise KCompileError(f"batch_dot needs a batch axis and another one; got shapes {a.shape} and {b.shape}")
    if axes is None:
        axes = [a.rank - 1, b.rank - 2 if b.rank > 2 else b.rank - 1]
    elif isinstance(axes, int):
        axes = [axes, axes]
    first, second = (axis % value.rank for axis, value in zip(axes, (a, b), strict=True))
    if first == 0 or second == 0:
        raise KCompileError(f"batch_dot over axes {list(axes)}: axis 0 is the batch and cannot be contracted")
    result = linalg.dot_general(a, b, contract=((first,), (second,)), batch=((0,), (0,)))
    return Tensor(shaping.expand_dims(result, 1) if result.rank == 1 else result)
