"""What versions of Keras call things: reading what was written is the identity, row by row of the tables."""

from __future__ import annotations

import itertools
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kcompile as keras
from kcompile import constraints, losses, optimizers
from kcompile import layers as L
from kcompile.objects.dialects import keras1_names, keras3_names
from kcompile.objects.dialects import optimizers as optimizer_names
from kcompile.objects.dialects.tables import Generation
from kcompile.objects.legacy_arguments import by_old_names

# ---- Keras 1

VALUES: dict[str, Any] = {
    "output_dim": 3, "init": "uniform", "inner_init": "zero", "inner_activation": "relu", "W_regularizer": "l2",
    "U_regularizer": "l1", "b_regularizer": "l1", "W_constraint": "nonneg", "b_constraint": "unitnorm", "bias": False,
    "p": 0.25, "sigma": 0.5, "dropout_W": 0.25, "dropout_U": 0.5, "dim_ordering": "th", "nb_filter": 2, "nb_row": 3,
    "nb_col": 2, "kernel_dim1": 2, "kernel_dim2": 3, "kernel_dim3": 1, "filter_length": 3, "subsample_length": 2,
    "subsample": 2, "atrous_rate": 2, "border_mode": "same", "pool_length": 3, "stride": 1, "length": 3, "m": 3.0,
    "low": 0.5, "high": 1.5, "beta_init": "one", "gamma_init": "zero", "mode": 0, "dropout": 0.0,
    "consume_less": "cpu", "forget_bias_init": "zero", "truncate_gradient": -1, "implementation": 1,
}  # fmt: skip
"""An argument of Keras 1 each."""

NEEDED = ("output_dim", "nb_filter", "nb_row", "nb_col", "kernel_dim1", "kernel_dim2", "kernel_dim3", "filter_length",
          "p", "sigma")  # fmt: skip
"""What constructors must be told."""

CALLS = [
    (cls, row)
    for cls, rows in keras1_names.ROWS.items()
    for row in dict.fromkeys(rows)
    if cls not in ("Recurrent", "InputLayer")  # the base of users' classes; read from files alone
]


def _class(name: str) -> Any:
    return getattr(constraints if name in ("MaxNorm", "MinMaxNorm") else L, name)


@pytest.mark.parametrize(("name", "row"), CALLS, ids=[f"{cls}-{'-'.join(row.old)}" for cls, row in CALLS])
def test_a_call_and_a_file_of_keras_1_mean_the_same(name: str, row: keras1_names.Row) -> None:
    cls = _class(name)
    needed = [old for each in keras1_names.ROWS[name] for old in each.old if old in NEEDED]
    arguments = {old: VALUES[old] for old in (*needed, *row.old)}
    arguments |= {"input_dim": 7, "output_dim": 4} if name == "Embedding" else {}
    with pytest.warns(UserWarning, match=f"{name}: .*'{row.old[0]}'.* Keras 1") as told:
        called = cls(**arguments).get_config()
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        module = constraints if name in ("MaxNorm", "MinMaxNorm") else L
        read = module.deserialize({"class_name": name, "config": arguments}).get_config()
        told_now = {
            new: each.value(name, arguments, stored=False)
            for each in keras1_names.rows_of(cls).values()
            if set(each.old) <= arguments.keys()
            for new in each.new
        }
        rest = {key: value for key, value in arguments.items() if key not in keras1_names.rows_of(cls)}
        now = cls(**rest, **told_now).get_config()
    for config in (called, read, now):
        config.pop("name", None)
    assert called == read == now


def test_what_a_first_layer_was_told_of_its_input() -> None:
    for cls, told, shape in (
        (L.Dense, {"output_dim": 2, "input_dim": 5}, (None, 5)),
        (L.Conv1D, {"nb_filter": 2, "filter_length": 3, "input_dim": 5, "input_length": 9}, (None, 9, 5)),
        (L.LSTM, {"output_dim": 2, "input_dim": 5}, (None, None, 5)),
    ):
        with pytest.warns(UserWarning, match="Keras 1"):
            assert cls(**told).batch_input_shape == shape
        assert L.deserialize({"class_name": cls.__name__, "config": told}).batch_input_shape == shape


@pytest.mark.parametrize(
    ("name", "sizes"),
    [("Convolution2D", (3, 3)), ("Convolution2D", (3, 5)), ("Convolution3D", (3, 4, 5)), ("SeparableConv2D", (3, 2)),
     ("Deconvolution2D", (2, 3)), ("ConvLSTM2D", (3, 1))],
)  # fmt: skip
def test_rows_and_columns_by_position(name: str, sizes: tuple[int, ...]) -> None:
    """Beside names of Keras 1, numbers by position are what they are to it: a kernel's rows and columns."""
    cls, strides = getattr(L, name), (2,) * len(sizes)
    with pytest.warns(UserWarning, match=rf"write \w+\(kernel_size={re.escape(str(sizes))}, .*strides=") as told:
        old = cls(4, *sizes, border_mode="same", subsample=strides, name="x").get_config()
    assert len(told) == 1
    assert old == cls(4, sizes, padding="same", strides=strides, name="x").get_config()
    for twice in ({"kernel_size": 3}, {"nb_row": 3, "nb_col": 3} if len(sizes) == 2 else {"strides": 2}):
        with pytest.raises(TypeError, match=r"twice|multiple values"):
            cls(4, *sizes, border_mode="same", subsample=strides, **twice)


def test_subclasses_take_the_names_of_their_base() -> None:
    class Mine(L.Conv2D):
        pass

    with pytest.warns(UserWarning, match=r"write Mine\(filters=2, kernel_size=\(3, 2\)\)"):
        assert Mine(nb_filter=2, nb_row=3, nb_col=2).kernel_size == (3, 2)
    with pytest.raises(TypeError, match="nb_row"):
        Mine(2, 3, nb_row=3)
    with pytest.raises(TypeError, match="nb_filter"):
        L.DepthwiseConv2D(2, nb_filter=3)
    with pytest.raises(ValueError, match="SpatialDropout1D"):
        L.Embedding(3, 2, dropout=0.5)


@pytest.mark.parametrize("method", keras1_names.METHODS)
def test_methods_take_the_names_of_keras_1(method: str) -> None:
    old = keras1_names.METHODS[method]
    given: dict[str, Any] = {name: number for number, name in enumerate(old)}
    values = by_old_names(method, given, **dict.fromkeys(old.values(), "now"), other="other")
    assert values == (*range(len(old)), "other")
    assert given == {}
    assert by_old_names(method, {}, **dict.fromkeys(old.values(), "now")) == ("now",) * len(old)


def test_epochs_of_keras_1() -> None:
    model = keras.Sequential([L.Dense(1, input_shape=(2,))])
    model.compile("sgd", "mse")
    x, y = np.zeros((6, 2)), np.zeros((6, 1))
    assert model.fit(x, y, nb_epoch=2, verbose=0).epoch == [0, 1]
    batches = itertools.repeat((x[:3], y[:3]))
    history = model.fit_generator(batches, samples_per_epoch=6, nb_epoch=3, max_q_size=2, verbose=0)
    assert (history.epoch, history.params["steps"]) == ([0, 1, 2], 2)


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
