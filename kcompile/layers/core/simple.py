"""Layers without weights that change no shape: Activation, ActivityRegularization, Masking."""

from __future__ import annotations

from typing import Any

from kcompile import activations, regularizers
from kcompile import backend as K
from kcompile.common.checks import check_number
from kcompile.engine.layer import Layer, Shape
from kcompile.engine.node import InputSpec
from kcompile.layers.base.types import Mask
from kcompile.objects.lookup import Identifier
from kcompile.symbolic.tensor import Tensor

__all__ = ["Activation", "ActivityRegularization", "Masking"]


class Activation(Layer):
    """An activation function as a layer.

    Args:
        activation: name or function.
    """

    _takes_one_tensor = True

    def __init__(self, activation: Identifier, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = activations.get(activation)
        self.supports_masking = True

    def call(self, inputs: Tensor) -> Any:
        return self.activation(inputs)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activation": activations.serialize(self.activation)}


class ActivityRegularization(Layer):
    """The input itself; adds ``l1 * sum(|x|) + l2 * sum(x^2)`` over the batch to the loss.

    Args:
        l1, l2: the factors.
    """

    _takes_one_tensor = True

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.l1 = check_number("ActivityRegularization", "l1", l1, minimum=0)
        self.l2 = check_number("ActivityRegularization", "l2", l2, minimum=0)
        self.activity_regularizer = regularizers.L1L2(l1=self.l1, l2=self.l2)
        self.supports_masking = True

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "l1": self.l1, "l2": self.l2}


class Masking(Layer):
    """Masks the time steps of which all features equal ``mask_value``, and sets them to zero.

    Shapes: ``(batch, steps, features)``; the mask is ``(batch, steps)``.

    Args:
        mask_value: marks a step to be skipped.
    """

    _takes_one_tensor = True

    def __init__(self, mask_value: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mask_value = check_number("Masking", "mask_value", mask_value)
        self.supports_masking = True
        self.input_spec = InputSpec(min_ndim=2)

    def compute_mask(self, inputs: Tensor, mask: Mask = None) -> Tensor:
        return K.any(K.not_equal(inputs, self.mask_value), axis=-1)

    def call(self, inputs: Tensor) -> Tensor:
        kept = K.any(K.not_equal(inputs, self.mask_value), axis=-1, keepdims=True)
        return inputs * K.cast(kept, inputs.dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mask_value": self.mask_value}
