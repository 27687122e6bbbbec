"""Upsampling of the spatial axes by whole factors."""

from __future__ import annotations

from typing import Any

from kcompile import backend as K
from kcompile.common.checks import check_int_tuple, check_one_of
from kcompile.engine.layer import Shape
from kcompile.layers.base.spatial import SpatialLayer
from kcompile.layers.base.types import Ints
from kcompile.objects.legacy_arguments import understands_keras_1
from kcompile.symbolic.tensor import Tensor

__all__ = ["UpSampling1D", "UpSampling2D", "UpSampling3D"]


class UpSampling(SpatialLayer):
    """Enlarges the spatial axes; see :class:`UpSampling2D`. Subclasses set ``rank``."""

    @understands_keras_1
    def __init__(self, size: Ints = 2, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.size: Any = check_int_tuple(type(self).__name__, "size", size, self.rank)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, spatial, channels = self._split_shape(input_shape)
        axes = zip(spatial, self.size, strict=True)
        return self._join_shape(batch, [None if n is None else n * factor for n, factor in axes], channels)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size, "data_format": self.data_format}


class UpSampling1D(UpSampling):
    """Each step of ``(batch, steps, channels)`` ``size`` times.

    Raises:
        ValueError: ``size`` is not a whole number of at least 1.
    """

    rank = 1

    @understands_keras_1
    def __init__(self, size: int = 2, **kwargs: Any) -> None:
        super().__init__(size, "channels_last", **kwargs)

    def call(self, inputs: Tensor) -> Any:
        return K.repeat_elements(inputs, self.size[0], 1)

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "size": self.size[0]}
        del config["data_format"]
        return config


class UpSampling2D(UpSampling):
    """Enlarges images ``(batch, rows, columns, channels)``.

    Args:
        size: the factor, or one each for rows and columns.
        data_format: ``channels_last`` or ``channels_first``; default as configured.
        interpolation: ``nearest`` repeats elements, ``bilinear`` interpolates between their centres (the rule of
            tf.keras; Keras 2.3 on TensorFlow 1 placed them differently).

    Raises:
        ValueError: an argument out of range.
    """

    rank = 2

    @understands_keras_1
    def __init__(
        self,
        size: Ints = 2,
        data_format: str | None = None,
        interpolation: str = "nearest",
        **kwargs: Any,
    ) -> None:
        super().__init__(size, data_format, **kwargs)
        known = ("nearest", "bilinear")
        self.interpolation = check_one_of(type(self).__name__, "interpolation", interpolation, known)

    def call(self, inputs: Tensor) -> Any:
        rows, columns = self.size
        return K.resize_images(inputs, rows, columns, self.data_format, self.interpolation)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "interpolation": self.interpolation}


class UpSampling3D(UpSampling):
    """Each element of volumes repeated along the three spatial axes; arguments as for :class:`UpSampling2D`."""

    rank = 3

    def call(self, inputs: Tensor) -> Any:
        depth, rows, columns = self.size
        return K.resize_volumes(inputs, depth, rows, columns, self.data_format)
