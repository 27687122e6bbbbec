"""K: convolution and pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcompile import ir
from kcompile.backend import config
from kcompile.engine.tensor import Tensor, as_float, as_tensor
from kcompile.errors import KCompileError, ShapeError
from kcompile.ir.ops import convolution as ops
from kcompile.ir.ops import pooling, reduction
from kcompile.ir.ops.spatial import resolve_pads

__all__ = [
    "conv",
    "conv1d",
    "conv2d",
    "conv2d_transpose",
    "conv3d",
    "conv3d_transpose",
    "conv_transpose",
    "depthwise_conv2d",
    "pool1d",
    "pool2d",
    "pool3d",
    "separable_conv1d",
    "separable_conv2d",
]


def _tuple(value: int | Sequence[int], count: int) -> tuple[int, ...]:
    return (int(value),) * count if isinstance(value, int) else tuple(int(v) for v in value)


def _spatial(x: ir.Value, data_format: str) -> tuple[ir.Dim, ...]:
    return x.shape[2:] if data_format == "channels_first" else x.shape[1:-1]


def conv(
    x: Any,
    kernel: Any,
    strides: int | Sequence[int] = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: int | Sequence[int] = 1,
    groups: int = 1,
    bias: Any = None,
) -> Tensor:
    """Convolution over 1 to 3 spatial axes.

    Args:
        x: ``(batch, spatial..., channels)`` or channels first.
        kernel: ``(kernel..., channels / groups, filters)``.
        strides, dilation_rate: a number, or one per spatial axis.
        padding: ``valid``, ``same`` or (one axis) ``causal``.
        data_format: default as configured.
        groups: independent convolutions that share the channels.
        bias: ``(filters,)``, added.

    Raises:
        ValueError: shapes do not fit.
    """
    value, w = as_float(x).value, as_tensor(kernel).value
    data_format = config.normalize_data_format(data_format)
    rank = value.rank - 2
    strides, dilations = _tuple(strides, rank), _tuple(dilation_rate, rank)
    sizes = tuple(int(k) for k in w.type.static_shape[:rank])
    pads = resolve_pads(padding, _spatial(value, data_format), sizes, strides, dilations)
    b = None if bias is None else as_tensor(bias).value
    try:
        return Tensor(ops.conv(value, w, strides, pads, dilations, groups, data_format, b))
    except ir.IRError as error:
        raise ShapeError(f"convolution of {value.type} with a kernel {w.type}: {error}") from None


def conv_transpose(
    x: Any,
    kernel: Any,
    strides: int | Sequence[int] = 1,
    padding: str = "valid",
    output_padding: int | Sequence[int] | None = None,
    data_format: str | None = None,
    dilation_rate: int | Sequence[int] = 1,
    bias: Any = None,
    output_sizes: Sequence[Any] | None = None,
) -> Tensor:
    """Transposed convolution over 1 to 3 spatial axes; ``kernel`` is ``(kernel..., filters, channels)``.

    Raises:
        ValueError: shapes do not fit.
    """
    value, w = as_float(x).value, as_tensor(kernel).value
    data_format = config.normalize_data_format(data_format)
    rank = value.rank - 2
    strides, dilations = _tuple(strides, rank), _tuple(dilation_rate, rank)
    sizes = tuple(int(k) for k in w.type.static_shape[:rank])
    extra = (None,) * rank if output_padding is None else _tuple(output_padding, rank)
    if output_sizes is None:
        spatial = _spatial(value, data_format)
        output_sizes = [
            ops.transposed_size(size, k, s, padding, p, d)
            for size, k, s, p, d in zip(spatial, sizes, strides, extra, dilations, strict=True)
        ]
    pads = _transposed_pads(padding, output_sizes, sizes, strides, dilations, output_padding)
    b = None if bias is None else as_tensor(bias).value
    try:
        return Tensor(ops.conv_transpose(value, w, output_sizes, strides, pads, dilations, 1, data_format, b))
    except ir.IRError as error:
        raise ShapeError(f"transposed convolution of {value.type} with a kernel {w.type}: {error}") from None


def _transposed_pads(
    padding: str,
    output_sizes: Sequence[Any],
    sizes: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    output_padding: Any,
) -> Any:
    return resolve_pads(padding, tuple(output_sizes), tuple(sizes), tuple(strides), tuple(dilations))


def conv1d(x: Any, kernel: Any, strides: int = 1, padding: str = "valid", data_format: str | None = None, dilation_rate: int = 1) -> Tensor:
    """:func:`conv` over one axis."""
    return conv(x, kernel, strides, padding, data_format, dilation_rate)


def conv2d(x: Any, kernel: Any, strides: Any = (1, 1), padding: str = "valid", data_format: str | None = None, dilation_rate: Any = (1, 1)) -> Tensor:
    """:func:`conv` over two axes."""
    return conv(x, kernel, strides, padding, data_format, dilation_rate)


def conv3d(x: Any, kernel: Any, strides: Any = (1, 1, 1), padding: str = "valid", data_format: str | None = None, dilation_rate: Any = (1, 1, 1)) -> Tensor:
    """:func:`conv` over three axes."""
    return conv(x, kernel, strides, padding, data_format, dilation_rate)


def conv2d_transpose(
    x: Any, kernel: Any, output_shape: Sequence[Any], strides: Any = (1, 1), padding: str = "valid",
    data_format: str | None = None, dilation_rate: Any = (1, 1),
) -> Tensor:  # fmt: skip
    """:func:`conv_transpose` to ``output_shape`` (batch and channels included)."""
    return _transpose_to(x, kernel, output_shape, strides, padding, data_format, dilation_rate)


def conv3d_transpose(
    x: Any, kernel: Any, output_shape: Sequence[Any], strides: Any = (1, 1, 1), padding: str = "valid",
    data_format: str | None = None,
) -> Tensor:  # fmt: skip
    """:func:`conv_transpose` to ``output_shape`` (batch and channels included)."""
    return _transpose_to(x, kernel, output_shape, strides, padding, data_format, 1)


def _transpose_to(
    x: Any, kernel: Any, output_shape: Any, strides: Any, padding: str, data_format: str | None, dilation: Any
) -> Tensor:
    from kcompile.backend.shape import as_dims

    dims = as_dims(output_shape)
    sizes = dims[2:] if config.normalize_data_format(data_format) == "channels_first" else dims[1:-1]
    return conv_transpose(x, kernel, strides, padding, None, data_format, dilation, output_sizes=sizes)


def depthwise_conv2d(
    x: Any, depthwise_kernel: Any, strides: Any = (1, 1), padding: str = "valid",
    data_format: str | None = None, dilation_rate: Any = (1, 1), bias: Any = None,
) -> Tensor:  # fmt: skip
    """Each channel convolved by itself; the kernel is ``(kernel..., channels, multiplier)``. 1 to 3 axes."""
    value, w = as_float(x).value, as_tensor(depthwise_kernel).value
    data_format = config.normalize_data_format(data_format)
    rank = value.rank - 2
    strides, dilations = _tuple(strides, rank), _tuple(dilation_rate, rank)
    pads = resolve_pads(
        padding, _spatial(value, data_format), tuple(w.type.static_shape[:rank]), strides, dilations
    )
    b = None if bias is None else as_tensor(bias).value
    try:
        return Tensor(ops.depthwise_conv(value, w, strides, pads, dilations, data_format, b))
    except ir.IRError as error:
        raise ShapeError(f"depthwise convolution of {value.type} with a kernel {w.type}: {error}") from None


def separable_conv2d(
    x: Any, depthwise_kernel: Any, pointwise_kernel: Any, strides: Any = (1, 1), padding: str = "valid",
    data_format: str | None = None, dilation_rate: Any = (1, 1), bias: Any = None,
) -> Tensor:  # fmt: skip
    """:func:`depthwise_conv2d`, then a convolution with kernels of size 1."""
    y = depthwise_conv2d(x, depthwise_kernel, strides, padding, data_format, dilation_rate)
    return conv(y, pointwise_kernel, 1, "valid", data_format, bias=bias)


separable_conv1d = separable_conv2d


def pool(
    x: Any, pool_size: Any, strides: Any = None, padding: str = "valid", data_format: str | None = None,
    pool_mode: str = "max",
) -> Tensor:  # fmt: skip
    """The largest (``max``) or mean (``avg``, padding not counted) of each window, over 1 to 3 axes.

    Raises:
        ValueError: ``pool_mode`` is neither, or shapes do not fit.
    """
    value = as_float(x).value
    data_format = config.normalize_data_format(data_format)
    rank = value.rank - 2
    window = _tuple(pool_size, rank)
    strides = window if strides is None else _tuple(strides, rank)
    pads = resolve_pads(padding, _spatial(value, data_format), window, strides, (1,) * rank)
    functions = {"max": pooling.max_pool, "avg": pooling.average_pool}
    if pool_mode not in functions:
        raise KCompileError(f"pool_mode is {pool_mode!r}; use 'max' or 'avg'")
    try:
        return Tensor(functions[pool_mode](value, window, strides, pads, data_format))
    except ir.IRError as error:
        raise ShapeError(f"pooling of {value.type} with windows {window}: {error}") from None


pool1d = pool2d = pool3d = pool


def global_pool(x: Any, data_format: str | None, pool_mode: str, keepdims: bool = False) -> Tensor:
    """The largest or mean element of each channel: ``(batch, channels)``."""
    value = as_float(x).value
    first = config.normalize_data_format(data_format) == "channels_first"
    axes = list(range(2, value.rank)) if first else list(range(1, value.rank - 1))
    reduce = reduction.reduce_max if pool_mode == "max" else reduction.reduce_mean
    return Tensor(reduce(value, axes, keepdims))
