"""Configurations: every class comes back from its own, and those of Keras 1, 2, tf.keras and 3 are understood."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

import kcompile as keras
from kcompile import constraints, initializers, layers, losses, metrics, optimizers, regularizers
from kcompile import layers as L
from kcompile.engine.layer import Layer
from kcompile.models import Input, Model, Sequential, model_from_config, model_from_json, model_from_yaml
from kcompile.objects.custom import custom_object_scope
from kcompile.objects.dialects.reader import Generation, generation_of
from kcompile.objects.lookup import deserialize_keras_object
from kcompile.objects.making import serialize_keras_object
from kcompile.objects.plain import plain
from kcompile.objects.registry import known
from tests.golden import load
from tests.golden.cases.configs import CASES
from tests.layer_samples import SAMPLES, doubled
from tests.small_models import ZOO

MODULES = {
    "layers": layers, "losses": losses, "metrics": metrics, "optimizers": optimizers, "initializers": initializers,
    "regularizers": regularizers, "constraints": constraints,
}  # fmt: skip
GOLDEN = load("configs")


# ---- every class

ARGUMENTS: dict[str, dict[str, Any]] = {
    "MeanIoU": {"num_classes": 3}, "MeanRelativeError": {"normalizer": [1.0, 2.0]},
    "SensitivityAtSpecificity": {"specificity": 0.5}, "SpecificityAtSensitivity": {"sensitivity": 0.5},
    "MeanMetricWrapper": {"fn": metrics.binary_accuracy},
}  # fmt: skip
BASES = {"Metric", "Loss", "Optimizer", "Initializer", "Regularizer", "Constraint", "TFOptimizer"}


def classes() -> list[tuple[str, type]]:
    """All classes of the registries but layers, whose samples are their own."""
    found = []
    for kind in MODULES:
        if kind != "layers":
            singular = "loss" if kind == "losses" else kind.removesuffix("s")
            own = {item for item in known(singular).values() if isinstance(item, type)}
            found += [(kind, cls) for cls in sorted(own, key=lambda cls: cls.__name__) if cls.__name__ not in BASES]
    return found


@pytest.mark.parametrize(("kind", "cls"), classes(), ids=lambda item: getattr(item, "__name__", item))
def test_every_class_comes_back(kind: str, cls: type) -> None:
    """Through plain JSON, and with the arguments that it was given."""
    made = cls(**ARGUMENTS.get(cls.__name__, {}))
    written = json.loads(json.dumps(plain(serialize_keras_object(made))))
    again = MODULES[kind].deserialize(written)
    assert type(again) is cls
    assert plain(again.get_config()) == written["config"]


@pytest.mark.parametrize("name", SAMPLES)
def test_every_layer_comes_back(name: str) -> None:
    layer = SAMPLES[name][0]()
    written = json.loads(json.dumps(plain(L.serialize(layer))))
    again = L.deserialize(written, {"doubled": doubled})
    assert type(again) is type(layer)
    assert plain(again.get_config()) == written["config"]


@pytest.mark.parametrize("name", [name for name in ZOO if name != "operations"])
def test_models_through_json_and_yaml(name: str) -> None:
    model = ZOO[name]()
    for again in (model_from_json(model.to_json()), model_from_yaml(model.to_yaml())):
        assert plain(again.get_config()) == plain(model.get_config())
    if "hard_sigmoid" not in model.to_json():  # which Keras 3 does not have
        again = model_from_json(model.to_json(keras_version=3))
        assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
        assert [w.shape for w in again.get_weights()] == [w.shape for w in model.get_weights()]


# ---- Keras 3 and tf.keras


def same(mine: Any, theirs: Any) -> bool:
    if isinstance(theirs, float):
        return isinstance(mine, (int, float)) and math.isclose(mine, theirs, rel_tol=1e-6)
    if isinstance(theirs, list):
        if len(theirs) == 1 and not isinstance(mine, list):
            return same(mine, theirs[0])  # tf.keras writes axis=[1]
        return isinstance(mine, list) and len(mine) == len(theirs) and all(map(same, mine, theirs))
    return bool(mine == theirs)


@pytest.mark.parametrize("name", GOLDEN)
def test_what_keras_3_and_tf_keras_write(name: str) -> None:
    """Every argument of theirs that ours have too is the same, and none was lost on the way."""
    kind, cls, arguments = next(case for case in CASES if name.endswith(f"{case[0]}_{case[1]}"))
    theirs = GOLDEN[name].config
    made = MODULES[kind].deserialize(theirs)
    assert type(made).__name__ == cls
    mine = plain(made.get_config())
    names = {"negative_slope": "alpha"} if cls == "LeakyReLU" else {}
    for key, value in theirs["config"].items():
        ours = names.get(key, key)
        if ours in mine and not isinstance(value, dict) and key not in ("dtype", "reduction"):
            assert same(mine[ours], value), (key, mine[ours], value)
        elif isinstance(value, dict) and key != "dtype" and ours in mine:
            assert mine[ours]["class_name"] in (value["class_name"], "VarianceScaling"), key
        else:
            assert key not in arguments or key == "reduction", f"{key} was given, but has no counterpart"


# ---- Keras 1

KERAS_1: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {"class_name": "Convolution2D", "config": {
            "name": "c", "nb_filter": 4, "nb_row": 3, "nb_col": 2, "init": "he_uniform", "activation": "relu",
            "border_mode": "same", "subsample": [2, 1], "dim_ordering": "th", "bias": False, "b_regularizer": None,
            "W_regularizer": {"name": "WeightRegularizer", "l1": 0.25, "l2": 0.5}, "b_constraint": None,
            "W_constraint": {"name": "MaxNorm", "m": 3, "axis": 0}, "activity_regularizer": None,
            "batch_input_shape": [None, 3, 8, 8], "input_dtype": "float32", "trainable": True}},
        {"filters": 4, "kernel_size": (3, 2), "strides": (2, 1), "padding": "same", "data_format": "channels_first",
         "use_bias": False, "kernel_regularizer": {"class_name": "L1L2", "config": {"l1": 0.25, "l2": 0.5}},
         "kernel_constraint": {"class_name": "MaxNorm", "config": {"max_value": 3.0, "axis": 0}}},
    ),
    (
        {"class_name": "AtrousConvolution1D", "config": {
            "nb_filter": 2, "filter_length": 3, "subsample_length": 1, "atrous_rate": 2, "input_dim": 4,
            "input_length": 9, "border_mode": "valid"}},
        {"kernel_size": (3,), "dilation_rate": (2,), "batch_input_shape": (None, 9, 4)},
    ),
    (
        {"class_name": "LSTM", "config": {
            "output_dim": 3, "init": "glorot_uniform", "inner_init": "orthogonal", "forget_bias_init": "one",
            "activation": "tanh", "inner_activation": "hard_sigmoid", "dropout_W": 0.25, "dropout_U": 0.5,
            "U_regularizer": {"name": "L1L2Regularizer", "l1": 0.0, "l2": 0.5}, "return_sequences": True,
            "go_backwards": False, "stateful": False, "unroll": False, "consume_less": "gpu", "input_dim": 4,
            "input_length": None}},
        {"units": 3, "recurrent_activation": "hard_sigmoid", "unit_forget_bias": True, "dropout": 0.25,
         "recurrent_dropout": 0.5, "return_sequences": True, "batch_input_shape": (None, None, 4)},
    ),
    (
        {"class_name": "Dense", "config": {"output_dim": 2, "init": "uniform", "input_dim": 5, "activation": "linear"}},
        {"units": 2, "batch_input_shape": (None, 5)},
    ),
    ({"class_name": "Dropout", "config": {"p": 0.25}}, {"rate": 0.25}),
    ({"class_name": "MaxPooling1D", "config": {"pool_length": 3, "stride": 2, "border_mode": "valid"}},
     {"pool_size": (3,), "strides": (2,)}),
    ({"class_name": "UpSampling1D", "config": {"length": 3}}, {"size": 3}),
    ({"class_name": "BatchNormalization", "config": {"mode": 0, "axis": 1, "epsilon": 1e-5, "momentum": 0.9}},
     {"axis": 1, "momentum": 0.9}),
    ({"class_name": "Embedding", "config": {"input_dim": 5, "output_dim": 3, "init": "uniform", "dropout": 0.0,
                                            "W_regularizer": None, "W_constraint": None, "input_length": 4}},
     {"input_dim": 5, "output_dim": 3, "input_length": 4}),
    ({"class_name": "Merge", "config": {"name": "m", "mode": "concat", "mode_type": "raw", "concat_axis": 1}},
     {"axis": 1}),
    ({"class_name": "Deconvolution2D", "config": {"nb_filter": 2, "nb_row": 2, "nb_col": 2, "subsample": [2, 2],
                                                  "border_mode": "valid", "output_shape": [None, 8, 8, 2]}},
     {"kernel_size": (2, 2), "strides": (2, 2)}),
    ({"class_name": "TimeDistributedDense", "config": {"output_dim": 2, "input_dim": 3, "input_length": 4}},
     {"units": 2, "batch_input_shape": (None, 4, 3)}),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new"), KERAS_1, ids=lambda item: item.get("class_name", ""))
def test_layers_of_keras_1(old: dict[str, Any], new: dict[str, Any]) -> None:
    made = L.deserialize(old).get_config()
    assert {key: made[key] for key in new} == new


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"class_name": "BatchNormalization", "config": {"mode": 1}}, "mode=1 of Keras 1"),
    ({"class_name": "Merge", "config": {"name": "m", "mode": "cos", "mode_type": "raw"}}, "mode 'cos'"),
    ({"class_name": "Deconvolution2D", "config": {"nb_filter": 2, "nb_row": 2, "nb_col": 2, "subsample": [2, 2],
                                                  "border_mode": "valid", "output_shape": [None, 9, 9, 2]}},
     "output padding"),
    ({"class_name": "GlobalMaxPooling1D", "config": {"name": "g", "keepdims": 5}}, "keepdims"),
    ({"class_name": "Dense", "config": {"units": 2, "activation": "rellu"}}, "activation 'rellu'; did you mean 'relu'"),
    ({"class_name": "Dense", "config": {"units": 2, "quantization_config": {"bits": 4}}}, "quantization_config"),
    ({"class_name": "Dens", "config": {"units": 2}}, "layer 'Dens'; did you mean 'Dense'"),
    ({"class_name": "TFOpLambda", "config": {"name": "x", "function": "io.read_file"}}, "operation 'io.read_file'"),
]  # fmt: skip


@pytest.mark.parametrize(("config", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_no_layer_does_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        L.deserialize(config)


def test_a_sequential_model_of_keras_1_with_branches() -> None:
    """It began with a Merge of other models, and is a model of several inputs here."""

    def branch(name: str, size: int) -> dict[str, Any]:
        dense = {"name": name, "output_dim": 3, "batch_input_shape": [None, size]}
        return {"class_name": "Sequential", "config": [{"class_name": "Dense", "config": dense}]}

    merge = {"name": "merged", "mode": "sum", "mode_type": "raw", "layers": [branch("left", 2), branch("right", 4)]}
    last = {"class_name": "Dense", "config": {"name": "last", "output_dim": 1}}
    config = {"class_name": "Sequential", "config": [{"class_name": "Merge", "config": merge}, last]}
    for model in (model_from_config(config, keras_version="1.2.2"), Sequential.from_config(config["config"])):
        assert model.input_shape == [(None, 2), (None, 4)]
        assert model.output_shape == (None, 1)
        assert {layer.name for layer in model.layers} >= {"left", "right", "merged", "last"}


def test_layers_of_keras_0_carry_their_class_as_a_name() -> None:
    config = [{"name": "Dense", "custom_name": "first", "output_dim": 3, "input_dim": 2}, {"name": "Dropout", "p": 0.5}]
    model = Sequential.from_config(config)
    assert [type(layer).__name__ for layer in model.layers] == ["Dense", "Dropout"]
    assert model.layers[0].name == "first"


# ---- versions


def test_versions_are_told_apart() -> None:
    assert generation_of({}, "1.2.2") is Generation.KERAS_1
    assert generation_of({}, "2.3.1") is Generation.KERAS_2
    assert generation_of({}, "2.2.4-tf") is Generation.TF_KERAS
    assert generation_of({}, "2.15.0") is Generation.TF_KERAS
    assert generation_of({}, "3.3.3") is Generation.KERAS_3
    assert generation_of(L.serialize(L.Dense(2))) is Generation.KERAS_2
    assert generation_of(GOLDEN["keras_3_layers_Dense"].config) is Generation.KERAS_3
    assert generation_of(GOLDEN["tf_keras_layers_Dense"].config) is Generation.TF_KERAS


def test_defaults_that_changed() -> None:
    """What a file does not say means what it meant when it was written."""
    assert not L.deserialize({"class_name": "GRU", "config": {"units": 2}}).cell.reset_after
    clipped = {"class_name": "SGD", "config": {"clipnorm": 1.0}}
    assert optimizers.deserialize(clipped).clipnorm == 1.0
    later = GOLDEN["keras_3_optimizers_SGD"].config
    later = optimizers.deserialize({**later, "config": {**later["config"], "clipnorm": 0.5}})
    assert (later.clipnorm, later.clipnorm_each) == (None, 0.5)
    decayed = GOLDEN["keras_3_optimizers_SGD"].config
    schedule = {"initial_learning_rate": 0.5, "decay_steps": 2, "decay_rate": 0.5, "staircase": False}
    rate = {"module": "keras.optimizers.schedules", "class_name": "InverseTimeDecay", "config": schedule}
    made = optimizers.deserialize({**decayed, "config": {**decayed["config"], "learning_rate": rate}})
    assert (made.get_config()["learning_rate"], made.get_config()["decay"]) == (0.5, 0.25)


def test_each_gradient_is_clipped_alone() -> None:
    model = Sequential([L.Dense(2, input_shape=(3,), kernel_initializer="zeros")])
    model.compile(optimizers.SGD(1.0, clipnorm_each=0.25), losses.MeanSquaredError(reduction="sum"))
    model.train_on_batch(np.ones((1, 3)), np.array([[3.0, 4.0]]))
    kernel, bias = model.get_weights()  # the gradients are -(3, 4) for the bias, and for each row of the kernel
    np.testing.assert_allclose(bias, [0.15, 0.2], rtol=1e-6)
    np.testing.assert_allclose(kernel, np.array([[3.0, 4.0]] * 3) / 5 / 3**0.5 * 0.25, rtol=1e-6)


# ---- calls


def test_calls_with_tensors_as_arguments() -> None:
    """Shared layers, layers with several outputs, states given by name; in the forms of Keras 2 and of Keras 3."""
    x, z = Input((4, 3), name="x"), Input((4, 3), name="z")
    _, h, c = L.LSTM(2, return_state=True, name="first")(x)
    shared = L.LSTM(2, return_sequences=True, name="second")
    y = L.Add(name="sum")([shared(z, initial_state=[h, c]), shared(x, initial_state=[c, h])])
    model = Model([x, z], [y, h], name="m")
    inputs = [np.random.default_rng(i).normal(size=(2, 4, 3)).astype("float32") for i in range(2)]
    for version in (2, 3):
        again = model_from_json(model.to_json(keras_version=version))
        again.set_weights(model.get_weights())
        for a, b in zip(again.predict(inputs), model.predict(inputs), strict=True):
            np.testing.assert_array_equal(a, b)


def test_layers_at_the_very_places_where_they_were_called() -> None:
    """A model that is used twice: Keras 2 counts its calls from 1, Keras 3 from 0."""
    inner = Sequential([L.Dense(3, input_shape=(3,), name="d")], name="inner")
    x = Input((3,), name="x")
    model = Model(x, L.Subtract(name="s")([inner(inner(x)), inner(x)]), name="m")
    assert '["inner", 3, 0' in model.to_json()
    assert '["inner", 2, 0' in model.to_json(keras_version=3)
    values = np.ones((1, 3), "float32")
    for version in (2, 3):
        again = model_from_json(model.to_json(keras_version=version))
        again.set_weights(model.get_weights())
        np.testing.assert_array_equal(again.predict(values), model.predict(values))


# ---- custom objects


def test_custom_objects() -> None:
    class Half(Layer):
        def call(self, inputs: Any) -> Any:
            return inputs * 0.5

    def thrice(x: Any) -> Any:
        return x * 3.0

    model = Sequential([Half(input_shape=(2,)), L.Dense(1, activation=thrice, use_bias=False)])
    own = {"Half": Half, "thrice": thrice}
    for version in (2, 3):
        content = model.to_json(keras_version=version)
        with pytest.raises(ValueError, match=r"Unknown classes or functions: .*Half'.*'thrice'"):
            model_from_json(content)
        models = [model_from_json(content, own)]
        with custom_object_scope(own):
            models.append(model_from_json(content))
        for again in models:
            again.set_weights(model.get_weights())
            np.testing.assert_array_equal(again.predict(np.ones((1, 2))), model.predict(np.ones((1, 2))))
    registered = {"class_name": "mine>Half", "config": {"name": "h"}, "registered_name": "mine>Half", "module": "mine"}
    assert isinstance(L.deserialize(registered, {"mine>Half": Half}), Half)
    assert isinstance(L.deserialize(registered, {"Half": Half}), Half)


def test_any_object_by_its_configuration() -> None:
    for made in (L.Dense(2), regularizers.L1L2(0.5), optimizers.Adam(0.5), losses.Huber(2.0)):
        again = deserialize_keras_object(serialize_keras_object(made))
        assert type(again) is type(made)
        assert plain(again.get_config()) == plain(made.get_config())


def test_a_subclassed_model_has_no_configuration() -> None:
    class Own(Model):
        def call(self, inputs: Any) -> Any:
            return inputs

    with pytest.raises(NotImplementedError, match="subclassed"):
        Own().to_json()


def test_text_is_checked_like_files() -> None:
    with pytest.raises(TypeError, match=r"a list; Sequential\.from_config reads"):
        keras.models.model_from_config([])
    with pytest.raises(TypeError, match="must be text"):
        model_from_json(5)  # type: ignore[arg-type]  # what the test is about
