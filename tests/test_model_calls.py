"""Models called as layers on other ranks, seen from inside, and layers used twice; inputs that are tensors."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kcompile import backend as K
from kcompile import layers as L
from kcompile.models import Model, Sequential, clone_model, load_model, model_from_json
from kcompile.utils import get_source_inputs

X = np.arange(6.0).reshape(2, 3)


def ones(units: int, **kwargs: Any) -> Any:
    return L.Dense(units, kernel_initializer="ones", **kwargs)


# ---- one layer twice


def twice() -> Sequential:
    """Three applications of two layers."""
    shared = ones(3, name="shared")
    return Sequential([ones(3, input_shape=(3,), name="first"), shared, shared])


WAYS: dict[str, Callable[[Any, Path], Any]] = {
    "itself": lambda model, folder: model,
    "clone_model": lambda model, folder: clone_model(model),
    "from_config": lambda model, folder: Sequential.from_config(model.get_config()),
    "json": lambda model, folder: model_from_json(model.to_json()),
    "h5": lambda model, folder: _saved(model, folder / "model.h5"),
    "keras": lambda model, folder: _saved(model, folder / "model.keras"),
    "nested": lambda model, folder: Sequential([model]),
}


def _saved(model: Any, path: Path) -> Any:
    model.save(path)
    return load_model(path)


@pytest.mark.parametrize("way", WAYS)
def test_one_layer_twice_in_a_stack(way: str, tmp_path: Path) -> None:
    """Sequential([first, shared, shared]) of tf_keras: 2 layers, 4 weights, predictions 9 times the sum."""
    model = WAYS[way](twice(), tmp_path)
    assert len(model.get_weights()) == 4
    np.testing.assert_allclose(model.predict(X), 9 * X.sum(1, keepdims=True) * np.ones((1, 3)))
    if way != "nested":
        assert [layer.name for layer in model.layers] == ["first", "shared"]
        model.pop()
        np.testing.assert_allclose(model.predict(X), 3 * X.sum(1, keepdims=True) * np.ones((1, 3)))


def test_two_layers_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="already has a layer named 'a'"):
        Sequential([L.Dense(3, name="a", input_shape=(3,)), L.Dense(3, name="a")])


# ---- other ranks

RANKS: dict[str, tuple[Callable[[], Any], tuple[int, ...], tuple[int, ...]]] = {
    "vectors, on sequences": (lambda: Sequential([ones(2, input_shape=(3,))]), (4, 3), (4, 2)),
    "vectors, on images": (lambda: Sequential([ones(2, input_shape=(3,))]), (4, 5, 3), (4, 5, 2)),
    "a functional model": (lambda: _functional(ones(2), (3,)), (4, 3), (4, 2)),
    "images of another size": (
        lambda: Sequential([L.Conv2D(1, 2, kernel_initializer="ones", input_shape=(4, 4, 1))]),
        (6, 7, 1),
        (5, 6, 1),
    ),
    "a last axis that is missing": (lambda: Sequential([ones(2, input_shape=(1,))]), (), (2,)),
    "a last axis too many": (lambda: Sequential([ones(2, input_shape=(3,))]), (3, 1), (2,)),
    "steps of one number": (lambda: Sequential([ones(2, input_shape=(1,))]), (5, 1), (5, 2)),
}


def _functional(layer: Any, shape: tuple[int, ...]) -> Model:
    x = L.Input(shape)
    return Model(x, layer(x))


@pytest.mark.parametrize("name", RANKS)
def test_a_model_on_a_tensor_of_another_shape(name: str) -> None:
    make, shape, expected = RANKS[name]
    model = make()
    x = L.Input(shape)
    y = model(x)
    assert tuple(y.shape) == (None, *expected)
    data = np.ones((2, *shape))
    weights = model.get_weights()[0]
    result = Model(x, y).predict(data)
    np.testing.assert_allclose(result, np.full((2, *expected), weights.size / weights.shape[-1]))
    assert Model(x, clone_model(model)(x)).predict(data).shape == result.shape


def test_what_does_not_fit_names_the_input_and_the_layer() -> None:
    model = Sequential([L.Flatten(input_shape=(4, 4, 1)), L.Dense(2, name="last")], name="m")
    with pytest.raises(ValueError, match=r"of model 'm' has shape \(None, 4, 4, 1\), got \(None, 6, 6, 1\).*'last'"):
        model(L.Input((6, 6, 1)))


# ---- inside nested models


def test_features_from_inside_a_nested_model() -> None:
    x = L.Input((4, 4, 1))
    inner = Sequential([L.Conv2D(2, 1, name="conv", input_shape=(4, 4, 1)), L.Flatten()], name="inner")
    model = Model(x, L.Dense(1)(inner(L.Activation("relu")(x))))
    with pytest.raises(
        ValueError, match=r"own input of model 'inner'.*part = Model\(inner.input.*inner.get_input_at\(1"
    ):
        Model(model.input, model.get_layer("inner").get_layer("conv").output)
    part = Model(inner.input, inner.get_layer("conv").output)
    features = Model(model.input, part(inner.get_input_at(1)))
    data = np.random.default_rng(1).normal(size=(2, 4, 4, 1))
    np.testing.assert_allclose(
        features.predict(data), part.predict(np.maximum(data, 0)), rtol=1e-6, atol=1e-7
    )  # fmt: skip


# ---- a function that returns a list


def test_a_list_of_one_tensor() -> None:
    """Lambda(lambda t: [t * 2]) in a Sequential model of tf_keras goes on to the next layer; a call gives a list."""
    model = Sequential([L.Lambda(lambda t: [t * 2], input_shape=(3,)), ones(1)])
    np.testing.assert_allclose(model.predict(X), 2 * X.sum(1, keepdims=True))
    unbuilt = Sequential([L.Lambda(lambda t: [t * 2]), ones(1)])
    np.testing.assert_allclose(unbuilt.predict(X), 2 * X.sum(1, keepdims=True))
    x = L.Input((3,))
    found = L.Lambda(lambda t: [t * 2])(x)
    assert isinstance(found, list)
    np.testing.assert_allclose(Model(x, found).predict(X), 2 * X)
    with pytest.raises(ValueError, match="several outputs; use the functional API"):
        Sequential([L.Lambda(lambda t: [t, t], input_shape=(3,))])


# ---- inputs that are tensors


def test_an_input_of_a_tensor() -> None:
    placeholder = K.placeholder((None, 3), name="given")
    x = L.Input(tensor=placeholder)
    model = Model(get_source_inputs(placeholder), ones(1)(x))
    assert K.is_keras_tensor(placeholder)
    assert get_source_inputs(model.output) == [x]
    np.testing.assert_allclose(model.predict(X), X.sum(1, keepdims=True))


def test_an_input_of_what_a_layer_made() -> None:
    """It stands for a new input; the layer's tensor stays what it was."""
    x = L.Input((3,))
    hidden = ones(3)(x)
    again = L.Input(tensor=hidden)
    model = Model(again, ones(1)(again))
    assert get_source_inputs(hidden) == [x]
    assert get_source_inputs(model.output) == [again]
    np.testing.assert_allclose(model.predict(X), X.sum(1, keepdims=True))


