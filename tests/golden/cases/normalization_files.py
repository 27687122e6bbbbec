"""Models of layers that normalize samples, which are saved by Keras and loaded here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.golden import data
from tests.golden.cases.files import SAMPLES, Saved


def steps(keras: Any, optimizers: Any) -> Saved:
    """Sequences with a mask, of any length."""
    layers = keras.layers
    inputs = layers.Input(shape=(None, 6), name="steps")
    y = layers.GroupNormalization(3, name="group")(inputs)  # tf_keras takes no mask of steps here
    y = layers.Masking(name="mask")(y)
    y = layers.LayerNormalization(gamma_initializer="ones", beta_regularizer="l2", name="layer")(y)
    y = layers.UnitNormalization(name="unit")(layers.Dense(6, name="hidden")(y))
    y = layers.LSTM(4, name="lstm")(y)
    model = keras.models.Model(inputs, layers.Dense(2, name="scores")(y), name="sequences")
    model.compile(optimizers.SGD(learning_rate=0.05), "mse")
    return Saved(model, data.normal((SAMPLES, 5, 6), "steps", "x"), data.normal((SAMPLES, 2), "steps", "y"))


def images(keras: Any, optimizers: Any) -> Saved:
    """Every axis of images; the layers stand in a model inside of the model too."""
    layers = keras.layers
    inside = keras.models.Sequential(
        [
            layers.Input(shape=(6, 5, 4)),
            layers.Conv2D(4, 3, padding="same", activation="relu", name="convolution"),
            layers.GroupNormalization(2, scale=False, name="groups"),
            layers.LayerNormalization(axis=[1, 2, 3], name="all"),
        ],
        name="inside",
    )
    inputs = layers.Input(shape=(6, 5, 4), name="image")
    y = layers.LayerNormalization(axis=1, center=False, epsilon=0.01, name="rows")(inside(inputs))
    y = layers.UnitNormalization(axis=[1, 2], name="units")(y)
    y = layers.GroupNormalization(-1, axis=2, name="instances")(y)
    y = layers.Dense(3, activation="softmax", name="classes")(layers.Flatten(name="flat")(y))
    model = keras.models.Model(inputs, y, name="images")
    model.compile(optimizers.Adam(learning_rate=0.01), "categorical_crossentropy")
    x, y = data.normal((SAMPLES, 6, 5, 4), "images", "x"), data.values("one_hot", (SAMPLES, 3), "images", "y")
    return Saved(model, x, y)


def rms(keras: Any, optimizers: Any) -> Saved:
    """What Keras 3 alone has."""
    layers = keras.layers
    inputs = layers.Input(shape=(5, 6), name="steps")
    y = layers.RMSNormalization(epsilon=0.01, name="rms")(layers.Dense(6, name="hidden")(inputs))
    y = layers.RMSNormalization(axis=[1, 2], name="both")(y)
    y = layers.LayerNormalization(rms_scaling=True, name="scaled")(y)
    model = keras.models.Model(inputs, layers.Dense(2, name="scores")(y), name="rms")
    model.compile(optimizers.SGD(learning_rate=0.05), "mse")
    return Saved(model, data.normal((SAMPLES, 5, 6), "rms", "x"), data.normal((SAMPLES, 5, 2), "rms", "y"))


def spectral(keras: Any, optimizers: Any) -> Saved:
    """Kernels that steps divide by their norms; Keras 3's alone can be called."""
    layers, normalized = keras.layers, keras.layers.SpectralNormalization
    inputs = layers.Input(shape=(6, 5, 3), name="image")
    convolution = layers.Conv2D(4, 3, kernel_regularizer="l2", kernel_constraint="non_neg", name="convolution")
    y = normalized(convolution, power_iterations=2, name="first")(inputs)
    y = normalized(layers.DepthwiseConv2D(2, name="depthwise"), name="second")(y)
    y = normalized(layers.Dense(2, name="dense"), name="third")(layers.Flatten(name="flat")(y))
    model = keras.models.Model(inputs, y, name="spectral")
    model.compile(optimizers.SGD(learning_rate=0.05), "mse")
    return Saved(model, data.normal((SAMPLES, 6, 5, 3), "spectral", "x"), data.normal((SAMPLES, 2), "spectral", "y"))


CASES: dict[str, Callable[[Any, Any], Saved]] = {"steps": steps, "images": images, "rms": rms, "spectral": spectral}
ONLY_IN_KERAS_3 = ("rms", "spectral")
FORMATS = ("h5", "keras")
