"""Pooling over windows, and over everything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcompile import backend as K
from kcompile.backend.convolution import global_pool, pool
from kcompile.common.checks import check_flag, check_int_tuple
from kcompile.common.window_sizes import conv_output_length, normalize_padding
from kcompile.engine.layer import Shape
from kcompile.layers.base.spatial import SpatialLayer
from kcompile.layers.base.types import Ints, Mask
from kcompile.objects.legacy_arguments import understands_keras_1
from kcompile.symbolic.tensor import Tensor

__all__ = [
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "AvgPool1D",
    "AvgPool2D",
    "AvgPool3D",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "GlobalAvgPool1D",
    "GlobalAvgPool2D",
    "GlobalAvgPool3D",
    "GlobalMaxPool1D",
    "GlobalMaxPool2D",
    "GlobalMaxPool3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "MaxPool1D",
    "MaxPool2D",
    "MaxPool3D",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
]


class Pooling(SpatialLayer):
    """One number per channel for each window; see :class:`MaxPooling2D`.

    Subclasses set ``rank`` and ``mode``, or override ``_pooling_function``.
    """

    mode: str

    @understands_keras_1
    def __init__(
        self,
        pool_size: Ints = 2,
        strides: Ints | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        owner = type(self).__name__
        self.pool_size = check_int_tuple(owner, "pool_size", pool_size, self.rank)
        self.strides = self.pool_size if strides is None else check_int_tuple(owner, "strides", strides, self.rank)
        self.padding = normalize_padding(padding, ("valid", "same"), owner)

    def build(self, input_shape: Shape) -> None:
        self._check_input(input_shape)
        super().build(input_shape)

    def _check_input(self, input_shape: Sequence[int | None]) -> None:
        if self.padding == "valid":
            self._check_windows(input_shape, self.pool_size)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, spatial, channels = self._split_shape(input_shape)
        self._check_input(input_shape)
        axes = zip(spatial, self.pool_size, self.strides, strict=True)
        sizes = [conv_output_length(size, window, self.padding, stride) for size, window, stride in axes]
        return self._join_shape(batch, sizes, channels)

    def call(self, inputs: Tensor) -> Any:
        self._check_input(K.int_shape(inputs))
        return self._pooling_function(inputs, self.pool_size, self.strides, self.padding, self.data_format)

    def _pooling_function(self, inputs: Tensor, pool_size: Ints, strides: Ints, padding: str, data_format: str) -> Any:
        return pool(inputs, pool_size, strides, padding, data_format, self.mode)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
        }


class MaxPooling1D(Pooling):
    """The largest element of each window; arguments as for :class:`MaxPooling2D`."""

    rank, mode = 1, "max"


class MaxPooling2D(Pooling):
    """The largest element of each window: ``(batch, rows, columns, channels)`` to fewer rows and columns.

    Args:
        pool_size: the size of windows, a number or one per spatial axis.
        strides: from window to window; default ``pool_size``.
        padding: ``valid`` (none) or ``same`` (``ceil(size / stride)`` windows; what is added never counts).
        data_format: ``channels_last`` or ``channels_first``; default as configured.

    Raises:
        ValueError: an argument out of range, or (when called) an input smaller than a window.
    """

    rank, mode = 2, "max"


class MaxPooling3D(Pooling):
    """The largest element of each window; arguments as for :class:`MaxPooling2D`."""

    rank, mode = 3, "max"


class AveragePooling1D(Pooling):
    """The mean of each window; arguments as for :class:`MaxPooling2D`."""

    rank, mode = 1, "avg"


class AveragePooling2D(Pooling):
    """The mean of each window; arguments as for :class:`MaxPooling2D`."""

    rank, mode = 2, "avg"


class AveragePooling3D(Pooling):
    """The mean of each window; arguments as for :class:`MaxPooling2D`."""

    rank, mode = 3, "avg"


class GlobalPooling(SpatialLayer):
    """One number per channel: ``(batch, channels)``.

    Args:
        data_format: ``channels_last`` or ``channels_first``; default as configured.
        keepdims: keep the spatial axes, with size 1 (tf.keras).
    """

    mode: str

    @understands_keras_1
    def __init__(self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.keepdims = check_flag(type(self).__name__, "keepdims", keepdims)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, spatial, channels = self._split_shape(input_shape)
        return self._join_shape(batch, (1,) * len(spatial), channels) if self.keepdims else (batch, channels)

    def call(self, inputs: Tensor) -> Any:
        return global_pool(inputs, self.data_format, self.mode, self.keepdims)

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "data_format": self.data_format}
        if self.keepdims:  # Keras 2.3 does not know the argument
            config["keepdims"] = True
        return config


class GlobalMaxPooling1D(GlobalPooling):
    """The largest element of each channel; arguments as for :class:`GlobalPooling`."""

    rank, mode = 1, "max"


class GlobalMaxPooling2D(GlobalPooling):
    """The largest element of each channel; arguments as for :class:`GlobalPooling`."""

    rank, mode = 2, "max"


class GlobalMaxPooling3D(GlobalPooling):
    """The largest element of each channel; arguments as for :class:`GlobalPooling`."""

    rank, mode = 3, "max"


class GlobalAveragePooling1D(GlobalPooling):
    """The mean of each channel, over the steps that the mask keeps; arguments as for :class:`GlobalPooling`."""

    rank, mode = 1, "avg"

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any) -> None:
        super().__init__(data_format, keepdims, **kwargs)
        self.supports_masking = True

    def call(self, inputs: Tensor, mask: Mask = None) -> Any:
        if mask is None:
            return super().call(inputs)
        steps = 2 if self.data_format == "channels_first" else 1
        kept = K.expand_dims(K.cast(mask, K.dtype(inputs)), 3 - steps)
        return K.sum(inputs * kept, steps, self.keepdims) / K.sum(kept, steps, self.keepdims)

    def compute_mask(self, inputs: Tensor, mask: Mask = None) -> None:
        """None: the steps are gone."""


class GlobalAveragePooling2D(GlobalPooling):
    """The mean of each channel; arguments as for :class:`GlobalPooling`."""

    rank, mode = 2, "avg"


class GlobalAveragePooling3D(GlobalPooling):
    """The mean of each channel; arguments as for :class:`GlobalPooling`."""

    rank, mode = 3, "avg"


MaxPool1D, MaxPool2D, MaxPool3D = MaxPooling1D, MaxPooling2D, MaxPooling3D
AvgPool1D, AvgPool2D, AvgPool3D = AveragePooling1D, AveragePooling2D, AveragePooling3D
GlobalMaxPool1D, GlobalMaxPool2D, GlobalMaxPool3D = GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D
GlobalAvgPool1D, GlobalAvgPool2D, GlobalAvgPool3D = (
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAveragePooling3D,
)
