"""Models that are saved by one program and loaded by another: every case is a function of the Keras module.

``optimizers`` is passed apart: in tf.keras the Keras 2 optimizers lie in ``optimizers.legacy``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.golden import data

SAMPLES = 8


@dataclass
class Saved:
    """A compiled model, and data to train it with."""

    model: Any
    x: Any
    y: Any


def classes(keras: Any, optimizers: Any) -> Saved:
    """Batch normalization, dropout, metrics by name and as objects; Nadam, with a number of its own."""
    layers = keras.layers
    inputs = layers.Input(shape=(5,), name="features")
    y = layers.Dense(6, activation="relu", name="hidden")(inputs)
    y = layers.BatchNormalization(momentum=0.7, name="normalization")(y)
    y = layers.Dropout(0.0, name="dropout")(y)
    y = layers.Dense(3, activation="softmax", name="classes")(y)
    model = keras.models.Model(inputs, y, name="classifier")
    model.compile(
        optimizers.Nadam(learning_rate=0.01),
        "categorical_crossentropy",
        metrics=["accuracy", keras.metrics.MeanSquaredError(name="squares")],
    )
    return Saved(model, data.normal((SAMPLES, 5), "classes", "x"), data.values("one_hot", (SAMPLES, 3), "classes", "y"))


def images(keras: Any, optimizers: Any) -> Saved:
    """Every convolution, and learned slopes; RMSprop with momentum."""
    layers = keras.layers
    inputs = layers.Input(shape=(6, 6, 2), name="image")
    y = layers.Conv2D(3, (3, 2), padding="same", use_bias=False, name="convolution")(inputs)
    y = layers.BatchNormalization(scale=False, name="normalization")(y)
    y = layers.PReLU(shared_axes=[1, 2], name="slopes")(y)
    y = layers.SeparableConv2D(4, 3, depth_multiplier=2, padding="same", name="separable")(y)
    y = layers.DepthwiseConv2D(3, strides=2, padding="same", name="depthwise")(y)
    y = layers.Conv2DTranspose(2, 2, strides=2, activation="tanh", name="transposed")(y)
    y = layers.GlobalAveragePooling2D(name="average")(y)
    y = layers.Dense(1, name="score")(y)
    model = keras.models.Model(inputs, y, name="images")
    model.compile(optimizers.RMSprop(learning_rate=0.01, momentum=0.5), "mse", metrics=["mae"])
    return Saved(model, data.normal((SAMPLES, 6, 6, 2), "images", "x"), data.normal((SAMPLES, 1), "images", "y"))


def shared_and_nested(keras: Any, optimizers: Any) -> Saved:
    """Two inputs and outputs; a layer and a model that are used twice; a frozen model inside; Adam with amsgrad."""
    layers, models = keras.layers, keras.models
    base = models.Sequential(
        [
            layers.Input(shape=(4,), name="base_input"),
            layers.Dense(4, activation="tanh", name="inner"),
            layers.BatchNormalization(name="inner_normalization"),
        ],
        name="base",
    )
    base.trainable = False
    start = layers.Input(shape=(4,), name="tower_input")
    tower = models.Model(
        start, layers.Dense(3, name="tower_dense")(layers.BatchNormalization(name="tower_norm")(start))
    )
    left, right = layers.Input(shape=(4,), name="left"), layers.Input(shape=(4,), name="right")
    shared = layers.Dense(4, activation="elu", name="shared")
    a, b = shared(base(left)), shared(right)
    both = layers.Concatenate(name="both")([tower(a), tower(b), layers.Add(name="sum")([a, b])])
    first = layers.Dense(2, name="first")(both)
    second = layers.Dense(1, activation="sigmoid", name="second")(both)
    model = models.Model([left, right], [first, second], name="both_sides")
    model.compile(
        optimizers.Adam(learning_rate=0.01, amsgrad=True),
        ["mse", "binary_crossentropy"],
        metrics=[["mae"], ["accuracy"]],
        loss_weights=[1.0, 0.5],
    )
    x = [data.normal((SAMPLES, 4), "shared", side) for side in ("left", "right")]
    return Saved(
        model, x, [data.normal((SAMPLES, 2), "shared", "y"), data.values("binary", (SAMPLES, 1), "shared", "y")]
    )


def sequences(keras: Any, optimizers: Any) -> Saved:
    """Every recurrent layer, both directions, a layer on each step, a mask; SGD with momentum."""
    layers = keras.layers
    inputs = layers.Input(shape=(5,), name="words")
    y = layers.Embedding(7, 3, mask_zero=True, name="embedding")(inputs)
    y = layers.Bidirectional(layers.LSTM(2, return_sequences=True, name="lstm"), name="both")(y)
    y = layers.GRU(3, return_sequences=True, reset_after=True, name="gru")(y)
    y = layers.GRU(3, return_sequences=True, reset_after=False, name="older_gru")(y)
    y = layers.TimeDistributed(layers.Dense(2), name="steps")(y)
    y = layers.SimpleRNN(2, name="simple")(y)
    y = layers.Dense(1, name="score")(y)
    model = keras.models.Model(inputs, y, name="sequences")
    model.compile(optimizers.SGD(learning_rate=0.05, momentum=0.9, nesterov=True), "mse")
    return Saved(model, data.integers((SAMPLES, 5), 7, "sequences", "x"), data.normal((SAMPLES, 1), "sequences", "y"))


CASES: dict[str, Callable[[Any, Any], Saved]] = {
    case.__name__: case for case in (classes, images, shared_and_nested, sequences)
}
