"""K: random tensors. Counter-based: the seed names a stream, and every run of a graph takes its next numbers."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import SupportsInt

import numpy as np

from kcompile import ir
from kcompile.common import config
from kcompile.ir.ops.elementwise import functions as elementwise
from kcompile.ir.ops.elementwise import random as random_ops
from kcompile.runtime.random_state import shared_counter
from kcompile.symbolic.sizes import Sizes, as_dims
from kcompile.symbolic.tensor import Tensor, TensorLike, as_float
from kcompile.symbolic.trace import current_trace
from kcompile.symbolic.variable import Variable


@functools.cache
def random_counter() -> Variable:
    """The number of graph runs so far that drew random numbers, of what belongs to no model or function."""
    return Variable.standing_for(shared_counter())


_step: ContextVar[ir.Value | None] = ContextVar("step", default=None)

_STEP = 0x9E3779B1
"""An odd number: the steps of a loop draw what runs far apart would."""


@contextlib.contextmanager
def at_step(number: ir.Value | None) -> Iterator[None]:
    """Inside, random numbers depend on this int64 scalar too: the steps of a loop differ; ``None``: not any more."""
    token = _step.set(number)
    try:
        yield
    finally:
        _step.reset(token)


def _counter_value() -> ir.Value:
    value, number = shared_counter(), _step.get()
    if number is None:
        return value
    offset = elementwise.mul(elementwise.cast(elementwise.add(number, 1), "uint32"), ir.constant(_STEP, "uint32"))
    return elementwise.add(value, offset)


def stream_of(seed: SupportsInt | None) -> int:
    """The stream of a seed; without one, that of the step being traced, or one from NumPy's global generator."""
    trace = current_trace() if seed is None else None
    return config.draw_seed(seed) if trace is None else trace.seed()


def random_uniform(
    shape: Sizes, minval: float = 0.0, maxval: float = 1.0, dtype: str | None = None, seed: SupportsInt | None = None
) -> Tensor:
    """Uniform numbers in ``[minval, maxval)``, new ones at each run."""
    dims, dtype = as_dims(shape), dtype or config.floatx()
    return Tensor(random_ops.random_uniform(_counter_value(), dims, stream_of(seed), minval, maxval, dtype))


def random_normal(
    shape: Sizes, mean: float = 0.0, stddev: float = 1.0, dtype: str | None = None, seed: SupportsInt | None = None
) -> Tensor:
    """Normal numbers, new ones at each run."""
    dims, dtype = as_dims(shape), dtype or config.floatx()
    x = random_ops.random_normal(_counter_value(), dims, stream_of(seed), dtype=dtype)
    return Tensor(x) * stddev + mean


def truncated_normal(
    shape: Sizes, mean: float = 0.0, stddev: float = 1.0, dtype: str | None = None, seed: SupportsInt | None = None
) -> Tensor:
    """Normal numbers, drawn again where they are more than two standard deviations from the mean."""
    dims, dtype = as_dims(shape), dtype or config.floatx()
    x = random_ops.random_truncated_normal(_counter_value(), dims, stream_of(seed), dtype=dtype)
    return Tensor(x) * stddev + mean


def random_binomial(shape: Sizes, p: float = 0.0, dtype: str | None = None, seed: SupportsInt | None = None) -> Tensor:
    """1 with probability ``p``, else 0; new ones at each run."""
    u = random_uniform(shape, seed=seed)
    return Tensor(elementwise.cast((u < p).value, dtype or config.floatx()))


def random_uniform_variable(
    shape: Sequence[int],
    low: float,
    high: float,
    dtype: str | None = None,
    name: str | None = None,
    seed: int | None = None,
) -> Variable:
    """A variable filled once with uniform numbers in ``[low, high)``."""
    rng = np.random.RandomState(config.draw_seed(seed))
    return Variable(rng.uniform(low, high, tuple(shape)), dtype or config.floatx(), name)


def random_normal_variable(
    shape: Sequence[int],
    mean: float,
    scale: float,
    dtype: str | None = None,
    name: str | None = None,
    seed: int | None = None,
) -> Variable:
    """A variable filled once with normal numbers."""
    rng = np.random.RandomState(config.draw_seed(seed))
    return Variable(rng.normal(mean, scale, tuple(shape)), dtype or config.floatx(), name)


def dropout(x: TensorLike, level: float, noise_shape: Sizes | None = None, seed: SupportsInt | None = None) -> Tensor:
    """``x`` with a fraction ``level`` of the elements zeroed and the rest scaled by ``1 / (1 - level)``.

    ``noise_shape`` is the shape of the mask, which broadcasts; ``None`` sizes are those of ``x``.
    """
    value = as_float(x).value
    dims = None
    if noise_shape is not None:
        if not isinstance(noise_shape, Tensor):
            noise_shape = [value.shape[axis] if size is None else size for axis, size in enumerate(noise_shape)]
        dims = as_dims(noise_shape)
    return Tensor(random_ops.dropout(value, _counter_value(), float(level), stream_of(seed), dims))
