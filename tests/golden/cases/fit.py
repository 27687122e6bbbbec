"""Whole trainings: models with fixed data, fixed initial weights, no randomness.

Each case is a function of the Keras module: the oracle and kcompile build the same model from the same lines.
``optimizers`` is passed apart: in tf.keras the Keras 2 optimizers lie in ``optimizers.legacy``.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.golden import data


@dataclass
class Training:
    """A compiled model, what ``fit`` gets, and what ``evaluate`` and ``predict`` get afterwards."""

    model: Any
    x: Any
    y: Any
    fit: dict[str, Any] = field(default_factory=dict)
    evaluate: dict[str, Any] = field(default_factory=dict)


SAMPLES = 22  # with batches of 8 the last one is short
EPOCHS = 3
BATCH_SIZE = 8


def mlp(keras: Any, optimizers: Any) -> Training:
    """Classification, SGD with momentum."""
    layers = keras.layers
    model = keras.models.Sequential(
        [
            layers.Dense(8, activation="relu", input_shape=(6,), name="hidden"),
            layers.Dense(5, activation="tanh", name="second"),
            layers.Dense(3, activation="softmax", name="classes"),
        ]
    )
    model.compile(optimizers.SGD(lr=0.1, momentum=0.9), "categorical_crossentropy", metrics=["accuracy", "mse"])
    return Training(model, data.normal((SAMPLES, 6), "mlp", "x"), data.values("one_hot", (SAMPLES, 3), "mlp", "y"))


def cnn(keras: Any, optimizers: Any) -> Training:
    """Convolutions, batch normalization, pooling; integer labels; Adam."""
    layers = keras.layers
    model = keras.models.Sequential(
        [
            layers.Conv2D(4, 3, padding="same", use_bias=False, input_shape=(8, 8, 2), name="conv"),
            layers.BatchNormalization(momentum=0.8, name="normalization"),
            layers.Activation("relu", name="relu"),
            layers.MaxPooling2D(2, name="pool"),
            layers.Conv2D(3, 3, strides=2, activation="relu", name="conv_2"),
            layers.Flatten(name="flatten"),
            layers.Dense(4, activation="softmax", name="classes"),
        ]
    )
    model.compile(optimizers.Adam(lr=0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Training(model, data.normal((SAMPLES, 8, 8, 2), "cnn", "x"), data.integers((SAMPLES, 1), 4, "cnn", "y"))


def two_inputs_two_outputs(keras: Any, optimizers: Any) -> Training:
    """loss_weights, regularizers, constraints, sample weights per output."""
    layers, regularizers, constraints = keras.layers, keras.regularizers, keras.constraints
    left = layers.Input(shape=(4,), name="left")
    right = layers.Input(shape=(3,), name="right")
    hidden = layers.Dense(
        5,
        activation="elu",
        kernel_regularizer=regularizers.l2(0.02),
        bias_regularizer=regularizers.l1(0.01),
        kernel_constraint=constraints.max_norm(1.0),
        name="hidden",
    )(left)
    other = layers.Dense(
        5,
        activation="sigmoid",
        kernel_regularizer=regularizers.l1_l2(0.01, 0.03),
        bias_constraint=constraints.non_neg(),
        kernel_constraint=constraints.unit_norm(axis=0),
        name="other",
    )(right)
    joined = layers.concatenate([layers.add([hidden, other]), layers.multiply([hidden, other])], name="joined")
    value = layers.Dense(2, kernel_constraint=constraints.min_max_norm(0.2, 0.8, rate=0.7), name="value")(joined)
    label = layers.Dense(1, activation="sigmoid", name="label")(joined)
    model = keras.models.Model(inputs=[left, right], outputs=[value, label])
    model.compile(
        optimizers.RMSprop(lr=0.01),
        loss={"value": "mean_squared_error", "label": "binary_crossentropy"},
        loss_weights={"value": 0.7, "label": 2.0},
        metrics={"value": ["mae"], "label": ["accuracy"]},
    )
    name = "two_inputs_two_outputs"
    x = {"left": data.normal((SAMPLES, 4), name, "left"), "right": data.normal((SAMPLES, 3), name, "right")}
    y = {
        "value": data.normal((SAMPLES, 2), name, "value"),
        "label": data.values("binary", (SAMPLES, 1), name, "label"),
    }
    weights = {key: data.positive((SAMPLES,), name, key, "weight") for key in y}
    return Training(model, x, y, {"sample_weight": weights}, {"sample_weight": weights})


def shared_and_nested(keras: Any, optimizers: Any) -> Training:
    """One layer called three times, a nested model called twice, a frozen layer, Nadam."""
    layers = keras.layers
    inner_input = layers.Input(shape=(5,), name="inner_input")
    inner = layers.Dense(4, activation="tanh", name="inner_dense")(inner_input)
    encoder = keras.models.Model(inner_input, layers.Dense(4, name="frozen", trainable=False)(inner), name="encoder")
    first = layers.Input(shape=(5,), name="first")
    second = layers.Input(shape=(5,), name="second")
    shared = layers.Dense(5, activation="softsign", name="shared")
    difference = layers.subtract([encoder(shared(first)), encoder(shared(shared(second)))])
    output = layers.Dense(1, name="output")(difference)
    model = keras.models.Model([first, second], output)
    model.compile(optimizers.Nadam(lr=0.02), loss="mae", metrics=["mse"])
    x = [data.normal((SAMPLES, 5), "shared_and_nested", part) for part in ("first", "second")]
    return Training(model, x, data.normal((SAMPLES, 1), "shared_and_nested", "y"))


def class_weight_and_validation_split(keras: Any, optimizers: Any) -> Training:
    """class_weight on integer labels; the last fifth validates; Adam with amsgrad."""
    layers = keras.layers
    model = keras.models.Sequential(
        [
            layers.Dense(6, activation="relu", input_shape=(4,), name="hidden"),
            layers.Dense(3, activation="softmax", name="classes"),
        ]
    )
    model.compile(optimizers.Adam(lr=0.02, amsgrad=True), "sparse_categorical_crossentropy", metrics=["acc"])
    x = data.normal((SAMPLES, 4), "class_weight", "x")
    y = data.integers((SAMPLES,), 3, "class_weight", "y")
    return Training(model, x, y, {"class_weight": {0: 1.0, 1: 0.4, 2: 2.5}, "validation_split": 0.2})


def temporal_weights(keras: Any, optimizers: Any) -> Training:
    """Per-step predictions with one weight per sample and step, some of them zero; gradients clipped by value."""
    layers = keras.layers
    model = keras.models.Sequential(
        [
            layers.Conv1D(5, 3, padding="causal", activation="relu", input_shape=(6, 3), name="conv"),
            layers.Dense(4, activation="softmax", name="steps"),
        ]
    )
    model.compile(
        optimizers.SGD(lr=0.2, nesterov=True, momentum=0.5, clipvalue=0.02),
        "categorical_crossentropy",
        metrics=["accuracy"],
        sample_weight_mode="temporal",
    )
    x = data.normal((SAMPLES, 6, 3), "temporal", "x")
    y = data.values("one_hot", (SAMPLES, 6, 4), "temporal", "y")
    weights = data.positive((SAMPLES, 6), "temporal", "weight")
    weights[:, -1] = np.where(np.arange(SAMPLES) % 2, weights[:, -1], 0.0)
    return Training(model, x, y, {"sample_weight": weights}, {"sample_weight": weights})


def weighted_metrics(keras: Any, optimizers: Any) -> Training:
    """Metrics by name, function and object, weighted and not; validation data with weights of its own."""
    layers, metrics = keras.layers, keras.metrics
    model = keras.models.Sequential(
        [
            layers.Dense(6, activation="tanh", input_shape=(4,), name="hidden"),
            layers.Dense(1, activation="sigmoid", name="chance"),
        ]
    )
    model.compile(
        optimizers.Adamax(lr=0.02),
        "binary_crossentropy",
        metrics=[
            "accuracy",
            metrics.AUC(name="auc"),
            metrics.Precision(name="precision"),
            keras.losses.mean_absolute_error,
        ],
        weighted_metrics=[
            metrics.BinaryAccuracy(name="weighted_accuracy"),
            metrics.Recall(name="weighted_recall"),
        ],
    )
    x = data.normal((SAMPLES, 4), "weighted_metrics", "x")
    y = data.values("binary", (SAMPLES, 1), "weighted_metrics", "y")
    weights = data.positive((SAMPLES,), "weighted_metrics", "weight")
    return Training(
        model,
        x,
        y,
        {"sample_weight": weights, "validation_data": (x[:10], y[:10], weights[10:20])},
        {"sample_weight": weights},
    )


def text_convolution(keras: Any, optimizers: Any) -> Training:
    """Embedding, Conv1D, global pooling, binary labels; RMSprop with decay."""
    layers = keras.layers
    model = keras.models.Sequential(
        [
            layers.Embedding(10, 4, input_length=7, name="embedding"),
            layers.Conv1D(5, 3, activation="relu", name="conv"),
            layers.GlobalMaxPooling1D(name="pool"),
            layers.Dense(1, activation="sigmoid", name="label"),
        ]
    )
    model.compile(optimizers.RMSprop(lr=0.01, decay=0.05), "binary_crossentropy", metrics=["accuracy"])
    x = data.integers((SAMPLES, 7), 10, "text_convolution", "x")
    return Training(model, x, data.values("binary", (SAMPLES,), "text_convolution", "y"))


def masked_average(keras: Any, optimizers: Any) -> Training:
    """An embedding that masks zeros, averaged over what is left; plain SGD."""
    layers = keras.layers
    model = keras.models.Sequential(
        [
            layers.Embedding(8, 5, mask_zero=True, input_length=6, name="embedding"),
            layers.GlobalAveragePooling1D(name="average"),
            layers.Dense(3, activation="softmax", name="classes"),
        ]
    )
    model.compile(optimizers.SGD(lr=0.3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    x = data.integers((SAMPLES, 6), 8, "masked_average", "x")
    x[:, 0], x[::2, 4:] = 1, 0  # no sample is all zeros
    return Training(model, x, data.integers((SAMPLES,), 3, "masked_average", "y"))


def autoencoder(keras: Any, optimizers: Any) -> Training:
    """Strided convolution, transposed convolution, upsampling, depthwise and separable; Adadelta."""
    layers = keras.layers
    image = layers.Input(shape=(8, 8, 1), name="image")
    x = layers.Conv2D(3, 3, strides=2, padding="same", activation="elu", name="down")(image)
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = layers.PReLU(shared_axes=[1, 2], name="prelu")(x)
    x = layers.AveragePooling2D(2, name="pool")(x)
    x = layers.Conv2DTranspose(4, 3, strides=2, padding="same", activation="relu", name="up")(x)
    x = layers.UpSampling2D(2, name="double")(x)
    x = layers.SeparableConv2D(1, 3, padding="same", name="out")(layers.LeakyReLU(0.1, name="leaky")(x))
    model = keras.models.Model(image, x)
    model.compile(optimizers.Adadelta(lr=1.0, epsilon=1e-4), "mse")
    values = data.normal((SAMPLES, 8, 8, 1), "autoencoder", "x")
    return Training(model, values, np.tanh(values))


CASES: dict[str, Callable[[Any, Any], Training]] = {
    builder.__name__: builder
    for builder in (
        mlp,
        cnn,
        two_inputs_two_outputs,
        shared_and_nested,
        class_weight_and_validation_split,
        temporal_weights,
        weighted_metrics,
        text_convolution,
        masked_average,
        autoencoder,
    )
}
