"""Dense: the fully connected layer."""

from __future__ import annotations

from typing import Any

from kcompile import activations, regularizers
from kcompile import backend as K
from kcompile.common.checks import check_flag, check_positive_int
from kcompile.common.errors import ShapeError
from kcompile.engine.layer import Shape
from kcompile.engine.node import InputSpec
from kcompile.layers.base.weight_options import WeightOptions
from kcompile.objects.legacy_arguments import understands_keras_1
from kcompile.objects.lookup import Identifier
from kcompile.symbolic.tensor import Tensor

__all__ = ["Dense"]


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
