"""Convolution, pooling, padding, upsampling and normalization layers: data formats, symbolic sizes, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kcompile as keras
from kcompile import backend as K
from kcompile import layers as L
from tests.golden.compare import assert_all_close, assert_close

RNG = np.random.default_rng(7)

# What differs from the default; each is tried with images of (rows, columns, channels).
IMAGE_LAYERS: dict[str, tuple[str, dict[str, Any]]] = {
    "conv_valid": ("Conv2D", {"filters": 4, "kernel_size": 3}),
    "conv_same": ("Conv2D", {"filters": 4, "kernel_size": (2, 3), "padding": "same", "activation": "relu"}),
    "conv_full": ("Conv2D", {"filters": 4, "kernel_size": 3, "padding": "full"}),
    "conv_stride": ("Conv2D", {"filters": 4, "kernel_size": 3, "strides": 2}),
    "conv_same_stride": ("Conv2D", {"filters": 4, "kernel_size": 3, "strides": (2, 3), "padding": "same"}),
    "conv_dilation": ("Conv2D", {"filters": 4, "kernel_size": 2, "dilation_rate": 2, "padding": "same"}),
    "conv_groups": ("Conv2D", {"filters": 4, "kernel_size": 2, "groups": 2}),
    "transpose_valid": ("Conv2DTranspose", {"filters": 4, "kernel_size": 3, "strides": 2}),
    "transpose_same": ("Conv2DTranspose", {"filters": 4, "kernel_size": 4, "strides": 2, "padding": "same"}),
    "transpose_output_padding": (
        "Conv2DTranspose",
        {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same", "output_padding": 1},
    ),
    "depthwise": ("DepthwiseConv2D", {"kernel_size": 3, "strides": 2, "padding": "same", "depth_multiplier": 2}),
    "separable": ("SeparableConv2D", {"filters": 5, "kernel_size": 3, "depth_multiplier": 2}),
    "max_valid": ("MaxPooling2D", {"pool_size": 3, "strides": 2}),
    "max_same": ("MaxPooling2D", {"padding": "same"}),
    "average_valid": ("AveragePooling2D", {}),
    "average_same": ("AveragePooling2D", {"pool_size": 3, "strides": 2, "padding": "same"}),
    "global_max": ("GlobalMaxPooling2D", {"keepdims": True}),
    "global_average": ("GlobalAveragePooling2D", {}),
    "pad": ("ZeroPadding2D", {"padding": ((1, 0), (2, 1))}),
    "crop": ("Cropping2D", {"cropping": ((1, 0), (0, 2))}),
    "nearest": ("UpSampling2D", {"size": (2, 3)}),
    "bilinear": ("UpSampling2D", {"size": (2, 3), "interpolation": "bilinear"}),
}


def run(layer: Any, shape: tuple[int | None, ...], x: np.ndarray, weights: list[np.ndarray] | None = None) -> Any:
    """Output, gradients for the input and the weights (of a weighted sum of squares), and the weights."""
    inputs = L.Input(shape=shape)
    output = layer(inputs)
    if weights is not None:
        layer.set_weights(weights)
    loss = K.sum(K.square(output) * 0.5 + output)
    gradients = K.gradients(loss, [inputs, *layer.trainable_weights])
    results = K.function([inputs, K.learning_phase()], [output, *gradients])([x, 0])
    return results, layer.get_weights(), tuple(output.shape)


def to_first(x: np.ndarray) -> np.ndarray:
    return np.moveaxis(x, -1, 1)


@pytest.mark.parametrize("name", IMAGE_LAYERS)
def test_symbolic_sizes_and_channels_first_agree_with_static_channels_last(name: str) -> None:
    class_name, arguments = IMAGE_LAYERS[name]
    make = getattr(L, class_name)
    x = RNG.normal(size=(2, 7, 8, 4)).astype("float32")
    last = make(**arguments)
    results, weights, _ = run(last, x.shape[1:], x)

    symbolic, _, shape = run(make(**arguments), (None, None, 4), x, weights)
    assert_all_close(symbolic, results, "symbolic sizes")
    expected = results[0].shape
    assert all(known in (None, size) for known, size in zip(shape, expected, strict=True))
    assert tuple(last.compute_output_shape((None, 7, 8, 4)))[1:] == expected[1:]
    computed = tuple(make(**arguments).compute_output_shape((None, None, None, 4)))
    assert all(known in (None, size) for known, size in zip(computed, expected, strict=True))

    first, _, _ = run(make(**arguments, data_format="channels_first"), (4, 7, 8), to_first(x), weights)
    output = first[0] if first[0].ndim == 2 else np.moveaxis(first[0], 1, -1)
    assert_close(output, results[0], "channels_first")
    assert_close(np.moveaxis(first[1], 1, -1), results[1], "channels_first, gradient of the input")
    assert_all_close(first[2:], results[2:], "channels_first, gradients of the weights")


@settings(max_examples=25, deadline=None)
@given(
    size=st.integers(3, 9),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
    padding=st.sampled_from(["valid", "same", "causal", "full"]),
)
def test_conv1d_is_a_sum_of_shifted_products(size: int, kernel: int, stride: int, dilation: int, padding: str) -> None:
    """Any geometry against the definition in float64, with static and with symbolic steps."""
    if stride > 1 and dilation > 1:
        dilation = 1
    reach = (kernel - 1) * dilation + 1
    before, after = {"valid": (0, 0), "causal": (reach - 1, 0), "full": (reach - 1, reach - 1)}.get(padding, (0, 0))
    if padding == "same":
        total = max((-(-size // stride) - 1) * stride + reach - size, 0)
        before, after = total // 2, total - total // 2
    if size + before + after < reach:
        return
    x = RNG.normal(size=(2, size, 3)).astype("float32")
    w, b = RNG.normal(size=(kernel, 3, 2)).astype("float32"), RNG.normal(size=2).astype("float32")
    padded = np.pad(x.astype("float64"), [(0, 0), (before, after), (0, 0)])
    count = (size + before + after - reach) // stride + 1
    expected = sum(
        padded[:, i * dilation :][:, : (count - 1) * stride + 1 : stride] @ w[i].astype("float64")
        for i in range(kernel)
    )
    for steps in (size, None):
        layer = L.Conv1D(2, kernel, strides=stride, padding=padding, dilation_rate=dilation)
        (output, *_), _, _ = run(layer, (steps, 3), x, [w, b])
        assert_close(output, expected + b, f"steps={steps}")
    assert layer.compute_output_shape((None, size, 3)) == (None, count, 2)


def test_training_through_symbolic_sizes_equals_static() -> None:
    """Three steps of SGD on a small network, images of two sizes."""

    def model(shape: tuple[int | None, ...]) -> Any:
        x = inputs = L.Input(shape=shape)
        x = L.Conv2D(4, 3, strides=2, padding="same", activation="relu")(x)
        x = L.BatchNormalization(momentum=0.5)(x)
        x = L.MaxPooling2D(padding="same")(x)
        x = L.Conv2DTranspose(3, 3, strides=2, padding="same")(x)
        x = L.UpSampling2D(interpolation="bilinear")(x)
        x = L.SeparableConv2D(3, 3, padding="same")(x)
        x = L.GlobalAveragePooling2D()(x)
        made = keras.models.Model(inputs, L.Dense(2)(x))
        made.compile(keras.optimizers.SGD(lr=0.05), "mse")
        return made

    symbolic = model((None, None, 3))
    weights = symbolic.get_weights()
    for size in ((9, 6), (8, 8)):
        x = RNG.normal(size=(4, *size, 3)).astype("float32")
        y = RNG.normal(size=(4, 2)).astype("float32")
        static = model((*size, 3))
        static.set_weights(weights)
        symbolic.set_weights(weights)
        for _ in range(3):
            assert symbolic.train_on_batch(x, y) == pytest.approx(static.train_on_batch(x, y), rel=1e-5)
        assert_all_close(symbolic.get_weights(), static.get_weights(), f"weights, images of {size}")


def test_global_average_pooling_averages_what_the_mask_keeps() -> None:
    x = RNG.normal(size=(2, 4, 3)).astype("float32")
    x[0, 2:] = 0
    inputs = L.Input(shape=(4, 3))
    output = L.GlobalAveragePooling1D()(L.Masking()(inputs))
    expected = np.stack([x[0, :2].mean(0), x[1].mean(0)])
    (actual,) = K.function([inputs], [output])([x])
    assert_close(actual, expected, "masked mean")


# ---- batch normalization


def normalized_model() -> tuple[Any, list[Any]]:
    inputs = L.Input(shape=(6, 6, 3))
    norms = [L.BatchNormalization(momentum=0.5), L.BatchNormalization(momentum=0.5)]
    x = L.Conv2D(4, 3)(norms[0](inputs))
    model = keras.models.Model(inputs, L.Dense(2)(L.GlobalAveragePooling2D()(norms[1](x))))
    model.compile("sgd", "mse")
    return model, norms


X = RNG.normal(2, 3, size=(8, 6, 6, 3)).astype("float32")
Y = RNG.normal(size=(8, 2)).astype("float32")


@pytest.mark.parametrize("how", ["layers", "model", "outer model"])
def test_frozen_batch_normalization_is_inference(how: str) -> None:
    """With trainable=False a training step sees the moving statistics and leaves them alone, as in TensorFlow 2."""
    model, norms = normalized_model()
    model.train_on_batch(X, Y)
    trained = model
    if how == "outer model":
        inputs = L.Input(shape=(6, 6, 3))
        trained = keras.models.Model(inputs, model(inputs))
    for frozen in norms if how == "layers" else [model]:
        frozen.trainable = False
    trained.compile("sgd", "mse")
    before = [layer.get_weights() for layer in norms]
    loss = trained.evaluate(X, Y, verbose=0)
    assert trained.train_on_batch(X, Y) == pytest.approx(loss, rel=1e-6)
    for layer, weights in zip(norms, before, strict=True):
        np.testing.assert_array_equal(layer.get_weights(), weights)
    for frozen in norms if how == "layers" else [model]:
        frozen.trainable = True
    trained.compile("sgd", "mse")
    trained.train_on_batch(X, Y)
    assert not np.array_equal(norms[0].moving_mean.numpy(), before[0][2])


def test_a_model_compiled_before_it_is_frozen_goes_on_training() -> None:
    """A discriminator: frozen inside the adversarial model, trained by itself."""
    critic, norms = normalized_model()
    critic.trainable = False
    noise = L.Input(shape=(6, 6, 3))
    both = keras.models.Model(noise, critic(L.Conv2D(3, 1)(noise)))
    both.compile("sgd", "mse")
    before = critic.get_weights()
    both.train_on_batch(X, Y)
    np.testing.assert_equal(critic.get_weights(), before)
    critic.train_on_batch(X, Y)
    assert all(not np.array_equal(new, old) for new, old in zip(critic.get_weights(), before, strict=True))
    assert_close(norms[0].moving_mean.numpy(), 0.5 * X.mean((0, 1, 2)), "moving mean")


def test_training_argument_and_frozen_layers_in_functions() -> None:
    layer = L.BatchNormalization()
    inputs = L.Input(shape=(3,))
    x = RNG.normal(5, 2, size=(8, 3)).astype("float32")
    either = K.function([inputs, K.learning_phase()], [layer(inputs)])
    always = K.function([inputs], [layer(inputs, training=True)])
    never = K.function([inputs, K.learning_phase()], [layer(inputs, training=False)])
    trained = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-3)
    quiet = x / np.sqrt(1 + 1e-3)
    for function, arguments, expected in [
        (either, [x, 1], trained),
        (either, [x, 0], quiet),
        (always, [x], trained),
        (never, [x, 1], quiet),
    ]:
        assert_close(function(arguments)[0], expected, "output")
    layer.trainable = False
    assert_close(either([x, 1])[0], quiet, "frozen")
    assert layer.updates == []


# ---- bad arguments and inputs

CONSTRUCTION = [
    ("Conv2D", (-1, 3), {}, "Conv2D: filters must be an integer of at least 1, got -1"),
    ("Conv2D", (2.5, 3), {}, "filters must be"),
    ("Conv2D", (4, 0), {}, "kernel_size must be"),
    ("Conv2D", (4, (3, 3, 3)), {}, "kernel_size must be an integer or 2 integers.*got 3 entries"),
    ("Conv2D", (4, 3), {"strides": 0}, "strides must be"),
    ("Conv2D", (4, 3), {"padding": "smae"}, "padding must be one of.*did you mean 'same'"),
    ("Conv2D", (4, 3), {"padding": "causal"}, "padding must be one of"),
    ("Conv2D", (4, 3), {"data_format": "channels_lst"}, "data_format must be one of.*did you mean 'channels_last'"),
    ("Conv2D", (4, 3), {"strides": 2, "dilation_rate": 2}, r"strides=\(2, 2\) and dilation_rate=\(2, 2\)"),
    ("Conv2D", (4, 3), {"groups": 3}, "groups=3 does not divide filters=4"),
    ("Conv2D", (4, 3), {"activation": "rellu"}, "did you mean 'relu'"),
    ("Conv2D", (4, 3), {"kernel_regulariser": "l2"}, "unknown argument.*did you mean 'kernel_regularizer'"),
    ("Conv2DTranspose", (4, 3), {"strides": 2, "output_padding": 2}, "output_padding=.* must be smaller than strides"),
    ("Conv2DTranspose", (4, 3), {"groups": 2}, "no argument 'groups'"),
    ("SeparableConv2D", (4, 3), {"kernel_initializer": "ones"}, "no argument 'kernel_initializer'"),
    ("DepthwiseConv2D", (3,), {"depth_multiplier": 0}, "depth_multiplier must be"),
    ("MaxPooling2D", (-2,), {}, "pool_size must be"),
    ("MaxPooling1D", (2,), {"padding": "causal"}, "padding must be one of"),
    ("ZeroPadding2D", (-1,), {}, "padding must be an integer of at least 0, got -1"),
    ("ZeroPadding2D", ((1, 2, 3),), {}, "padding must be a whole number or 2 numbers, or 2 pairs"),
    ("Cropping1D", ("1",), {}, r"cropping must be a whole number or a pair \(before, after\)"),
    ("UpSampling2D", (0,), {}, "size must be"),
    ("UpSampling2D", (2,), {"interpolation": "bilinar"}, "did you mean 'bilinear'"),
    ("BatchNormalization", (), {"momentum": 1.5}, "momentum must be"),
    ("BatchNormalization", (), {"epsilon": -1}, "epsilon must be"),
    ("BatchNormalization", ("last",), {}, "axis must be"),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "positional", "arguments", "message"), CONSTRUCTION)
def test_bad_arguments_are_named_at_construction(layer: str, positional: tuple, arguments: dict, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        getattr(L, layer)(*positional, **arguments)


INPUTS = [
    (L.Conv2D, (4, 5), {}, (3, 8, 3), r"'here' \(Conv2D\): a window of \(5, 5\).*\(3, 8\).*padding='same'"),
    (L.Conv1D, (4, 3), {"dilation_rate": 3}, (6, 2), r"window of \(3,\).*reaches over \(7,\)"),
    (L.MaxPooling2D, (4,), {}, (3, 8, 3), r"'here' \(MaxPooling2D\): a window of \(4, 4\)"),
    (L.Conv2D, (4, 3), {}, (8, 8), "expected 4"),
    (L.Conv2D, (4, 3), {}, (8, 8, None), "known number of channels on axis 3"),
    (L.Conv2D, (4, 3), {"groups": 2}, (8, 8, 3), "groups=2 does not divide the 3 channels"),
    (L.Cropping2D, (4,), {}, (8, 9, 3), "leaves nothing"),
    (L.BatchNormalization, (5,), {}, (8, 8, 3), "axis=5 is not a channel axis"),
    (L.BatchNormalization, (0,), {}, (8,), "axis=0 is not a channel axis"),
    (L.BatchNormalization, (), {}, (None,), "known size of axis -1"),
]


@pytest.mark.parametrize(("layer", "positional", "arguments", "shape", "message"), INPUTS)
def test_inputs_that_do_not_fit_are_named_and_leave_the_layer_unbuilt(
    layer: Any, positional: tuple, arguments: dict, shape: tuple, message: str
) -> None:
    made = layer(*positional, **arguments, name="here")
    with pytest.raises(ValueError, match=message):
        made(L.Input(shape=shape))
    assert made.weights == []
    if "window" in message or "nothing" in message:
        with pytest.raises(ValueError, match=message):
            made.compute_output_shape((None, *shape))


def test_windows_as_large_as_the_input_fit() -> None:
    inputs = L.Input(shape=(5, 3, 2))
    for layer in (L.Conv2D(4, (3, 2), dilation_rate=2), L.AveragePooling2D((5, 3)), L.DepthwiseConv2D((5, 3))):
        assert tuple(layer(inputs).shape)[1:3] == (1, 1)


def test_a_layer_reused_with_another_shape_says_so() -> None:
    layer = L.Conv2D(4, 3, name="shared")
    layer(L.Input(shape=(8, 8, 3)))
    layer(L.Input(shape=(9, 5, 3)))
    with pytest.raises(ValueError, match=r"'shared' \(Conv2D\).*size 3, got 2"):
        layer(L.Input(shape=(8, 8, 2)))
    with pytest.raises(ValueError, match=r"'shared' \(Conv2D\): a window"):
        layer(L.Input(shape=(2, 8, 3)))


def test_configurations_of_other_keras_versions_are_read() -> None:
    """TensorFlow's Keras writes options of Conv2D where they have no meaning, and the axis as a list."""
    extra = {"groups": 1, "kernel_initializer": "ones", "kernel_regularizer": None, "kernel_constraint": None}
    config = L.SeparableConv2D(4, 3).get_config()
    assert not extra.keys() & config.keys()
    assert L.SeparableConv2D.from_config({**config, **extra}).get_config() == config
    config = {**L.Conv2DTranspose(4, 3).get_config(), "groups": 1}
    assert L.Conv2DTranspose.from_config(config).filters == 4
    assert L.BatchNormalization(axis=[3]).axis == 3
    assert "groups" not in L.Conv2D(4, 3).get_config()  # Keras 2.3 would refuse it


def test_a_call_on_arrays_leaves_no_update_behind() -> None:
    layer = L.BatchNormalization()
    x = RNG.normal(size=(4, 3)).astype("float32")
    assert_close(layer(x), x / np.sqrt(1 + 1e-3), "inference")
    layer(L.Input(shape=(3,)))
    layer(x)
    assert len(layer.updates) == 2
