"""Noise that acts in training only: Gaussian, added or multiplied, and dropout for self-normalizing networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from kcompile import backend as K
from kcompile.common.checks import check_fraction, check_int, check_number
from kcompile.common.errors import ShapeError
from kcompile.engine.layer import Layer, Shape
from kcompile.ir.ops.elementwise.activations import SELU_ALPHA, SELU_SCALE
from kcompile.layers.base.types import Phase
from kcompile.objects.legacy_arguments import understands_keras_1
from kcompile.symbolic.seeds import SeedStream
from kcompile.symbolic.tensor import Tensor

__all__ = ["AlphaDropout", "GaussianDropout", "GaussianNoise"]


class Noise(Layer):
    """What layers share that change their input at random in training, and pass it on otherwise.

    Args:
        seed: of the random numbers; ``None`` draws it from NumPy's global generator.
    """

    _takes_one_tensor = True

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = None if seed is None else check_int(type(self).__name__, "seed", seed)
        self.supports_masking = True
        self._seeds = SeedStream(self.seed)

    @property
    def _active(self) -> bool:
        """Whether training changes anything."""
        return True

    def _noised(self, inputs: Tensor, seed: int) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} does not define _noised(inputs, seed)")

    def call(self, inputs: Tensor, training: Phase = None) -> Tensor:
        if not self._active:
            return inputs
        return K.in_train_phase(self._noised(inputs, self._seeds.next()), inputs, training=training)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)


class GaussianNoise(Noise):
    """Adds normal numbers in training.

    Args:
        stddev: their standard deviation, at least 0. Keras 1 calls it ``sigma``.
        seed: of the random numbers.

    Raises:
        ValueError: ``stddev`` is negative.
    """

    @understands_keras_1
    def __init__(self, stddev: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self.stddev = check_number("GaussianNoise", "stddev", stddev, minimum=0)

    @property
    def _active(self) -> bool:
        return self.stddev > 0

    def _noised(self, inputs: Tensor, seed: int) -> Tensor:
        return inputs + K.random_normal(K.shape(inputs), 0.0, self.stddev, inputs.dtype, seed)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "stddev": self.stddev, "seed": self.seed}


class GaussianDropout(Noise):
    """Multiplies by normal numbers of mean 1 and variance ``rate / (1 - rate)`` in training, as Dropout's masks have.

    Source: Srivastava et al. (2014), section 10.

    Args:
        rate: 0 up to, not including, 1. Keras 1 calls it ``p``.
        seed: of the random numbers.

    Raises:
        ValueError: ``rate`` is not in this range.
    """

    @understands_keras_1
    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self.rate = check_fraction("GaussianDropout", "rate", rate)

    @property
    def _active(self) -> bool:
        return self.rate > 0

    def _noised(self, inputs: Tensor, seed: int) -> Tensor:
        stddev = math.sqrt(self.rate / (1 - self.rate))
        return inputs * K.random_normal(K.shape(inputs), 1.0, stddev, inputs.dtype, seed)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


class AlphaDropout(Noise):
    """Sets a fraction of the elements to ``selu``'s limit in training, and keeps mean and variance by an affine map.

    Source: Klambauer et al. (2017).

    Args:
        rate: the fraction, 0 up to, not including, 1.
        noise_shape: shape of the mask, which broadcasts; ``None`` sizes are those of the input.
        seed: of the mask's random numbers.

    Raises:
        ValueError: ``rate`` is not in this range; on a call, ``noise_shape`` has not as many sizes as the input.
    """

    def __init__(
        self, rate: float, noise_shape: Sequence[int | None] | None = None, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(seed, **kwargs)
        self.rate = check_fraction("AlphaDropout", "rate", rate)
        self.noise_shape = None if noise_shape is None else tuple(noise_shape)

    @property
    def _active(self) -> bool:
        return self.rate > 0

    def _noised(self, inputs: Tensor, seed: int) -> Tensor:
        if self.noise_shape is not None and len(self.noise_shape) != inputs.ndim:
            raise ShapeError(
                f"layer {self.name!r} (AlphaDropout): noise_shape {self.noise_shape} has {len(self.noise_shape)} "
                f"sizes; the input of shape {tuple(inputs.shape)} has {inputs.ndim}"
            )
        limit = -SELU_ALPHA * SELU_SCALE
        scale = 1 / math.sqrt((1 - self.rate) * (1 + self.rate * limit**2))
        # Dropout of ones: 1 / (1 - rate) where an element stays, 0 where it goes.
        kept = K.dropout(K.ones_like(inputs), self.rate, self.noise_shape, seed) * (1 - self.rate)
        return (inputs * kept + limit * (1 - kept)) * scale - scale * limit * self.rate

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "noise_shape": self.noise_shape, "seed": self.seed}
