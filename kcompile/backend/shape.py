"""K: shapes, indexing and joining."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, SupportsInt

import numpy as np

from kcompile import ir
from kcompile.common import config
from kcompile.common.errors import KCompileError
from kcompile.ir.dims import as_integers
from kcompile.ir.ops.arrays import indexing, shaping
from kcompile.ir.ops.elementwise import functions as elementwise
from kcompile.ir.ops.loops.control import scan
from kcompile.ir.ops.spatial import enlarging
from kcompile.symbolic.sizes import Sizes, as_dims
from kcompile.symbolic.tensor import Tensor, TensorLike, as_float, as_tensor, common_dtype

Pads = Sequence[Sequence[int]]
"""Before and after, for each spatial axis."""


def shape(x: TensorLike) -> Tensor:
    """The sizes as an int64 tensor, usable in ``reshape``, indexing and arithmetic."""
    return Tensor(shaping.dims_vector(as_tensor(x).value.shape))


def reshape(x: TensorLike, shape: Sizes) -> Tensor:
    """``x`` in another shape; one size may be -1."""
    return Tensor(shaping.reshape(as_tensor(x).value, as_dims(shape)))


def permute_dimensions(x: TensorLike, pattern: Sequence[int]) -> Tensor:
    """The axes in another order."""
    return Tensor(shaping.transpose(as_tensor(x).value, tuple(pattern)))


def transpose(x: TensorLike) -> Tensor:
    """The axes in reverse order."""
    return Tensor(shaping.transpose(as_tensor(x).value))


def flatten(x: TensorLike) -> Tensor:
    """All elements in one axis."""
    return Tensor(shaping.reshape(as_tensor(x).value, (-1,)))


def batch_flatten(x: TensorLike) -> Tensor:
    """All axes but the first in one: ``(batch, ...) -> (batch, n)``."""
    value = as_tensor(x).value
    return Tensor(shaping.reshape(value, (value.shape[0], ir.dims.product(value.shape[1:]))))


def expand_dims(x: TensorLike, axis: int = -1) -> Tensor:
    """A new axis of size 1 at ``axis`` of the result."""
    return Tensor(shaping.expand_dims(as_tensor(x).value, axis))


def squeeze(x: TensorLike, axis: int) -> Tensor:
    """Remove an axis of size 1."""
    return Tensor(shaping.squeeze(as_tensor(x).value, [axis]))


def concatenate(tensors: Sequence[TensorLike], axis: int = -1) -> Tensor:
    """Join along ``axis``."""
    values = [as_tensor(x).value for x in tensors]
    first = values[0]
    for value in values[1:]:
        first, _ = common_dtype(first, value)
    values = [elementwise.cast(value, first.dtype) for value in values]
    return Tensor(shaping.concat(values, axis % first.rank if first.rank else axis))


def stack(x: Sequence[TensorLike], axis: int = 0) -> Tensor:
    """Join along a new axis."""
    return Tensor(shaping.stack([as_tensor(item).value for item in x], axis))


def repeat_elements(x: TensorLike, rep: int, axis: int) -> Tensor:
    """Each element ``rep`` times along ``axis``."""
    return Tensor(enlarging.repeat(as_tensor(x).value, rep, axis))


def repeat(x: TensorLike, n: int) -> Tensor:
    """``(batch, features) -> (batch, n, features)``.

    Raises:
        ValueError: not two axes.
    """
    value = as_tensor(x).value
    if value.rank != 2:
        raise KCompileError(f"repeat needs a tensor (batch, features), got shape {value.shape}")
    batch, features = value.shape
    return Tensor(shaping.expand(shaping.expand_dims(value, 1), (batch, n, features)))


def tile(x: TensorLike, n: list[int | Tensor] | tuple[int | Tensor, ...] | Tensor | SupportsInt) -> Tensor:
    """``x`` repeated ``n`` times along each axis (one number or one per axis)."""
    value = as_tensor(x).value
    repeats = as_dims(n) if isinstance(n, (list, tuple, Tensor)) else (int(n),)
    if len(repeats) < value.rank:
        repeats = (1,) * (value.rank - len(repeats)) + tuple(repeats)
    return Tensor(shaping.tile(value, repeats))


def reverse(x: TensorLike, axes: int | Sequence[int]) -> Tensor:
    """The elements in reverse order along ``axes``."""
    return Tensor(shaping.reverse(as_tensor(x).value, [axes] if isinstance(axes, int) else list(axes)))


def slice(x: TensorLike, start: Sizes, size: Sizes) -> Tensor:
    """``size`` elements from ``start`` on, per axis; a size of -1 goes to the end.

    Raises:
        ValueError: a number that is not known while the model is built.
    """
    value = as_tensor(x).value
    first, count = as_dims(start), as_dims(size)
    if not all(isinstance(n, int) for n in (*first, *count)):
        raise KCompileError(f"K.slice: starts {first} and sizes {count} must be known while the model is built")
    starts, sizes = as_integers(first), as_integers(count)
    ends = [None if n == -1 else s + n for s, n in zip(starts, sizes, strict=True)]
    return Tensor(shaping.slice_axes(value, list(range(value.rank)), list(starts), ends))


def gather(reference: TensorLike, indices: TensorLike) -> Tensor:
    """The rows ``indices`` of ``reference``: shape ``indices.shape + reference.shape[1:]``.

    As in Keras on a processor, an index that is negative or too large is an error, also in exported files: a known one
    here, a computed one when the graph runs. ``x[indices]`` counts negative ones from the back, as Python does.

    Raises:
        ValueError: an index that is known is out of range.
    """
    x, index = as_tensor(reference).value, as_tensor(indices).value
    index = indexing.as_indices(index)
    rows, known = x.shape[0], ir.constant_of(index)
    if known is not None and known.size and isinstance(rows, int) and not 0 <= known.min() <= known.max() < rows:
        wrong = int(known.min()) if known.min() < 0 else int(known.max())
        raise KCompileError(f"K.gather: index {wrong} of {rows} rows; use x[i] to count from the back")
    return Tensor(indexing.gather(x, indexing.from_front(index, rows), 0))


def one_hot(indices: TensorLike, num_classes: int) -> Tensor:
    """``floatx`` tensor of shape ``indices.shape + (num_classes,)``; all zero where an index is out of range."""
    return Tensor(indexing.one_hot(as_tensor(indices).value, num_classes, config.floatx()))


def arange(start: float, stop: float | None = None, step: float = 1, dtype: str = "int32") -> Tensor:
    """Evenly spaced numbers, as NumPy's. Fractions stay such (``floatx``) unless another type than int32 is named."""
    array = np.arange(start, stop, step) if stop is not None else np.arange(0, start, step)
    if array.dtype.kind == "f" and dtype == "int32":
        dtype = config.floatx()
    return Tensor(ir.constant(array, dtype))


