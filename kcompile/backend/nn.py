"""K: losses, normalization and choices by the learning phase."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from kcompile import ir
from kcompile.backend import math as tensor_math
from kcompile.backend.activations import softplus
from kcompile.common import config
from kcompile.common.errors import KCompileError
from kcompile.ir.ops.arrays import indexing, reduction, shaping
from kcompile.ir.ops.elementwise import comparison
from kcompile.ir.ops.elementwise import functions as elementwise
from kcompile.ir.ops.products import softmax as softmax_ops
from kcompile.ir.ops.shapes.sizes import dims_vector
from kcompile.ir.ops.spatial import normalization
from kcompile.symbolic.choice import chosen
from kcompile.symbolic.tensor import Tensor, TensorLike, as_float, as_tensor, common_dtype, promote
from kcompile.symbolic.trace import current_trace
from kcompile.symbolic.variable import learning_phase

# ---- losses


def _logits_of(output: Tensor, axis: int, from_logits: bool) -> ir.Value | None:
    """The logits, if ``output`` is their softmax along ``axis``: then losses are computed from them, stably."""
    if from_logits:
        return _before_activation(output)
    op = output.value.op
    if isinstance(op, softmax_ops.Softmax) and op.axis % output.ndim == axis % output.ndim:
        return output.value.node.inputs[0]
    return None


def _before_activation(output: Tensor) -> ir.Value:
    """Logits where a user says that ``output`` is: what softmax or sigmoid are applied to, if it is their result."""
    if isinstance(output.value.op, (softmax_ops.Softmax, elementwise.Sigmoid)):
        return output.value.node.inputs[0]
    return output.value


def categorical_crossentropy(
    target: TensorLike, output: TensorLike, from_logits: bool = False, axis: int = -1
) -> Tensor:
    """``-sum(target * log(output))`` over ``axis``; ``output`` are probabilities or logits.

    Probabilities are normalized and kept ``epsilon()`` away from 0 and 1, as in Keras, unless they come straight
    from a softmax: then the logits are used, as in tf.keras, also with ``from_logits``.

    Shapes: both ``(batch, ..., classes)``; the result lacks ``axis``.
    """
    target, output = (Tensor(v) for v in promote(target, as_float(output)))
    logits = _logits_of(output, axis, from_logits)
    if logits is not None:
        log_p = softmax_ops.log_softmax(logits, axis)
    else:
        p = output / tensor_math.sum(output, axis=axis, keepdims=True)
        log_p = tensor_math.log(tensor_math.clip(p, config.epsilon(), 1.0 - config.epsilon())).value
    return -tensor_math.sum(target * Tensor(log_p), axis=axis)


def sparse_categorical_crossentropy(
    target: TensorLike, output: TensorLike, from_logits: bool = False, axis: int = -1
) -> Tensor:
    """``-log(output[target])``: ``target`` holds class numbers.

    Shapes: output ``(batch, ..., classes)``, target the same without ``axis`` or with size 1 there; the result lacks
    ``axis``. A class that is negative or too large is an error when the graph runs, also in exported files.
    """
    output = as_float(output)
    axis = axis % output.ndim
    labels = elementwise.cast(as_tensor(target).value, "int64")
    if labels.rank == output.ndim:
        labels = shaping.squeeze(labels, [axis])
    logits = _logits_of(output, axis, from_logits)
    if logits is not None:
        log_p = softmax_ops.log_softmax(logits, axis)
    else:
        log_p = tensor_math.log(tensor_math.clip(output, config.epsilon(), 1.0 - config.epsilon())).value
        log_p = elementwise.sub(log_p, reduction.logsumexp(log_p, [axis], True))
    places = shaping.expand_dims(indexing.from_front(labels, log_p.shape[axis]), axis)
    picked = indexing.gather_elements(log_p, places, axis)
    return Tensor(elementwise.neg(shaping.squeeze(picked, [axis])))


def binary_crossentropy(target: TensorLike, output: TensorLike, from_logits: bool = False) -> Tensor:
    """``-(t * log(p) + (1 - t) * log(1 - p))``, elementwise.

    Probabilities are kept ``epsilon()`` away from 0 and 1, unless they come straight from a sigmoid: then the logits
    are used, as in tf.keras, also with ``from_logits``.
    """
    target, output = (Tensor(v) for v in promote(target, as_float(output)))
    logits = _before_activation(output) if from_logits else None
    if logits is None and isinstance(output.value.op, elementwise.Sigmoid):
        logits = output.value.node.inputs[0]
    if logits is not None:
        x = Tensor(logits)
        # max(x, 0) - x * t + log(1 + exp(-|x|)), written with softplus: its gradient is sigmoid(x) - t.
        return softplus(x) - x * target
    small = config.epsilon()
    p = tensor_math.clip(output, small, 1.0 - small)
    return -(target * tensor_math.log(p + small) + (1.0 - target) * tensor_math.log(1.0 - p + small))


def l2_normalize(x: TensorLike, axis: int | None = None) -> Tensor:
    """``x`` scaled to length 1 along ``axis``; a vector shorter than 1e-6 is scaled by 1e6."""
    x = as_float(x)
    total = tensor_math.sum(tensor_math.square(x), axis=axis, keepdims=True)
    return x / tensor_math.sqrt(tensor_math.maximum(total, 1e-12))


def in_top_k(predictions: TensorLike, targets: TensorLike, k: int) -> Tensor:
    """Whether each target class is among the ``k`` largest predictions; equal predictions count in its favour.

    A target that is no class, negative or too large, is not (as in TensorFlow).

    Shapes: predictions ``(batch, classes)``, targets ``(batch,)``; the result is bool ``(batch,)``.
    """
    p = as_float(predictions).value
    labels = elementwise.cast(as_tensor(targets).value, "int64")
    classes = dims_vector([p.shape[1]])
    there = comparison.logical_and(comparison.greater_equal(labels, 0), comparison.less(labels, classes))
    mine = indexing.gather_elements(p, shaping.expand_dims(elementwise.where(there, labels, 0), 1), 1)
    better = reduction.reduce_sum(elementwise.cast(comparison.greater(p, mine), "int32"), [1])
    finite = comparison.logical_not(comparison.is_nan(shaping.squeeze(mine, [1])))
    return Tensor(comparison.logical_and(comparison.logical_and(comparison.less(better, k), finite), there))


# ---- control

Choice: TypeAlias = "TensorLike | Callable[[], TensorLike]"
"""A tensor, or a function that gives it."""


def switch(condition: TensorLike, then_expression: Choice, else_expression: Choice) -> Tensor:
    """``then_expression`` where ``condition`` is true (not zero), else ``else_expression``.

    The condition is a scalar, or has the leading axes of the expressions; expressions may be functions without
    arguments.
    """
    if callable(then_expression) and callable(else_expression) and (trace := current_trace()) is not None:
        joined: Tensor = trace.branch(condition, then_expression, else_expression)
        return joined
    x = as_tensor(then_expression() if callable(then_expression) else then_expression)
    y = as_tensor(else_expression() if callable(else_expression) else else_expression)
    return chosen(condition, x, y)


def in_train_phase(x: Choice, alt: Choice, training: Tensor | int | None = None) -> Tensor:
    """``x`` in training graphs, ``alt`` in inference graphs; both may be functions without arguments.

    ``training`` overrides the learning phase: a bool, 0 or 1, or a scalar tensor.
    """
    phase = learning_phase() if training is None else training
    if not isinstance(phase, Tensor):
        mine = x if phase else alt
        return as_tensor(mine() if callable(mine) else mine)
    return switch(phase, x, alt)


def in_test_phase(x: Choice, alt: Choice, training: Tensor | int | None = None) -> Tensor:
    """``x`` in inference graphs, ``alt`` in training graphs."""
    return in_train_phase(alt, x, training)


# ---- normalization


def normalize_batch_in_training(
    x: TensorLike,
    gamma: TensorLike | None,
    beta: TensorLike | None,
    reduction_axes: Sequence[int],
    epsilon: float = 1e-3,
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalize by the statistics of this batch; returns ``(normalized, mean, variance)``.

    Args:
        x: floating point tensor.
        gamma, beta: factor and offset, or ``None``; they broadcast, or have the axes that are not reduced.
        reduction_axes: the axes that the statistics are taken over.
        epsilon: added to the variance.

    Returns:
        the normalized ``x``, and the mean and (biased) variance without the reduced axes.
    """
    x = as_float(x)
    axes = sorted({int(a) % x.ndim for a in reduction_axes})
    kept = [i for i in range(x.ndim) if i not in axes]
    if len(kept) == 1 and (vectors := _channel_vectors(x, kept[0], (1.0, gamma), (0.0, beta))):
        scale, offset = vectors
        return _tensors(normalization.batch_norm_training(x.value, scale, offset, kept[0], epsilon))
    mean, variance = tensor_math.mean(x, axes), tensor_math.var(x, axes)
    center, spread = _spread(mean, x, axes), _spread(variance, x, axes)
    beta, gamma = (None if v is None else _spread(v, x, axes) for v in (beta, gamma))
    return batch_normalization(x, center, spread, beta, gamma, epsilon=epsilon), mean, variance


