"""Convolution over 1 to 3 spatial axes, and its two gradients as first-class ops.

A convolution is linear in its input and in its filter, so the three ops close under differentiation: with
``y = conv(x, w)``, the gradient of each is made of the other two. Transposed convolution is the input
gradient. Filters always have Keras' order (spatial..., channels in / groups, channels out).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from kcompile.ir.core import Array, Builder, Gradients, Node, Value, apply
from kcompile.ir.dims import Dim, Size
from kcompile.ir.errors import IRError
from kcompile.ir.ops.arrays.reduction import reduce_sum
from kcompile.ir.ops.arrays.shaping import reshape
from kcompile.ir.ops.elementwise.functions import add
from kcompile.ir.ops.shapes.batching import all_stacked, merged
from kcompile.ir.ops.spatial import convolution_lowering as lowering
from kcompile.ir.ops.spatial.convolution_base import (
    Convolution,
    FilterGradient,
    conv_flops,
    input_gradient_flops,
    kernel_of,
)
from kcompile.ir.ops.spatial.convolution_weight_lowering import conv_weight_grad as lower_weight_grad
from kcompile.ir.ops.spatial.spatial import (
    Pads,
    arrange,
    channel_axis,
    crop,
    integers,
    offsets,
    pad_spatial,
    spatial_sizes,
)
from kcompile.ir.types import TensorType, same_dim


@dataclass(frozen=True)
class Conv(Convolution):
    """Cross-correlation of ``x`` with the filter ``w``, plus an optional ``bias`` per channel (ONNX Conv)."""

    half = True

    def infer(self, x: TensorType, w: TensorType, bias: TensorType | None = None) -> TensorType:  # type: ignore[override]
        self.check(x.rank - 2, x, w, *([bias] if bias else []))
        if w.rank != x.rank:
            raise IRError(f"input {x} and filter {w} must have the same rank")
        kernel = kernel_of(w)
        batch, channels, sizes = self.split(x)
        inner, out = w.shape[-2], w.static_shape[-1]
        if not same_dim(channels, inner * self.groups) or out % self.groups:
            raise IRError(
                f"input {x} has {channels} channels; filter {w} with {self.groups} groups takes "
                f"{inner * self.groups} and gives {out}"
            )
        if bias is not None and bias.shape != (out,):
            raise IRError(f"the bias must have shape ({out},), got {bias}")
        return x.with_shape(arrange(batch, out, self.windows(sizes, kernel), self.data_format))

    def evaluate(self, *arrays: Array) -> Array:
        x, w = self.first(arrays[0]), self.grouped_filter(arrays[1])
        kernel = arrays[1].shape[:-2]
        counts = integers(self.windows(x.shape[2:], kernel))
        x = pad_spatial(x, self.pads)
        y = np.zeros((x.shape[0], self.groups, w.shape[-1], int(np.prod(counts))), x.dtype)
        for position, index in offsets(kernel, counts, self.strides, self.dilations):
            y += np.swapaxes(w[position], -1, -2) @ self.grouped(x[index])
        y = y.reshape(x.shape[0], arrays[1].shape[-1], *counts)
        if len(arrays) == 3:
            y += arrays[2].reshape(-1, *(1 for _ in counts))
        return self.back(y)

    def flops(self, node: Node, size: Size) -> int:
        return conv_flops(node, size, len(node.inputs) - 2)

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (x, w, *bias), (g,) = inputs, grads
        if g is None:
            return [None] * len(inputs)
        result: list[Value | None] = [
            conv_input_grad(g, w, x, self),
            conv_weight_grad(x, g, kernel_of(w.type), self),
        ]
        return result + [_bias_grad(g, self.data_format) for _ in bias]

    def lower_channels_first(self, b: Builder, types: Sequence[TensorType], output: TensorType, *names: str) -> str:
        return lowering.conv(b, self, types, output, *names)


@dataclass(frozen=True)
class ConvInputGrad(Convolution):
    """The gradient of ``conv`` with respect to its input of spatial ``sizes``, given ``g`` and the filter.

    As a layer of its own this is the transposed convolution: ``g`` is its input, the filter's last axis
    counts its channels (ONNX ConvTranspose). Then an optional ``bias`` per channel is added.
    """

    half = True

    sizes: tuple[Dim, ...]

    def infer(self, g: TensorType, w: TensorType, bias: TensorType | None = None) -> TensorType:  # type: ignore[override]
        self.check(g.rank - 2, g, w, *([bias] if bias else []))
        if w.rank != g.rank or len(self.sizes) != g.rank - 2:
            raise IRError(f"gradient {g}, filter {w} and sizes {self.sizes} must have the same spatial rank")
        kernel = kernel_of(w)
        batch, channels, counts = self.split(g)
        inner, out = w.static_shape[-2:]
        if not same_dim(channels, out) or out % self.groups:
            raise IRError(f"{g} has {channels} channels; filter {w} with {self.groups} groups takes {out}")
        expected = self.windows(self.sizes, kernel)
        if not all(same_dim(a, b) for a, b in zip(counts, expected, strict=True)):
            raise IRError(f"an input of sizes {self.sizes} has {expected} windows, but {g} has {counts}")
        if bias is not None and bias.shape != (inner * self.groups,):
            raise IRError(f"the bias must have shape ({inner * self.groups},), got {bias}")
        return g.with_shape(arrange(batch, inner * self.groups, self.sizes, self.data_format))

    def evaluate(self, *arrays: Array) -> Array:
        g, w = self.first(arrays[0]), self.grouped_filter(arrays[1])
        kernel, counts, sizes = arrays[1].shape[:-2], g.shape[2:], integers(self.sizes)
        pads = [integers(pair) for pair in self.pads]
        extents = [size + sum(pair) for size, pair in zip(sizes, pads, strict=True)]
        dx = np.zeros((g.shape[0], arrays[1].shape[-2] * self.groups, *extents), g.dtype)
        rows = self.grouped(g)
        for position, index in offsets(kernel, counts, self.strides, self.dilations):
            dx[index] += (w[position] @ rows).reshape(*dx.shape[:2], *counts)
        dx = crop(dx, self.pads, sizes)
        if len(arrays) == 3:
            dx = dx + arrays[2].reshape(-1, *(1 for _ in sizes))
        return self.back(dx)

    def flops(self, node: Node, size: Size) -> int:
        return input_gradient_flops(node, size) + (len(node.inputs) - 2) * node.outputs[0].type.elements(size)

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (g, w, *bias), (t,) = inputs, grads
        if t is None:
            return [None] * len(inputs)
        found: list[Value | None] = [_like(Conv, self, t, w), conv_weight_grad(t, g, kernel_of(w.type), self)]
        return found + [_bias_grad(t, self.data_format) for _ in bias]

    def lower_channels_first(self, b: Builder, types: Sequence[TensorType], output: TensorType, *names: str) -> str:
        return lowering.conv_input_grad(b, self, types, output, *names)


@dataclass(frozen=True)
class ConvWeightGrad(FilterGradient):
    """The gradient of ``conv`` with respect to its filter of spatial sizes ``kernel``, given ``x`` and ``g``.

    ``permuted`` with the identity gives the op in the other data format.
    """

    activations: ClassVar[tuple[int, ...]] = (0, 1)
    activation_output: ClassVar[bool] = False

    def infer(self, x: TensorType, g: TensorType) -> TensorType:  # type: ignore[override]
        self.check(x.rank - 2, x, g)
        if g.rank != x.rank or len(self.kernel) != x.rank - 2:
            raise IRError(f"input {x}, gradient {g} and kernel {self.kernel} must have the same spatial rank")
        _, channels, sizes = self.split(x)
        _, out, counts = self.split(g)
        if not isinstance(channels, int) or not isinstance(out, int):
            raise IRError(f"the numbers of channels must be known, got {x} and {g}")
        if channels % self.groups or out % self.groups:
            raise IRError(f"{self.groups} groups do not divide {channels} and {out} channels")
        expected = self.windows(sizes, self.kernel)
        if not all(same_dim(a, b) for a, b in zip(counts, expected, strict=True)):
            raise IRError(f"an input of sizes {sizes} has {expected} windows, but {g} has {counts}")
        return x.with_shape((*self.kernel, channels // self.groups, out))

    def evaluate(self, *arrays: Array) -> Array:
        x, g = self.first(arrays[0]), self.first(arrays[1])
        inner, out = x.shape[1] // self.groups, g.shape[1] // self.groups
        x = pad_spatial(x, self.pads)
        dw = np.empty((*self.kernel, inner, self.groups, out), x.dtype)
        rows = np.swapaxes(self.grouped(g), -1, -2)
        for position, index in offsets(self.kernel, g.shape[2:], self.strides, self.dilations):
            dw[position] = np.swapaxes((self.grouped(x[index]) @ rows).sum(0), 0, 1)
        return dw.reshape(*self.kernel, inner, self.groups * out)

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        (x, g), (t,) = inputs, grads
        if t is None:
            return [None, None]
        return [conv_input_grad(g, t, x, self), _like(Conv, self, x, t)]

    def lower_channels_first(self, b: Builder, types: Sequence[TensorType], output: TensorType, *names: str) -> str:
        return lower_weight_grad(b, self, types, output, *names)

    def summed(self, inputs: Sequence[Value], stacked: Sequence[bool]) -> Value | None:
        """The slices go into the batch, over which this op adds up anyway."""
        return apply(self, *map(merged, all_stacked(inputs, stacked)))


def _like(op: type[Conv], like: Convolution, *values: Value) -> Value:
    return apply(op(like.strides, like.pads, like.dilations, like.groups, like.data_format), *values)


def _bias_grad(g: Value, data_format: str) -> Value:
    channels = channel_axis(g.rank, data_format)
    return reduce_sum(g, [axis for axis in range(g.rank) if axis != channels])


def conv_input_grad(g: Value, w: Value, x: Value, like: Convolution) -> Value:
    """The gradient with respect to ``x`` of the convolution ``like`` with the filter ``w``."""
    sizes = spatial_sizes(x.shape, like.data_format)
    op = ConvInputGrad(like.strides, like.pads, like.dilations, like.groups, like.data_format, sizes)
    return apply(op, g, w)


def conv_weight_grad(x: Value, g: Value, kernel: tuple[int, ...], like: Convolution) -> Value:
    """The gradient with respect to its filter of the convolution ``like`` of ``x``."""
    op = ConvWeightGrad(like.strides, like.pads, like.dilations, like.groups, like.data_format, kernel)
    return apply(op, x, g)


def conv(
    x: Value,
    w: Value,
    strides: Sequence[int] | None = None,
    pads: Sequence[tuple[Dim, Dim]] | None = None,
    dilations: Sequence[int] | None = None,
    groups: int = 1,
    data_format: str = "channels_last",
    bias: Value | None = None,
) -> Value:
    """Convolution over 1 to 3 spatial axes.

    Args:
        x: (batch, spatial..., channels), or (batch, channels, spatial...) for ``channels_first``.
        w: (kernel..., channels / groups, outputs).
        strides, dilations: one whole number per spatial axis (default: ones).
        pads: (before, after) per spatial axis (default: none); :func:`~kcompile.ir.ops.spatial.spatial.resolve_pads`
            computes those of Keras' ``padding``.
        groups: how many independent convolutions share the channels.
        bias: (outputs,), added.

    Raises:
        IRError: ranks, channels or element types do not fit, or no window fits into the padded input.
    """
    op = Conv(*_geometry(x, strides, pads, dilations), groups, data_format)
    return apply(op, x, w) if bias is None else apply(op, x, w, bias)


def _geometry(
    x: Value,
    strides: Sequence[int] | None,
    pads: Sequence[tuple[Dim, Dim]] | None,
    dilations: Sequence[int] | None,
) -> tuple[tuple[int, ...], Pads, tuple[int, ...]]:
    """Strides, pads and dilations with their defaults."""
    ones = (1,) * (x.rank - 2)
    around: Pads = ((0, 0),) * len(ones) if pads is None else tuple((before, after) for before, after in pads)
    return tuple(strides or ones), around, tuple(dilations or ones)


def conv_transpose(
    x: Value,
    w: Value,
    output_sizes: Sequence[Dim],
    strides: Sequence[int] | None = None,
    pads: Sequence[tuple[Dim, Dim]] | None = None,
    dilations: Sequence[int] | None = None,
    groups: int = 1,
    data_format: str = "channels_last",
    bias: Value | None = None,
) -> Value:
    """Transposed convolution: the input gradient of the convolution from ``output_sizes`` to those of ``x``.

    Args:
        x: (batch, spatial..., channels) or channels first, as for :func:`conv`.
        w: (kernel..., outputs / groups, channels), as in Keras' Conv2DTranspose.
        output_sizes: the spatial sizes of the result (:func:`transposed_size` computes Keras' ones).
        strides, pads, dilations, groups: those of the convolution from the result to ``x``; for Keras'
            ``padding="same"`` the pads are ``resolve_pads("same", output_sizes, ...)``.
        bias: (outputs,), added.

    Raises:
        IRError: ranks, channels, sizes or element types do not fit.
    """
    op = ConvInputGrad(*_geometry(x, strides, pads, dilations), groups, data_format, tuple(output_sizes))
    y = apply(op, x, w)
    if bias is None:
        return y
    if bias.rank != 1 or not same_dim(bias.shape[0], y.shape[channel_axis(y.rank, data_format)]):
        raise IRError(f"conv_transpose: the bias {bias.type} must have one entry per channel of {y.type}")
    along = [1] * (y.rank - 1)
    along[channel_axis(y.rank, data_format) - 1] = -1
    return add(y, reshape(bias, along))


def transposed_size(
    size: Dim, kernel: int, stride: int, padding: str, output_padding: int | None = None, dilation: int = 1
) -> Dim:
    """The size of an axis after Keras' transposed convolution (``conv_utils.deconv_output_length``).

    Raises:
        ValueError: ``padding`` is neither ``valid`` nor ``same``.
    """
    reach = (kernel - 1) * dilation + 1
    if padding not in ("valid", "same"):
        raise ValueError(f"padding of a transposed convolution is 'valid' or 'same', got {padding!r}")
    if output_padding is None:
        return size * stride + (max(reach - stride, 0) if padding == "valid" else 0)
    pad = reach // 2 if padding == "same" else 0
    return (size - 1) * stride + reach - 2 * pad + output_padding


def depthwise_conv(
    x: Value,
    w: Value,
    strides: Sequence[int] | None = None,
    pads: Sequence[tuple[Dim, Dim]] | None = None,
    dilations: Sequence[int] | None = None,
    data_format: str = "channels_last",
    bias: Value | None = None,
) -> Value:
    """Convolution of each channel by itself with ``multiplier`` filters.

    Args:
        x: as for :func:`conv`.
        w: (kernel..., channels, multiplier), Keras' depthwise filter; output channel ``c * multiplier + m``.
        strides, pads, dilations, bias: as for :func:`conv`.

    Raises:
        IRError: as :func:`conv`.
    """
    *kernel, channels, multiplier = w.type.static_shape
    filters = reshape(w, (*kernel, 1, channels * multiplier))
    return conv(x, filters, strides, pads, dilations, channels, data_format, bias)
