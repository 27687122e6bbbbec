"""Losses and metrics that models and layers add: what is trained on and logged, also after saving, cloning, nesting.

Numbers are those of tf_keras 2.21 for the same models, data and batches of four.
"""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kcompile import Input, Model, Sequential, losses, metrics, optimizers
from kcompile import backend as K
from kcompile.common.errors import KCompileError
from kcompile.engine.layer import Layer
from kcompile.layers import Activation, Add, BatchNormalization, Dense, Lambda, TimeDistributed
from kcompile.models import clone_model, load_model, model_from_json

X = np.arange(12, dtype="float32").reshape(6, 2) / 10
Y = np.arange(6, dtype="float32").reshape(6, 1)


def ones(units: int, **options: Any) -> Dense:
    return Dense(units, kernel_initializer="ones", **options)


def with_additions() -> Model:
    x = Input((2,))
    hidden = ones(3)(x)
    y = ones(1)(hidden)
    model = Model(x, y)
    model.add_loss(K.mean(hidden * hidden))
    model.add_metric(K.sum(hidden), name="s", aggregation="mean")
    model.add_metric(K.max(y), name="mx")
    return model


def stack() -> Sequential:
    model = Sequential([ones(3, input_shape=(2,)), ones(1)])
    model.add_loss(K.mean(model.layers[0].output))
    return model


def through_file(model: Model, save_format: str) -> Model:
    file = io.BytesIO()
    model.save(file, save_format=save_format)
    return load_model(file)


def with_weights_of(model: Model, copy: Model) -> Model:
    copy.set_weights(model.get_weights())
    return copy


COPIES: dict[str, Callable[[Model], Model]] = {
    "itself": lambda model: model,
    "h5": lambda model: through_file(model, "h5"),
    "keras": lambda model: through_file(model, "keras"),
    "json": lambda model: with_weights_of(model, model_from_json(model.to_json())),
    "from_config": lambda model: with_weights_of(model, type(model).from_config(model.get_config())),
    "clone": lambda model: with_weights_of(model, clone_model(model)),
    "clone_of_clone": lambda model: with_weights_of(model, clone_model(clone_model(model))),
}


@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.filterwarnings("ignore:.*which Keras 3 does not have")
def test_of_a_model_survive(copy: str) -> None:
    model = COPIES[copy](with_additions())
    model.compile(optimizers.SGD(0.0), "mse")
    assert model.metrics_names == ["loss", "s", "mx"]
    assert len(model.losses) == 1
    np.testing.assert_allclose(model.evaluate(X, Y, 4, verbose=0), [2.4333332, 9.9, 5.1], rtol=1e-6)
    np.testing.assert_allclose(model.train_on_batch(X, Y), [2.4333332, 19.8, 6.3], rtol=1e-6)
    assert [w.name.rpartition("/")[2] for w in model.weights] == ["kernel:0", "bias:0"] * 2
    again = COPIES[copy](stack())
    again.compile("sgd", "mse")
    np.testing.assert_allclose(again.evaluate(X, Y, verbose=0), 1.8566666, rtol=1e-6)
    assert len(again.layers) == 2
    assert type(again) is Sequential


def test_of_a_model_in_another() -> None:
    inner = with_additions()
    x = Input((2,))
    first = inner(x)
    once = Model(x, ones(1)(first))
    twice = Model(x, ones(1)(Add()([first, inner(Lambda(lambda t: t * 2)(x))])))
    for model, count, expected in ((once, 1, [2.4333332, 9.9, 5.1]), (twice, 2, [82.86, 14.85, 7.65])):
        for each in (model, clone_model(model)):
            each.set_weights(model.get_weights())
            each.compile("sgd", "mse")
            assert each.metrics_names == ["loss", "s", "mx"]
            assert len(each.losses) == count
            np.testing.assert_allclose(each.evaluate(X, Y, 4, verbose=0), expected, rtol=1e-6)


def autoencoder() -> Model:
    """Its loss is computed from tensors inside of the encoder, and from the logits of its output."""
    x = Input((4,))
    mean, spread = Dense(2, name="mean")(x), Dense(2, name="spread")(x)
    encoder = Model(x, [mean, spread, Add()([mean, spread])], name="encoder")
    y = Sequential([Dense(4, activation="sigmoid", input_dim=2)])(encoder(x)[2])
    model = Model(x, y)
    divergence = -0.5 * K.sum(1 + spread - K.square(mean) - K.exp(spread), axis=-1)
    model.add_loss(K.mean(losses.binary_crossentropy(x, y) + divergence))
    return model


@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.filterwarnings("ignore:.*which Keras 3 does not have")
def test_layers_inside_and_outside_stay_one(copy: str) -> None:
    model = autoencoder()
    other = COPIES[copy](model)
    x = np.random.default_rng(1).uniform(0, 1, (8, 4))
    found = []
    for each in (model, other):
        if copy == "itself":
            each = COPIES["clone"](model)
        each.compile(optimizers.SGD(0.1))
        assert len(each.trainable_weights) == 6
        found.append([each.train_on_batch(x) for _ in range(3)])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)


