"""Files as strangers bring them: what Keras 3 counts in two ways, subclassed models, files that are almost right."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from kcompile import layers as L
from kcompile.callbacks import ModelCheckpoint
from kcompile.cli import main
from kcompile.models import Input, Model, Sequential, load_model, model_from_json


def archived(model: Model) -> bytes:
    buffer = io.BytesIO()
    model.save(buffer, save_format="keras")
    return buffer.getvalue()


def member(archive: bytes, name: str = "config.json") -> Any:
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        return json.loads(file.read(name))


def with_config(archive: bytes, config: Any, metadata: Any) -> bytes:
    """The archive with another configuration and other metadata."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            changed = {"config.json": json.dumps(config), "metadata.json": json.dumps(metadata)}.get(name)
            new.writestr(name, old.read(name) if changed is None else changed)
    return buffer.getvalue()


# ---- models inside models


def called_twice() -> Model:
    """Two calls of a functional and of a Sequential model, that are outputs and inputs of other calls."""
    u = Input((3,))
    inner, stack = Model(u, L.Dense(3)(u), name="inner"), Sequential([L.Dense(3, input_shape=(3,))], name="stack")
    a, b = Input((3,)), Input((3,))
    first = inner(a)
    return Model([a, b], [first, inner(b), stack(b), stack(first)])


def test_keras_3_counts_calls_of_functional_models_from_1_in_outputs_only() -> None:
    model = called_twice()
    config = member(archived(model))["config"]
    assert config["output_layers"] == [["inner", 1, 0], ["inner", 2, 0], ["stack", 0, 0], ["stack", 1, 0]]
    (call,) = [entry["inbound_nodes"][1] for entry in config["layers"] if entry["name"] == "stack"]
    assert call["args"][0]["config"]["keras_history"] == ["inner", 0, 0]
    x = list(np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32"))
    again = load_model(archived(model))
    for mine, other in zip(model.predict(x), again.predict(x), strict=True):
        np.testing.assert_array_equal(mine, other)
    again = model_from_json(model.to_json(keras_version=3))
    again.set_weights(model.get_weights())
    for mine, other in zip(model.predict(x), again.predict(x), strict=True):
        np.testing.assert_array_equal(mine, other)


# ---- subclassed models


class Tower(Model):
    """With a ``get_config`` of its own, one key of which is that of functional models."""

    def __init__(self, layers: tuple[int, ...] = (3,), **options: Any) -> None:
        super().__init__(**options)
        self.sizes = list(layers)
        self.blocks = [L.Dense(size, activation="tanh") for size in layers]
        self.top = L.Dense(1)

    def call(self, x: Any) -> Any:
        for block in self.blocks:
            x = block(x)
        return self.top(x)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "layers": self.sizes}


class Stack(Sequential):
    def __init__(self, size: int = 2) -> None:
        super().__init__([L.Dense(size, input_shape=(3,)), L.Dense(1)])
        self.size = size

    def get_config(self) -> dict[str, Any]:
        return {"size": self.size}


@pytest.mark.parametrize("make", [lambda: Tower((4, 3)), lambda: Stack(4)])
def test_subclassed_models_with_a_configuration_go_on_training(make: Callable[[], Model]) -> None:
    random = np.random.default_rng(0)
    x, y = random.normal(size=(8, 3)), random.normal(size=(8, 1))
    model = make()
    model.compile("adam", "mse")
    model.fit(x, y, verbose=0)
    again = load_model(archived(model), custom_objects={"Tower": Tower, "Stack": Stack})
    assert type(again) is type(model)
    assert again.loaded.has_optimizer
    for each in (model, again):
        each.fit(x, y, shuffle=False, verbose=0)
    for mine, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_subclassed_models_are_no_hdf5_files() -> None:
    """As in Keras; what would be written could not be read."""
    model = Tower()
    model.predict(np.ones((1, 2)))
    with pytest.raises(NotImplementedError, match=r"Tower.*subclassed.*\.keras.*save_weights"):
        model.save(io.BytesIO())


# ---- files that are almost right


def test_archives_in_which_keras_3_forgot_the_optimizer() -> None:
    """Saving as .h5 takes the optimizer out of what Keras 3 then writes as .keras."""
    model = Sequential([L.Dense(1, input_shape=(2,))])
    model.compile("sgd", "mae")
    model.fit(np.ones((4, 2)), np.ones(4), verbose=0)
    archive = archived(model)
    config = member(archive)
    del config["compile_config"]["optimizer"]
    archive = with_config(archive, config, {"keras_version": "3.15.0"})
    with pytest.warns(UserWarning, match=r"does not tell its optimizer.*rmsprop"):
        again = load_model(archive)
    assert type(again.optimizer).__name__ == "RMSprop"
    assert not again.loaded.has_optimizer
    assert again.optimizer.iterations.numpy() == 0


