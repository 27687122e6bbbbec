"""Depthwise convolution (each channel by itself) and separable convolution (depthwise, then across channels)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcompile import backend as K
from kcompile.common.checks import check_positive_int, raise_unknown_argument
from kcompile.engine.layer import Shape
from kcompile.layers.base.types import Ints
from kcompile.layers.convolutional.convolution import Conv, Conv1D, Conv2D, noting_old_kernels
from kcompile.objects.legacy_arguments import understands_keras_1
from kcompile.objects.lookup import Identifier
from kcompile.symbolic.tensor import Tensor

__all__ = [
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "SeparableConv1D",
    "SeparableConv2D",
    "SeparableConvolution1D",
    "SeparableConvolution2D",
]

_OF_CONV = {"groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint"}


class _Depthwise(Conv):
    """What depthwise and separable convolutions share."""

    def __init__(self, depth_multiplier: int, depthwise_options: Sequence[Any], *args: Any, **kwargs: Any) -> None:
        for name in _OF_CONV.intersection(kwargs):
            raise_unknown_argument(type(self).__name__, name, ["depthwise_initializer", "depth_multiplier"])
        super().__init__(*args, **kwargs)
        self.depth_multiplier = check_positive_int(type(self).__name__, "depth_multiplier", depth_multiplier)
        self._set_weight_options("depthwise", *depthwise_options)

    def _build_depthwise(self, input_shape: Shape) -> int:
        channels = self._known_channels(input_shape)
        self._check_input(input_shape)
        shape = (*self.kernel_size, channels, self.depth_multiplier)
        self.depthwise_kernel = self._add_weight_of("depthwise", shape, "depthwise_kernel")
        return channels

    def get_config(self) -> dict[str, Any]:
        config = {key: value for key, value in super().get_config().items() if key not in _OF_CONV}
        return {**config, "depth_multiplier": self.depth_multiplier, **self._weight_config("depthwise")}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A new layer; options of Conv2D's kernel, which tf.keras writes here too, have no meaning."""
        return cls(**{key: value for key, value in config.items() if key not in _OF_CONV})


class _DepthwiseConv(_Depthwise):
    """See :class:`DepthwiseConv2D`."""

    def __init__(
        self,
        kernel_size: Ints,
        strides: Ints = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Ints = 1,
        activation: Identifier = None,
        use_bias: bool = True,
        depthwise_initializer: Identifier = "glorot_uniform",
        bias_initializer: Identifier = "zeros",
        depthwise_regularizer: Identifier = None,
        bias_regularizer: Identifier = None,
        activity_regularizer: Identifier = None,
        depthwise_constraint: Identifier = None,
        bias_constraint: Identifier = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            depth_multiplier,
            (depthwise_initializer, depthwise_regularizer, depthwise_constraint),
            filters=1,  # as many as channels * depth_multiplier, known when built
            kernel_size=kernel_size,
            strides=strides,
            padding=padding,
            data_format=data_format,
            dilation_rate=dilation_rate,
            activation=activation,
            use_bias=use_bias,
            bias_initializer=bias_initializer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            bias_constraint=bias_constraint,
            **kwargs,
        )

    def build(self, input_shape: Shape) -> None:
        channels = self._build_depthwise(input_shape)
        self.filters = channels * self.depth_multiplier
        self._finish_build(channels, self.filters)

    def call(self, inputs: Tensor) -> Any:
        self._check_input(K.int_shape(inputs))
        y = K.depthwise_conv2d(
            inputs,
            self.depthwise_kernel,
            self.strides,
            self.padding,
            self.data_format,
            self.dilation_rate,
            self.bias,
        )
        return self.activation(y)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, spatial, channels = self._split_shape(input_shape)
        self._check_input(input_shape)
        filters = None if channels is None else channels * self.depth_multiplier
        return self._join_shape(batch, self._output_spatial(spatial), filters)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["filters"]
        return config


