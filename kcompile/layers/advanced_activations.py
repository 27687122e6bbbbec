"""Activation functions with parameters, as layers."""

from __future__ import annotations

from typing import Any

from kcompile import backend as K
from kcompile.backend.activations import prelu
from kcompile.common.checks import check_int, check_number
from kcompile.common.errors import ShapeError
from kcompile.engine.layer import Layer, Shape
from kcompile.engine.node import InputSpec
from kcompile.layers.base.types import Ints, Mask
from kcompile.layers.base.weight_options import WeightOptions
from kcompile.objects.legacy_arguments import understands_keras_1
from kcompile.objects.lookup import Identifier
from kcompile.symbolic.tensor import Tensor

__all__ = ["ELU", "LeakyReLU", "PReLU", "ReLU", "Softmax", "ThresholdedReLU"]


class _Elementwise(Layer):
    """A layer whose output has the shape, and the mask, of its input."""

    _takes_one_tensor = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)


class LeakyReLU(_Elementwise):
    """``x`` above 0, ``alpha * x`` below; Maas et al. (2013).

    Args:
        alpha: the slope below 0; ``negative_slope`` in Keras 3.
    """

    def __init__(self, alpha: float = 0.3, **kwargs: Any) -> None:
        alpha = kwargs.pop("negative_slope", alpha)
        super().__init__(**kwargs)
        self.alpha = check_number("LeakyReLU", "alpha", alpha)

    def call(self, inputs: Tensor) -> Tensor:
        return K.relu(inputs, alpha=self.alpha)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "alpha": self.alpha}


class PReLU(WeightOptions, _Elementwise):
    """``x`` above 0, ``alpha * x`` below, where ``alpha`` is learned; He et al. (2015).

    Args:
        alpha_initializer, alpha_regularizer, alpha_constraint: of the slopes, which have the shape of a sample.
        shared_axes: axes (from 1; the batch is not counted) along which the slopes are shared: ``[1, 2]`` for images
            in ``channels_last`` gives one slope per channel.

    Raises:
        ValueError: on the first call, a size that is not shared is unknown.
    """

    @understands_keras_1
    def __init__(
        self,
        alpha_initializer: Identifier = "zeros",
        alpha_regularizer: Identifier = None,
        alpha_constraint: Identifier = None,
        shared_axes: Ints | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._set_weight_options("alpha", alpha_initializer, alpha_regularizer, alpha_constraint)
        axes = [shared_axes] if isinstance(shared_axes, int) else shared_axes
        self.shared_axes = None if axes is None else [check_int("PReLU", "shared_axes", axis) for axis in axes]

    def build(self, input_shape: Shape) -> None:
        rank = len(input_shape)
        shared = {axis % rank for axis in self.shared_axes or () if -rank <= axis < rank}
        if len(shared) != len(self.shared_axes or ()) or 0 in shared:
            raise ShapeError(
                f"layer {self.name!r} (PReLU): shared_axes {self.shared_axes} must be different axes from 1 to "
                f"{rank - 1} of the input shape {input_shape}"
            )
        shape = tuple(1 if axis in shared else size for axis, size in enumerate(input_shape) if axis > 0)
        self.alpha = self._add_weight_of("alpha", shape)
        self.input_spec = InputSpec(
            ndim=rank, axes={axis: input_shape[axis] for axis in range(1, rank) if axis not in shared}
        )
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        return prelu(inputs, self.alpha)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self._weight_config("alpha"), "shared_axes": self.shared_axes}


class ELU(_Elementwise):
    """``x`` above 0, ``alpha * (exp(x) - 1)`` below; Clevert et al. (2016).

    Args:
        alpha: the limit at minus infinity, negated.
    """

    def __init__(self, alpha: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = check_number("ELU", "alpha", alpha)

    def call(self, inputs: Tensor) -> Tensor:
        return K.elu(inputs, self.alpha)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "alpha": self.alpha}


class ThresholdedReLU(_Elementwise):
    """``x`` above ``theta``, 0 elsewhere; Konda et al. (2015).

    Args:
        theta: the threshold.
    """

    def __init__(self, theta: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.theta = check_number("ThresholdedReLU", "theta", theta)

    def call(self, inputs: Tensor) -> Tensor:
        return inputs * K.cast(K.greater(inputs, self.theta), inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "theta": self.theta}


_NEVER = -1e9
"""A logit of which no softmax sees anything."""


class Softmax(_Elementwise):
    """``exp(x) / sum(exp(x))`` along an axis; where a mask with as many axes as ``x`` is false, zero (as tf.keras).

    Args:
        axis: the axis.
    """

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = check_int("Softmax", "axis", axis)

    def call(self, inputs: Tensor, mask: Mask = None) -> Tensor:
        if not -inputs.ndim <= self.axis < inputs.ndim:
            raise ShapeError(
                f"layer {self.name!r} (Softmax): axis {self.axis} is out of range for shape {tuple(inputs.shape)}"
            )
        if mask is not None and K.ndim(mask) == inputs.ndim:  # a mask of steps leaves the features of a step alone
            inputs = inputs + (1.0 - K.cast(mask, inputs.dtype)) * _NEVER
        return K.softmax(inputs, axis=self.axis)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}


class ReLU(_Elementwise):
    """``x`` above ``threshold``, at most ``max_value``; ``negative_slope * (x - threshold)`` below.

    Args:
        max_value: the largest output, or ``None``.
        negative_slope: the slope below the threshold.
        threshold: where the function becomes ``x``.

    Raises:
        ValueError: an argument is negative.
    """

    def __init__(
        self, max_value: float | None = None, negative_slope: float = 0.0, threshold: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.max_value = None if max_value is None else check_number("ReLU", "max_value", max_value, minimum=0)
        self.negative_slope = check_number("ReLU", "negative_slope", negative_slope, minimum=0)
        self.threshold = check_number("ReLU", "threshold", threshold, minimum=0)

    def call(self, inputs: Tensor) -> Tensor:
        return K.relu(inputs, alpha=self.negative_slope, max_value=self.max_value, threshold=self.threshold)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "max_value": self.max_value,
            "negative_slope": self.negative_slope,
            "threshold": self.threshold,
        }
