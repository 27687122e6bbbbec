"""``.keras`` archives and ``.weights.h5``: files of Keras 3 and tf.keras, and what comes back out of ours."""

from __future__ import annotations

import io
import json
import os
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kcompile as keras
from kcompile import layers as L
from kcompile.models import Input, Model, Sequential, load_model
from kcompile.saving.archive.archives import archive_bytes
from tests.golden import load
from tests.golden.cases.archives import CASES
from tests.golden.compare import assert_all_close
from tests.layer_samples import SAMPLES, called, doubled
from tests.saving_samples import assert_equal, disturbed, listed, saved
from tests.small_models import ZOO, random_inputs
from tests.test_saving_hdf5 import OPTIMIZERS

GOLDEN = load("archives")
TRAINING_TOLERANCE = 5e-5  # Keras 3 moves the variance of images by the biased one; see tests/golden/README.md
DIALECTS = ("3", "2")


def case_of(name: str) -> Any:
    return CASES[next(case for case in CASES if name.endswith(case))](keras, keras.optimizers)


@pytest.mark.parametrize("name", GOLDEN)
def test_files_of_keras_3_and_tf_keras(name: str) -> None:
    """Equal predictions; training goes on as it did there; weights alone load into the same model."""
    golden, case = GOLDEN[name], case_of(name)
    model = load_model(golden.archive[0].tobytes())
    assert model.loaded.has_optimizer
    assert_all_close(listed(model.predict(case.x)), golden.predictions, "predictions")
    case.model.load_weights(golden.weights_file[0].tobytes())
    assert_all_close(listed(case.model.predict(case.x)), golden.predictions, "predictions with weights alone")
    if name == "tf_keras_classes":
        return  # its Nadam counts its steps while it is traced, and so not at all
    model.fit(case.x, case.y, epochs=1, batch_size=4, shuffle=False, verbose=0)
    after = golden.predictions_after_another_epoch
    assert_all_close(listed(model.predict(case.x)), after, "after an epoch", TRAINING_TOLERANCE)
    again = load_model(archive_bytes(model))
    assert again.get_config() == model.get_config()
    assert_equal(again.predict(case.x), model.predict(case.x))


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.filterwarnings("ignore:.*which Keras 3 does not have")
def test_every_layer_comes_back(name: str) -> None:
    make, shapes = SAMPLES[name]
    inputs = [Input(shape) for shape in shapes]
    layer = make()
    model = disturbed(Model(inputs, called(layer, inputs)))
    again = load_model(archive_bytes(model), custom_objects={"doubled": doubled})
    without = {"implementation"}  # Keras 3 has no such argument
    mine, its = ({k: v for k, v in each.get_config().items() if k not in without} for each in (layer, again.layers[-1]))
    assert its == mine
    assert_equal(again.get_weights(), model.get_weights())
    if model.get_weights():
        x = [np.random.default_rng(1).integers(0, 5, (2, *shape)).astype("float32") for shape in shapes]
        assert_equal(again.predict(x), model.predict(x))


@pytest.mark.parametrize("dialect", [None, "2"])
@pytest.mark.parametrize("name", [name for name in ZOO if name != "operations"])
@pytest.mark.filterwarnings("ignore:.*which Keras 3 does not have")
def test_models_come_back(name: str, dialect: str | None) -> None:
    """Several inputs and outputs, shared and nested layers, names of all kinds."""
    model = disturbed(ZOO[name]())
    x = random_inputs(model, 3)
    again = load_model(archive_bytes(model, dialect=dialect))
    assert (again.input_names, again.output_names) == (model.input_names, model.output_names)
    assert_equal(again.get_weights(), model.get_weights())
    assert_equal(again.predict(x), model.predict(x))


LATER = [
    keras.optimizers.RMSprop(0.01, epsilon=0.1, epsilon_in_root=True, clipnorm_each=0.1),
    keras.optimizers.Adagrad(0.01, epsilon=0.1, epsilon_in_root=True),
]
"""With what later versions do differently."""


