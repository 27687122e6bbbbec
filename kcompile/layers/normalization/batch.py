"""Batch normalization."""

from __future__ import annotations

from typing import Any

import numpy as np

from kcompile import backend as K
from kcompile import ir
from kcompile.common.checks import check_flag, check_int, check_number
from kcompile.common.errors import KCompileError, ShapeError
from kcompile.engine.layer import Shape
from kcompile.engine.node import InputSpec
from kcompile.ir.ops.arrays import shaping
from kcompile.ir.ops.elementwise import comparison
from kcompile.ir.ops.elementwise import functions as elementwise
from kcompile.layers.base.types import Ints, Phase
from kcompile.layers.base.weight_options import WeightOptions
from kcompile.objects.legacy_arguments import understands_keras_1
from kcompile.objects.lookup import Identifier
from kcompile.symbolic.tensor import Tensor
from kcompile.symbolic.variable import Variable

__all__ = ["BatchNormalization"]


class BatchNormalization(WeightOptions):
    """Normalizes each channel to mean 0 and variance 1, then scales and shifts it; Ioffe and Szegedy (2015).

    Training uses the mean and variance of the batch, over all axes but ``axis``, and moves the weights
    ``moving_mean`` and ``moving_variance`` towards them; inference uses those. A layer with
    ``trainable=False`` does what inference does, in training too, as in TensorFlow 2.

    The moving variance follows the unbiased variance (times ``n / (n - 1)``) of images and volumes, that is with 4
    or 5 axes and channels on axis 1 or the last, and the biased one of other inputs, as in TensorFlow's Keras 2.

    Args:
        axis: the channels; 1 for ``channels_first`` images.
        momentum: the part of the moving statistics that a step keeps.
        epsilon: added to the variance.
        center, scale: whether to add ``beta``, and to multiply by ``gamma``.
        beta_initializer, beta_regularizer, beta_constraint: of the offset.
        gamma_initializer, gamma_regularizer, gamma_constraint: of the factor.
        moving_mean_initializer, moving_variance_initializer: of the moving statistics.
        synchronized: whether the batch's parts on several devices share their statistics (Keras 3). A model runs on
            one device here, so both values mean the same.

    Raises:
        ValueError: an argument out of range, or (when called) an axis that the input lacks or whose size is unknown.
    """

    _takes_one_tensor = True

    @understands_keras_1
    def __init__(
        self,
        axis: Ints = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Identifier = "zeros",
        gamma_initializer: Identifier = "ones",
        moving_mean_initializer: Identifier = "zeros",
        moving_variance_initializer: Identifier = "ones",
        beta_regularizer: Identifier = None,
        gamma_regularizer: Identifier = None,
        beta_constraint: Identifier = None,
        gamma_constraint: Identifier = None,
        *,
        synchronized: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        owner = type(self).__name__
        if isinstance(axis, (list, tuple)) and len(axis) == 1:  # as tf.keras writes it
            axis = axis[0]
        self.axis = check_int(owner, "axis", axis)
        self.momentum = check_number(owner, "momentum", momentum, minimum=0, maximum=1)
        self.epsilon = check_number(owner, "epsilon", epsilon, minimum=0)
        self.center = check_flag(owner, "center", center)
        self.scale = check_flag(owner, "scale", scale)
        check_flag(owner, "synchronized", synchronized)
        self._set_weight_options("beta", beta_initializer, beta_regularizer, beta_constraint)
        self._set_weight_options("gamma", gamma_initializer, gamma_regularizer, gamma_constraint)
        self._set_weight_options("moving_mean", moving_mean_initializer)
        self._set_weight_options("moving_variance", moving_variance_initializer)
        self.supports_masking = True
        self._switch = Variable(bool(self.trainable), "bool", f"{self.name}/trainable", "hyper", trainable=False)

    @property
    def trainable(self) -> bool:
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        # Graphs exist before ``trainable`` is set for good, so they read it from a switch.
        self._trainable = value
        if "_switch" in self.__dict__:
            self._switch.storage.write(np.asarray(bool(value)))

    # -- weights

    def build(self, input_shape: Shape) -> None:
        rank = len(input_shape)
        where = f"layer {self.name!r} ({type(self).__name__})"
        if not -rank <= self.axis < rank or self.axis % rank == 0:
            raise KCompileError(
                f"{where}: axis={self.axis} is not a channel axis of the input shape {tuple(input_shape)}; "
                f"use 1 to {rank - 1}, or -1 for the last"
            )
        channels = input_shape[self.axis]
        if channels is None:
            raise ShapeError(
                f"{where} needs a known size of axis {self.axis}, got input shape {tuple(input_shape)}; "
                "give it in Input(shape=...)"
            )
        shape = (channels,)
        self.gamma = self._add_weight_of("gamma", shape) if self.scale else None
        self.beta = self._add_weight_of("beta", shape) if self.center else None
        self.moving_mean = self._add_weight_of("moving_mean", shape, trainable=False)
        self.moving_variance = self._add_weight_of("moving_variance", shape, trainable=False)
        self.input_spec = InputSpec(ndim=rank, axes={self.axis: channels})
        self.built = True

    # -- computing

    def call(self, inputs: Tensor, training: Phase = None) -> Any:
        phase = K.learning_phase() if training is None else training
        quiet = K.batch_normalization(
            inputs, self.moving_mean, self.moving_variance, self.beta, self.gamma, self.axis, self.epsilon
        )
        if not isinstance(phase, Tensor) and not phase:
            return quiet
        over = [axis for axis in range(K.ndim(inputs)) if axis != self.axis % K.ndim(inputs)]
        trained, mean, variance = K.normalize_batch_in_training(inputs, self.gamma, self.beta, over, self.epsilon)
        moved = [
            self._moved(self.moving_mean, mean),
            self._moved(self.moving_variance, self._unbiased(variance, inputs, over)),
        ]
        self.add_update(moved, inputs)
        return K.in_train_phase(trained, quiet, training=self._unless_frozen(phase))

    def _moved(self, average: Variable, value: Tensor) -> tuple[Variable, Tensor]:
        """The update of a moving average, to be made unless the layer is frozen."""
        return average, average * self.momentum + value * (1.0 - self.momentum)

    def _unless_frozen(self, phase: Phase) -> Tensor:
        """The learning phase, but always inference while the layer is not trainable."""
        if not isinstance(phase, Tensor):
            return self._switch
        return Tensor(comparison.logical_and(elementwise.cast(phase.value, "bool"), self._switch.value))

    def _unbiased(self, variance: Tensor, inputs: Tensor, over: list[int]) -> Tensor:
        """What the moving variance follows; see the class."""
        rank = K.ndim(inputs)
        if rank not in (4, 5) or self.axis % rank not in (1, rank - 1):
            return variance
        count = ir.dims.product(inputs.value.shape[axis] for axis in over)
        if isinstance(count, int):
            return variance * (count / max(count - 1, 1))
        n = Tensor(elementwise.cast(shaping.reshape(shaping.dims_vector((count,)), ()), variance.dtype))
        return variance * (n / K.maximum(n - 1, 1))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "axis": self.axis,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            **self._weight_config("beta", "gamma", only_initialized=("moving_mean", "moving_variance")),
        }
