"""keras.layers.core: Dense, Activation, ActivityRegularization, Masking, and the layers of its neighbours here."""

from __future__ import annotations

from typing import Any

from kcompile import activations, regularizers
from kcompile import backend as K
from kcompile.common.errors import ShapeError, check_flag, check_number, check_positive_int
from kcompile.engine.layer import Layer
from kcompile.engine.node import InputSpec
from kcompile.layers.base.weight_options import WeightOptions
from kcompile.layers.core.dropout import Dropout, SpatialDropout1D, SpatialDropout2D, SpatialDropout3D
from kcompile.layers.core.lambda_layer import Lambda
from kcompile.layers.core.reshaping import Flatten, Permute, RepeatVector, Reshape
from kcompile.objects.legacy_arguments import understands_keras_1
from kcompile.symbolic.tensor import Tensor

Shape = tuple[int | None, ...]


class Dense(WeightOptions):
    """``activation(x @ kernel + bias)`` over the last axis.

    Shapes: ``(batch, ..., features)`` to ``(batch, ..., units)``; the kernel is ``(features, units)``.

    Args:
        units: size of the last axis of the output.
        activation: name or function; ``None`` is linear.
        use_bias: whether a bias is added.
        kernel_initializer, bias_initializer: initial values.
        kernel_regularizer, bias_regularizer, activity_regularizer: losses on weights and output.
        kernel_constraint, bias_constraint: applied after each update.

    Raises:
        ValueError: ``units`` is not positive; on the first call, the last axis has no known size.
        TypeError: ``units`` is not an integer, or an unknown argument.
    """

    _takes_one_tensor = True

    @understands_keras_1
    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = check_positive_int("Dense", "units", units)
        self.activation = activations.get(activation)
        self.use_bias = check_flag("Dense", "use_bias", use_bias)
        self._set_weight_options("kernel", kernel_initializer, kernel_regularizer, kernel_constraint)
        self._set_weight_options("bias", bias_initializer, bias_regularizer, bias_constraint)
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.input_spec = InputSpec(min_ndim=2)
        self.supports_masking = True

    def build(self, input_shape: Shape) -> None:
        features = input_shape[-1]
        if features is None:
            raise ShapeError(
                f"layer {self.name!r} (Dense) needs to know the size of the last axis of its input, "
                f"got {input_shape}; give it in Input(shape=...)"
            )
        self.kernel = self._add_weight_of("kernel", (features, self.units))
        self.bias = self._add_weight_of("bias", (self.units,)) if self.use_bias else None
        self.input_spec = InputSpec(min_ndim=2, axes={-1: features})
        self.built = True

    def call(self, inputs: Tensor) -> Any:
        y = K.dot(inputs, self.kernel)
        if self.bias is not None:
            y = K.bias_add(y, self.bias, data_format="channels_last")
        return self.activation(y)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            **self._weight_config("kernel", "bias", activity_regularizer=True),
        }


class Activation(Layer):
    """An activation function as a layer.

    Args:
        activation: name or function.
    """

    _takes_one_tensor = True

    def __init__(self, activation: Any, **kwargs: Any) -> None:
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

    def compute_mask(self, inputs: Tensor, mask: Any = None) -> Tensor:
        return K.any(K.not_equal(inputs, self.mask_value), axis=-1)

    def call(self, inputs: Tensor) -> Tensor:
        kept = K.any(K.not_equal(inputs, self.mask_value), axis=-1, keepdims=True)
        return inputs * K.cast(kept, inputs.dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mask_value": self.mask_value}


__all__ = [
    "Activation",
    "ActivityRegularization",
    "Dense",
    "Dropout",
    "Flatten",
    "Lambda",
    "Masking",
    "Permute",
    "RepeatVector",
    "Reshape",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
]