@pytest.mark.parametrize("dialect", [*DIALECTS, "h5"])
@pytest.mark.parametrize("number", range(len(OPTIMIZERS) + len(LATER)))
def test_training_goes_on_bit_for_bit(number: int, dialect: str) -> None:
    if dialect == "h5" and number < len(OPTIMIZERS):
        return  # in test_saving_hdf5
    optimizer = keras.optimizers.deserialize(keras.optimizers.serialize([*OPTIMIZERS, *LATER][number]))
    random = np.random.default_rng(0)
    x, y = random.normal(size=(12, 5, 3)).astype("float32"), random.normal(size=(12, 2)).astype("float32")
    recurrent = number == 0 and dialect == "3"
    model = Sequential(
        [
            L.Bidirectional(L.GRU(3), input_shape=(5, 3)) if recurrent else L.Flatten(input_shape=(5, 3)),
            L.Dropout(0.5),
            L.BatchNormalization(),
            L.Dense(2, kernel_constraint="nonneg"),
        ]
    )
    model.compile(optimizer, "mse", metrics=["mae"])
    model.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    again = load_model(saved(model) if dialect == "h5" else archive_bytes(model, dialect=dialect))
    assert again.loaded.has_optimizer
    for each in (model, again):
        each.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    assert_equal(again.get_weights(), model.get_weights())
    assert_equal(again.optimizer.get_weights(), model.optimizer.get_weights())


def test_what_keras_3_lacks_is_written_for_tf_keras() -> None:
    """Keras 3 has another function under this name."""
    model = Sequential([L.LSTM(2, recurrent_activation="hard_sigmoid", input_shape=(3, 2))])
    with pytest.warns(RuntimeWarning, match=r"hard_sigmoid.*Keras 3 does not have"):
        data = archive_bytes(model)
    x = np.random.default_rng(0).normal(size=(2, 3, 2)).astype("float32")
    assert_equal(load_model(data).predict(x), model.predict(x))
    with pytest.raises(ValueError, match=r"hard_sigmoid.*dialect"):
        archive_bytes(model, dialect="3")


def masked_join(cls: type, **options: Any) -> Model:
    """Words of two inputs, joined, into a layer that reads the mask."""
    words = [Input((4,), name=f"words_{i}") for i in range(2)]
    embedded = [L.Embedding(5, 2, mask_zero=True)(x) for x in words]
    return disturbed(Model(words, L.LSTM(2)(cls(**options)(embedded))))


@pytest.mark.parametrize("cls", [L.Add, L.Multiply, L.Maximum, L.Concatenate])
def test_masks_that_keras_3_joins_otherwise_are_written_for_tf_keras(cls: type) -> None:
    """Layers from files of Keras 3 keep its rule, also in HDF5; and one mask for all inputs is the same to both."""
    x = [np.array([[1, 0, 2, 0]]), np.array([[1, 3, 0, 0]])]
    model, theirs = masked_join(cls), masked_join(cls, joined_masks="any")
    assert np.abs(model.predict(x) - theirs.predict(x)).max() > 1e-3
    with pytest.warns(RuntimeWarning, match=rf"masks of layer .*{cls.__name__}.*Keras 3 does not have"):
        assert_equal(load_model(archive_bytes(model)).predict(x), model.predict(x))
    for data in (archive_bytes(theirs), saved(theirs)):
        again = load_model(data)
        assert_equal(again.predict(x), theirs.predict(x))
        assert_equal(load_model(archive_bytes(again)).predict(x), theirs.predict(x))
    words = Input((4,))
    y = L.Embedding(5, 2, mask_zero=True)(words)
    archive_bytes(Model(words, L.LSTM(2)(L.Add()([y, L.Activation("tanh")(y)]))))


