"""Convolution over one, two and three spatial axes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from kcompile import activations, regularizers
from kcompile import backend as K
from kcompile.common.checks import check_flag, check_int_tuple, check_positive_int
from kcompile.common.errors import KCompileError, ShapeError, warn
from kcompile.common.window_sizes import conv_output_length, normalize_padding
from kcompile.engine.layer import Shape
from kcompile.engine.node import InputSpec
from kcompile.layers.base.spatial import WeightedSpatialLayer
from kcompile.layers.base.types import Ints
from kcompile.objects.legacy_arguments import understands_keras_1
from kcompile.objects.lookup import Identifier
from kcompile.symbolic.tensor import Tensor

__all__ = ["Conv1D", "Conv2D", "Conv3D", "Convolution1D", "Convolution2D", "Convolution3D"]


def noting_old_kernels(init: Callable[..., None]) -> Callable[..., None]:
    """A constructor that warns where two equal numbers by position look like Keras 1's kernel: ``(64, 3, 3)``."""

    @functools.wraps(init)
    def checked(self: Any, *args: Any, **kwargs: Any) -> None:
        direct = inspect.unwrap(type(self).__init__) is inspect.unwrap(init)  # not a subclass
        if direct and self.rank == 2 and len(args) > 2 and isinstance(args[1], int) and 1 < args[1] == args[2]:
            name, filters, size = type(self).__name__, args[0], args[1]
            warn(
                f"{name}({filters}, {size}, {size}) has a kernel of {size}x{size} and strides of {size}; write "
                f"{name}({filters}, ({size}, {size})) for Keras 1's rows and columns, or strides={size} for strides"
            )
        init(self, *args, **kwargs)

    return checked


