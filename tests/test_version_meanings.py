"""A file means what it meant to the version that wrote it, also when the model is saved or copied again."""

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import pytest

from kcompile import Input, Model, Sequential, optimizers
from kcompile.layers import ActivityRegularization, Dense, TimeDistributed
from kcompile.models import clone_model, load_model, model_from_json
from kcompile.regularizers import L1, L2
from tests.golden.storage import load

GOLDEN = load("penalties")
X = np.arange(12, dtype="float32").reshape(6, 2) / 10
Y = np.arange(6, dtype="float32").reshape(6, 1)


def new_model() -> Sequential:
    frozen = Dense(3, kernel_initializer="ones", kernel_regularizer=L2(0.1), trainable=False, input_shape=(2,))
    active = Dense(2, kernel_initializer="ones", activity_regularizer=L1(0.1), kernel_regularizer=L2(0.01))
    model = Sequential([frozen, active, ActivityRegularization(l2=0.02), Dense(1, kernel_initializer="ones")])
    model.compile(optimizers.SGD(0.01), "mse")
    return model


def expected(summed: bool, free: bool, count: int = 6) -> tuple[float, list[Any]]:
    """The loss, and the weights after a step: an oracle in NumPy.

    Args:
        summed: whether activity counts the batch. free: whether frozen weights cost nothing. count: samples.
    """
    x, y = X[:count].astype("float64"), Y[:count].astype("float64")
    fixed, kernel, last = np.ones((2, 3)), np.ones((3, 2)), np.ones((2, 1))
    hidden = x @ fixed
    active = hidden @ kernel
    error = active @ last - y
    share = 1 if summed else count
    loss = (error**2).mean() + 0.01 * (kernel**2).sum() + (0.0 if free else 0.1 * (fixed**2).sum())
    loss += (0.1 * np.abs(active).sum() + 0.02 * (active**2).sum()) / share
    by_error = 2 * error / count
    by_active = by_error @ last.T + (0.1 * np.sign(active) + 0.04 * active) / share
    gradients = [hidden.T @ by_active + 0.02 * kernel, by_active.sum(0), active.T @ by_error, by_error.sum(0)]
    start = [kernel, np.zeros(2), last, np.zeros(1)]
    return loss, [fixed, np.zeros(3), *(w - 0.01 * g for w, g in zip(start, gradients, strict=True))]


def bytes_of(name: str) -> bytes:
    return bytes(GOLDEN[name].file[0].tobytes())


def hdf5_of_2_3_1() -> bytes:
    """As Keras 2.3.1 writes it: the same layout under its own version."""
    file = io.BytesIO(bytes_of("tf_keras_h5"))
    with h5py.File(file, "a") as root:
        root.attrs["keras_version"] = root["model_weights"].attrs["keras_version"] = "2.3.1"
        config = json.loads(root.attrs["training_config"])
        rate = config["optimizer_config"]["config"]["learning_rate"]
        config["optimizer_config"] = {"class_name": "SGD", "config": {"learning_rate": rate}}
        root.attrs["training_config"] = json.dumps(config)
    return file.getvalue()