@pytest.mark.filterwarnings("ignore:.*which Keras 3 does not have")
def test_a_causal_separable_convolution_is_written_for_tf_keras() -> None:
    model = disturbed(Sequential([L.SeparableConv1D(2, 3, padding="causal", input_shape=(5, 2))]))
    with pytest.warns(RuntimeWarning, match=r"SeparableConv1D with padding='causal'.*Keras 3 does not have"):
        data = archive_bytes(model)
    x = np.random.default_rng(0).normal(size=(2, 5, 2)).astype("float32")
    assert_equal(load_model(data).predict(x), model.predict(x))


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("implementation", [1, 2])
def test_dropout_of_states_stays_what_it_is(dialect: str, implementation: int) -> None:
    """Keras 3 and tf.keras know one of the two only, so that our files say that they are ours."""
    options = {"recurrent_dropout": 0.5, "implementation": implementation}
    model = Sequential([L.Bidirectional(L.LSTM(3, **options), input_shape=(4, 2)), L.Dense(1)])
    model.compile("sgd", "mse")
    again = load_model(archive_bytes(model, dialect=dialect))
    x = np.random.default_rng(0).normal(size=(4, 4, 2)).astype("float32")
    for each in (model, again):
        each.fit(x, x[:, 0, :1], epochs=2, shuffle=False, verbose=0)
    assert_equal(again.get_weights(), model.get_weights())


def test_hard_sigmoid_means_what_its_version_means() -> None:
    x = np.linspace(-4, 4, 9, dtype="float32")[None]
    config = {"name": "m", "layers": [{"class_name": "Activation", "config": {"activation": "hard_sigmoid"}}]}
    for version, expected in (("2.3.1", np.clip(0.2 * x + 0.5, 0, 1)), ("3.8.0", np.clip(x + 3, 0, 6) / 6)):
        model = keras.models.model_from_config({"class_name": "Sequential", "config": config}, keras_version=version)
        np.testing.assert_allclose(model.predict(x), expected, rtol=1e-6)


def test_files_by_path(tmp_path: Path) -> None:
    """``.keras``, ``.weights.h5``, and weights out of a whole model."""
    model = disturbed(Sequential([L.Dense(3, input_shape=(2,), name="first"), L.Dense(1, name="second")]))
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    assert sorted(zipfile.ZipFile(tmp_path / "model.keras").namelist()) == [
        "config.json", "metadata.json", "model.weights.h5",
    ]  # fmt: skip
    assert_equal(load_model(tmp_path / "model.keras").get_weights(), model.get_weights())
    for name in ("model.keras", "model.weights.h5"):
        other = Sequential([L.Dense(3, input_shape=(2,), name="a"), L.Dense(1, name="b")])
        other.load_weights(tmp_path / name)
        assert_equal(other.get_weights(), model.get_weights())
    wrong = Sequential([L.Dense(4, input_shape=(2,)), L.Dense(2)])
    before = wrong.get_weights()
    with pytest.raises(ValueError, match=r"layers/dense has .*layers/dense_1 has"):
        wrong.load_weights(tmp_path / "model.weights.h5")
    assert_equal(wrong.get_weights(), before)


def test_own_classes_and_weights_inside_them() -> None:
    class Twice(L.Layer):
        """A layer with a layer and a list of layers inside."""

        def __init__(self, units: int, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.units = units
            self.first, self.others = L.Dense(units), [L.Dense(units), L.Dense(units)]

        def build(self, input_shape: Any) -> None:
            self.scale = self.add_weight("scale", (self.units,), initializer="ones")
            super().build(input_shape)

        def call(self, inputs: Any) -> Any:
            y = self.first(inputs) * self.scale
            for layer in self.others:
                y = layer(y)
            return y

        def compute_output_shape(self, input_shape: Any) -> Any:
            return (*input_shape[:-1], self.units)

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "units": self.units}

    x = np.ones((2, 3), "float32")
    model = Sequential([Twice(2, input_shape=(3,))])
    model.predict(x)
    disturbed(model)
    data = archive_bytes(model)
    with pytest.raises(ValueError, match=r"Unknown layer .*Twice.*custom_objects=\{'Twice': Twice\}"):
        load_model(data)
    again = load_model(data, custom_objects={"Twice": Twice})
    assert_equal(again.predict(x), model.predict(x))