def batch_normalization(
    x: TensorLike,
    mean: TensorLike,
    var: TensorLike,
    beta: TensorLike | None,
    gamma: TensorLike | None,
    axis: int = -1,
    epsilon: float = 1e-3,
) -> Tensor:
    """``gamma * (x - mean) / sqrt(var + epsilon) + beta``; statistics broadcast, or are vectors along ``axis``."""
    x = as_float(x)
    channels = axis % x.ndim
    vectors = _channel_vectors(x, channels, (1.0, gamma), (0.0, beta), (0.0, mean), (1.0, var))
    if vectors:
        scale, offset, center, spread = vectors
        return Tensor(normalization.batch_norm_inference(x.value, scale, offset, center, spread, channels, epsilon))
    axes = [i for i in range(x.ndim) if i != channels]
    mean, var = (_broadcast(v, x, axes) for v in (mean, var))
    beta, gamma = (None if v is None else _broadcast(v, x, axes) for v in (beta, gamma))
    factor = 1.0 / tensor_math.sqrt(as_tensor(var) + epsilon)
    factor = factor if gamma is None else factor * gamma
    y = (x - mean) * factor
    return y if beta is None else y + beta


def _broadcast(v: TensorLike, x: Tensor, axes: Sequence[int]) -> TensorLike:
    """A statistic or parameter as it is, but with axes of size 1 if it is a vector."""
    return _spread(v, x, axes) if as_tensor(v).ndim == 1 and x.ndim > 1 else v