def zeros_like(x: TensorLike, dtype: str | None = None, name: str | None = None) -> Tensor:
    """Zeros in the shape of ``x``."""
    value = as_tensor(x).value
    return Tensor(shaping.expand(ir.constant(0, dtype or value.dtype), value.shape), name)


def ones_like(x: TensorLike, dtype: str | None = None, name: str | None = None) -> Tensor:
    """Ones in the shape of ``x``."""
    value = as_tensor(x).value
    return Tensor(shaping.expand(ir.constant(1, dtype or value.dtype), value.shape), name)


def temporal_padding(x: TensorLike, padding: tuple[int, int] = (1, 1)) -> Tensor:
    """Zeros before and after axis 1 of ``(batch, time, features)``."""
    before, after = padding
    return Tensor(shaping.pad(as_tensor(x).value, [(0, 0), (before, after), (0, 0)]))


def spatial_2d_padding(x: TensorLike, padding: Pads = ((1, 1), (1, 1)), data_format: str | None = None) -> Tensor:
    """Zeros around the two spatial axes."""
    return _spatial_padding(x, padding, data_format)


def spatial_3d_padding(
    x: TensorLike, padding: Pads = ((1, 1), (1, 1), (1, 1)), data_format: str | None = None
) -> Tensor:
    """Zeros around the three spatial axes."""
    return _spatial_padding(x, padding, data_format)


def _spatial_padding(x: TensorLike, padding: Pads, data_format: str | None) -> Tensor:
    pads = [(before, after) for before, after in padding]
    first = config.normalize_data_format(data_format) == "channels_first"
    all_pads = [(0, 0), (0, 0), *pads] if first else [(0, 0), *pads, (0, 0)]
    return Tensor(shaping.pad(as_tensor(x).value, all_pads))


def resize_images(
    x: TensorLike, height_factor: int, width_factor: int, data_format: str | None = None, interpolation: str = "nearest"
) -> Tensor:
    """Images enlarged by whole factors.

    Raises:
        ValueError: interpolation is neither ``nearest`` nor ``bilinear``.
    """
    first = config.normalize_data_format(data_format) == "channels_first"
    factors = (1, 1, height_factor, width_factor) if first else (1, height_factor, width_factor, 1)
    if interpolation == "nearest":
        return Tensor(enlarging.enlarge(as_tensor(x).value, factors))
    if interpolation == "bilinear":
        return Tensor(enlarging.enlarge(as_float(x).value, factors, "linear"))
    raise KCompileError(f"interpolation is {interpolation!r}; use 'nearest' or 'bilinear'")


def resize_volumes(
    x: TensorLike, depth_factor: int, height_factor: int, width_factor: int, data_format: str | None = None
) -> Tensor:
    """Volumes enlarged by whole factors, each element repeated."""
    factors = (depth_factor, height_factor, width_factor)
    first = config.normalize_data_format(data_format) == "channels_first"
    return Tensor(enlarging.enlarge(as_tensor(x).value, (1, 1, *factors) if first else (1, *factors, 1)))


def map_fn(
    fn: Callable[[Tensor], TensorLike], elems: TensorLike, name: str | None = None, dtype: str | None = None
) -> Tensor:
    """``fn`` applied to each element along axis 0, joined along axis 0."""
    value = as_tensor(elems).value

    def body(states: Any, items: Any) -> Any:
        return [], [as_tensor(fn(Tensor(items[0]))).value]

    _, (stacked,) = scan(lambda *operands: body((), operands), [], [value])
    return Tensor(elementwise.cast(stacked, dtype) if dtype else stacked, name)
