"""Random networks of convolutions and what lies between them, and the losses of their first steps of training.

Sizes, strides, dilations, channels and batches are drawn so that every way to lower a convolution and its gradients is
taken: whole and broken blocks of channels, few and many images, tiles that fit and tiles that do not. The third loss
depends on every gradient of the steps before.
"""

from __future__ import annotations

from typing import Any

import numpy as np

COUNT = 150
STEPS = 3
KINDS = ("conv", "conv", "conv", "depthwise", "transposed", "max", "mean", "up", "norm", "relu6", "leaky")

Layer = tuple[Any, ...]


def case(number: int) -> tuple[tuple[int, int, int, int], list[Layer], bool]:
    """The shape of a batch, channels last; layers; and whether height and width are left open."""
    random = np.random.default_rng(number)

    def one_of(*values: Any) -> Any:
        return values[random.integers(len(values))]

    shape = (
        one_of(1, 2, 3, 4, 5, 8, 11, 16, 20, 32),
        int(random.integers(14, 40)),
        int(random.integers(14, 40)),
        one_of(1, 3, 4, 16, 24, 32),
    )
    layers: list[Layer] = []
    for index in range(random.integers(1, 4)):
        kind, padding = one_of(*KINDS), one_of("same", "valid" if index == 0 else "same")
        stride, dilation = one_of((1, 1), (1, 1), (2, 1), (1, 2))
        match kind:
            case "conv" | "transposed":
                kernel = one_of(1, 2, 3, 3, 5), one_of(1, 3, 3, 7)
                options = {
                    "filters": one_of(1, 2, 3, 8, 16, 20, 32, 48), "kernel_size": kernel, "strides": stride,
                    "dilation_rate": dilation if kind == "conv" else 1, "padding": padding,
                    "activation": one_of("linear", "relu", "tanh"),
                }  # fmt: skip
            case "depthwise":
                options = {"kernel_size": one_of(3, 5), "strides": stride, "padding": "same"}
            case "max" | "mean":
                options = {"pool_size": one_of(2, 3), "strides": one_of(1, 2), "padding": padding}
            case _:
                options = {}
        layers.append((kind, options))
    return shape, layers, bool(random.random() < 0.2)


def losses(keras: Any, number: int) -> np.ndarray:
    """The losses of :data:`STEPS` steps of gradient descent on one batch."""
    (batch, height, width, channels), table, free = case(number)
    makers = {
        "conv": keras.layers.Conv2D, "transposed": keras.layers.Conv2DTranspose,
        "depthwise": keras.layers.DepthwiseConv2D, "max": keras.layers.MaxPooling2D,
        "mean": keras.layers.AveragePooling2D, "up": keras.layers.UpSampling2D,
        "norm": keras.layers.BatchNormalization, "relu6": lambda: keras.layers.ReLU(6.0),
        "leaky": lambda: keras.layers.ReLU(negative_slope=0.2),
    }  # fmt: skip
    keras.backend.clear_session()
    inputs = keras.layers.Input((None, None, channels) if free else (height, width, channels))
    x = inputs
    for kind, options in table:
        x = makers[kind](**options)(x)
    x = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.models.Model(inputs, x)
    random = np.random.default_rng((number, 1))
    model.set_weights(
        [
            random.normal(0, 0.3, w.shape).astype(np.float32)
            if w.ndim > 1
            else random.uniform(0.8, 1.2, w.shape).astype(np.float32)
            for w in model.get_weights()
        ]
    )
    model.compile(keras.optimizers.SGD(0.01), "mse")
    images = random.standard_normal((batch, height, width, channels)).astype(np.float32)
    targets = random.standard_normal((batch, 3)).astype(np.float32)
    return np.array([float(model.train_on_batch(images, targets)) for _ in range(STEPS)], np.float32)