class Conv(WeightedSpatialLayer):
    """Cross-correlation with learned kernels; see :class:`Conv2D`. Subclasses set ``rank``."""

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
        activation: Identifier = None,
        use_bias: bool = True,
        kernel_initializer: Identifier = "glorot_uniform",
        bias_initializer: Identifier = "zeros",
        kernel_regularizer: Identifier = None,
        bias_regularizer: Identifier = None,
        activity_regularizer: Identifier = None,
        kernel_constraint: Identifier = None,
        bias_constraint: Identifier = None,
        *,
        groups: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, activity_regularizer=activity_regularizer, **kwargs)
        owner = type(self).__name__
        self.filters = check_positive_int(owner, "filters", filters)
        self.groups = check_positive_int(owner, "groups", groups)
        if self.filters % self.groups:
            raise KCompileError(f"{owner}: groups={self.groups} does not divide filters={self.filters}")
        self._set_windows(kernel_size, strides, padding, dilation_rate)
        self._set_output(activation, use_bias)
        self._set_weight_options("kernel", kernel_initializer, kernel_regularizer, kernel_constraint)
        self._set_weight_options("bias", bias_initializer, bias_regularizer, bias_constraint)

    # -- arguments

    @property
    def _paddings(self) -> tuple[str, ...]:
        """The paddings that this layer knows; ``full`` is Keras 1's."""
        return ("valid", "same", "full", "causal") if self.rank == 1 else ("valid", "same", "full")

    def _set_windows(self, kernel_size: Ints, strides: Ints, padding: str, dilation_rate: Ints) -> None:
        owner = type(self).__name__
        self.kernel_size = check_int_tuple(owner, "kernel_size", kernel_size, self.rank)
        self.strides = check_int_tuple(owner, "strides", strides, self.rank)
        self.dilation_rate = check_int_tuple(owner, "dilation_rate", dilation_rate, self.rank)
        self.padding = normalize_padding(padding, self._paddings, owner)
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise KCompileError(
                f"{owner}: strides={self.strides} and dilation_rate={self.dilation_rate} cannot both be larger "
                "than 1; set one of them to 1"
            )

    def _set_output(self, activation: Identifier, use_bias: bool) -> None:
        self.activation = activations.get(activation)
        self.use_bias = check_flag(type(self).__name__, "use_bias", use_bias)

    # -- weights and shapes

    def build(self, input_shape: Shape) -> None:
        channels = self._known_channels(input_shape)
        if channels % self.groups:
            raise ShapeError(
                f"{self._label}: groups={self.groups} does not divide the {channels} channels of the input shape "
                f"{tuple(input_shape)}"
            )
        self._check_input(input_shape)
        self.kernel = self._add_weight_of("kernel", (*self.kernel_size, channels // self.groups, self.filters))
        self._finish_build(channels, self.filters)

    def _check_input(self, input_shape: Sequence[int | None]) -> None:
        if self.padding == "valid":
            self._check_windows(input_shape, self.kernel_size, self.dilation_rate)

    def _finish_build(self, channels: int, filters: int) -> None:
        self.bias = self._add_weight_of("bias", (filters,)) if self.use_bias else None
        self.input_spec = InputSpec(ndim=self.rank + 2, axes={self._channel_axis: channels})
        self.built = True

    def _output_spatial(self, spatial: Sequence[int | None]) -> Shape:
        axes = zip(spatial, self.kernel_size, self.strides, self.dilation_rate, strict=True)
        return tuple(conv_output_length(size, k, self.padding, s, d) for size, k, s, d in axes)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, spatial, _ = self._split_shape(input_shape)
        self._check_input(input_shape)
        return self._join_shape(batch, self._output_spatial(spatial), self.filters)

    # -- computing

    def call(self, inputs: Tensor) -> Any:
        self._check_input(K.int_shape(inputs))
        y = K.conv(
            inputs,
            self.kernel,
            self.strides,
            self.padding,
            self.data_format,
            self.dilation_rate,
            self.groups,
            self.bias,
        )
        return self.activation(y)

    # -- configuration

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "filters": self.filters, **self._window_config()}
        config.update(self._weight_config("kernel", "bias"))
        if self.groups != 1:  # Keras 2.3 does not know the argument
            config["groups"] = self.groups
        return config

    def _window_config(self) -> dict[str, Any]:
        return {
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
            "dilation_rate": self.dilation_rate,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
        }


class Conv1D(Conv):
    """Convolution over one axis: ``(batch, steps, channels) -> (batch, new_steps, filters)``.

    Arguments as for :class:`Conv2D`, and ``padding="causal"``: output ``t`` depends on inputs up to ``t`` only.
    """

    rank = 1


class Conv2D(Conv):
    """Convolution over two axes: ``(batch, rows, columns, channels) -> (batch, new_rows, new_columns, filters)``.

    What deep learning calls convolution is cross-correlation: kernels are not flipped.

    Args:
        filters: the number of output channels.
        kernel_size, strides, dilation_rate: a number, or one per spatial axis. Of the last two, one must be 1.
        padding: ``valid`` (none), ``same`` (zeros so that there are ``ceil(size / stride)`` outputs; an odd one
            comes last) or ``full`` (every window that meets the input; Keras 1).
        data_format: ``channels_last`` or ``channels_first``; default as configured.
        activation: name or function, applied to the result.
        use_bias: whether to add a bias per filter.
        kernel_initializer, kernel_regularizer, kernel_constraint: of the kernel,
            ``(rows, columns, channels / groups, filters)`` in both data formats.
        bias_initializer, bias_regularizer, bias_constraint: of the bias, ``(filters,)``.
        activity_regularizer: a loss on the output.
        groups: independent convolutions that share the channels and the filters (tf.keras).

    Raises:
        ValueError: an argument out of range, or (when called) an input that does not fit.
    """

    rank = 2


class Conv3D(Conv):
    """Convolution over three axes; input ``(batch, depth, rows, columns, channels)``, the rest as for Conv2D."""

    rank = 3


Convolution1D, Convolution2D, Convolution3D = Conv1D, Conv2D, Conv3D