def archive_of(version: str) -> bytes:
    """The archive of Keras 3 as one of that version."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(bytes_of("keras_3_keras"))) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "metadata.json":
                content = json.dumps({**json.loads(content), "keras_version": version}).encode()
            new.writestr(name, content)
    return target.getvalue()


def saved(model: Any, save_format: str) -> bytes:
    file = io.BytesIO()
    model.save(file, save_format=save_format)
    return file.getvalue()


def earlier_kcompile() -> bytes:
    """As kcompile wrote it when it summed activity over the batch and left frozen weights out."""
    file = io.BytesIO(saved(new_model(), "h5"))
    with h5py.File(file, "a") as root:
        root.attrs["kcompile_state"] = json.dumps({**json.loads(root.attrs["kcompile_state"]), "version": 1})
    return file.getvalue()


MODELS: dict[str, tuple[Callable[[], Any], bool, bool]] = {
    # How the model comes about; whether activity counts the batch, whether frozen weights are free.
    "new": (new_model, False, False),
    "tf_keras_h5": (lambda: load_model(bytes_of("tf_keras_h5")), False, False),
    "tf_keras_keras": (lambda: load_model(bytes_of("tf_keras_keras")), False, False),
    "keras_3_h5": (lambda: load_model(bytes_of("keras_3_h5")), False, True),
    "keras_3_keras": (lambda: load_model(bytes_of("keras_3_keras")), False, True),
    "keras_3.13": (lambda: load_model(archive_of("3.13.2")), True, True),
    "keras_3.14": (lambda: load_model(archive_of("3.14.0")), False, True),
    "keras_2.3.1": (lambda: load_model(hdf5_of_2_3_1()), True, False),
    "earlier": (lambda: load_model(earlier_kcompile()), True, True),
}

COPIES: dict[str, Callable[[Any], Any]] = {
    "itself": lambda model: model,
    "h5": lambda model: load_model(saved(model, "h5")),
    "keras": lambda model: load_model(saved(model, "keras")),
    "tf_keras": lambda model: load_model(saved(model, "tf_keras")),
    "json": lambda model: model_from_json(model.to_json()),
    "json_3": lambda model: model_from_json(model.to_json(keras_version=3)),
    "from_config": lambda model: type(model).from_config(model.get_config()),
    "clone": clone_model,
}


@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.parametrize("name", MODELS)
def test_a_step(name: str, copy: str) -> None:
    make, summed, free = MODELS[name]
    model = COPIES[copy](make())
    if model.fit_trainer.arguments is None:
        model.compile(optimizers.SGD(0.01), "mse")
    loss, weights = expected(summed, free)
    if name in GOLDEN and copy == "itself":
        np.testing.assert_allclose([GOLDEN[name].loss], [loss], rtol=1e-5)
        for w, golden in zip(weights, GOLDEN[name].weights, strict=True):
            np.testing.assert_allclose(w, golden, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.evaluate(X, Y, batch_size=6, verbose=0), loss, rtol=1e-5)
    model.train_on_batch(X, Y)
    for got, w in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_allclose(got, w, rtol=1e-4, atol=1e-5)


def test_penalties_do_not_depend_on_the_batch_size() -> None:
    model = new_model()
    for count in (1, 2, 5):
        loss = model.test_on_batch(X[:count], Y[:count])
        np.testing.assert_allclose(loss, expected(False, False, count)[0], rtol=1e-5)


def test_frozen_layers_pay() -> None:
    x = Input((3,))
    layer = Dense(2, kernel_initializer="ones", kernel_regularizer=L2(0.1), trainable=False)
    model = Model(x, layer(x))
    model.compile("sgd")
    np.testing.assert_allclose(model.evaluate(np.zeros((4, 3)), verbose=0), 0.6, rtol=1e-6)
    outer = Sequential([model])
    outer.trainable = False
    outer.compile("sgd")
    np.testing.assert_allclose(outer.evaluate(np.zeros((4, 3)), verbose=0), 0.6, rtol=1e-6)


def test_what_is_wrapped_or_nested_keeps_its_meaning() -> None:
    old = load_model(hdf5_of_2_3_1())
    for model in (
        Sequential([TimeDistributed(old.layers[1], input_shape=(1, 3))]),
        Sequential([Sequential([old.layers[1]])]),
    ):
        shape = (6, 1, 3) if isinstance(model.layers[0], TimeDistributed) else (6, 3)
        x = np.ones(shape)
        for each in (model, clone_model(model), load_model(saved(_built(model, x), "h5"))):
            each.compile("sgd")
            loss = each.evaluate(x, batch_size=6, verbose=0)
            np.testing.assert_allclose(loss, 0.1 * 6 * 2 * 3 + 0.06, rtol=1e-5)


def _built(model: Any, x: Any) -> Any:
    model.predict(x)
    return model
