"""K: convolution and pooling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kcompile import ir
from kcompile.common import config
from kcompile.common.checks import check_int_tuple, check_one_of
from kcompile.common.errors import ShapeError
from kcompile.ir.ops.arrays import reduction
from kcompile.ir.ops.spatial import convolution as ops
from kcompile.ir.ops.spatial import pooling
from kcompile.ir.ops.spatial.spatial import Pads, resolve_pads, span, spatial_axes, spatial_sizes
from kcompile.symbolic.sizes import as_dims
from kcompile.symbolic.tensor import Tensor, TensorLike, as_float, as_tensor, common_dtype

Ints = int | Sequence[int]

# ---- arguments


class _Geometry:
    """How windows slide over ``x``: the arguments of all convolutions and pools, checked.

    Attributes:
        x: the input's value; w: the kernel's, if there is one.
        strides, dilations, data_format, padding: as given, but complete.
        window: its size along each spatial axis.
        sizes: spatial sizes of the input.
    """

    def __init__(
        self,
        what: str,
        x: Any,
        strides: Ints,
        padding: str,
        data_format: str | None,
        dilations: Ints = 1,
        *,
        kernel: Any = None,
        pool_size: Ints | None = None,
        paddings: Sequence[str] = ("valid", "same", "causal", "full"),
    ) -> None:
        self.what = what
        self.x = as_float(x).value
        rank = self.x.rank - 2
        if not 1 <= rank <= 3:
            raise ShapeError(f"{what} needs batch, channels and 1 to 3 spatial axes, got shape {self.x.shape}")
        self.w: ir.Value | None = None
        if kernel is not None:
            self.x, self.w = common_dtype(self.x, as_tensor(kernel).value)
            if self.w.rank != self.x.rank or not self.w.type.is_static:
                raise ShapeError(
                    f"{what} of {self.x.type} needs a kernel of {rank + 2} axes with known sizes, got {self.w.type}"
                )
            pool_size = self.w.type.static_shape[:rank]
        self.window = check_int_tuple(what, "pool_size", pool_size, rank)
        self.strides = check_int_tuple(what, "strides", strides, rank)
        self.dilations = check_int_tuple(what, "dilation_rate", dilations, rank)
        self.padding = check_one_of(what, "padding", padding, paddings)
        self.data_format = config.normalize_data_format(data_format)
        self.sizes = spatial_sizes(self.x.shape, self.data_format)

    def pads(self, sizes: Sequence[ir.Dim] | None = None) -> Pads:
        """The zeros around an input of those sizes (default: of ``x``)."""
        if self.padding == "full":
            reach = [span(size, dilation) for size, dilation in zip(self.window, self.dilations, strict=True)]
            return tuple((size - 1, size - 1) for size in reach)
        return resolve_pads(self.padding, sizes or self.sizes, self.window, self.strides, self.dilations)

    def bias(self, bias: Any) -> ir.Value | None:
        """The bias in the element type of ``x``."""
        return None if bias is None else common_dtype(self.x, as_tensor(bias).value)[1]

    def run(
        self, function: Callable[..., ir.Value], *args: Any, sizes: Sequence[ir.Dim] | None = None, **options: Any
    ) -> Tensor:
        """Build the op of ``x``, ``args`` and how windows slide; its complaints become a ShapeError.

        Args:
            sizes: over what they slide, if that is not ``x``.
            options: further arguments of the op.

        Raises:
            ValueError: shapes do not fit.
        """
        common = {"strides": self.strides, "pads": self.pads(sizes), "data_format": self.data_format}
        try:
            return Tensor(function(self.x, *args, **common, **options))
        except ir.IRError as error:
            by = f"with a kernel {self.w.type}" if self.w is not None else f"with windows of {self.window}"
            raise ShapeError(f"{self.what} of {self.x.type} {by}: {error}") from None


# ---- convolution


def conv(
    x: TensorLike,
    kernel: TensorLike,
    strides: Ints = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Ints = 1,
    groups: int = 1,
    bias: TensorLike | None = None,
) -> Tensor:
    """Convolution over 1 to 3 spatial axes.

    Args:
        x: ``(batch, spatial..., channels)`` or channels first.
        kernel: ``(kernel..., channels / groups, filters)``.
        strides, dilation_rate: a number, or one per spatial axis.
        padding: ``valid``, ``same``, ``causal`` (zeros in front only) or ``full`` (every window that meets ``x``).
        data_format: default as configured.
        groups: independent convolutions that share the channels.
        bias: ``(filters,)``, added.

    Raises:
        ValueError: shapes do not fit.
    """
    geometry = _Geometry("convolution", x, strides, padding, data_format, dilation_rate, kernel=kernel)
    return geometry.run(ops.conv, geometry.w, dilations=geometry.dilations, groups=groups, bias=geometry.bias(bias))


def conv1d(
    x: TensorLike,
    kernel: TensorLike,
    strides: int = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: int = 1,
) -> Tensor:
    """:func:`conv` over one axis."""
    return conv(x, kernel, strides, padding, data_format, dilation_rate)


def conv2d(
    x: TensorLike,
    kernel: TensorLike,
    strides: Ints = (1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Ints = (1, 1),
) -> Tensor:
    """:func:`conv` over two axes."""
    return conv(x, kernel, strides, padding, data_format, dilation_rate)


def conv3d(
    x: TensorLike,
    kernel: TensorLike,
    strides: Ints = (1, 1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Ints = (1, 1, 1),
) -> Tensor:
    """:func:`conv` over three axes."""
    return conv(x, kernel, strides, padding, data_format, dilation_rate)


# ---- transposed convolution


def conv_transpose(
    x: TensorLike,
    kernel: TensorLike,
    strides: Ints = 1,
    padding: str = "valid",
    output_padding: Ints | None = None,
    data_format: str | None = None,
    dilation_rate: Ints = 1,
    bias: TensorLike | None = None,
    output_sizes: Sequence[ir.Dim] | None = None,
) -> Tensor:
    """Transposed convolution over 1 to 3 spatial axes: the input gradient of the convolution with these arguments.

    Args:
        x: ``(batch, spatial..., channels)`` or channels first.
        kernel: ``(kernel..., filters, channels)``.
        strides, dilation_rate, data_format: as for :func:`conv`.
        padding: ``valid`` or ``same``, of that convolution.
        output_padding: see Conv2DTranspose.
        bias: ``(filters,)``, added.
        output_sizes: the spatial sizes of the result; default: those that Keras computes from ``output_padding``.

    Raises:
        ValueError: shapes do not fit.
    """
    what, paddings = "transposed convolution", ("valid", "same")
    geometry = _Geometry(what, x, strides, padding, data_format, dilation_rate, kernel=kernel, paddings=paddings)
    rank = len(geometry.window)
    if output_sizes is None:
        extra: Sequence[int | None] = (None,) * rank
        if output_padding is not None:
            extra = check_int_tuple(geometry.what, "output_padding", output_padding, rank, minimum=0)
        axes = zip(geometry.sizes, geometry.window, geometry.strides, extra, geometry.dilations, strict=True)
        output_sizes = [ops.transposed_size(size, k, s, padding, p, d) for size, k, s, p, d in axes]
    options = {"dilations": geometry.dilations, "bias": geometry.bias(bias)}
    return geometry.run(ops.conv_transpose, geometry.w, output_sizes, sizes=output_sizes, **options)


def conv2d_transpose(
    x: TensorLike,
    kernel: TensorLike,
    output_shape: Any,
    strides: Ints = (1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Ints = (1, 1),
) -> Tensor:
    """:func:`conv_transpose` to ``output_shape`` (batch and channels included, as in Keras)."""
    return _transpose_to(x, kernel, output_shape, strides, padding, data_format, dilation_rate)


def conv3d_transpose(
    x: TensorLike,
    kernel: TensorLike,
    output_shape: Any,
    strides: Ints = (1, 1, 1),
    padding: str = "valid",
    data_format: str | None = None,
) -> Tensor:
    """:func:`conv_transpose` to ``output_shape`` (batch and channels included, as in Keras)."""
    return _transpose_to(x, kernel, output_shape, strides, padding, data_format, 1)


def _transpose_to(
    x: TensorLike,
    kernel: TensorLike,
    output_shape: Any,
    strides: Ints,
    padding: str,
    data_format: str | None,
    dilation_rate: Ints,
) -> Tensor:
    dims = as_dims(output_shape)
    if len(dims) != as_tensor(x).ndim:
        raise ShapeError(f"transposed convolution of {as_tensor(x)!r}: output_shape {dims} has {len(dims)} entries")
    sizes = spatial_sizes(dims, config.normalize_data_format(data_format))
    return conv_transpose(x, kernel, strides, padding, None, data_format, dilation_rate, output_sizes=sizes)


# ---- depthwise and separable convolution


def depthwise_conv2d(
    x: TensorLike,
    depthwise_kernel: TensorLike,
    strides: Ints = (1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Ints = (1, 1),
    bias: TensorLike | None = None,
) -> Tensor:
    """Each channel convolved by itself with ``multiplier`` kernels; output channel ``channel * multiplier + i``.

    Args:
        x: as for :func:`conv`; one and three spatial axes are understood too.
        depthwise_kernel: ``(kernel..., channels, multiplier)``.
        strides, padding, data_format, dilation_rate: as for :func:`conv`.
        bias: ``(channels * multiplier,)``, added.

    Raises:
        ValueError: shapes do not fit.
    """
    geometry = _Geometry(
        "depthwise convolution", x, strides, padding, data_format, dilation_rate, kernel=depthwise_kernel
    )
    return geometry.run(ops.depthwise_conv, geometry.w, dilations=geometry.dilations, bias=geometry.bias(bias))


def separable_conv(
    x: TensorLike,
    depthwise_kernel: TensorLike,
    pointwise_kernel: TensorLike,
    strides: Ints = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Ints = 1,
    bias: TensorLike | None = None,
) -> Tensor:
    """:func:`depthwise_conv2d`, then a convolution with kernels of size 1, over 1 to 3 spatial axes."""
    y = depthwise_conv2d(x, depthwise_kernel, strides, padding, data_format, dilation_rate)
    return conv(y, pointwise_kernel, 1, "valid", data_format, bias=bias)


def separable_conv1d(
    x: TensorLike,
    depthwise_kernel: TensorLike,
    pointwise_kernel: TensorLike,
    strides: Ints = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Ints = 1,
) -> Tensor:
    """:func:`separable_conv` over one axis."""
    return separable_conv(x, depthwise_kernel, pointwise_kernel, strides, padding, data_format, dilation_rate)


def separable_conv2d(
    x: TensorLike,
    depthwise_kernel: TensorLike,
    pointwise_kernel: TensorLike,
    strides: Ints = (1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Ints = (1, 1),
) -> Tensor:
    """:func:`separable_conv` over two axes."""
    return separable_conv(x, depthwise_kernel, pointwise_kernel, strides, padding, data_format, dilation_rate)


# ---- pooling


def pool(
    x: TensorLike,
    pool_size: Ints,
    strides: Ints | None = None,
    padding: str = "valid",
    data_format: str | None = None,
    pool_mode: str = "max",
) -> Tensor:
    """The largest (``max``) or mean (``avg``, padding not counted) element of each window, over 1 to 3 axes.

    Args:
        x: as for :func:`conv`.
        pool_size: of windows, a number or one per spatial axis.
        strides: default: ``pool_size``.
        padding: ``valid`` or ``same``.
        data_format: default as configured.
        pool_mode: ``max`` or ``avg``.

    Raises:
        ValueError: another mode, or shapes do not fit.
    """
    functions = {"max": pooling.max_pool, "avg": pooling.average_pool}
    function = functions[check_one_of("pooling", "pool_mode", pool_mode, tuple(functions))]
    strides = pool_size if strides is None else strides
    geometry = _Geometry("pooling", x, strides, padding, data_format, pool_size=pool_size, paddings=("valid", "same"))
    return geometry.run(function, geometry.window)


def pool2d(
    x: TensorLike,
    pool_size: Ints,
    strides: Ints = (1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    pool_mode: str = "max",
) -> Tensor:
    """:func:`pool` over two axes."""
    return pool(x, pool_size, strides, padding, data_format, pool_mode)


def pool3d(
    x: TensorLike,
    pool_size: Ints,
    strides: Ints = (1, 1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    pool_mode: str = "max",
) -> Tensor:
    """:func:`pool` over three axes."""
    return pool(x, pool_size, strides, padding, data_format, pool_mode)


def global_pool(x: TensorLike, data_format: str | None, pool_mode: str, keepdims: bool = False) -> Tensor:
    """The largest (``max``) or mean (``avg``) element of each channel: ``(batch, channels)``."""
    value = as_float(x).value
    axes = spatial_axes(value.rank, config.normalize_data_format(data_format))
    reduce = reduction.reduce_max if pool_mode == "max" else reduction.reduce_mean
    return Tensor(reduce(value, list(axes), keepdims))