def test_exported_training_counts_them(tmp_path: Any) -> None:
    import json

    model = with_additions()
    model.compile("sgd", "mse")
    model.export_training(tmp_path / "steps")
    manifest = json.loads((tmp_path / "steps" / "manifest.json").read_text())
    assert {"s", "mx"} <= set(manifest["metrics"])


def test_what_no_configuration_holds_is_told() -> None:
    model = with_additions()
    hidden = model.layers[1].output
    model.add_loss(K.variable(2.0) * K.mean(hidden))
    with pytest.warns(RuntimeWarning, match="a loss that was added to it is not saved, because .* uses the variable"):
        config = model.get_config()
    assert len(Model.from_config(config).losses) == 1
    plain = Model(model.inputs, model.outputs)
    plain.add_loss(lambda: 3 * K.sum(model.layers[1].kernel))
    assert len(plain.losses) == 1
    with pytest.warns(RuntimeWarning, match="depend on weights alone, are not cloned"):
        clone_model(plain)
    with pytest.raises(ValueError, match="computed from inputs of another model"):
        model.add_loss(K.mean(Input((3,))))
    with pytest.raises(ValueError, match=r"add_metric needs a name for the logs"):
        model.add_metric(K.mean(hidden))
    model.add_metric(metrics.Mean(name="of_object")(hidden))
    model.compile("sgd", "mse")
    assert model.metrics_names[-1] == "of_object"


class Watched(Layer):
    def __init__(self, named: bool, metric: Any = None, **options: Any) -> None:
        super().__init__(**options)
        self.named, self.metric = named, metric

    def call(self, inputs: Any) -> Any:
        self.add_loss(K.mean(inputs) * 0.5)
        value = K.sum(inputs * inputs)
        value = value if self.metric is None else self.metric(value)
        self.add_metric(value, name="given") if self.named else self.add_metric(value)
        return inputs


