"""A zoo of small models, one per feature, for tests that must hold for every model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kcompile import Input, Model, Sequential, layers
from kcompile import backend as K

Builder = Callable[[], Model]
ZOO: dict[str, Builder] = {}


def model(build: Builder) -> Builder:
    """Add a function that builds a model to the zoo."""
    ZOO[build.__name__] = build
    return build


@model
def dense() -> Model:
    return Sequential(
        [layers.Dense(7, activation="tanh", input_shape=(5,)), layers.Dropout(0.3), layers.Dense(3, "softmax")]
    )


@model
def conv1d() -> Model:
    return Sequential(
        [
            layers.Conv1D(4, 3, padding="causal", dilation_rate=2, activation="relu", input_shape=(9, 3)),
            layers.AveragePooling1D(2, padding="same"),
            layers.GlobalMaxPooling1D(),
            layers.Dense(2),
        ]
    )


@model
def conv2d() -> Model:
    return Sequential(
        [
            layers.ZeroPadding2D(1, input_shape=(7, 6, 3)),
            layers.Conv2D(4, 3, strides=2, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.PReLU(shared_axes=[1, 2]),
            layers.UpSampling2D(2),
            layers.Conv2DTranspose(2, 3, strides=2, padding="same", activation="elu"),
            layers.Cropping2D(((1, 0), (0, 1))),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, activation="softmax"),
        ]
    )


@model
def conv2d_channels_first() -> Model:
    first: dict[str, Any] = {"data_format": "channels_first"}
    return Sequential(
        [
            layers.Conv2D(4, (3, 2), padding="same", activation="relu", input_shape=(2, 6, 5), **first),
            layers.BatchNormalization(axis=1),
            layers.MaxPooling2D(2, **first),
            layers.Flatten(**first),
            layers.Dense(3),
        ]
    )


@model
def conv3d() -> Model:
    return Sequential(
        [
            layers.Conv3D(3, 2, activation="relu", input_shape=(4, 5, 4, 2)),
            layers.MaxPooling3D(2),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )


@model
def separable() -> Model:
    return Sequential(
        [
            layers.SeparableConv2D(5, 3, padding="same", depth_multiplier=2, input_shape=(6, 6, 2)),
            layers.LeakyReLU(0.1),
            layers.DepthwiseConv2D(3, strides=2),
            layers.AveragePooling2D(2),
            layers.Reshape((-1,)),
            layers.Dense(2),
        ]
    )


@model
def embedding() -> Model:
    return Sequential(
        [
            layers.Embedding(11, 4, input_length=6),
            layers.SeparableConv1D(5, 3),
            layers.MaxPooling1D(2),
            layers.Permute((2, 1)),
            layers.Flatten(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


@model
def merges() -> Model:
    left, right = Input((4,), name="left"), Input((4,), name="right")
    a, b = layers.Dense(3)(left), layers.Dense(3)(right)
    found = [layers.add([a, b]), layers.multiply([a, b]), layers.maximum([a, b]), layers.average([a, b])]
    return Model([left, right], layers.Dense(2)(layers.concatenate([*found, layers.dot([a, b], -1)])))


@model
def several_outputs() -> Model:
    image, number = Input((6, 6, 1), name="image"), Input((2,), name="number")
    x = layers.Flatten()(layers.Conv2D(2, 3, activation="relu")(image))
    x = layers.concatenate([x, number])
    return Model([image, number], [layers.Dense(3, "softmax", name="kind")(x), layers.Dense(1, name="size")(x)])


@model
def normalized() -> Model:
    steps = Input((None, 6), name="steps")
    x = layers.LayerNormalization()(layers.Dense(6, "tanh")(steps))
    x = layers.GroupNormalization(3)(layers.add([steps, x]))
    x = layers.RMSNormalization()(layers.Dense(5)(layers.UnitNormalization()(x)))
    x = layers.LayerNormalization(rms_scaling=True)(x)
    return Model(steps, layers.Dense(2)(layers.GlobalAveragePooling1D()(x)))


@model
def normalized_images() -> Model:
    return Sequential(
        [
            layers.LayerNormalization([1, 2, 3], input_shape=(6, 5, 4)),
            layers.Conv2D(4, 3, padding="same", activation="relu"),
            layers.GroupNormalization(2),
            layers.LayerNormalization(1, center=False),
            layers.GroupNormalization(-1, axis=2),
            layers.RMSNormalization([2, 3]),
            layers.UnitNormalization([1, 2]),
            layers.SpectralNormalization(layers.Conv2D(3, 2, activation="tanh")),
            layers.Flatten(),
            layers.SpectralNormalization(layers.Dense(2, activation="softmax"), power_iterations=2),
        ]
    )


@model
def nested() -> Model:
    inner = Sequential([layers.Dense(4, "relu", input_shape=(3,)), layers.BatchNormalization()], name="inner")
    outer = Input((3,))
    return Model(outer, layers.Dense(2)(layers.Dropout(0.5)(inner(outer))))


@model
def shared() -> Model:
    a, b = Input((5,)), Input((5,))
    twin = layers.Dense(3, activation="selu")
    return Model([a, b], layers.subtract([twin(a), twin(b)]))


@model
def any_length() -> Model:
    words = Input((None,), dtype="int32", name="words")
    x = layers.Conv1D(4, 3, padding="same", activation="relu")(layers.Embedding(9, 3)(words))
    return Model(words, layers.Dense(2)(layers.GlobalAveragePooling1D()(x)))


@model
def images_over_time() -> Model:
    return Sequential(
        [
            layers.TimeDistributed(layers.Conv2D(3, 2, activation="relu"), input_shape=(None, 5, 4, 1)),
            layers.TimeDistributed(layers.BatchNormalization()),
            layers.ConvLSTM2D(2, 3, padding="same", return_sequences=True, recurrent_dropout=0.2),
            layers.TimeDistributed(layers.Flatten()),
            layers.Bidirectional(layers.GRU(3), merge_mode="sum"),
            layers.Dense(2),
        ]
    )


@model
def both_directions() -> Model:
    words = Input((None,), dtype="int32", name="words")
    x = layers.Embedding(9, 4, mask_zero=True)(words)
    x = layers.Bidirectional(layers.LSTM(3, return_sequences=True, dropout=0.2))(x)
    x = layers.TimeDistributed(layers.Dense(2, activation="relu"))(x)
    return Model(words, layers.GlobalAveragePooling1D()(x))


@model
def operations() -> Model:
    x = Input((3, 2))
    y = layers.Lambda(lambda t: K.square(t) - K.mean(t, axis=1, keepdims=True))(x)
    return Model(x, layers.Dense(2)(layers.Flatten()(layers.RepeatVector(2)(layers.Flatten()(y * 2.0 + 1.0)))))


@model
def transformer() -> Model:
    words = Input((None,), dtype="int32", name="words")
    x = layers.Embedding(9, 6, mask_zero=True)(words)
    found = layers.MultiHeadAttention(2, 3, dropout=0.2, name="heads")(x, x, use_causal_mask=True)
    x = layers.Dense(6, activation="relu")(layers.add([x, found]))
    x = layers.add([x, layers.GroupQueryAttention(3, 4, 2)(x, x)])
    summed = layers.AdditiveAttention()([x, layers.Attention(use_scale=True, dropout=0.1)([x, x])])
    pooled = layers.EinsumDense("ab,bc->ac", 4, bias_axes="c")(layers.GlobalAveragePooling1D()(summed))
    return Model(words, layers.Identity()(layers.Dense(2)(pooled)))


@model
def unusual_names() -> Model:
    x = Input((3,), name="größe/in:1")
    hidden = layers.Dense(4, activation="relu", name="block/a:b")(x)
    return Model(x, layers.Dense(2, name="ergebnis ü")(hidden), name="ein Modell/1")


def random_inputs(model: Model, samples: int, seed: int = 0) -> list[np.ndarray[Any, Any]]:
    """One array per input; free sizes are 7, integers are small enough for every embedding of the zoo."""
    rng = np.random.RandomState(seed)
    found = []
    for x in model.inputs:
        shape = (samples, *(7 if size is None else size for size in x.shape[1:]))
        whole = x.dtype.startswith("int") or any(isinstance(layer, layers.Embedding) for layer in model.layers)
        found.append(rng.randint(0, 9, shape).astype(x.dtype) if whole else rng.randn(*shape).astype(x.dtype))
    return found