class DepthwiseConv1D(_DepthwiseConv, Conv1D):
    """Depthwise convolution over one axis (tf.keras); arguments as for :class:`DepthwiseConv2D`."""


class DepthwiseConv2D(_DepthwiseConv, Conv2D):
    """Convolution of each channel by itself, with ``depth_multiplier`` kernels each.

    ``(batch, rows, columns, channels) -> (batch, new_rows, new_columns, channels * depth_multiplier)``; the
    outputs of a channel are neighbours.

    Args:
        depth_multiplier: the number of kernels per channel.
        depthwise_initializer, depthwise_regularizer, depthwise_constraint: of the kernel,
            ``(rows, columns, channels, depth_multiplier)``.

    The other arguments are those of Conv2D, but without ``filters``.

    Raises:
        ValueError: an argument out of range, or (when called) an input that does not fit.
    """


class _SeparableConv(_Depthwise):
    """See :class:`SeparableConv2D`."""

    @understands_keras_1
    @noting_old_kernels
    def __init__(
        self,
        filters: int,
        kernel_size: Ints,
        strides: Ints = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Ints = 1,
        depth_multiplier: int = 1,
        activation: Identifier = None,
        use_bias: bool = True,
        depthwise_initializer: Identifier = "glorot_uniform",
        pointwise_initializer: Identifier = "glorot_uniform",
        bias_initializer: Identifier = "zeros",
        depthwise_regularizer: Identifier = None,
        pointwise_regularizer: Identifier = None,
        bias_regularizer: Identifier = None,
        activity_regularizer: Identifier = None,
        depthwise_constraint: Identifier = None,
        pointwise_constraint: Identifier = None,
        bias_constraint: Identifier = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            depth_multiplier,
            (depthwise_initializer, depthwise_regularizer, depthwise_constraint),
            filters=filters,
            kernel_size=kernel_size,
            strides=strides,
            padding=padding,
            data_format=data_format,
            dilation_rate=dilation_rate,
            activation=activation,
            use_bias=use_bias,
            bias_initializer=bias_initializer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            bias_constraint=bias_constraint,
            **kwargs,
        )
        self._set_weight_options("pointwise", pointwise_initializer, pointwise_regularizer, pointwise_constraint)

    def build(self, input_shape: Shape) -> None:
        channels = self._build_depthwise(input_shape)
        shape = (*(1,) * self.rank, channels * self.depth_multiplier, self.filters)
        self.pointwise_kernel = self._add_weight_of("pointwise", shape, "pointwise_kernel")
        self._finish_build(channels, self.filters)

    def call(self, inputs: Tensor) -> Any:
        self._check_input(K.int_shape(inputs))
        y = K.separable_conv(
            inputs,
            self.depthwise_kernel,
            self.pointwise_kernel,
            self.strides,
            self.padding,
            self.data_format,
            self.dilation_rate,
            self.bias,
        )
        return self.activation(y)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self._weight_config("pointwise")}


class SeparableConv1D(_SeparableConv, Conv1D):
    """Separable convolution over one axis; arguments as for :class:`SeparableConv2D`."""


class SeparableConv2D(_SeparableConv, Conv2D):
    """A depthwise convolution, then kernels of size 1 that mix the channels, then the bias; Chollet (2017).

    ``(batch, rows, columns, channels) -> (batch, new_rows, new_columns, filters)``.

    Args:
        depth_multiplier: the number of depthwise kernels per channel.
        depthwise_initializer, depthwise_regularizer, depthwise_constraint: of the depthwise kernel,
            ``(rows, columns, channels, depth_multiplier)``.
        pointwise_initializer, pointwise_regularizer, pointwise_constraint: of the pointwise kernel,
            ``(1, 1, channels * depth_multiplier, filters)``.

    The other arguments are those of Conv2D.

    Raises:
        ValueError: an argument out of range, or (when called) an input that does not fit.
    """


SeparableConvolution1D, SeparableConvolution2D = SeparableConv1D, SeparableConv2D
