"""Weights of Keras 1, of Theano and of CuDNN layers arrive in today's layers."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import h5py
import numpy as np
import pytest

from kcompile import layers as L
from kcompile.models import Input, Model, Sequential, load_model
from kcompile.utils import convert_all_kernels_in_model
from kcompile.utils.layer_utils import convert_dense_weights_data_format
from tests.golden import data, load
from tests.golden.cases.legacy_weights import CASES

GOLDEN = load("legacy_weights")


def file_of(layers: dict[str, Sequence[np.ndarray]], version: str | None, backend: str = "tensorflow") -> bytes:
    """A file of weights, as Keras of that version names them."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in layers]
        file.attrs["backend"] = backend.encode()
        if version is not None:
            file.attrs["keras_version"] = version.encode()
        for name, arrays in layers.items():
            group = file.create_group(name)
            names = [f"{name}_{i}" for i in range(len(arrays))]
            group.attrs["weight_names"] = [each.encode() for each in names]
            for each, array in zip(names, arrays, strict=True):
                group[each] = array
    return buffer.getvalue()


def assert_equal(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> None:
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", CASES)
def test_conversions_are_those_of_keras(name: str) -> None:
    case = CASES[name]
    arguments = dict(case.arguments)
    if case.inner is not None:
        arguments["layer"] = getattr(L, case.inner[0])(**case.inner[1])
    x = Input(case.input)
    model = Model(x, getattr(L, case.layer)(**arguments)(x))
    stored = [data.normal(shape, name, position) for position, shape in enumerate(case.stored)]
    model.load_weights(file_of({"layer": stored}, case.version))
    assert_equal(model.get_weights(), [np.asarray(w, "float32") for w in GOLDEN[name].converted])


def test_a_file_without_a_version_is_of_keras_1() -> None:
    model = Sequential([L.Conv2D(3, 3, input_shape=(3, 6, 6), data_format="channels_first", use_bias=False)])
    kernel = data.normal((3, 3, 3, 3), "kernel")
    model.load_weights(file_of({"conv": [kernel]}, None))
    assert_equal(model.get_weights(), [kernel.transpose(2, 3, 1, 0)])


@pytest.mark.parametrize(("layer", "shape"), [("Conv1D", (5, 2)), ("Conv2D", (5, 5, 2)), ("Conv3D", (4, 4, 4, 2))])
def test_kernels_of_theano_are_mirrored(layer: str, shape: tuple[int, ...]) -> None:
    model = Sequential([getattr(L, layer)(3, 2, input_shape=shape), L.Flatten(), L.Dense(1)])
    before = model.get_weights()
    spatial = tuple(range(before[0].ndim - 2))
    mirrored = [np.flip(before[0], spatial), *before[1:]]
    model.load_weights(file_of({"c": mirrored[:2], "d": mirrored[2:]}, "2.0.2", "theano"))
    assert_equal(model.get_weights(), before)
    convert_all_kernels_in_model(Sequential([model]))
    assert_equal(model.get_weights(), mirrored)


def test_a_model_inside_a_model_of_keras_1() -> None:
    """All weights that train come first, each gate of each LSTM on its own; then all others."""
    inner = Sequential(
        [L.LSTM(4, return_sequences=True, input_shape=(5, 3)), L.BatchNormalization(), L.GRU(4, reset_after=False)]
    )
    x = Input((5, 3))
    model = Model(x, L.Dense(1)(inner(x)))
    lstm = [data.normal(shape, "lstm", i) for i, shape in enumerate([(3, 4), (4, 4), (4,)] * 4)]
    gru = [data.normal(shape, "gru", i) for i, shape in enumerate([(4, 4), (4, 4), (4,)] * 3)]
    norm = [data.normal((4,), "norm", i) for i in range(4)]
    dense = [data.normal((4, 1), "dense"), data.normal((1,), "dense")]
    stored = [*lstm, *norm[:2], *gru, *norm[2:]]
    model.load_weights(file_of({"inner": stored, "dense": dense}, "1.2.2"))

    def joined(gates: Sequence[np.ndarray], order: Sequence[int]) -> list[np.ndarray]:
        return [np.concatenate([gates[3 * gate + part] for gate in order], -1) for part in range(3)]

    one, two, three = inner.layers
    assert_equal(one.get_weights(), joined(lstm, (0, 2, 1, 3)))
    assert_equal(two.get_weights(), norm)
    assert_equal(three.get_weights(), joined(gru, (0, 1, 2)))


def test_models_in_sequence_were_stored_flat_by_keras_1() -> None:
    inner = Sequential([L.Dense(3, input_shape=(2,)), L.Dense(4)])
    model = Sequential([inner, L.Dense(5)])
    arrays = [data.normal(w.shape, "flat", i) for i, w in enumerate(model.get_weights())]
    model.load_weights(file_of({"a": arrays[:2], "b": arrays[2:4], "c": arrays[4:]}, "1.0.8"))
    assert_equal(model.get_weights(), arrays)


def test_a_gru_of_another_kind_is_refused() -> None:
    model = Sequential([L.GRU(4, reset_after=False, input_shape=(5, 3))])
    before = model.get_weights()
    arrays = [data.normal(shape, "gru", i) for i, shape in enumerate([(3, 12), (4, 12), (2, 12)])]
    with pytest.raises(ValueError, match=r"is a GRU\(reset_after=False\), but the weights are those of a .*True"):
        model.load_weights(file_of({"gru": arrays}, "2.2.4"))
    assert_equal(model.get_weights(), before)


@pytest.mark.parametrize("version", ["2.0.5", "2.1.6"])
def test_optimizers_without_names(version: str) -> None:
    """Keras up to 2.0.5 kept slots in the order of the weights' names, later versions in that of the model."""
    model = Sequential([L.Dense(3, input_shape=(3,), name="second"), L.Dense(3, name="first")])
    model.compile("adam", "mse")
    model.train_on_batch(np.ones((2, 3)), np.zeros((2, 3)))
    buffer = io.BytesIO()
    model.save(buffer)
    state = model.optimizer.get_weights()
    # Sorted: first/bias, first/kernel, second/bias, second/kernel.
    order = [3, 2, 1, 0] if version == "2.0.5" else [0, 1, 2, 3]
    with h5py.File(buffer, "r+") as file:
        file.pop("kcompile_optimizer_corrections", None)
        del file["optimizer_weights"]
        file["model_weights"].attrs["keras_version"] = file.attrs["keras_version"] = version
        group = file.create_group("optimizer_weights")
        slots = [state[1 + kind * 4 + i] for kind in range(2) for i in order]
        values = {f"Variable_{i}:0": value for i, value in enumerate([state[0], *slots, *[np.zeros(1)] * 4])}
        group.attrs["weight_names"] = [name.encode() for name in values]
        for name, value in values.items():
            group[name] = value
    again = load_model(buffer.getvalue())
    assert again.loaded.has_optimizer
    for a, b in zip(again.optimizer.get_weights(), state, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_state_of_another_optimizer_is_left_with_a_warning() -> None:
    model = Sequential([L.Dense(3, input_shape=(3,))])
    model.compile("adam", "mse")
    model.train_on_batch(np.ones((2, 3)), np.zeros((2, 3)))
    buffer = io.BytesIO()
    model.save(buffer)
    with h5py.File(buffer, "r+") as file:
        group = file["optimizer_weights"]
        group.attrs["weight_names"] = group.attrs["weight_names"][:2]
    with pytest.warns(UserWarning, match=r"not that of Adam with 2 weights .*fresh optimizer"):
        again = load_model(buffer.getvalue())
    assert not again.loaded.has_optimizer
    assert int(again.optimizer.iterations.numpy()) == 0
    again.train_on_batch(np.ones((2, 3)), np.zeros((2, 3)))


def test_dense_layers_behind_other_data_formats() -> None:
    def make(data_format: str) -> Model:
        shape = (4, 3, 2) if data_format == "channels_last" else (2, 4, 3)
        layers = [L.Conv2D(5, 2, data_format=data_format, input_shape=shape), L.Flatten(), L.Dense(2)]
        return Sequential(layers)

    last, first = make("channels_last"), make("channels_first")
    first.set_weights(last.get_weights())
    convert_dense_weights_data_format(first.layers[-1], (5, 3, 2), "channels_first")
    x = data.normal((3, 4, 3, 2), "x")
    np.testing.assert_allclose(first.predict(x.transpose(0, 3, 1, 2)), last.predict(x), rtol=1e-5, atol=1e-6)
    convert_dense_weights_data_format(first.layers[-1], (3, 2, 5), "channels_last")
    assert_equal(first.get_weights(), last.get_weights())
    with pytest.raises(ValueError, match=r"has 30 inputs, .*\(5, 3, 3\)"):
        convert_dense_weights_data_format(first.layers[-1], (5, 3, 3))


@pytest.mark.parametrize(
    ("plain", "cudnn"),
    [
        (lambda: L.LSTM(4, recurrent_activation="sigmoid"), lambda: L.CuDNNLSTM(4)),
        (lambda: L.GRU(4, recurrent_activation="sigmoid", reset_after=True), lambda: L.CuDNNGRU(4)),
        (lambda: L.Bidirectional(L.LSTM(4, recurrent_activation="sigmoid")), lambda: L.Bidirectional(L.CuDNNLSTM(4))),
    ],
)
def test_layers_of_cudnn_and_plain_ones_load_each_other(plain: Callable[[], Any], cudnn: Callable[[], Any]) -> None:
    def model(layer: Any, seed: int) -> Model:
        made = Sequential([L.InputLayer((5, 3)), layer])
        made.set_weights([data.normal(w.shape, "cudnn", seed, i) for i, w in enumerate(made.get_weights())])
        return made

    def weights(source: Model) -> bytes:
        buffer = io.BytesIO()
        source.save_weights(buffer)
        return buffer.getvalue()

    x = data.normal((2, 5, 3), "cudnn x")
    for first, second in ((plain, cudnn), (cudnn, plain)):
        one, other = model(first(), 0), model(second(), 1)
        other.load_weights(weights(one))
        np.testing.assert_allclose(other.predict(x), one.predict(x), rtol=1e-5, atol=1e-6)