@pytest.mark.parametrize(
    ("named", "with_object", "key"), [(True, False, "given"), (True, True, "mine"), (False, True, "mine")]
)
def test_metrics_in_call(named: bool, with_object: bool, key: str) -> None:
    watched = Watched(named, metrics.Mean(name="mine") if with_object else None, input_shape=(2,))
    model = Sequential([watched, ones(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    assert model.metrics_names == ["loss", "mae", key]
    np.testing.assert_allclose(model.evaluate(X, Y, 4, verbose=0), [3.285, 1.4333333, 2.53], rtol=1e-6)
    np.testing.assert_allclose(model.train_on_batch(X, Y), [3.285, 1.4333333, 5.06], rtol=1e-6)
    history = model.fit(X, Y, 4, epochs=2, shuffle=False, verbose=0).history
    np.testing.assert_allclose(history[key], [2.53, 2.53], rtol=1e-6)
    np.testing.assert_allclose(history["loss"], [3.0568142, 2.6630702], rtol=1e-6)
    assert len(model.get_weights()) == 2  # a metric's state is none of the layer's
    x = Input((2,))
    shared = Model(x, ones(1)(Add()([watched(x), watched(Lambda(lambda t: t * 2)(x))])))
    shared.compile("sgd", "mse")
    assert shared.metrics_names == ["loss", key]
    np.testing.assert_allclose(shared.evaluate(X, Y, 4, verbose=0), [1.5816668, 6.325], rtol=1e-6)


def test_metrics_of_one_name_are_two() -> None:
    model = Sequential([Watched(True, input_shape=(2,)), ones(1), Watched(True)])
    model.compile("sgd", "mse")
    assert model.metrics_names == ["loss", "given", "given_1"]


def test_a_tensor_without_a_name_is_refused() -> None:
    with pytest.raises(KCompileError, match="layer 'w': add_metric needs a name for the logs"):
        Watched(False, name="w")(Input((2,)))


class Phased(Layer):
    """Adds one thing in training, another in inference, and more through layers inside."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.mean = metrics.Mean(name="mine")
        self.inner = ones(2, activity_regularizer="l1")
        self.normalization = BatchNormalization(momentum=0.5, center=False, scale=False)

    def call(self, inputs: Any, training: Any = None) -> Any:
        self.mean.update_state(K.sum(inputs))
        self.normalization(inputs)
        if training:
            self.add_loss(K.mean(inputs))
            self.add_metric(K.max(inputs), name="only_train")
        else:
            self.add_loss(100 * K.mean(inputs))
        return self.inner(inputs)


def test_each_phase_adds_its_own_and_once() -> None:
    model = Sequential([Phased(input_shape=(2,)), ones(1)])
    model.compile(optimizers.SGD(0.0), "mse")
    np.testing.assert_allclose(model.evaluate(X, Y, 4, verbose=0), [55.228672, 3.3], rtol=1e-6)
    np.testing.assert_allclose(model.train_on_batch(X, Y), [0.7786667, 6.6, 1.1], rtol=1e-6)
    # The moving mean moved once, half of the way.
    np.testing.assert_allclose(model.layers[0].normalization.moving_mean.numpy(), X.mean(0) / 2, rtol=1e-6)
    history = model.fit(X, Y, 4, shuffle=False, verbose=0, validation_data=(X, Y)).history
    assert set(history) == {"loss", "mine", "only_train", "val_loss", "val_mine"}
    np.testing.assert_allclose([history["only_train"][0], history["val_mine"][0]], [0.9, 3.3], rtol=1e-6)


class Own(Layer):
    def build(self, input_shape: Any) -> None:
        self.w = self.add_weight(name="w", shape=(), initializer="ones")
        self.total = self.add_weight(name="total", shape=(), initializer="zeros", trainable=False)
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        self.add_loss(K.mean(inputs) * self.w)
        self.add_update((self.total, self.total + K.sum(inputs)))
        return Activation("relu")(inputs)


def test_losses_and_updates_by_input() -> None:
    """Counts are those of tf_keras without eager execution, values those of its eager calls.

    But a model has the losses of its own inputs alone (3, and 5 on two inputs), as in Keras 2.3.1 and in tf_keras when
    it has been called last; until then, tf_keras has there what other models computed with its layers too (5, 7).
    """
    x = Input((2,))
    dense = ones(3, kernel_regularizer="l2", activity_regularizer="l1")
    own, normalization = Own(), BatchNormalization()
    inner = Model(x, normalization(own(dense(x))))
    a, b = Input((2,)), Input((2,))
    on_a = inner(a)
    outer = Model(a, on_a)
    both = Model([a, b], Add()([on_a, inner(b)]))

    def counts(layer: Layer, inputs: Any) -> tuple[int, int]:
        return len(layer.get_losses_for(inputs)), len(layer.get_updates_for(inputs))

    assert [len(m.losses) for m in (inner, outer, both, dense, own)] == [3, 3, 5, 4, 3]
    assert [len(m.updates) for m in (inner, own, normalization)] == [9, 3, 6]
    assert counts(inner, None) == (2, 0)
    assert counts(inner, x) == counts(outer, a) == (1, 3)
    assert counts(both, [a, b]) == (2, 6)
    assert counts(both, b) == (1, 3)
    assert counts(dense, None) == (1, 0)
    assert counts(dense, a) == counts(dense, dense.get_input_at(0)) == (1, 0)
    assert counts(own, None) == (3, 0)
    assert counts(own, a) == (0, 1)
    assert counts(normalization, b) == (0, 2)
    data = np.ones((4, 2))
    values = K.function([a, b], both.losses)([data, 2 * data])
    np.testing.assert_allclose(sorted(values), [0.06, 0.06, 0.12, 2, 4], rtol=1e-6)


def test_in_time_distributed() -> None:
    model = Sequential([TimeDistributed(Watched(True), input_shape=(3, 2)), TimeDistributed(ones(1))])
    model.compile("sgd", "mse")
    x = np.stack([X, X, X], axis=1)
    loss, metric = model.evaluate(x, np.stack([Y, Y, Y], axis=1), 6, verbose=0)
    np.testing.assert_allclose([loss, metric], [3.285, 3 * 5.06], rtol=1e-6)


@pytest.mark.parametrize("verb", ["fit", "train_on_batch"])
def test_flags_changed_after_compile_are_told_once(verb: str) -> None:
    import warnings

    model = Sequential([ones(3, input_shape=(2,)), ones(1)])
    train = {"fit": lambda: model.fit(X, Y, verbose=0), "train_on_batch": lambda: model.train_on_batch(X, Y)}[verb]
    model.compile("sgd", "mse")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train()
    model.layers[0].trainable = False
    before = model.layers[0].get_weights()[0]
    with pytest.warns(UserWarning, match="is frozen now.*the 4 weights that trained then go on, not the 2 of now"):
        train()
    assert (model.layers[0].get_weights()[0] != before).any()  # what compile saw counts
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train()
        model.compile("sgd", "mse")
        before = model.layers[0].get_weights()[0]
        train()
    assert (model.layers[0].get_weights()[0] == before).all()
    model.layers[0].trainable = True
    with pytest.warns(UserWarning, match="kernel is set to train now"):
        train()


@pytest.mark.filterwarnings("ignore:.*which Keras 3 does not have")
def test_archives_hold_what_tf_keras_asks_for() -> None:
    import zipfile

    import h5py

    file = io.BytesIO()
    with_additions().save(file, save_format="keras")
    with zipfile.ZipFile(file) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as root:
        assert set(root["metrics"]) == {"mean", "mean_1"}
        assert [root[f"metrics/mean_1/vars/{part}"][()] for part in "01"] == [0, 0]
