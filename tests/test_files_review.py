"""Files as strangers bring them: what Keras 3 counts in two ways, subclassed models, files that are almost right."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kcompile import layers as L
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
    assert again.get_config() == model.get_config()


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
