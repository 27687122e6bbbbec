"""What files say about training: read where it is known, and never in the way of a model that is to predict."""

from __future__ import annotations

import io
import json
from typing import Any

import h5py
import numpy as np
import pytest

import kcompile as keras
from kcompile import layers as L
from kcompile.models import Input, Model, Sequential, load_model
from tests.saving_samples import assert_equal, disturbed, saved

X = np.ones((2, 1), "float32")


def error_of_squares(y_true: Any, y_pred: Any) -> Any:
    return keras.backend.square(y_true - y_pred)


class Own(keras.optimizers.SGD):
    """An optimizer of the user's own."""


def small(*arguments: Any, **options: Any) -> Model:
    model = disturbed(Sequential([L.Dense(1, input_shape=(1,))]))
    model.compile(*arguments, **options)
    return model


UNKNOWN = [
    (small("sgd", error_of_squares), "Unknown loss 'error_of_squares'", {"error_of_squares": error_of_squares}),
    (small("sgd", "mse", metrics=[error_of_squares]), "Unknown metric 'error_of_squares'",
     {"error_of_squares": error_of_squares}),
    (small(Own(), "mse"), "Unknown .*'Own'", {"Own": Own}),
]  # fmt: skip


@pytest.mark.parametrize("save_format", ["h5", "keras"])
@pytest.mark.parametrize(("model", "words", "custom_objects"), UNKNOWN)
def test_what_is_not_known_of_training_leaves_a_model_that_predicts(
    model: Model, words: str, custom_objects: dict[str, Any], save_format: str
) -> None:
    content = saved(model, save_format=save_format)
    name = next(iter(custom_objects))
    with pytest.warns(UserWarning, match=rf"{words}.*custom_objects=\{{'{name}': {name}\}}.*call compile"):
        again = load_model(content)
    assert again.optimizer is None
    assert not again.loaded.has_optimizer
    assert_equal(again.predict(X), model.predict(X))
    again = load_model(content, custom_objects=custom_objects)
    assert again.evaluate(X, X, verbose=0) == model.evaluate(X, X, verbose=0)


OPTIMIZERS: list[Any] = [
    {"class_name": "AdamW", "config": {"weight_decay": 0.1}},
    {"class_name": "LossScaleOptimizer", "config": {"inner_optimizer": {"class_name": "Adam", "config": {}}}},
    {"class_name": "Adam", "config": {"learning_rate": {"class_name": "CosineDecay", "config": {"decay_steps": 9}}}},
    {"class_name": "Adam", "config": {"learning_rate": "fast"}},
    {"class_name": "Adam", "config": 3},
    None,
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_optimizers_that_are_not_known(optimizer: Any) -> None:
    buffer = io.BytesIO(saved(small("sgd", "mse")))
    with h5py.File(buffer, "r+") as file:
        config = json.loads(file.attrs["training_config"])
        config["optimizer_config"] = optimizer
        file.attrs["training_config"] = json.dumps(config)
        file.attrs["keras_version"] = "2.15.0"
    with pytest.warns(UserWarning, match="training configuration of the file cannot be read"):
        model = load_model(buffer)
    assert model.optimizer is None
    assert model.predict(X).shape == (2, 1)


def test_without_compile_the_training_configuration_is_not_even_looked_at() -> None:
    buffer = io.BytesIO(saved(small("sgd", "mse")))
    with h5py.File(buffer, "r+") as file:
        file.attrs["training_config"] = "{this is no JSON"
        del file["optimizer_weights"]
    assert load_model(buffer, compile=False).optimizer is None
    with pytest.raises(ValueError, match="training_config is not JSON"):
        load_model(buffer)


@pytest.mark.parametrize("metrics", [[["mae"], [None]], [[None], ["mae"]], {"second": ["mae", "mse"]}])
def test_metrics_of_one_output(metrics: Any) -> None:
    """tf.keras writes ``[null]`` for an output without metrics."""
    x = Input((1,))
    model = Model(x, [L.Dense(1, name="first")(x), L.Dense(1, name="second")(x)])
    model.compile("sgd", "mse", metrics=[["mae"], ["mse"]])
    buffer = io.BytesIO(saved(model))
    with h5py.File(buffer, "r+") as file:
        config = json.loads(file.attrs["training_config"])
        del config["kcompile_metrics"]
        file.attrs["training_config"] = json.dumps({**config, "metrics": metrics})
        file.attrs["keras_version"] = "2.15.0"
    expected = [f"first_{m}" for m in ("mae",) if isinstance(metrics, list) and metrics[0] == ["mae"]]
    if not expected:
        expected = ["second_mae", "second_mse"] if isinstance(metrics, dict) else ["second_mae"]
    assert load_model(buffer).metrics_names == ["loss", "first_loss", "second_loss", *expected]


def test_metrics_are_written_as_tf_keras_understands_them() -> None:
    """Two of one name are one to it, and words mean what shapes say; we read what was given."""
    x = Input((1,))
    model = Model(x, [L.Dense(3, activation="sigmoid", name="first")(x), L.Dense(1, name="second")(x)])
    given = [["accuracy", keras.metrics.AUC(num_thresholds=10, name="auc")], ["mae", "accuracy"]]
    model.compile("sgd", ["binary_crossentropy", "mse"], metrics=given)
    buffer = io.BytesIO(saved(model))
    with h5py.File(buffer) as file:
        written = json.loads(file.attrs["training_config"])["metrics"]
    names = [[metric["config"]["name"] for metric in metrics] for metrics in written]
    assert names == [["first_accuracy", "first_auc"], ["second_mae", "second_accuracy"]]
    functions = [metric["config"].get("fn") for metrics in written for metric in metrics]
    assert functions == ["binary_accuracy", None, "mean_absolute_error", "binary_accuracy"]
    assert load_model(buffer).metrics_names == model.metrics_names
    one = small("sgd", "binary_crossentropy", metrics=["accuracy"])
    for save_format in ("h5", "keras", "tf_keras"):
        assert load_model(saved(one, save_format=save_format)).metrics_names == ["loss", "accuracy"]


@pytest.mark.parametrize("loss", [keras.losses.Huber(0.3), keras.losses.MeanSquaredError(name="own")])
@pytest.mark.parametrize("save_format", ["h5", "keras", "tf_keras"])
def test_losses_that_serve_as_metrics_come_back(loss: Any, save_format: str) -> None:
    model = small("sgd", "mse", metrics=[loss])
    other = load_model(saved(model, save_format=save_format))
    x, y = np.ones((4, *model.input_shape[1:])), np.zeros((4, *model.output_shape[1:]))
    assert other.metrics_names == model.metrics_names
    assert other.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)
