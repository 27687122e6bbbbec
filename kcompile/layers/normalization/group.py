"""Group normalization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcompile import backend as K
from kcompile.common.checks import check_flag, check_int, check_number
from kcompile.common.errors import KCompileError
from kcompile.engine.layer import Shape
from kcompile.engine.node import InputSpec
from kcompile.ir.ops.arrays import shaping
from kcompile.layers.base.weight_options import WeightOptions
from kcompile.layers.normalization.rows import sizes_of
from kcompile.objects.lookup import Identifier
from kcompile.symbolic.tensor import Tensor, as_float

__all__ = ["GroupNormalization"]


class GroupNormalization(WeightOptions):
    """Normalizes each group of channels of a sample to mean 0 and variance 1, then scales and shifts each channel.

    Wu and He (2018). With one group that is layer normalization over all axes but that of the batch, with as many
    groups as channels it is instance normalization.

    Args:
        groups: how many; -1 for one of each channel.
        axis: the channels; 1 for ``channels_first`` images.
        epsilon: added to the variance.
        center, scale: whether to add ``beta``, and to multiply by ``gamma``.
        beta_initializer, beta_regularizer, beta_constraint: of the offset.
        gamma_initializer, gamma_regularizer, gamma_constraint: of the factor.

    Raises:
        ValueError: an argument out of range, or (when called) an axis that the input lacks or whose size is unknown,
            or is no multiple of ``groups``.
    """

    _takes_one_tensor = True

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Identifier = "zeros",
        gamma_initializer: Identifier = "ones",
        beta_regularizer: Identifier = None,
        gamma_regularizer: Identifier = None,
        beta_constraint: Identifier = None,
        gamma_constraint: Identifier = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        owner = type(self).__name__
        self.groups = check_int(owner, "groups", groups, minimum=-1)
        if self.groups == 0:
            raise KCompileError(f"{owner}: groups must be positive, or -1 for one of each channel, got 0")
        self.axis = check_int(owner, "axis", axis)
        self.epsilon = check_number(owner, "epsilon", epsilon, minimum=0)
        self.center = check_flag(owner, "center", center)
        self.scale = check_flag(owner, "scale", scale)
        self._set_weight_options("beta", beta_initializer, beta_regularizer, beta_constraint)
        self._set_weight_options("gamma", gamma_initializer, gamma_regularizer, gamma_constraint)
        self.supports_masking = True

    def build(self, input_shape: Sequence[int | None]) -> None:
        rank = len(input_shape)
        where = f"layer {self.name!r} ({type(self).__name__})"
        if not -rank <= self.axis < rank or self.axis % rank == 0:
            raise KCompileError(
                f"{where}: axis={self.axis} is not a channel axis of the input shape {tuple(input_shape)}; "
                f"use 1 to {rank - 1}, or -1 for the last"
            )
        (channels,) = shape = sizes_of(where, [self.axis], input_shape)
        if self.groups > 0 and channels % self.groups:
            raise KCompileError(
                f"{where}: groups={self.groups} does not divide the {channels} channels on axis {self.axis} of the "
                f"input shape {tuple(input_shape)}"
            )
        self.gamma = self._add_weight_of("gamma", shape) if self.scale else None
        self.beta = self._add_weight_of("beta", shape) if self.center else None
        self.input_spec = InputSpec(ndim=rank, axes={self.axis: channels})
        self.built = True

    def call(self, inputs: Any) -> Any:
        x = as_float(inputs)
        deviation = x - self._mean_of_groups(x)
        factor = 1.0 / K.sqrt(self._mean_of_groups(K.square(deviation)) + self.epsilon)
        if self.gamma is not None:
            factor = factor * self._along_channels(self.gamma, x)
        y = deviation * factor
        return y if self.beta is None else y + self._along_channels(self.beta, x)

    def _mean_of_groups(self, x: Tensor) -> Tensor:
        """The mean of the group that each channel is in: ``x`` with size 1 but for samples and channels."""
        channel = self.axis % x.ndim
        rest = [axis for axis in range(1, x.ndim) if axis != channel]
        of_channels = K.mean(x, axis=rest, keepdims=True) if rest else x
        samples, channels = x.value.shape[0], x.value.shape[channel]
        if self.groups in (-1, channels):
            return of_channels
        groups = (samples, self.groups, channels // self.groups)
        grouped = Tensor(shaping.reshape(of_channels.value, groups))
        spread = shaping.expand(K.mean(grouped, axis=-1, keepdims=True).value, groups)
        return Tensor(shaping.reshape(spread, of_channels.value.shape))

    def _along_channels(self, weight: Any, x: Tensor) -> Tensor:
        """A weight so that it broadcasts."""
        shape = [-1 if axis == self.axis % x.ndim else 1 for axis in range(x.ndim)]
        return K.cast(K.reshape(weight, shape), x.dtype)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "groups": self.groups,
            "axis": self.axis,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            **self._weight_config("beta", "gamma"),
        }