def _tensors(values: tuple[ir.Value, ir.Value, ir.Value]) -> tuple[Tensor, Tensor, Tensor]:
    return Tensor(values[0]), Tensor(values[1]), Tensor(values[2])


def _channel_vectors(x: Tensor, axis: int, *parameters: tuple[float, Any]) -> list[ir.Value] | None:
    """(default, parameter) pairs as vectors along ``axis``; ``None`` if one of them is something else.

    A vector may have axes of size 1 around it, as Keras' layers make them to broadcast.
    """
    size = x.value.shape[axis]
    vectors: list[ir.Value] = []
    for default, parameter in parameters:
        if parameter is None:
            vectors.append(shaping.expand(ir.constant(default, x.dtype), (size,)))
            continue
        value = as_tensor(parameter).value
        broadcast = tuple(size if i == axis else 1 for i in range(x.ndim))
        if value.shape != (size,) and value.shape != broadcast:
            return None
        vectors.append(elementwise.cast(shaping.reshape(value, (size,)), x.dtype))
    return vectors


def _spread(v: TensorLike, x: Tensor, axes: Sequence[int]) -> Tensor:
    """A statistic with axes of size 1 where ``x`` was reduced."""
    value = as_tensor(v).value
    if value.rank == x.ndim:
        return Tensor(value)
    return Tensor(shaping.reshape(value, tuple(1 if i in axes else d for i, d in enumerate(x.value.shape))))


def bias_add(x: TensorLike, bias: TensorLike, data_format: str | None = None) -> Tensor:
    """``x + bias``; the bias is a vector over channels, or has the shape of a sample.

    Raises:
        ValueError: another shape.
    """
    x, bias = as_tensor(x), as_tensor(bias)
    if bias.ndim not in (1, x.ndim - 1):
        raise KCompileError(f"bias of shape {tuple(bias.shape)} fits neither channels nor samples of {tuple(x.shape)}")
    first = config.normalize_data_format(data_format) == "channels_first"
    value = bias.value
    if first and x.ndim > 2:
        if bias.ndim == 1:
            value = shaping.reshape(value, (value.shape[0],) + (1,) * (x.ndim - 2))
        else:
            value = shaping.transpose(value, (bias.ndim - 1, *range(bias.ndim - 1)))
    return Tensor(elementwise.add(*common_dtype(x.value, value)))


Branch = Callable[[], Tensor]
