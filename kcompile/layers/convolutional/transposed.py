"""Transposed convolution, also called deconvolution: the input gradient of a convolution, as a layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcompile import backend as K
from kcompile.common.checks import check_int_tuple, raise_unknown_argument
from kcompile.common.errors import KCompileError
from kcompile.common.window_sizes import deconv_length
from kcompile.engine.layer import Layer, Shape
from kcompile.layers.base.types import Ints
from kcompile.layers.convolutional.convolution import Conv, Conv1D, Conv2D, Conv3D
from kcompile.objects.legacy_arguments import understands_keras_1
from kcompile.objects.lookup import Identifier
from kcompile.symbolic.tensor import Tensor

__all__ = [
    "Conv1DTranspose",
    "Conv2DTranspose",
    "Conv3DTranspose",
    "Convolution1DTranspose",
    "Convolution2DTranspose",
    "Convolution3DTranspose",
    "Deconv2D",
    "Deconv3D",
    "Deconvolution2D",
    "Deconvolution3D",
]


class _Transposed(Conv):
    """See :class:`Conv2DTranspose`."""

    @understands_keras_1
    def __init__(
        self,
        filters: int,
        kernel_size: Ints,
        strides: Ints = 1,
        padding: str = "valid",
        output_padding: Ints | None = None,
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
        **kwargs: Any,
    ) -> None:
        if "groups" in kwargs:
            raise_unknown_argument(type(self).__name__, "groups", [])
        super().__init__(
            filters,
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            activation,
            use_bias,
            kernel_initializer,
            bias_initializer,
            kernel_regularizer,
            bias_regularizer,
            activity_regularizer,
            kernel_constraint,
            bias_constraint,
            **kwargs,
        )
        owner = type(self).__name__
        self.output_padding: tuple[int, ...] | None = None
        if output_padding is not None:
            self.output_padding = check_int_tuple(owner, "output_padding", output_padding, self.rank, minimum=0)
            if any(extra >= stride for extra, stride in zip(self.output_padding, self.strides, strict=True)):
                raise KCompileError(
                    f"{owner}: output_padding={self.output_padding} must be smaller than strides={self.strides}"
                )

    @property
    def _paddings(self) -> tuple[str, ...]:
        return ("valid", "same")

    def build(self, input_shape: Shape) -> None:
        channels = self._known_channels(input_shape)
        self.kernel = self._add_weight_of("kernel", (*self.kernel_size, self.filters, channels))
        self._finish_build(channels, self.filters)

    def _check_input(self, input_shape: Sequence[int | None]) -> None:
        """Inputs of any size fit."""

    def _output_spatial(self, spatial: Sequence[int | None]) -> Shape:
        extra = self.output_padding or (None,) * self.rank
        axes = zip(spatial, self.strides, self.kernel_size, extra, self.dilation_rate, strict=True)
        return tuple(deconv_length(size, s, k, self.padding, p, d) for size, s, k, p, d in axes)

    def call(self, inputs: Tensor) -> Any:
        y = K.conv_transpose(
            inputs,
            self.kernel,
            self.strides,
            self.padding,
            self.output_padding,
            self.data_format,
            self.dilation_rate,
            self.bias,
        )
        return self.activation(y)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "output_padding": self.output_padding}

    @classmethod
    def from_config(cls: type[Layer], config: dict[str, Any]) -> Any:
        """A new layer; the ``groups`` that tf.keras writes here has no meaning."""
        return cls(**{key: value for key, value in config.items() if key != "groups"})


class Conv1DTranspose(_Transposed, Conv1D):
    """Transposed convolution over one axis (tf.keras); arguments as for :class:`Conv2DTranspose`."""


class Conv2DTranspose(_Transposed, Conv2D):
    """Transposed convolution: ``(batch, rows, columns, channels)`` to larger rows and columns with ``filters``.

    An axis of ``size`` becomes ``size * stride`` with ``padding="same"``, and
    ``size * stride + max(reach - stride, 0)`` with ``valid``, where ``reach`` is that of the (dilated) kernel.

    Args:
        output_padding: a number, or one per spatial axis, below the strides: chooses among the sizes that the
            convolution would turn into the input's: ``(size - 1) * stride + reach - 2 * pad + output_padding``, with
            ``pad = reach // 2`` for ``same``, else 0. Default: the sizes above.

    The other arguments are those of Conv2D, but without ``groups``; the kernel has the shape
    ``(rows, columns, filters, channels)``.

    Raises:
        ValueError: an argument out of range, or (when called) an input that does not fit.
    """


class Conv3DTranspose(_Transposed, Conv3D):
    """Transposed convolution over three axes; arguments as for :class:`Conv2DTranspose`."""

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        if max(self.dilation_rate) == 1:  # Keras 2.3 does not know the argument here
            del config["dilation_rate"]
        return config


Convolution1DTranspose = Conv1DTranspose
Convolution2DTranspose = Deconvolution2D = Deconv2D = Conv2DTranspose
Convolution3DTranspose = Deconvolution3D = Deconv3D = Conv3DTranspose
