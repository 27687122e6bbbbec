"""Activation functions, elementwise but for ``softmax``.

Where Keras 3 gives a name of Keras 2 another meaning (``hard_sigmoid``), the meaning is that of Keras 2.3.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kcompile import backend as K
from kcompile.backend import activations as more
from kcompile.common.absent_names import absent
from kcompile.common.errors import DataTypeError, ShapeError
from kcompile.objects.configs import layer_from_config
from kcompile.objects.lookup import Config, Identifier, deserialized
from kcompile.objects.making import serialize_keras_object
from kcompile.objects.registry import known, register
from kcompile.symbolic.tensor import TensorLike, as_tensor


def softmax(x: TensorLike, axis: int = -1) -> Any:
    """``exp(x - max) / sum`` over ``axis``.

    Raises:
        ValueError: ``x`` has a single axis, the batch.
    """
    x = as_tensor(x)
    if K.ndim(x) < 2:
        raise ShapeError(f"softmax needs two axes or more (the first is the batch), got {K.int_shape(x)}")
    return K.softmax(x, axis=axis)


def log_softmax(x: TensorLike, axis: int = -1) -> Any:
    """The logarithm of softmax."""
    return K.log_softmax(x, axis=axis)


def elu(x: TensorLike, alpha: float = 1.0) -> Any:
    """``x`` above 0, ``alpha * (exp(x) - 1)`` below; Clevert et al. (2016)."""
    return K.elu(x, alpha)


def selu(x: TensorLike) -> Any:
    """A scaled elu that keeps mean 0 and variance 1 from layer to layer; Klambauer et al. (2017)."""
    return more.selu(x)


def softplus(x: TensorLike) -> Any:
    """``log(1 + exp(x))``."""
    return K.softplus(x)


def softsign(x: TensorLike) -> Any:
    """``x / (1 + |x|)``."""
    return K.softsign(x)


def relu(x: TensorLike, alpha: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Any:
    """``x`` above ``threshold`` (at most ``max_value``), ``alpha * (x - threshold)`` below it."""
    return K.relu(x, alpha=alpha, max_value=max_value, threshold=threshold)


def relu6(x: TensorLike) -> Any:
    """``x`` limited to [0, 6]."""
    return K.relu(x, max_value=6.0)


def leaky_relu(x: TensorLike, negative_slope: float = 0.2) -> Any:
    """``x`` above 0, ``negative_slope * x`` below (Keras 3)."""
    return K.relu(x, alpha=negative_slope)


def tanh(x: TensorLike) -> Any:
    """The hyperbolic tangent."""
    return K.tanh(x)


def sigmoid(x: TensorLike) -> Any:
    """``1 / (1 + exp(-x))``."""
    return K.sigmoid(x)


def hard_sigmoid(x: TensorLike) -> Any:
    """``0.2 * x + 0.5`` limited to [0, 1]."""
    return K.hard_sigmoid(x)


def hard_sigmoid_v3(x: TensorLike) -> Any:
    """``relu6(x + 3) / 6``: what ``hard_sigmoid`` became in Keras 3, as whose files it is read."""
    return more.hard_sigmoid_v3(x)


def exponential(x: TensorLike) -> Any:
    """``exp(x)``."""
    return K.exp(x)


def linear(x: TensorLike) -> Any:
    """``x`` itself: what ``activation=None`` means."""
    return x


def swish(x: TensorLike) -> Any:
    """``x * sigmoid(x)``, also called silu; Ramachandran et al. (2017). Keras 2 and 3 both read this name."""
    return more.swish(x)


def hard_silu(x: TensorLike) -> Any:
    """``x * relu6(x + 3) / 6``, also called hard swish; Howard et al. (2019)."""
    return more.hard_silu(x)


def gelu(x: TensorLike, approximate: bool = False) -> Any:
    """``x`` times the normal distribution function of ``x``; Hendrycks and Gimpel (2016).

    Args:
        x: a floating point tensor.
        approximate: use their formula with tanh.
    """
    return more.gelu(x, approximate)


def mish(x: TensorLike) -> Any:
    """``x * tanh(softplus(x))``; Misra (2019)."""
    return more.mish(x)


silu, hard_swish = swish, hard_silu

register("activation", {
    "softmax": softmax, "log_softmax": log_softmax, "elu": elu, "selu": selu, "softplus": softplus,
    "softsign": softsign, "relu": relu, "relu6": relu6, "leaky_relu": leaky_relu, "tanh": tanh,
    "sigmoid": sigmoid, "hard_sigmoid": hard_sigmoid, "hard_sigmoid_v3": hard_sigmoid_v3,
    "exponential": exponential, "linear": linear,
    "silu": swish, "swish": swish, "hard_silu": hard_silu, "hard_swish": hard_silu, "gelu": gelu, "mish": mish,
})  # fmt: skip


def serialize(activation: Any) -> Any:
    """The name of an activation function, or the configuration of a layer that serves as one."""
    return serialize_keras_object(activation)


def deserialize(name: Config, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The activation that a name, or the configuration of a layer, describes.

    Raises:
        ValueError: unknown.
    """
    if isinstance(name, Mapping) and name.get("class_name") not in (*known("activation"), "function"):
        return layer_from_config(name, custom_objects)
    return deserialized(name, "activation", custom_objects)


def get(identifier: Identifier) -> Any:
    """An activation from a name, a configuration, a function or a layer such as ``LeakyReLU()``.

    ``None`` gives :func:`linear`.

    Raises:
        ValueError: an unknown name. TypeError: something else.
    """
    if identifier is None:
        return linear
    if isinstance(identifier, (str, Mapping)):
        return deserialize(identifier)
    if isinstance(identifier, type):
        return identifier()
    if callable(identifier):
        return identifier
    raise DataTypeError(
        f"activation must be a name, a function or a layer, got {identifier!r} ({type(identifier).__name__})"
    )


__getattr__ = absent(__name__)
