"""The benchmarked models, written once for every package that speaks Keras.

Each function takes the Keras module (`kcompile`, or `keras` on any backend) as an argument. Architectures, batch
sizes and optimizers are those of Keras' own example scripts (mnist_mlp, mnist_cnn, cifar10_cnn, cifar10_resnet,
imdb_cnn, imdb_lstm) or close to them. The data is synthetic and seeded: time doesn't depend on the pixels.

This file is imported by every peer, so it may import nothing but NumPy.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.image_models import conv_large, conv_nine, inception, mobilenet

WEIGHT_DECAY = 1e-4


@dataclass(frozen=True)
class Benchmark:
    """What is fixed about one model: shapes, batch size, and how many steps make an epoch.

    The targets are classes, or what goes in if the model `reconstructs` it; `usual` ones run by default. `steps` is
    chosen so that an epoch takes the order of a second: long enough that the fixed cost of an epoch doesn't hide the
    cost of a step, short enough for several epochs in a round.
    """

    name: str
    input_shape: tuple[int, ...]
    classes: int
    batch_size: int
    steps: int
    optimizer: str
    learning_rate: float
    architecture: Callable[[Any], Any]
    vocabulary: int = 0
    reconstructs: bool = False
    usual: bool = True

    @property
    def input_dtype(self) -> str:
        """Word indices below `vocabulary`, or numbers."""
        return "int32" if self.vocabulary else "float32"

    @property
    def loss(self) -> str:
        binary = self.classes == 1 or self.reconstructs
        return "binary_crossentropy" if binary else "categorical_crossentropy"

    @property
    def metrics(self) -> list[str]:
        return [] if self.reconstructs else ["accuracy"]


def mlp_small(keras: Any) -> Any:
    """64-32-10: a network so small that only the overhead of a step is left to measure."""
    layers = keras.layers
    return keras.models.Sequential(
        [
            layers.Input(shape=(64,)),
            layers.Dense(32, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


def mlp(keras: Any) -> Any:
    """Keras' mnist_mlp."""
    layers = keras.layers
    return keras.models.Sequential(
        [
            layers.Input(shape=(784,)),
            layers.Dense(512, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(512, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(10, activation="softmax"),
        ]
    )


def cnn(keras: Any) -> Any:
    """Keras' mnist_cnn."""
    layers = keras.layers
    return keras.models.Sequential(
        [
            layers.Input(shape=(28, 28, 1)),
            layers.Conv2D(32, kernel_size=(3, 3), activation="relu"),
            layers.Conv2D(64, (3, 3), activation="relu"),
            layers.MaxPooling2D(pool_size=(2, 2)),
            layers.Dropout(0.25),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ]
    )


def cifar(keras: Any) -> Any:
    """Keras' cifar10_cnn."""
    layers = keras.layers
    return keras.models.Sequential(
        [
            layers.Input(shape=(32, 32, 3)),
            layers.Conv2D(32, (3, 3), padding="same", activation="relu"),
            layers.Conv2D(32, (3, 3), activation="relu"),
            layers.MaxPooling2D(pool_size=(2, 2)),
            layers.Dropout(0.25),
            layers.Conv2D(64, (3, 3), padding="same", activation="relu"),
            layers.Conv2D(64, (3, 3), activation="relu"),
            layers.MaxPooling2D(pool_size=(2, 2)),
            layers.Dropout(0.25),
            layers.Flatten(),
            layers.Dense(512, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ]
    )


def conv1d(keras: Any) -> Any:
    """Keras' imdb_cnn."""
    layers = keras.layers
    return keras.models.Sequential(
        [
            layers.Input(shape=(400,), dtype="int32"),
            layers.Embedding(5000, 50),
            layers.Dropout(0.2),
            layers.Conv1D(250, 3, padding="valid", activation="relu", strides=1),
            layers.GlobalMaxPooling1D(),
            layers.Dense(250),
            layers.Dropout(0.2),
            layers.Activation("relu"),
            layers.Dense(1),
            layers.Activation("sigmoid"),
        ]
    )


def autoencoder(keras: Any) -> Any:
    """The convolutional autoencoder of "Building autoencoders in Keras", with sizes that lead back to 28x28."""
    layers = keras.layers
    return keras.models.Sequential(
        [
            layers.Input(shape=(28, 28, 1)),
            layers.Conv2D(16, (3, 3), activation="relu", padding="same"),
            layers.MaxPooling2D((2, 2), padding="same"),
            layers.Conv2D(8, (3, 3), activation="relu", padding="same"),
            layers.MaxPooling2D((2, 2), padding="same"),
            layers.Conv2D(8, (3, 3), activation="relu", padding="same"),
            layers.UpSampling2D((2, 2)),
            layers.Conv2D(8, (3, 3), activation="relu", padding="same"),
            layers.UpSampling2D((2, 2)),
            layers.Conv2D(16, (3, 3), activation="relu", padding="same"),
            layers.Conv2D(1, (3, 3), activation="sigmoid", padding="same"),
        ]
    )


def lstm(keras: Any) -> Any:
    """Keras' imdb_lstm without its dropout."""
    layers = keras.layers
    return keras.models.Sequential(
        [
            layers.Input(shape=(80,), dtype="int32"),
            layers.Embedding(20000, 128),
            layers.LSTM(128),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


def lstm_masked(keras: Any) -> Any:
    """The same network, in which word 0 is padding that the LSTM skips."""
    layers = keras.layers
    return keras.models.Sequential(
        [
            layers.Input(shape=(80,), dtype="int32"),
            layers.Embedding(20000, 128, mask_zero=True),
            layers.LSTM(128),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


def gru(keras: Any) -> Any:
    """Two stacked bidirectional GRUs on frames of 40 features, as for speech commands."""
    layers = keras.layers
    return keras.models.Sequential(
        [
            layers.Input(shape=(60, 40)),
            layers.Bidirectional(layers.GRU(64, reset_after=True, return_sequences=True)),
            layers.Bidirectional(layers.GRU(64, reset_after=True)),
            layers.Dense(10, activation="softmax"),
        ]
    )


def resnet(keras: Any, depth: int) -> Any:
    """Version 1 of Keras' cifar10_resnet (He et al. 2015, section 4.2), `depth` = 6 n + 2."""
    layers = keras.layers

    def convolution(x: Any, filters: int, kernel_size: int = 3, strides: int = 1) -> Any:
        return layers.Conv2D(
            filters,
            kernel_size=kernel_size,
            strides=strides,
            padding="same",
            kernel_initializer="he_normal",
            kernel_regularizer=keras.regularizers.l2(WEIGHT_DECAY),
        )(x)

    def relu(x: Any) -> Any:
        return layers.Activation("relu")(x)

    inputs = layers.Input(shape=(32, 32, 3))
    x = relu(layers.BatchNormalization()(convolution(inputs, 16)))
    for stack, filters in enumerate((16, 32, 64)):
        for block in range((depth - 2) // 6):
            strides = 2 if stack > 0 and block == 0 else 1
            y = relu(layers.BatchNormalization()(convolution(x, filters, strides=strides)))
            y = layers.BatchNormalization()(convolution(y, filters))
            if strides == 2:
                x = convolution(x, filters, kernel_size=1, strides=2)
            x = relu(layers.add([x, y]))
    x = layers.Flatten()(layers.AveragePooling2D(pool_size=8)(x))
    outputs = layers.Dense(10, activation="softmax", kernel_initializer="he_normal")(x)
    return keras.models.Model(inputs, outputs)


BENCHMARKS = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark("mlp_small", (64,), 10, 32, 500, "Adam", 1e-3, mlp_small),
        Benchmark("mlp", (784,), 10, 128, 80, "RMSprop", 1e-3, mlp),
        Benchmark("cnn", (28, 28, 1), 10, 128, 6, "Adam", 1e-3, cnn),
        Benchmark("cifar", (32, 32, 3), 10, 32, 12, "RMSprop", 1e-4, cifar),
        Benchmark("autoencoder", (28, 28, 1), 0, 128, 6, "Adam", 1e-3, autoencoder, reconstructs=True),
        Benchmark("conv1d", (400,), 1, 32, 12, "Adam", 1e-3, conv1d, vocabulary=5000),
        Benchmark("lstm", (80,), 1, 32, 12, "Adam", 1e-3, lstm, vocabulary=20000),
        Benchmark("lstm_masked", (80,), 1, 32, 12, "Adam", 1e-3, lstm_masked, vocabulary=20000, usual=False),
        Benchmark("gru", (60, 40), 10, 32, 12, "Adam", 1e-3, gru),
        Benchmark("conv_large", (128, 128, 64), 10, 1, 8, "Adam", 1e-3, conv_large, usual=False),
        Benchmark("conv_nine", (256, 256, 3), 10, 1, 4, "Adam", 1e-3, conv_nine, usual=False),
        Benchmark("inception1", (299, 299, 3), 10, 1, 6, "Adam", 1e-3, inception, usual=False),
        Benchmark("inception8", (299, 299, 3), 10, 8, 2, "Adam", 1e-3, inception, usual=False),
        Benchmark("mobilenet1", (224, 224, 3), 10, 1, 8, "Adam", 1e-3, mobilenet, usual=False),
        Benchmark("mobilenet8", (224, 224, 3), 10, 8, 4, "Adam", 1e-3, mobilenet, usual=False),
    )
}
NAMES = (*(name for name, benchmark in BENCHMARKS.items() if benchmark.usual), "resnet20")
"""What runs by default."""


def find(name: str) -> Benchmark:
    """The benchmark of this name; `resnet<depth>` is made for any depth of the form 6 n + 2.

    Raises ValueError for an unknown name.
    """
    if name in BENCHMARKS:
        return BENCHMARKS[name]
    match = re.fullmatch(r"resnet(\d+)", name)
    if match and int(match[1]) >= 8 and int(match[1]) % 6 == 2:
        depth = int(match[1])
        return Benchmark(name, (32, 32, 3), 10, 32, 8, "Adam", 1e-3, lambda keras: resnet(keras, depth))
    known = ", ".join((*BENCHMARKS, "resnet<6n+2>"))
    raise ValueError(f"unknown model {name!r}; choose from {known}")


def build(name: str, keras: Any) -> Any:
    """Build and compile the model `name` with the given Keras module."""
    benchmark = find(name)
    model = benchmark.architecture(keras)
    optimizer = getattr(keras.optimizers, benchmark.optimizer)(learning_rate=benchmark.learning_rate)
    model.compile(optimizer=optimizer, loss=benchmark.loss, metrics=benchmark.metrics)
    return model


def data(name: str, rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Synthetic `(x, y)` of `rows` samples, x: [rows, *input_shape], y: float32 [rows, classes] (or `x`)."""
    benchmark = find(name)
    generator = np.random.default_rng(seed)
    shape = (rows, *benchmark.input_shape)
    if benchmark.vocabulary:
        x = generator.integers(0, benchmark.vocabulary, shape, dtype=np.int32)
    else:
        x = generator.random(shape, dtype=np.float32)
    if benchmark.reconstructs:
        return x, x
    labels = generator.integers(0, max(benchmark.classes, 2), rows)
    if benchmark.classes == 1:
        return x, labels.astype(np.float32)[:, None]
    return x, np.eye(benchmark.classes, dtype=np.float32)[labels]
