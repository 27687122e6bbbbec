"""Convolutional models on large images at small batches, as people fine-tune them; see `benchmarks/models.py`.

This file is imported by every peer, so it may import nothing.
"""

from __future__ import annotations

from typing import Any


def conv_large(keras: Any) -> Any:
    """One convolution of many channels on many pixels."""
    layers = keras.layers
    return keras.models.Sequential(
        [
            layers.Input(shape=(128, 128, 64)),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10, activation="softmax"),
        ]
    )


def conv_nine(keras: Any) -> Any:
    """Nine convolutions at full resolution."""
    layers = keras.layers
    convolutions = [layers.Conv2D(32, 3, padding="same", activation="relu") for _ in range(9)]
    head = [layers.GlobalAveragePooling2D(), layers.Dense(10, activation="softmax")]
    return keras.models.Sequential([layers.Input(shape=(256, 256, 3)), *convolutions, *head])


def inception(keras: Any) -> Any:
    """The stem of InceptionV3 and one block of each kind: 35x35, 17x17 with 1x7 and 7x1, 8x8 with 1x3 and 3x1."""
    layers = keras.layers

    def convolution(x: Any, filters: int, *kernel: int, strides: int = 1, padding: str = "same") -> Any:
        x = layers.Conv2D(filters, kernel, strides=strides, padding=padding, use_bias=False)(x)
        return layers.Activation("relu")(layers.BatchNormalization(scale=False)(x))

    def chain(x: Any, *steps: tuple[int, int, int]) -> Any:
        for step in steps:
            x = convolution(x, *step)
        return x

    def pooled(x: Any, filters: int) -> Any:
        return convolution(layers.AveragePooling2D(3, strides=1, padding="same")(x), filters, 1, 1)

    def halved(x: Any, filters: int) -> Any:
        return convolution(x, filters, 3, 3, strides=2, padding="valid")

    def join(*branches: Any) -> Any:
        return layers.concatenate(list(branches))

    inputs = layers.Input(shape=(299, 299, 3))
    x = convolution(halved(inputs, 32), 32, 3, 3, padding="valid")
    x = layers.MaxPooling2D(3, strides=2)(convolution(x, 64, 3, 3))
    x = convolution(convolution(x, 80, 1, 1, padding="valid"), 192, 3, 3, padding="valid")
    x = layers.MaxPooling2D(3, strides=2)(x)
    double = ((64, 1, 1), (96, 3, 3))
    x = join(chain(x, (64, 1, 1)), chain(x, (48, 1, 1), (64, 5, 5)), chain(x, *double, (96, 3, 3)), pooled(x, 32))
    x = join(halved(x, 384), halved(chain(x, *double), 96), layers.MaxPooling2D(3, strides=2)(x))
    seven = ((128, 1, 1), (128, 1, 7), (192, 7, 1))
    twice = ((128, 1, 1), (128, 7, 1), (128, 1, 7), (128, 7, 1), (192, 1, 7))
    x = join(chain(x, (192, 1, 1)), chain(x, *seven), chain(x, *twice), pooled(x, 192))
    long = ((192, 1, 1), (192, 1, 7), (192, 7, 1))
    x = join(halved(chain(x, (192, 1, 1)), 320), halved(chain(x, *long), 192), layers.MaxPooling2D(3, strides=2)(x))
    left, right = chain(x, (384, 1, 1)), chain(x, (448, 1, 1), (384, 3, 3))
    split = [convolution(y, 384, *kernel) for y in (left, right) for kernel in ((1, 3), (3, 1))]
    x = join(chain(x, (320, 1, 1)), *split, pooled(x, 192))
    outputs = layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling2D()(x))
    return keras.models.Model(inputs, outputs)


def mobilenet(keras: Any) -> Any:
    """MobileNetV2 (Sandler et al. 2018, table 2) on 224x224, with ten classes."""
    layers = keras.layers

    def convolution(x: Any, filters: int, kernel: int = 1, strides: int = 1, active: bool = True) -> Any:
        x = layers.Conv2D(filters, kernel, strides=strides, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.999)(x)
        return layers.ReLU(6.0)(x) if active else x

    def block(x: Any, factor: int, filters: int, strides: int) -> Any:
        channels = x.shape[-1]
        y = convolution(x, factor * channels) if factor > 1 else x
        if strides == 2:
            y = layers.ZeroPadding2D(((0, 1), (0, 1)))(y)
        y = layers.DepthwiseConv2D(3, strides=strides, padding="same" if strides == 1 else "valid", use_bias=False)(y)
        y = layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.999)(y))
        y = convolution(y, filters, active=False)
        return layers.add([x, y]) if strides == 1 and channels == filters else y

    inputs = layers.Input(shape=(224, 224, 3))
    x = convolution(inputs, 32, 3, strides=2)
    table = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for factor, filters, repeats, strides in table:
        for index in range(repeats):
            x = block(x, factor, filters, strides if index == 0 else 1)
    x = layers.GlobalAveragePooling2D()(convolution(x, 1280))
    return keras.models.Model(inputs, layers.Dense(10, activation="softmax")(x))