def test_weights_of_layers_that_the_model_lacks(tmp_path: Path) -> None:
    path = tmp_path / "m.weights.h5"
    Sequential([L.Dense(3, input_shape=(2,)), L.BatchNormalization()]).save_weights(path)
    model = Sequential([L.Dense(3, input_shape=(2,))])
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"no layer for the weights of layers/batch_normalization"):
        model.load_weights(path)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])
    with pytest.warns(UserWarning, match="batch_normalization"):
        model.load_weights(path, skip_mismatch=True)


def test_what_is_no_model_is_called_by_its_name(tmp_path: Path) -> None:
    model = Sequential([L.Dense(1, input_shape=(2,))])
    model.save_weights(tmp_path / "w.npz")
    with pytest.raises(ValueError, match="arrays only, without an architecture"):
        load_model(tmp_path / "w.npz")
    (tmp_path / "weights.ckpt.index").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match="checkpoint of TensorFlow"):
        model.load_weights(tmp_path / "weights.ckpt")
    with pytest.raises(TypeError, match="custom_objects is a dict"):
        model_from_json(model.to_json(), custom_objects=[L.Dense])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "says"), [("m.onnx", "export"), ("m.npz", "save_weights"), ("m.json", "to_json"), ("m.tflite", "ONNX")]
)
def test_names_of_other_formats(tmp_path: Path, name: str, says: str) -> None:
    model = Sequential([L.Dense(1, input_shape=(2,))])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=says):
        model.save(tmp_path / name)
    if name != "m.npz":
        with pytest.raises(ValueError, match=says):
            model.save_weights(tmp_path / name)
    with pytest.raises(ValueError, match=f"ModelCheckpoint: .*{says}"):
        model.fit(np.ones((4, 2)), np.ones(4), verbose=0, callbacks=[ModelCheckpoint(tmp_path / name)])
    assert model.optimizer.iterations.numpy() == 0
    assert not list(tmp_path.iterdir())
    model.save(tmp_path / name, save_format="h5")
    load_model(tmp_path / name)


def test_checkpoints_of_what_no_file_can_name_are_refused_before_the_first_step(tmp_path: Path) -> None:
    model = Sequential([L.Dense(1, input_shape=(2,))])
    model.compile("sgd", lambda y, p: p - y)
    with pytest.raises(ValueError, match=r"ModelCheckpoint: .*has no name"):
        model.fit(np.ones((4, 2)), np.ones(4), verbose=0, callbacks=[ModelCheckpoint(tmp_path / "m.h5")])
    assert model.optimizer.iterations.numpy() == 0


def test_file_objects_are_read_from_their_start() -> None:
    buffer = io.BytesIO()
    model = Sequential([L.Dense(1, input_shape=(2,))])
    model.save(buffer)
    np.testing.assert_array_equal(load_model(buffer).get_weights()[0], model.get_weights()[0])


def test_sequential_models_in_hdf5_have_an_input_layer_as_keras_3_needs_it() -> None:
    """It is gone after loading, where the first layer tells the shape."""
    model = Sequential([L.Dense(2, input_shape=(5, 4), name="first"), L.SpatialDropout1D(0.1), L.Dense(1)])
    buffer = io.BytesIO()
    model.save(buffer)
    with h5py.File(buffer) as file:
        layers = json.loads(file.attrs["model_config"])["config"]["layers"]
    assert [layer["class_name"] for layer in layers][:2] == ["InputLayer", "Dense"]
    assert layers[0]["config"]["batch_input_shape"] == [None, 5, 4]
    assert {"noise_shape", "trainable"}.isdisjoint(layers[2]["config"])
    assert load_model(buffer).get_config() == model.get_config()


@pytest.mark.parametrize(
    ("path", "arguments", "says"),
    [
        ("m.h5", {}, "written by save"),
        (None, {}, "a path is needed, got None; to_onnx"),
        ("m.onnx", {"dims": 3}, "dims are shapes by the names of inputs, got 3"),
        ("m.onnx", {"metadata": ["a"]}, "metadata are strings by strings"),
    ],
)
def test_exports_that_make_no_sense(tmp_path: Path, path: Any, arguments: dict[str, Any], says: str) -> None:
    model = Sequential([L.Dense(1, input_shape=(2,))])
    with pytest.raises(ValueError, match=says):
        model.export(path if path is None else tmp_path / path, **arguments)
    assert not list(tmp_path.iterdir())


def test_a_folder_is_no_file_to_convert(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", "."]) == 2
    assert "'.' is a folder" in capsys.readouterr().err


@pytest.mark.parametrize(("dialect", "arrays"), [("keras", 2), ("tf_keras", 0)])
def test_states_of_layers_stand_where_each_keras_expects_them(dialect: str, arrays: int) -> None:
    model = Sequential([L.LSTM(2, batch_input_shape=(2, 3, 1), stateful=True, name="lstm")])
    buffer = io.BytesIO()
    model.save(buffer, save_format=dialect)
    with zipfile.ZipFile(buffer) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
        assert len(file["layers/lstm/vars"]) == arrays
    load_model(buffer)
