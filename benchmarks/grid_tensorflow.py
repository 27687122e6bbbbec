"""The rows of the grid in TensorFlow: traced functions, channels last. Runs in TensorFlow's environment."""
# ruff: noqa: TID251 - the product may not import TensorFlow; this file is a peer

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.grid_task import Data
from benchmarks.shapes import JOINED, Row

ACTIVATION = {
    "relu": tf.nn.relu, "relu6": tf.nn.relu6, "leakyrelu": lambda x: tf.nn.leaky_relu(x, 0.3), "elu": tf.nn.elu,
    "gelu": tf.nn.gelu, "swish": tf.nn.silu, "tanh": tf.tanh, "sigmoid": tf.sigmoid, "softplus": tf.nn.softplus,
}  # fmt: skip


def depthwise(row: Row, x: Any, w: Any) -> Any:
    strides, dilations = row.strides, row.each("dilation")
    if row.rank == 2:
        return tf.nn.depthwise_conv2d(x, w, (1, *strides, 1), row.padding.upper(), dilations=dilations)
    y = tf.nn.depthwise_conv2d(
        x[:, None], w[None], (1, *strides * 2, 1), row.padding.upper(), dilations=(1, *dilations)
    )
    return y[:, 0]


def upsampled(row: Row, x: Any) -> Any:
    if row.rank == 2:
        sizes = row.windows()
        return tf.image.resize(x, sizes, "bilinear" if "bilinear" in row.flags else "nearest")
    for axis, factor in enumerate(row.each("pool"), start=1):
        x = tf.repeat(x, factor, axis=axis)
    return x


def forward(row: Row, inputs: tuple[Any, ...], weights: tuple[Any, ...], training: bool) -> Any:
    """The result of the row's operation."""
    x, *others = inputs
    spatial = list(range(1, row.rank + 1))
    padding = row.padding.upper()
    if row.kind in ACTIVATION:
        return ACTIVATION[row.kind](x)
    match row.kind:
        case "conv":
            return tf.nn.convolution(x, weights[0], row.strides, padding, dilations=row.each("dilation"))
        case "depthwise":
            return depthwise(row, x, weights[0])
        case "transposed":
            dilations = row.each("dilation")
            return tf.nn.conv_transpose(x, weights[0], row.output(), row.strides, padding, dilations=dilations)
        case "dense":
            return tf.tensordot(x, weights[0], 1) if len(row.sizes) > 2 else tf.matmul(x, weights[0])
        case "embedding":
            return tf.nn.embedding_lookup(weights[0], x)
        case "maxpool" | "avgpool":
            name = "MAX" if row.kind == "maxpool" else "AVG"
            return tf.nn.pool(x, row.each("pool"), name, row.strides, padding)
        case "globalmax":
            return tf.reduce_max(x, spatial)
        case "globalavg":
            return tf.reduce_mean(x, spatial)
        case "batchnorm":
            return batch_norm(x, *weights, training)
        case "softmax":
            return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(others[0], x))
        case "upsample":
            return upsampled(row, x)
        case "pad":
            return tf.pad(x, [[0, 0], *([extra, extra] for extra in row.each("pool")), [0, 0]])
        case "concat":
            return tf.concat(inputs, -1)
        case "add":
            return tf.add_n(inputs) if len(inputs) > 2 else inputs[0] + inputs[1]
    raise ValueError(f"no operation for {row.kind!r}")


def batch_norm(x: Any, gamma: Any, beta: Any, mean: Any, variance: Any, training: bool) -> Any:
    """The fused kernel, which wants four axes."""
    shape = tf.shape(x)
    flat = x if x.shape.rank == 4 else tf.reshape(x, (1, 1, -1, x.shape[-1]))
    moving = {} if training else {"mean": mean, "variance": variance}
    y = tf.compat.v1.nn.fused_batch_norm(flat, gamma, beta, **moving, epsilon=1e-3, is_training=training)[0]
    return tf.reshape(y, shape) if x.shape.rank != 4 else y


class Program:
    """One part of a row: a traced function and the tensors to call it on."""

    def __init__(self, row: Row, part: str, data: Data) -> None:
        self.row, self.part = row, part
        self.inputs, self.weights = (tuple(map(tf.constant, arrays)) for arrays in (data.inputs, data.weights))
        self.seed = None if data.seed is None else tf.constant(data.seed)

    def build(self) -> None:
        """Trace."""
        row, part, weights = self.row, self.part, self.weights
        joined = row.kind in JOINED
        grouped = row.kind == "conv" and row.number("groups") > 1
        # As Keras does: grouped convolutions are compiled by XLA, since the kernels have no gradients.
        function = tf.function(jit_compile=True if grouped else None, autograph=False)
        frozen = tuple(map(tf.constant, weights))

        @function
        def timed(inputs: Any, weights: Any, seed: Any) -> Any:
            if part == "forward":
                return forward(row, inputs, weights, True)
            if part == "inference":
                return forward(row, inputs, frozen, False)
            with tf.GradientTape() as tape:
                wanted = weights if part == "filter" else inputs[: row.count]
                wanted = (*wanted, *weights[:2]) if part == "input" and row.kind == "batchnorm" else wanted
                tape.watch(wanted)
                y = forward(row, inputs, weights, True)
            found = [tf.convert_to_tensor(g) for g in tape.gradient(y, wanted, output_gradients=seed)]
            return [y, *found] if joined else found

        self.call: Callable[[], Any] = lambda: timed(self.inputs, weights, self.seed)

    def allocated(self, call: Callable[[], Any]) -> int:
        """The most bytes that TensorFlow's allocator, which keeps what is freed, gave to a call."""
        try:
            tf.config.experimental.reset_memory_stats("CPU:0")
            before = tf.config.experimental.get_memory_info("CPU:0")["current"]
        except ValueError:  # this build's allocator is malloc, which gives memory back
            call()
            return 0
        call()
        return tf.config.experimental.get_memory_info("CPU:0")["peak"] - before

    def results(self) -> list[np.ndarray]:
        return [tensor.numpy() for tensor in tf.nest.flatten(self.call())]
