"""Layers that are not convolutional, recurrent or normalizing: Dense, Dropout, and changes of shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from kcompile import activations, constraints, initializers, regularizers
from kcompile import backend as K
from kcompile.engine.layer import Layer
from kcompile.engine.node import InputSpec
from kcompile.engine.tensor import Tensor
from kcompile.errors import ShapeError, check_flag, check_fraction, check_int, check_positive_int
from kcompile.layers.seeds import SeedStream

Shape = tuple[int | None, ...]


class Dense(Layer):
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
        if "input_dim" in kwargs:
            kwargs["input_shape"] = (kwargs.pop("input_dim"),)
        super().__init__(**kwargs)
        self.units = check_positive_int("Dense", "units", units)
        self.activation = activations.get(activation)
        self.use_bias = check_flag("Dense", "use_bias", use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.input_spec = InputSpec(min_ndim=2)
        self.supports_masking = True

    def build(self, input_shape: Shape) -> None:
        features = input_shape[-1]
        if features is None:
            raise ShapeError(
                f"layer {self.name!r} (Dense) needs to know the size of the last axis of its input, "
                f"got {input_shape}; give it in Input(shape=...)"
            )
        self.kernel = self.add_weight(
            "kernel",
            (features, self.units),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                "bias",
                (self.units,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
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
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            "kernel_constraint": constraints.serialize(self.kernel_constraint),
            "bias_constraint": constraints.serialize(self.bias_constraint),
        }


class Activation(Layer):
    """An activation function as a layer.

    Args:
        activation: name or function.
    """

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

    def call(self, inputs: Tensor, training: Any = None) -> Tensor:
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


class Flatten(Layer):
    """All axes but the batch in one: ``(batch, ...)`` to ``(batch, n)``.

    Args:
        data_format: with ``channels_first``, channels are moved last before flattening, so that weights that
            follow fit both formats.
    """

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = K.normalize_data_format(data_format)
        self.input_spec = InputSpec(min_ndim=1)

    def call(self, inputs: Tensor) -> Tensor:
        if self.data_format == "channels_first" and inputs.ndim > 2:
            inputs = K.permute_dimensions(inputs, (0, *range(2, inputs.ndim), 1))
        return K.batch_flatten(inputs)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        sizes = [size for size in input_shape[1:] if size is not None]
        return (input_shape[0], math.prod(sizes) if len(sizes) == len(input_shape) - 1 else None)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "data_format": self.data_format}


class Reshape(Layer):
    """Another shape of each sample, in row-major order.

    Args:
        target_shape: without the batch axis; one size may be -1, which is worked out.

    Raises:
        ValueError: two sizes are -1, or a size is not positive; on a call, the numbers of elements differ.
    """

    def __init__(self, target_shape: int | Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        sizes = (target_shape,) if isinstance(target_shape, int) else tuple(target_shape)
        self.target_shape = tuple(check_int("Reshape", "target_shape", size, minimum=-1) for size in sizes)
        if self.target_shape.count(-1) > 1:
            raise ShapeError(f"Reshape: target_shape may have one -1, got {self.target_shape}")

    def call(self, inputs: Tensor) -> Tensor:
        computed = self.compute_output_shape(tuple(inputs.shape))
        sizes = [-1 if size is None else size for size in computed[1:]]
        return K.reshape(inputs, (K.shape(inputs)[0], *sizes))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        known = [size for size in input_shape[1:] if size is not None]
        if len(known) < len(input_shape) - 1:
            return (input_shape[0], *(None if size == -1 else size for size in self.target_shape))
        total, fixed = math.prod(known), math.prod(size for size in self.target_shape if size != -1)
        fits = total == fixed if -1 not in self.target_shape else fixed > 0 and total % fixed == 0
        if not fits:
            raise ShapeError(
                f"layer {self.name!r} (Reshape) cannot turn samples of shape {tuple(input_shape[1:])} with "
                f"{total} elements into {self.target_shape}"
            )
        return (input_shape[0], *(total // fixed if size == -1 else size for size in self.target_shape))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "target_shape": self.target_shape}
