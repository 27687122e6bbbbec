"""Models in HDF5: what comes back, files of others, and files that are cut off while they are written."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import kcompile as keras
from kcompile import layers as L
from kcompile.engine.layer import Layer
from kcompile.models import Input, Model, Sequential, load_model, save_model
from tests.golden import load
from tests.golden.cases.files import CASES
from tests.golden.compare import assert_all_close
from tests.layer_samples import INSIDE, SAMPLES, called, doubled
from tests.saving_samples import assert_equal, disturbed, listed, saved, small, weights_of
from tests.small_models import ZOO, random_inputs

GOLDEN = load("files")
TRAINING_TOLERANCE = 5e-5  # steps of training carry float32 rounding along, as in tests/test_golden_fit.py


# ---- files of others


@pytest.mark.parametrize("name", GOLDEN)
def test_files_of_tf_keras_and_keras_3(name: str) -> None:
    """Equal predictions, and training goes on as it did there."""
    golden = GOLDEN[name]
    case = CASES[next(c for c in CASES if name.endswith(c))](keras, keras.optimizers)
    model = load_model(golden.file[0].tobytes())
    assert model.loaded.has_optimizer
    assert model.metrics_names == case.model.metrics_names
    assert_all_close(listed(model.predict(case.x)), golden.predictions, "predictions")
    mine = [w.numpy() for layer in model.layers for w in [*layer.trainable_weights, *layer.non_trainable_weights]]
    assert_equal(mine, golden.weights)
    if name == "tf_keras_new_classes":
        return  # its Nadam counts its steps while it is traced, and so not at all
    model.fit(case.x, case.y, epochs=1, batch_size=4, shuffle=False, verbose=0)
    after = golden.predictions_after_another_epoch
    assert_all_close(listed(model.predict(case.x)), after, "after an epoch", TRAINING_TOLERANCE)


# ---- round trips


@pytest.mark.parametrize("name", SAMPLES)
def test_every_layer_comes_back(name: str) -> None:
    make, shapes = SAMPLES[name]
    inputs = [Input(shape) for shape in shapes]
    layer = make()
    model = disturbed(Model(inputs, called(layer, inputs)))
    again = load_model(saved(model), custom_objects={"doubled": doubled})
    assert again.layers[-1].get_config() == layer.get_config()
    assert_equal(again.get_weights(), model.get_weights())
    if model.get_weights():
        x = [np.random.default_rng(1).integers(0, 5, (2, *shape)).astype("float32") for shape in shapes]
        assert_equal(again.predict(x), model.predict(x))


def test_every_layer_has_a_sample() -> None:
    classes = {cls.__name__ for cls in vars(L).values() if isinstance(cls, type) and issubclass(cls, Layer)}
    assert classes - set(SAMPLES) <= INSIDE


@pytest.mark.parametrize("name", [name for name in ZOO if name != "operations"])
def test_models_come_back(name: str) -> None:
    """Several inputs and outputs, shared and nested layers, names of all kinds."""
    model = disturbed(ZOO[name]())
    x = random_inputs(model, 3)
    again = load_model(saved(model))
    assert again.get_config() == model.get_config()
    assert (again.input_names, again.output_names) == (model.input_names, model.output_names)
    assert_equal(again.get_weights(), model.get_weights())
    assert_equal(again.predict(x), model.predict(x))


OPTIMIZERS = [
    keras.optimizers.SGD(0.1),
    keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True, clipvalue=0.5),
    keras.optimizers.RMSprop(0.01, decay=0.1),
    keras.optimizers.RMSprop(0.01, momentum=0.5, centered=True),
    keras.optimizers.Adagrad(initial_accumulator_value=0.1),
    keras.optimizers.Adadelta(),
    keras.optimizers.Adam(0.01, clipnorm=1.0),
    keras.optimizers.Adam(0.01, amsgrad=True),
    keras.optimizers.Adamax(),
    keras.optimizers.Nadam(),
    keras.optimizers.Nadam(schedule_decay=0.01),
]


@pytest.mark.parametrize("number", range(len(OPTIMIZERS)))
def test_training_goes_on_bit_for_bit(number: int) -> None:
    """Two epochs are one, saved, loaded, and another: with dropout, metrics, and every optimizer."""
    optimizer = type(OPTIMIZERS[number]).from_config(OPTIMIZERS[number].get_config())
    model = Sequential(
        [
            L.Dense(8, "tanh", input_shape=(4,), kernel_regularizer="l2"),
            L.Dropout(0.3),
            L.BatchNormalization(),
            L.Dropout(0.1, seed=3),
            L.Dense(2, kernel_constraint="unitnorm"),
        ]
    )
    model.compile(optimizer, "mse", metrics=["mae"])
    random = np.random.default_rng(0)
    x, y = random.normal(size=(24, 4)).astype("float32"), random.normal(size=(24, 2)).astype("float32")
    model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    again = load_model(saved(model))
    assert again.loaded.has_optimizer
    one = model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    other = again.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    assert one.history == other.history
    assert_equal(again.get_weights(), model.get_weights())
    assert_equal(again.optimizer.get_weights(), model.optimizer.get_weights())


def test_recurrent_dropout_goes_on_bit_for_bit() -> None:
    words = Input((5,))
    x = L.Bidirectional(L.LSTM(3, dropout=0.2, recurrent_dropout=0.3))(L.Embedding(7, 3)(words))
    model = Model(words, L.Dense(1)(L.Dropout(0.5)(x)))
    model.compile("adam", "mse")
    x, y = np.arange(40).reshape(8, 5) % 7, np.arange(8.0)
    model.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    again = load_model(saved(model))
    for each in (model, again):
        each.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    assert_equal(again.get_weights(), model.get_weights())


def error_of_squares(y_true: Any, y_pred: Any) -> Any:
    return keras.backend.mean(keras.backend.square(y_true - y_pred), axis=-1)


@pytest.mark.parametrize(
    "arguments",
    [
        {"loss": {"a": "mae", "b": keras.losses.Huber(0.5)}, "loss_weights": {"a": 2.0, "b": 1.0}},
        {"loss": ["mse", error_of_squares], "metrics": {"b": ["mae", error_of_squares]}},
        {"loss": keras.losses.MeanSquaredError(reduction="sum"), "metrics": [[keras.metrics.AUC(name="area")], []]},
        {"loss": ["mse", None], "weighted_metrics": [["mse"], []], "on_nan": "ignore", "steps_per_execution": 2},
        {"loss": ["mse", "mse"], "sample_weight_mode": {"a": None, "b": None}, "metrics": ["acc"]},
    ],
)
def test_compile_arguments_come_back(arguments: dict[str, Any]) -> None:
    x = Input((3,))
    model = Model(x, [L.Dense(2, "sigmoid", name="a")(x), L.Dense(2, name="b")(x)])
    model.compile("sgd", **arguments)
    again = load_model(saved(model), custom_objects={"error_of_squares": error_of_squares})
    assert again.metrics_names == model.metrics_names
    assert again.on_nan == model.on_nan
    data, targets = np.ones((4, 3)), [np.ones((4, 2)), np.zeros((4, 2))]
    targets = targets[:1] if None in listed(arguments["loss"]) else targets
    assert_equal(again.evaluate(data, targets, verbose=0), model.evaluate(data, targets, verbose=0))


def test_frozen_layers_come_back_frozen() -> None:
    base = Sequential([L.Dense(3, input_shape=(3,), name="one"), L.BatchNormalization(name="two")], name="base")
    base.layers[0].trainable = False
    base.trainable = False
    model = disturbed(Sequential([base, L.Dense(1)]))
    model.compile("adam", "mse")
    again = load_model(saved(model))
    base = again.layers[0]
    assert (base.trainable, base.layers[0].trainable, base.layers[1].trainable) == (False, False, True)
    assert_equal(again.get_weights(), model.get_weights())
    assert len(again.trainable_weights) == 2


def test_a_model_that_is_not_built() -> None:
    again = load_model(saved(Sequential([L.Dense(2, name="d"), L.BatchNormalization()])))
    assert again.layers[0].name == "d"
    assert again.predict(np.ones((1, 3))).shape == (1, 2)


def test_without_optimizer_and_without_compile() -> None:
    model = Sequential([L.Dense(1, input_shape=(1,))])
    assert load_model(saved(model)).optimizer is None
    model.compile("adam", "mse")
    assert load_model(saved(model, include_optimizer=False)).optimizer is None
    assert load_model(saved(model)).optimizer is not None


def test_what_json_does_not_know_is_named() -> None:
    class Own(L.Layer):
        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "things": {1, 2}}

    with pytest.raises(ValueError, match=r"\{1, 2\} \(set\), for which JSON has no form"):
        saved(Sequential([Own(input_shape=(1,))]))


# ---- weights only


@pytest.mark.parametrize("ending", [".h5", ".npz", ".weights.h5"])
def test_weights(tmp_path: Path, ending: str) -> None:
    model, other = small(), small()
    disturbed(other, 5)
    model.save_weights(tmp_path / f"w{ending}")
    other.load_weights(tmp_path / f"w{ending}")
    assert_equal(other.get_weights(), model.get_weights())


def test_weights_out_of_a_whole_model() -> None:
    model, other = small(), disturbed(small(), 5)
    other.load_weights(saved(model))
    assert_equal(other.get_weights(), model.get_weights())


def test_weights_of_a_subclassed_model() -> None:
    class Own(Model):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = L.Dense(3, name="hidden")

        def call(self, x: Any) -> Any:
            return self.hidden(x)

    model, other = Own(), Own()
    with pytest.raises(ValueError, match="not built"):
        model.save_weights(io.BytesIO())
    for each in (model, other):
        each.predict(np.ones((1, 2)))
    other.load_weights(weights_of(model))
    assert_equal(other.get_weights(), model.get_weights())
    with pytest.raises(NotImplementedError, match="subclassed"):
        model.save(io.BytesIO())


def test_weights_that_do_not_fit_change_nothing_and_are_all_named() -> None:
    model = small()
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"a/kernel is \(2, 3\), the file has \(5, 4\).*b/kernel is \(3, 2\)"):
        model.load_weights(weights_of(Sequential([L.Dense(4, input_shape=(5,)), L.Dense(7)])))
    with pytest.raises(ValueError, match=r"weights of 1 layers \('b'\).* has 2 layers .*by_name=True"):
        model.load_weights(weights_of(Sequential([L.Dense(2, input_shape=(3,), name="b")])))
    with pytest.raises(ValueError, match=r"no layer of model .* has weights in the file, .*'c'"):
        model.load_weights(weights_of(Sequential([L.Dense(2, input_shape=(3,), name="c")])), by_name=True)
    assert_equal(model.get_weights(), before)


def test_by_name_skip_mismatch_and_reshape() -> None:
    model, other = small(), small(5, "b")
    before = model.get_weights()
    with pytest.raises(ValueError, match="b/kernel"):
        model.load_weights(weights_of(other), by_name=True)
    assert_equal(model.get_weights(), before)
    with pytest.warns(UserWarning, match="left as they were.*b/kernel"):
        model.load_weights(weights_of(other), by_name=True, skip_mismatch=True)
    assert_equal(model.get_weights(), [*other.get_weights()[:2], *before[2:]])
    flat = Sequential([L.Dense(6, input_shape=(1,), use_bias=False)])
    model = Sequential([L.Dense(2, input_shape=(3,), use_bias=False)])
    model.load_weights(weights_of(flat), reshape=True)
    assert_equal(model.get_weights()[0], flat.get_weights()[0].reshape(3, 2))


def test_names_beyond_the_limit_of_an_attribute() -> None:
    layers = [L.Dense(1, input_shape=(1,), name=f"layer_{i}_{'x' * 2000}") for i in range(40)]
    model = disturbed(Sequential(layers))
    content = saved(model)
    with h5py.File(io.BytesIO(content)) as file:
        assert {"layer_names0", "layer_names1"} <= set(file["model_weights"].attrs)
    assert_equal(load_model(content).get_weights(), model.get_weights())


def test_into_and_out_of_an_open_file(tmp_path: Path) -> None:
    model = small()
    with h5py.File(tmp_path / "several.h5", "w") as file:
        save_model(model, file.create_group("first"))
        model.save_weights(file.create_group("second"))
    with h5py.File(tmp_path / "several.h5") as file:
        assert_equal(load_model(file["first"]).get_weights(), model.get_weights())
        disturbed(model, 3).load_weights(file["second"])
        assert_equal(load_model(file["first"]).get_weights(), model.get_weights())
