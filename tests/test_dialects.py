"""What versions of Keras call things: reading what was written is the identity, row by row of the tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import kcompile as keras
from kcompile import layers as L
from kcompile import losses, optimizers
from kcompile.objects.dialects import keras3_names
from kcompile.objects.dialects import optimizers as optimizer_names
from kcompile.objects.dialects.tables import Generation

# ---- Keras 3

TWO_WAY = [row for row in keras3_names.ARGUMENTS if row.ours and row.theirs]
DROPPED = [row for row in keras3_names.ARGUMENTS if row.theirs is None]
LATER = [row for row in keras3_names.ARGUMENTS if row.ours is None]


def _id(row: keras3_names.Argument) -> str:
    return f"{row.cls}-{row.ours}-{row.theirs}"


@pytest.mark.parametrize("row", TWO_WAY, ids=_id)
def test_an_argument_comes_back_under_its_own_name(row: keras3_names.Argument) -> None:
    given = {"name": "x", row.ours: 0.25}
    written = keras3_names.in_theirs(row.cls, given)
    assert written == {"name": "x", row.theirs: 0.25}
    keras3_names.in_ours(row.cls, written)
    assert written == given


@pytest.mark.parametrize("row", DROPPED, ids=_id)
def test_what_keras_3_dropped_is_not_written(row: keras3_names.Argument) -> None:
    assert row.ours is not None
    name = row.cls or "GRU"
    given = {"name": "x", row.ours: 1}
    assert keras3_names.in_theirs(name, given) == {"name": "x"}
    assert keras3_names.in_theirs(name, given, kept=(row.ours,)) == given


@pytest.mark.parametrize("row", LATER, ids=_id)
def test_what_says_nothing_is_left_out(row: keras3_names.Argument) -> None:
    assert row.theirs is not None
    assert row.nothing
    for value in row.nothing:
        value = "whatever" if value is keras3_names.ANY else value
        assert keras3_names.says_nothing(row.theirs, value)
        assert keras3_names.says_nothing(row.theirs, list(value) if isinstance(value, tuple) else value)
    if keras3_names.ANY not in row.nothing:
        assert not keras3_names.says_nothing(row.theirs, object())


def test_names_of_values_come_back() -> None:
    for ours, theirs in keras3_names.ACTIVATIONS.items():
        assert keras3_names.activation_in_theirs(ours) == theirs
        assert keras3_names.activation_in_ours(theirs) == ours
    for kind, module in keras3_names.MODULES.items():
        assert keras3_names.module_of(kind) == f"keras.{module}"
        assert keras3_names.KIND_OF_MODULE[module] == kind
    for ours, theirs in keras3_names.LOSSES.items():
        assert losses.get(ours) is losses.get(theirs)


LAYERS = {
    "LeakyReLU": lambda: L.LeakyReLU(0.25, name="x"),
    "InputLayer": lambda: L.InputLayer(batch_input_shape=(2, 4), name="x"),
    "Activation": lambda: L.Activation("hard_sigmoid_v3", name="x"),
}


def test_every_class_of_the_table_is_tried() -> None:
    assert {row.cls for row in TWO_WAY} <= LAYERS.keys()


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_comes_back_from_an_archive(name: str, tmp_path: Path) -> None:
    made = LAYERS[name]()
    start = made if name == "InputLayer" else L.InputLayer((4,))
    layers = [start, L.Dense(4, name="last") if name == "InputLayer" else made]
    model = keras.Sequential(layers)
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").get_config() == model.get_config()


# ---- optimizers

OPTIMIZERS: list[Any] = [
    optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    optimizers.SGD(clipnorm=0.5),
    optimizers.SGD(clipnorm_each=0.5),
    optimizers.Adam(clipvalue=0.5),
    optimizers.SGD(0.25, decay=0.125),
    optimizers.Nadam(),
    optimizers.Nadam(schedule_decay=0.25),
    optimizers.RMSprop(decay=0.5, clipnorm_each=2.0),
    optimizers.Adagrad(),
]


def _meant(config: dict[str, Any]) -> dict[str, Any]:
    """Arguments without those that only Keras 2 has, and one name for both of one meaning."""
    found = {key: value for key, value in config.items() if key not in optimizer_names.OWN}
    if "global_clipnorm" in found:
        found["clipnorm"] = found.pop("global_clipnorm")
    return {key: value for key, value in found.items() if key != "decay" or value}


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda item: type(item).__name__)
@pytest.mark.parametrize("generation", [Generation.KERAS_3, Generation.TF_KERAS])
def test_an_optimizer_comes_back_from_its_archive(optimizer: Any, generation: Generation) -> None:
    config = optimizer.get_config()
    written = optimizer_names.in_theirs(config, generation is Generation.KERAS_3)
    optimizer_names.in_ours(type(optimizer).__name__, written, generation)
    assert _meant(written) == _meant(config)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda item: type(item).__name__)
def test_an_optimizer_comes_back_from_hdf5(optimizer: Any) -> None:
    config, name = optimizer.get_config(), type(optimizer).__name__
    written, own = optimizer_names.for_all(config, isinstance(optimizer, optimizers.Nadam))
    again = optimizer_names.from_all(name, written, own)
    if "clipnorm" not in config:
        assert again == config
    assert {**_meant(again), **own} == {**_meant(config), **own}
