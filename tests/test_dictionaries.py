"""Inputs and outputs in dictionaries, and nested ones: they come back in the form in which they were given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kcompile
from kcompile import layers as L
from kcompile.models import Model, Sequential, clone_model, load_model, model_from_json

X = np.arange(6.0, dtype="float32").reshape(2, 3)
A, B = X.sum(1, keepdims=True) * np.ones((1, 2)), X.sum(1, keepdims=True)
Y = {"a": np.ones((2, 2)), "b": np.zeros((2, 1))}


def two() -> Model:
    """Outputs ``b``, one number, and ``a``, two: sums of the inputs."""
    x = L.Input((3,))
    b = L.Dense(1, kernel_initializer="ones", name="d1")(x)
    return Model(x, {"b": b, "a": L.Dense(2, kernel_initializer="ones", name="d2")(x)})


class Two(Model):
    """The same as a subclass."""

    def __init__(self) -> None:
        super().__init__()
        self.d1 = L.Dense(1, kernel_initializer="ones")
        self.d2 = L.Dense(2, kernel_initializer="ones")

    def call(self, x: Any) -> Any:
        return {"b": self.d1(x), "a": self.d2(x)}


def check(found: Any) -> None:
    """The dictionary, in the order in which it was given."""
    assert list(found) == ["b", "a"]
    np.testing.assert_allclose(found["a"], A)
    np.testing.assert_allclose(found["b"], B)


def saved(model: Any, path: Path) -> Any:
    model.save(path)
    return load_model(path)


def as_layer(model: Any, folder: Path) -> Any:
    x = L.Input((3,))
    return Model(x, model(x))


MODELS: dict[str, Callable[[Any, Path], Any]] = {
    "itself": lambda model, folder: model,
    "clone": lambda model, folder: clone_model(model),
    "nested": as_layer,
    "from_config": lambda model, folder: Model.from_config(model.get_config()),
    "json of Keras 3": lambda model, folder: model_from_json(model.to_json(keras_version=3)),
    "h5": lambda model, folder: saved(model, folder / "model.h5"),
    "keras": lambda model, folder: saved(model, folder / "model.keras"),
    "subclass": lambda model, folder: Two(),
}


@pytest.mark.parametrize("way", MODELS)
def test_outputs_come_back_in_a_dictionary(way: str, tmp_path: Path) -> None:
    """As of tf_keras, but for the names in logs, which are the keys, as in Keras 3; there layers' names are."""
    model = MODELS[way](two(), tmp_path)
    check(model.predict(X))
    check(model.predict(X, batch_size=1))
    check(model.predict_on_batch(X))
    check(model(X))
    check(kcompile.compile(model)(X))
    assert model.output_names == ["a", "b"]
    model.compile("sgd", {"a": "mae", "b": "mse"}, metrics={"b": ["mae"]}, loss_weights={"a": 2.0})
    assert model.metrics_names == ["loss", "a_loss", "b_loss", "b_mae"]
    a, b, mae = np.abs(A - 1).mean(), (B**2).mean(), np.abs(B).mean()
    np.testing.assert_allclose(model.evaluate(X, Y, verbose=0), [2 * a + b, a, b, mae], rtol=1e-6)
    np.testing.assert_allclose(model.evaluate(X, [Y["a"], Y["b"]], verbose=0)[0], 2 * a + b, rtol=1e-6)
    assert {"loss", "a_loss", "b_loss", "val_b_mae"} <= set(model.fit(X, Y, validation_data=(X, Y), verbose=0).history)


def test_output_names_of_an_exported_file(tmp_path: Path) -> None:
    import onnxruntime

    two().export(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    found = dict(
        zip((y.name for y in session.get_outputs()), session.run(None, {session.get_inputs()[0].name: X}), strict=True)
    )
    np.testing.assert_allclose(found["a"], A)
    np.testing.assert_allclose(found["b"], B)


def test_a_dictionary_of_one_and_nested_ones(tmp_path: Path) -> None:
    x = L.Input((3,))
    y, z = x * 2, L.Dense(1, kernel_initializer="ones")(x)
    assert list(Model(x, {"only": y}).predict(X)) == ["only"]
    form = {"q": [y, z], "p": (z,), "r": {"s": y}}
    model = Model(x, form)
    for other in (model, clone_model(model), saved(model, tmp_path / "model.keras")):
        found = other.predict(X)
        assert list(found) == ["q", "p", "r"]
        np.testing.assert_allclose(found["q"][0], 2 * X)
        np.testing.assert_allclose(found["q"][1], B)
        np.testing.assert_allclose(found["p"][0], B)
        np.testing.assert_allclose(found["r"]["s"], 2 * X)


def test_an_unknown_key() -> None:
    with pytest.raises(ValueError, match="Unknown output in loss: 'c'"):
        two().compile("sgd", {"c": "mse"})
    model = two()
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="missing 'a'"):
        model.fit(X, {"b": Y["b"]}, verbose=0)


