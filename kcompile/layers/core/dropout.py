"""Dropout, of elements and of whole channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcompile import backend as K
from kcompile.common.checks import check_fraction, check_int
from kcompile.common.errors import ShapeError
from kcompile.engine.layer import Layer, Shape
from kcompile.engine.node import InputSpec
from kcompile.layers.base.types import Phase
from kcompile.objects.legacy_arguments import understands_keras_1
from kcompile.symbolic.seeds import SeedStream
from kcompile.symbolic.tensor import Tensor

__all__ = ["Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"]


class Dropout(Layer):
    """Zeroes a fraction of the elements in training and scales the rest by ``1 / (1 - rate)``.

    Source: Srivastava et al. (2014).

    Args:
        rate: the fraction, 0 to 1.
        noise_shape: shape of the mask, which broadcasts; ``None`` sizes are those of the input.
        seed: of the mask's random numbers.

    Raises:
        ValueError: ``rate`` is outside 0 to 1.
    """

    _takes_one_tensor = True

    @understands_keras_1
    def __init__(
        self,
        rate: float,
        noise_shape: Sequence[int | None] | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.rate = check_fraction(type(self).__name__, "rate", rate, below_one=False)
        self.noise_shape = None if noise_shape is None else tuple(noise_shape)
        self.seed = None if seed is None else check_int(type(self).__name__, "seed", seed)
        self.supports_masking = True
        self._seeds = SeedStream(self.seed)

    def _get_noise_shape(self, inputs: Tensor) -> Any:
        """The shape of the mask; ``None`` is that of the input."""
        if self.noise_shape is not None and len(self.noise_shape) != inputs.ndim:
            raise ShapeError(
                f"layer {self.name!r} ({type(self).__name__}): noise_shape {self.noise_shape} has "
                f"{len(self.noise_shape)} sizes; the input of shape {tuple(inputs.shape)} has {inputs.ndim}"
            )
        return self.noise_shape

    def call(self, inputs: Tensor, training: Phase = None) -> Tensor:
        if self.rate == 0:
            return inputs
        if self.rate == 1:
            return K.in_train_phase(K.zeros_like(inputs), inputs, training=training)
        noise_shape, seed = self._get_noise_shape(inputs), self._seeds.next()
        dropped = K.dropout(inputs, self.rate, noise_shape, seed=seed)
        return K.in_train_phase(dropped, inputs, training=training)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "noise_shape": self.noise_shape, "seed": self.seed}


class SpatialDropout1D(Dropout):
    """Dropout of whole channels of ``(batch, steps, channels)``; Tompson et al. (2015).

    Args:
        rate: the fraction of channels, 0 to 1.
        seed: of the mask's random numbers.

    Raises:
        ValueError: ``rate`` is outside 0 to 1.
    """

    @understands_keras_1
    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(rate, seed=seed, **kwargs)
        self.input_spec = InputSpec(ndim=3)

    def _get_noise_shape(self, inputs: Tensor) -> Any:
        return (None, 1, None)


class _SpatialDropout(Dropout):
    """Dropout of whole channels of images and volumes."""

    _axes: int

    @understands_keras_1
    def __init__(self, rate: float, data_format: str | None = None, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(rate, seed=seed, **kwargs)
        self.data_format = K.normalize_data_format(data_format)
        self.input_spec = InputSpec(ndim=self._axes + 2)

    def _get_noise_shape(self, inputs: Tensor) -> Any:
        ones = (1,) * self._axes
        return (None, None, *ones) if self.data_format == "channels_first" else (None, *ones, None)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "data_format": self.data_format}


class SpatialDropout2D(_SpatialDropout):
    """Dropout of whole channels of images; Tompson et al. (2015).

    Args:
        rate: the fraction of channels, 0 to 1.
        data_format: ``channels_last`` or ``channels_first``; default as configured.
        seed: of the mask's random numbers.

    Raises:
        ValueError: ``rate`` is outside 0 to 1.
    """

    _axes = 2


class SpatialDropout3D(_SpatialDropout):
    """Dropout of whole channels of volumes; arguments as of :class:`SpatialDropout2D`."""

    _axes = 3