def test_one_layer_inside_two_wrappers_stays_one() -> None:
    """Keras numbers objects that occur more than once."""
    dense = {
        "module": "keras.layers",
        "class_name": "Dense",
        "config": {"units": 3, "name": "d"},
        "shared_object_id": 7,
    }
    steps = [
        {"module": "keras.layers", "class_name": "TimeDistributed", "config": {"name": name, "layer": dense}}
        for name in ("a", "b")
    ]
    start = {"module": "keras.layers", "class_name": "InputLayer", "config": {"batch_shape": [None, 4, 3], "name": "i"}}
    config = {"name": "m", "layers": [start, *steps]}
    model = keras.models.model_from_json(json.dumps({"class_name": "Sequential", "config": config}))
    assert model.layers[0].layer is model.layers[1].layer
    assert len(model.trainable_weights) == 2


def test_mixed_precision_is_computed_in_float32() -> None:
    policy = {"class_name": "DTypePolicy", "config": {"name": "mixed_float16"}, "module": "keras"}
    layers = [{"class_name": "Dense", "config": {"units": 2, "name": "d", "dtype": policy}, "module": "keras.layers"}]
    with pytest.warns(RuntimeWarning, match=r"mixed_float16.*float32"):
        model = keras.models.model_from_config({"class_name": "Sequential", "config": {"name": "m", "layers": layers}})
    assert model.layers[0].dtype == "float32"


PEER = """
import os, sys
os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")
import numpy as np
keras = __import__({"3": "keras", "2": "tf_keras"}[sys.argv[1]])
with np.load(sys.argv[2] + ".npz") as data:
    arrays = {kind: [data[name] for name in sorted(data.files) if name[0] == kind] for kind in "xpq"}
    y = [data[name] for name in sorted(data.files) if name[0] == "y"]
x, y = (each if len(each) > 1 else each[0] for each in (arrays["x"], y))
model = keras.models.load_model(sys.argv[2] + ".keras")
for expected, tolerance in ((arrays["p"], 1e-5), (arrays["q"], 5e-5)):
    found = model.predict(x, verbose=0)
    for a, b in zip(found if isinstance(found, list) else [found], expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * np.abs(b).max())
    model.fit(x, y, epochs=1, batch_size=4, shuffle=False, verbose=0)
"""


@pytest.mark.peer
@pytest.mark.timeout(300)
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", [name for name in CASES if name != "operations"])
def test_peers_load_what_we_write(name: str, dialect: str, tmp_path: Path) -> None:
    """Equal predictions there, and training that goes on as here; ``KCOMPILE_TF_PYTHON`` has both Keras in it."""
    python = os.environ.get("KCOMPILE_TF_PYTHON")
    if not python:
        pytest.skip("set KCOMPILE_TF_PYTHON to a Python with tensorflow, keras and tf_keras")
    case = CASES[name](keras, keras.optimizers)
    if name == "classes":  # the Nadam of later versions has this schedule
        case.model.compile(keras.optimizers.SGD(0.01, momentum=0.9, decay=0.1), "categorical_crossentropy")
    arguments = {"epochs": 1, "batch_size": 4, "shuffle": False, "verbose": 0}
    case.model.fit(case.x, case.y, **arguments)
    (tmp_path / "m.keras").write_bytes(archive_bytes(case.model, dialect=dialect))
    arrays = {"x": listed(case.x), "y": listed(case.y), "p": listed(case.model.predict(case.x))}
    case.model.fit(case.x, case.y, **arguments)
    arrays["q"] = listed(case.model.predict(case.x))
    np.savez(tmp_path / "m.npz", **{f"{k}{i}": a for k, each in arrays.items() for i, a in enumerate(each)})
    subprocess.run([python, "-c", PEER, dialect, str(tmp_path / "m")], check=True, cwd=tmp_path)


def test_archives_of_file_objects() -> None:
    model = disturbed(Sequential([L.Dense(3, input_shape=(2,))]))
    for form, version in (("keras", "3."), ("tf_keras", "2.")):
        buffer = io.BytesIO()
        model.save(buffer, save_format=form)
        buffer.seek(0)
        again = load_model(buffer)
        assert again.loaded.keras_version.startswith(version)
        assert_equal(again.get_weights(), model.get_weights())