def test_an_input_of_a_known_tensor() -> None:
    x = L.Input(tensor=K.variable(X))
    y = ones(1)(x)
    np.testing.assert_allclose(K.eval(y), X.sum(1, keepdims=True))
    np.testing.assert_allclose(Model(x, y).predict(2 * X), 2 * X.sum(1, keepdims=True))


# ---- functions through configurations


def tripled(x: Any) -> Any:
    return x * 3


FUNCTIONS: dict[str, Callable[[], Any]] = {
    "Lambda": lambda: L.Lambda(tripled, input_shape=(3,)),
    "Lambda of a lambda": lambda: L.Lambda(lambda x: x * 3, input_shape=(3,)),
    "activation": lambda: L.Dense(3, activation=tripled, kernel_initializer="identity", input_shape=(3,)),
    "activation, a lambda": lambda: L.Activation(lambda x: x * 3, input_shape=(3,)),
    "in a wrapper": lambda: L.TimeDistributed(L.Lambda(tripled), input_shape=(3, 1)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_through_a_configuration_in_memory(name: str) -> None:
    """Keras 2.3.1 holds its bytecode; here the configuration holds its name, and leads to the function."""
    model = Sequential([FUNCTIONS[name]()])
    data = X[..., None] if name == "in a wrapper" else X
    config = copy.deepcopy(model.get_config())
    for other in (Sequential.from_config(config), clone_model(model)):
        np.testing.assert_allclose(other.predict(data), 3 * data)
    x = L.Input(data.shape[1:])
    functional = Model(x, model.layers[0](x))
    np.testing.assert_allclose(Model.from_config(functional.get_config()).predict(data), 3 * data)


def test_a_file_holds_the_name_of_a_function_alone(tmp_path: Path) -> None:
    model = Sequential([FUNCTIONS["Lambda"]()])
    for text in (model.to_json(), model.to_json(keras_version=3)):
        with pytest.raises(ValueError, match="tripled"):
            model_from_json(text)
        np.testing.assert_allclose(model_from_json(text, {"tripled": tripled}).predict(X), 3 * X)
    assert "tripled" in model.to_yaml()
    custom = Sequential.from_config(model.get_config(), {"tripled": lambda x: x * 4})
    np.testing.assert_allclose(custom.predict(X), 4 * X)


def test_name_scope() -> None:
    x = L.Input((3,))

    def scoped(t: Any) -> Any:
        with K.name_scope("mine") as scope:
            assert scope == "mine/"
            return K.exp(t) * 2

    y = L.Lambda(scoped, name="outer")(x)
    assert "outer/mine" in y.name
    np.testing.assert_allclose(Model(x, y).predict(X), 2 * np.exp(X), rtol=1e-6)
    with pytest.raises(TypeError, match="takes a name"), K.name_scope(None):  # type: ignore[arg-type]
        pass