# ---- inputs


def joined() -> Model:
    """Inputs ``q``, two numbers, and ``p``, three, whose layers have other names: their difference of sums."""
    p, q = L.Input((3,), name="first"), L.Input((2,), name="second")
    sums = [L.Dense(1, kernel_initializer="ones")(each) for each in (p, q)]
    return Model({"q": q, "p": p}, L.Subtract()(sums))


Q = np.ones((2, 2), dtype="float32")


@pytest.mark.parametrize("way", ["itself", "clone", "from_config", "h5", "keras"])
def test_inputs_in_a_dictionary(way: str, tmp_path: Path) -> None:
    model = MODELS[way](joined(), tmp_path)
    assert model.input_names == ["p", "q"]
    assert list(model.input) == ["q", "p"]
    for data in ({"p": X, "q": Q}, {"q": Q, "p": X}, [X, Q]):
        np.testing.assert_allclose(model.predict(data), B - 2)
        np.testing.assert_allclose(model(data), B - 2)
    p, q = L.Input((3,)), L.Input((2,))
    for call in ({"q": q, "p": p}, [p, q]):
        outer = Model([p, q], model(call))
        np.testing.assert_allclose(outer.predict([X, Q]), B - 2)
        np.testing.assert_allclose(saved(outer, tmp_path / "outer.keras").predict([X, Q]), B - 2)
    with pytest.raises(ValueError, match="takes the inputs 'p', 'q'; it is called on a dictionary without 'q'"):
        model({"p": p})
    with pytest.warns(RuntimeWarning, match="has no inputs 'r'"):
        model({"p": p, "q": q, "r": p})


def test_a_model_of_a_list_takes_a_dictionary_by_the_names_of_its_inputs() -> None:
    p, q = L.Input((3,), name="zp"), L.Input((2,), name="aq")
    model = Model([p, q], L.Subtract()([L.Dense(1, kernel_initializer="ones")(each) for each in (p, q)]))
    np.testing.assert_allclose(model({"aq": Q, "zp": X}), B - 2)
    np.testing.assert_allclose(model.predict({"aq": Q, "zp": X}), B - 2)


class Swap(L.Layer):
    """A layer on a dictionary, with masks and shapes in dictionaries too."""

    def build(self, input_shape: Any) -> None:
        assert input_shape == {"p": (None, 3), "q": [(None, 2), (None, 2)]}
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        return {"z": inputs["p"] * 2, "y": inputs["q"][0]}


def test_a_layer_on_a_dictionary() -> None:
    p, q = L.Input((3,)), L.Input((2,))
    layer = Swap()
    outputs = layer({"q": [q, q], "p": p})
    model = Model([p, q], outputs)
    for other in (model, clone_model(model), as_pair(model)):
        found = other.predict([X, Q])
        assert list(found) == ["z", "y"]
        np.testing.assert_allclose(found["z"], 2 * X)
        np.testing.assert_allclose(found["y"], Q)
    with pytest.raises(ValueError, match=r"'swap(_[0-9]+)?' is called on a dictionary"):
        model.get_config()


def as_pair(model: Any) -> Any:
    p, q = L.Input((3,)), L.Input((2,))
    return Model([p, q], model([p, q]))


class Difference(Model):
    """A subclass whose call takes a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.sum = L.Dense(1, kernel_initializer="ones")

    def call(self, x: Any) -> Any:
        return self.sum(x["p"]) - x["q"]


def test_a_subclass_on_a_dictionary() -> None:
    model = Difference()
    data = {"p": X, "q": np.ones((2, 1))}
    np.testing.assert_allclose(model.predict(data), B - 1)
    np.testing.assert_allclose(model(data), B - 1)
    model.compile("sgd", "mse")
    assert model.evaluate(data, B, verbose=0) == pytest.approx(1)
    p, q = L.Input((3,)), L.Input((1,))
    np.testing.assert_allclose(Model([p, q], model({"p": p, "q": q})).predict([X, data["q"]]), B - 1)


def test_a_layer_of_one_tensor_takes_a_list_of_one() -> None:
    x = L.Input((3,))
    y = L.Dense(1, kernel_initializer="ones")(L.Lambda(lambda t: [t * 2])(x))
    np.testing.assert_allclose(Model(x, y).predict(X), 2 * B)
    np.testing.assert_allclose(Sequential([Model(x, y)]).predict(X), 2 * B)
