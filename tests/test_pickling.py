"""Models, layers and what belongs to them go through pickle and copy.deepcopy."""

import copy
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import kcompile
from kcompile import backend as K
from kcompile import layers as L
from tests.small_models import ZOO, random_inputs

X = np.random.default_rng(0).normal(size=(16, 6)).astype("float32")
Y = np.random.default_rng(1).normal(size=(16, 2)).astype("float32")
WAYS: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda thing: pickle.loads(pickle.dumps(thing)),
    "deepcopy": copy.deepcopy,
}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


class Own(L.Layer):
    """A layer without a configuration, with layers in a list, a weight, a constant and a tensor of it."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.parts = [L.Dense(units), L.BatchNormalization()]
        self.constant = K.constant(np.arange(6.0))
        self.twice = self.constant * 2

    def build(self, shape: Any) -> None:
        self.scale = self.add_weight(name="scale", shape=(6,), initializer="ones", constraint="nonneg")
        super().build(shape)

    def call(self, x: Any) -> Any:
        return self.parts[1](self.parts[0](x * self.scale + self.twice))


class Tower(kcompile.Model):
    def __init__(self, units: int = 3) -> None:
        super().__init__()
        self.parts = {"a": L.Dense(units), "b": [L.Dropout(0.5)]}
        self.top = L.Dense(2)

    def call(self, x: Any) -> Any:
        return self.top(self.parts["b"][0](self.parts["a"](x)))


def squared(y_true: Any, y_pred: Any) -> Any:
    return K.mean(K.square(y_true - y_pred))


def functional() -> Any:
    x = kcompile.Input((6,), name="x")
    h = L.BatchNormalization()(L.Dense(5, activation="relu")(x))
    h = L.Dropout(0.3)(h) * 2.0 + 1.0
    h = L.concatenate([h, Own(4)(x)])
    return kcompile.Model(x, L.Dense(2, kernel_regularizer="l2", kernel_constraint="maxnorm")(h), name="whole")


def sequential() -> Any:
    return kcompile.Sequential([L.Dense(4, input_shape=(6,)), L.GaussianNoise(0.1), L.Dense(2)])


def nested() -> Any:
    x = kcompile.Input((6,))
    inner, steps = functional(), kcompile.Input((6,))
    shared = kcompile.Sequential([L.Dense(6), L.LayerNormalization() if hasattr(L, "LayerNormalization") else L.ReLU()])
    return kcompile.Model([x, steps], L.add([inner(shared(x)), inner(steps)]))


def recurrent() -> Any:
    layers = [
        L.Reshape((3, 2), input_shape=(6,)),
        L.Bidirectional(L.LSTM(3, return_sequences=True, dropout=0.2)),
        L.TimeDistributed(L.Dense(2)),
        L.RNN([L.GRUCell(3), L.SimpleRNNCell(2)]),
    ]
    return kcompile.Sequential(layers)


def feed(model: Any) -> Any:
    return [X, X] if len(getattr(model, "inputs", ())) == 2 else X


@ways
@pytest.mark.parametrize("make", [functional, sequential, Tower, nested, recurrent], ids=lambda make: make.__name__)
def test_models_train_on_as_they_would_have(make: Any, way: Callable[[Any], Any]) -> None:
    model = make()
    model.compile(kcompile.optimizers.Adam(decay=0.1, clipnorm=1.0), squared, metrics=["mae"])
    history = model.fit(feed(model), Y, epochs=2, batch_size=4, verbose=0)
    again = way(history).model if make is functional else way(model)
    assert type(again) is type(model)
    assert [w.label for w in again.weights] == [w.label for w in model.weights]
    assert not set(again.weights) & set(model.weights)
    for each in (model, again):
        each.seen = each.predict(feed(model)), each.evaluate(feed(model), Y, verbose=0)
    np.testing.assert_allclose(model.seen[0], again.seen[0], atol=1e-5)
    np.testing.assert_allclose(model.seen[1], again.seen[1], rtol=1e-5)
    runs = [each.fit(feed(model), Y, epochs=2, batch_size=4, verbose=0).history for each in (model, again)]
    assert runs[0] == runs[1]
    for mine, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize("name", ZOO)
def test_small_models(name: str) -> None:
    model = ZOO[name]()
    x = random_inputs(model, 3)
    again = WAYS["deepcopy" if name == "operations" else "pickle"](model)  # that one has a Lambda of a lambda
    for mine, other in zip(as_list(model.predict(x)), as_list(again.predict(x)), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-5)


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@ways
def test_unbuilt_and_uncompiled(way: Callable[[Any], Any]) -> None:
    for make in (Tower, lambda: kcompile.Sequential([L.Dense(3)]), lambda: L.Dense(3), lambda: Own(3)):
        thing = way(make())
        assert not thing.built
        assert len(thing(X).shape) == 2
    model = Tower()
    model.compile("sgd", "mse")
    way(model).fit(X, Y, verbose=0)


@ways
def test_a_layer_keeps_its_numbers(way: Callable[[Any], Any]) -> None:
    for layer in (L.Dense(3), Own(2), L.BatchNormalization(), L.Embedding(7, 2)):
        x = np.arange(6).reshape(1, 6) if isinstance(layer, L.Embedding) else X
        y = layer(x)
        again = way(layer)
        np.testing.assert_allclose(again(x), y, rtol=1e-6)
        assert again.name == layer.name
        assert not set(again.weights) & set(layer.weights)


@ways
def test_things_that_share_weights_go_on_sharing_them(way: Callable[[Any], Any]) -> None:
    x = kcompile.Input((6,))
    h = L.Dense(3)(x)
    whole, part = kcompile.Model(x, L.Dense(2)(h)), kcompile.Model(x, h)
    whole, part = way((whole, part))
    part.set_weights([w + 1 for w in part.get_weights()])
    assert whole.layers[1] is part.layers[1]
    np.testing.assert_array_equal(whole.get_weights()[0], part.get_weights()[0])


@ways
def test_what_was_frozen_after_compile_still_trains(way: Callable[[Any], Any]) -> None:
    critic = kcompile.Sequential([L.Dense(4, input_shape=(6,)), L.BatchNormalization(), L.Dense(2)])
    critic.compile("sgd", "mse")
    critic.trainable = False
    again = way(critic)
    assert again.trainable is False
    for each in (critic, again):
        each.train_on_batch(X, Y)
    for mine, other in zip(critic.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)


@ways
@pytest.mark.parametrize("make", [functional, sequential], ids=lambda make: make.__name__)
def test_added_losses_and_metrics_stay(make: Any, way: Callable[[Any], Any]) -> None:
    model = make()
    model.add_loss(K.mean(K.square(model.output)))
    model.add_metric(K.max(model.output), name="largest")
    model.compile("sgd", "mse")
    again = way(model)
    assert again.metrics_names == model.metrics_names
    found, expected = again.evaluate(X, Y, verbose=0), model.evaluate(X, Y, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert len(expected) == 2


@ways
@pytest.mark.parametrize("factors", [[1.0, 2.0], {"a": 0.5, "b": 2.0}, "variable"], ids=["list", "dict", "variable"])
def test_factors_of_losses_are_the_copys_own(factors: Any, way: Callable[[Any], Any]) -> None:
    x = L.Input((6,))
    model = kcompile.Model(x, [L.Dense(1, name=name, kernel_initializer="ones")(x) for name in "ab"])
    given = [K.variable(3.0), 1.0] if factors == "variable" else factors
    model.compile("sgd", "mse", loss_weights=given)
    y = [X[:, :1], X[:, :1]]
    copied, expected = way(model), model.evaluate(X, y, verbose=0)
    assert copied.evaluate(X, y, verbose=0) == expected
    key = "a" if isinstance(factors, dict) else 0
    copied.loss_weights[key] = 7.0
    assert model.evaluate(X, y, verbose=0) == expected
    total, a, b = copied.evaluate(X, y, verbose=0)
    other = float(copied.loss_weights["b" if isinstance(factors, dict) else 1])
    assert total == pytest.approx(7 * a + other * b)


def test_lambdas_are_copied() -> None:
    layers = [L.Dense(4, input_shape=(6,))]
    for k in range(2):
        layers.append(L.Lambda(lambda x: x[:, k : k + 2] * (k + 1)))  # noqa: B023 - that is the point
    model = kcompile.Sequential(layers)
    expected = model.predict(X)
    k = 5
    np.testing.assert_allclose(copy.deepcopy(model).predict(X), expected, rtol=1e-6)
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(model)


SMALL: dict[str, Callable[[], Any]] = {
    "optimizer": lambda: kcompile.optimizers.RMSprop(0.25),
    "loss": lambda: kcompile.losses.BinaryCrossentropy(label_smoothing=0.1),
    "initializer": lambda: kcompile.initializers.RandomNormal(seed=3),
    "regularizer": lambda: kcompile.regularizers.l1_l2(0.1, 0.2),
    "constraint": lambda: kcompile.constraints.MaxNorm(3),
    "callback": lambda: kcompile.callbacks.EarlyStopping(patience=3),
    "history": lambda: kcompile.callbacks.History(),
    "graph": lambda: K.constant([1.0, 2.0]) * K.variable([3.0, 4.0]),
    "variable": lambda: K.variable([1.0, 2.0]),
    "spec": lambda: L.InputSpec(shape=(None, 3)) if hasattr(L, "InputSpec") else L.Dense(2).input_spec,
}


@ways
@pytest.mark.parametrize("make", SMALL.values(), ids=SMALL)
def test_small_things(make: Callable[[], Any], way: Callable[[Any], Any]) -> None:
    thing = make()
    again = way(thing)
    assert type(again) is type(thing)
    if hasattr(thing, "numpy"):
        np.testing.assert_array_equal(again.numpy(), thing.numpy())
    if hasattr(thing, "get_config"):
        assert again.get_config() == thing.get_config()


@ways
def test_a_metric_keeps_its_state(way: Callable[[Any], Any]) -> None:
    metric = kcompile.metrics.MeanSquaredError()
    metric.update_state(Y, Y + 2)
    metric.value()
    again = way(metric)
    assert again.value() == metric.value() == pytest.approx(4)
    again.update_state(Y, Y)
    assert (again.value(), metric.value()) == (pytest.approx(2), pytest.approx(4))


@ways
def test_a_symbolic_tensor_gets_a_sentence(way: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match=r"symbolic.*pickle the model"):
        way(kcompile.Input((3,)) * 2)


@ways
@pytest.mark.parametrize("make", [functional, recurrent, nested], ids=lambda make: make.__name__)
def test_compiled_models(make: Any, way: Callable[[Any], Any]) -> None:
    model = make()
    compiled = kcompile.compile(model)
    expected = compiled(feed(model))
    again = way(compiled)
    model.set_weights([w + 1 for w in model.get_weights()])
    np.testing.assert_array_equal(again(feed(model)), expected)
    assert (again.input_names, again.output_names) == (compiled.input_names, compiled.output_names)


def test_another_process_reads_it(tmp_path: Any) -> None:
    code = """
        import pickle, sys, numpy as np
        model, compiled, x, y = pickle.load(open(sys.argv[1], "rb"))
        assert np.allclose(model.predict(x), y, atol=1e-5) and np.allclose(compiled(x), y, atol=1e-5)
        model.fit(x, y, verbose=0)
    """
    model = functional()
    model.compile("adam", squared)
    model.fit(X, Y, verbose=0)
    path = tmp_path / "model.pickle"
    path.write_bytes(pickle.dumps((model, kcompile.compile(model), X, model.predict(X))))
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(path)], check=True)


@ways
def test_compiled_functions_of_k(way: Callable[[Any], Any]) -> None:
    """They take their variables along, as they are."""
    total, x = K.variable(np.zeros(2)), K.placeholder((None, 2))
    function = K.function([x], [x + total], updates=[(total, total + 1)])
    first = function([np.ones((1, 2))])
    other = way(function)
    for _ in range(2):
        np.testing.assert_array_equal(other([np.ones((1, 2))])[0], function([np.ones((1, 2))])[0])
    assert not np.array_equal(first[0], other([np.ones((1, 2))])[0])
    assert K.get_value(total).tolist() == [3, 3], "the copy counts by itself"
