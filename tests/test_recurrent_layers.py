"""Recurrent layers in models: configurations, states, arguments, errors."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import kcompile as keras
from kcompile import backend as K
from kcompile import layers as L
from kcompile.models import Model, Sequential
from tests.recurrent_samples import (
    CELLS,
    FEATURES,
    SAMPLES,
    STEPS,
    UNITS,
    Minimal,
    X,
    inputs,
    model_of,
)

# ---- models


@pytest.mark.parametrize("layer", [lambda: L.LSTM(UNITS), lambda: L.RNN(Minimal(UNITS)), lambda: L.GRU(UNITS)])
def test_any_number_of_steps(layer: Callable[[], Any]) -> None:
    model = model_of(layer())
    weights = model.get_weights()
    for steps in (1, 4):
        fixed = model_of(layer(), steps=steps)
        fixed.set_weights(weights)
        np.testing.assert_allclose(model.predict(X[:, :steps]), fixed.predict(X[:, :steps]), rtol=1e-5, atol=1e-6)


def test_encoder_and_decoder_split() -> None:
    """Step-wise inference with the layers of a model that was trained with teacher forcing."""
    source, target = inputs(), inputs()
    _, h, c = L.LSTM(UNITS, return_state=True)(source)
    decoder, dense = L.LSTM(UNITS, return_sequences=True, return_state=True), L.Dense(FEATURES)
    y, _, _ = decoder(target, initial_state=[h, c])
    model = Model([source, target], dense(y))
    model.compile("adam", "mse")
    model.fit([X, X], X, verbose=0)
    encode = Model(source, [h, c])
    first = [L.Input(shape=(UNITS,)), L.Input(shape=(UNITS,))]
    y, *after = decoder(target, initial_state=first)
    decode = Model([target, *first], [dense(y), *after])
    states, answers = encode.predict(X), []
    for t in range(STEPS):
        answer, *states = decode.predict([X[:, t : t + 1], *states])
        answers.append(answer)
    np.testing.assert_allclose(np.concatenate(answers, 1), model.predict([X, X]), rtol=1e-5, atol=1e-6)


ROUND_TRIPS: dict[str, Callable[[], Any]] = {
    "SimpleRNN": lambda: L.SimpleRNN(UNITS, unroll=True, input_shape=(STEPS, FEATURES)),
    "GRU": lambda: L.GRU(UNITS, reset_after=True, recurrent_activation="hard_sigmoid", kernel_regularizer="l2"),
    "LSTM": lambda: L.LSTM(UNITS, return_sequences=True, time_major=True, dropout=0.1, recurrent_constraint="max_norm"),
    "CuDNNGRU": lambda: L.CuDNNGRU(UNITS, go_backwards=True),
    "CuDNNLSTM": lambda: L.CuDNNLSTM(UNITS, return_state=True),
    "cell": lambda: L.RNN(L.LSTMCell(UNITS, unit_forget_bias=False), zero_output_for_mask=True),
    "custom": lambda: L.RNN(Minimal(UNITS), return_sequences=True),
    "stacked": lambda: L.RNN([L.GRUCell(UNITS), Minimal(2)], stateful=False),
}


@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_configurations_come_back(name: str) -> None:
    layer = ROUND_TRIPS[name]()
    config = L.serialize(layer)
    again = L.deserialize(json.loads(json.dumps(config)), custom_objects=CELLS)
    assert type(again) is type(layer)
    assert json.dumps(L.serialize(again)) == json.dumps(config)


def test_models_with_states_and_constants_come_back() -> None:
    x, h, k = inputs(), L.Input(shape=(UNITS,)), L.Input(shape=(2,))
    y = L.GRU(UNITS, return_sequences=True)(x, initial_state=h)

    class Shifted(Minimal):  # type: ignore[valid-type, misc]
        def call(self, inputs: Any, states: Any, constants: Any = None) -> Any:
            y, after = super().call(inputs, states)
            return y + constants[0], after

    model = Model([x, h, k], [L.RNN(Minimal(2))(y), L.RNN(Shifted(2))(y, constants=k)])
    arrays = [X, np.ones((SAMPLES, UNITS)), np.ones((SAMPLES, 2))]
    expected = model.predict(arrays)
    config = json.loads(json.dumps(model.get_config()))
    copies = [Model.from_config(config, custom_objects={**CELLS, "Shifted": Shifted}), keras.models.clone_model(model)]
    for copy in copies:
        copy.set_weights(model.get_weights())
        for one, other in zip(copy.predict(arrays), expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6)


def test_a_model_of_recurrent_layers_as_a_layer() -> None:
    x, h = inputs(), L.Input(shape=(UNITS,))
    inner = Model([x, h], L.GRU(UNITS, return_sequences=True)(x, initial_state=h))
    a, b = inputs(), L.Input(shape=(UNITS,))
    outer = Model([a, b], inner([a * 2.0, b + 1.0]))
    start = np.zeros((SAMPLES, UNITS))
    np.testing.assert_allclose(outer.predict([X, start]), inner.predict([2 * X, start + 1]), rtol=1e-5, atol=1e-6)


def test_weights_are_named_after_the_layer_and_ordered_cell_by_cell() -> None:
    layer = L.LSTM(UNITS, name="memory")
    model_of(layer)
    assert [w.label for w in layer.weights] == ["memory/kernel", "memory/recurrent_kernel", "memory/bias"]
    assert layer.units == UNITS and layer.kernel is layer.cell.kernel  # noqa: PT018 - two names of one thing
    np.testing.assert_array_equal(layer.get_weights()[2], [0] * 3 + [1] * 3 + [0] * 6)
    stacked = L.RNN([L.SimpleRNNCell(2, use_bias=False), L.GRUCell(1)])
    model_of(stacked)
    assert [w.shape for w in stacked.get_weights()] == [(2, 2), (2, 2), (2, 3), (1, 3), (3,)]


@pytest.mark.parametrize(("fast", "plain"), [(L.CuDNNLSTM, L.LSTM), (L.CuDNNGRU, L.GRU)])
def test_layers_of_cudnn(fast: Any, plain: Any) -> None:
    one = fast(UNITS, return_sequences=True, return_state=True)
    other = plain(UNITS, return_sequences=True, return_state=True, **({"reset_after": True} if plain is L.GRU else {}))
    models = [model_of(one), model_of(other)]
    random = np.random.default_rng(2)
    kernel, recurrent, bias = [random.standard_normal(w.shape) for w in one.get_weights()]
    assert bias.shape == (2 * other.cell.gates * UNITS,)
    one.set_weights([kernel, recurrent, bias])
    halves = bias.reshape(2, -1)

    def by_rows(x: Any) -> Any:
        """cuDNN has the transposed matrix of each gate."""
        return np.hstack([part.reshape(UNITS, len(x)).T for part in np.hsplit(x, other.cell.gates)])

    other.set_weights([by_rows(kernel), by_rows(recurrent), halves if plain is L.GRU else halves.sum(0)])
    for a, b in zip(*(model.predict(X) for model in models), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_a_layer_that_defines_its_step() -> None:
    class Sums(L.Recurrent):
        def __init__(self, units: int, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.units = units

        def build(self, input_shape: Any) -> None:
            self.input_spec = [L.InputSpec(shape=(input_shape[0] if self.stateful else None, None, input_shape[2]))]
            self.states = [None, None]
            if self.stateful:
                self.reset_states()
            self.built = True

        def preprocess_input(self, inputs: Any, training: Any = None) -> Any:
            return inputs * 2.0

        def get_constants(self, inputs: Any, training: Any = None) -> Any:
            return [K.constant(3.0)]

        def step(self, inputs: Any, states: Any) -> Any:
            total, count, factor = states
            return total + inputs * factor, [total + inputs * factor, count + 1.0]

    y, last, count = model_of(Sums(FEATURES, return_sequences=True, return_state=True)).predict(X)
    np.testing.assert_allclose(y, 6 * np.cumsum(X, 1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(count, np.full((SAMPLES, FEATURES), STEPS))
    model = Sequential([Sums(FEATURES, stateful=True, batch_input_shape=X.shape)])
    model.predict(X)
    np.testing.assert_allclose(model.predict(X), 2 * last, rtol=1e-5, atol=1e-6)


# ---- stateful


def stateful_model(**kwargs: Any) -> Model:
    return Sequential([L.LSTM(UNITS, stateful=True, batch_input_shape=X.shape, name="lstm", **kwargs), L.Dense(1)])


def test_states_in_functions_and_frozen_models() -> None:
    model = stateful_model()
    twice = Sequential([L.LSTM(UNITS, input_shape=(None, FEATURES)), L.Dense(1)])
    twice.set_weights(model.get_weights())
    expected = [twice.predict(np.concatenate([X] * n, 1)) for n in (1, 2, 3)]
    frozen = keras.compile(model)
    run = K.function(model.inputs, model.outputs, updates=model.state_updates)
    for answer in (model.predict, model.predict_on_batch, frozen, lambda x: run([x])[0]):
        for wanted in expected:
            np.testing.assert_allclose(answer(X), wanted, rtol=1e-5, atol=1e-6)
        for layer in model.layers[:1]:
            layer.reset_state()  # as Keras 3 has it; model.reset_states() does this for all layers
    np.testing.assert_allclose(frozen(X), twice.predict(np.concatenate([X] * 4, 1)), rtol=1e-5, atol=1e-6)
    frozen.reset_states()
    np.testing.assert_allclose(frozen(X), expected[0], rtol=1e-5, atol=1e-6)
    model.reset_states()
    np.testing.assert_allclose(model.predict(X), expected[0], rtol=1e-5, atol=1e-6)
    layer = model.get_layer("lstm")
    layer.reset_states([np.ones((SAMPLES, UNITS)), np.zeros((SAMPLES, UNITS))])
    assert np.abs(model.predict(X) - expected[0]).max() > 1e-3


def test_states_in_exported_files(tmp_path: Any) -> None:
    import onnxruntime

    model = stateful_model()
    expected = [model.predict(X) for _ in range(3)]
    model.export(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    states = {name: np.zeros((SAMPLES, UNITS), np.float32) for name in ("lstm_state_h", "lstm_state_c")}
    assert [i.name for i in session.get_inputs()] == ["lstm_input", *states]
    for wanted in expected:
        answer, *after = session.run(None, {"lstm_input": X, **states})
        states = dict(zip(states, after, strict=True))
        np.testing.assert_allclose(answer, wanted, rtol=1e-5, atol=1e-6)
    model.compile("sgd", "mse")
    model.export_training(tmp_path / "training")
    manifest = json.loads((tmp_path / "training" / "manifest.json").read_text())
    for name in ("train_step", "eval_step", "model"):
        assert manifest[name]["state_outputs"]["lstm_state_c.next"] == "lstm_state_c"


def test_several_steps_in_one_run_hand_states_on() -> None:
    weights = []
    for steps in (1, 2):
        model = stateful_model(kernel_initializer="ones", recurrent_initializer="zeros")
        model.layers[1].set_weights([np.ones((UNITS, 1)), np.zeros(1)])
        model.compile("sgd", "mse", steps_per_execution=steps)
        model.fit(np.concatenate([X] * 4), np.ones((4 * SAMPLES, 1)), epochs=2, shuffle=False, verbose=0)
        weights.append([*model.get_weights(), *(state.numpy() for state in model.layers[0].states)])
    for one, two in zip(*weights, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


# ---- arguments


KERAS_1 = [
    (
        lambda: L.LSTM(
            output_dim=4, init="uniform", inner_init="glorot_uniform", forget_bias_init="zero", inner_activation="relu",
            W_regularizer="l1", U_regularizer="l2", b_regularizer="l1", dropout_W=0.1, dropout_U=0.2,
            consume_less="mem", input_dim=2, input_length=5,
        ),
        lambda: L.LSTM(
            4, kernel_initializer="uniform", recurrent_initializer="glorot_uniform", unit_forget_bias=False,
            recurrent_activation="relu", kernel_regularizer="l1", recurrent_regularizer="l2", bias_regularizer="l1",
            dropout=0.1, recurrent_dropout=0.2, implementation=1, input_shape=(5, 2),
        ),
        r"'output_dim'.* are arguments of Keras 1; write LSTM\(units=4, kernel_initializer='uniform'",
    ),
    (lambda: L.GRU(4, consume_less="gpu"), lambda: L.GRU(4, implementation=2), r"write GRU\(implementation=2\)"),
    (lambda: L.SimpleRNN(4, consume_less="cpu"), lambda: L.SimpleRNN(4), "'consume_less' is an argument of Keras 1$"),
    (lambda: L.GRU(4, truncate_gradient=-1), lambda: L.GRU(4), "'truncate_gradient' is an argument of Keras 1$"),
    (lambda: L.LSTM(4, implementation=0), lambda: L.LSTM(4, implementation=1), "is now implementation=1"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), KERAS_1)
def test_arguments_of_keras_1(old: Any, new: Any, message: str) -> None:
    with pytest.warns(UserWarning, match=message):
        one = old().get_config()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other = new().get_config()
    assert {**one, "name": ""} == {**other, "name": ""}


def test_initial_weights() -> None:
    weights = [np.ones((FEATURES, UNITS)), np.ones((UNITS, UNITS)), np.zeros(UNITS)]
    model = Sequential([L.SimpleRNN(UNITS, weights=weights, input_dim=FEATURES)])
    np.testing.assert_array_equal(model.get_weights()[0], weights[0])


def fixed() -> Model:
    return stateful_model()


REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: L.LSTM(0), ValueError, "LSTM: units must be an integer of at least 1, got 0"),
    (lambda: L.GRU(2.5), TypeError, "GRU: units must be an integer"),
    (lambda: L.LSTM(2, dropout=1.0), ValueError, "LSTM: dropout must be"),
    (lambda: L.LSTM(2, recurent_dropout=0.1), TypeError, "did you mean 'recurrent_dropout'"),
    (lambda: L.LSTM(2, output_dim=3), TypeError, "LSTM got 'units' twice: 'output_dim' is Keras 1's name of it"),
    (lambda: L.GRU(2, consume_less="less"), ValueError, "GRU: consume_less must be one of 'cpu', 'mem', 'gpu'"),
    (lambda: L.GRU(2, truncate_gradient=5), ValueError, "truncate_gradient=5 .* not supported"),
    (lambda: L.LSTM(2, forget_bias_init="uniform"), ValueError, "forget_bias_init='uniform' .* has no counterpart"),
    (lambda: L.LSTM(2, implementation=3), ValueError, "implementation must be an integer between 0 and 2, got 3"),
    (lambda: L.RNN(object()), TypeError, r"RNN: a cell needs a method call\(inputs, states\)"),
    (lambda: L.RNN(L.Dense(2)), TypeError, "a cell needs an attribute state_size"),
    (lambda: L.StackedRNNCells([]), TypeError, "cells must be a list of cells"),
    (lambda: L.LSTM(2)(L.Input((3,))), ValueError, "expected 3"),
    (lambda: L.LSTM(2)(L.Input((3, None))), ValueError, "needs to know the number of features"),
    (lambda: L.LSTM(2, unroll=True)(inputs()), ValueError, "unroll=True, which needs a known number of steps"),
    (lambda: L.LSTM(2)(inputs(), initial_state=[L.Input((2,))]), ValueError, "has 2 states .*, got 1 tensor"),
    (
        lambda: L.LSTM(2)(inputs(), initial_state=[L.Input((2,)), L.Input((3,))]),
        ValueError,
        r"initial state 1 has shape \(None, 3\); expected \(None, 2\)",
    ),
    (
        lambda: L.LSTM(2)(inputs(), initial_state=[L.Input((2,)), K.zeros((1, 2))]),
        ValueError,
        "some of the initial states and constants depend on model inputs and some do not",
    ),
    (
        lambda: L.GRU(2)([inputs(), L.Input((2,))], initial_state=[L.Input((2,))]),
        ValueError,
        "got initial states twice",
    ),
    (lambda: L.RNN(Minimal(2))(inputs(), constants=L.Input((2,))), ValueError, "has no argument constants"),
    (lambda: L.LSTM(2, stateful=True)(inputs()), ValueError, "stateful and needs a fixed batch size"),
    (lambda: L.LSTM(2).reset_states(), AttributeError, "is not stateful"),
    (lambda: L.LSTM(2, stateful=True).reset_states(), ValueError, "is not built, so it has no states yet"),
    (lambda: fixed().layers[0].reset_states([X]), ValueError, "has 2 states, got 1"),
    (lambda: fixed().layers[0].reset_states([X, X]), ValueError, r"state 0 .* has shape \(3, 3\), got \(3, 4, 2\)"),
    (lambda: fixed().predict(X[:2]), ValueError, "exactly 3 samples .*, got 2 in all; cut or pad"),
    (lambda: fixed().predict(X, batch_size=1), ValueError, "got batch_size 1; leave batch_size out"),
    (lambda: fixed().predict_on_batch(X[:1]), ValueError, "exactly 3 samples .* got a batch of 1"),
    (
        lambda: K.rnn(lambda x, s: (x, []), K.constant(X), [K.zeros((3, 2))]),
        ValueError,
        "must return as many states as it gets, 1, got 0",
    ),
    (
        lambda: K.rnn(
            lambda x, states: (x, states), K.placeholder((None, None, 2)), [K.placeholder((None, 2))], unroll=True
        ),
        ValueError,
        "unroll needs a known number of steps",
    ),
]


@pytest.mark.parametrize(("make", "kind", "message"), REFUSED)
def test_refused(make: Callable[[], Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        make()


def test_losses_inside_of_a_loop_are_refused() -> None:
    class Costly(L.Layer):
        state_size = FEATURES

        def call(self, inputs: Any, states: Any) -> Any:
            self.add_loss(K.sum(inputs))
            return inputs, states

    with pytest.raises(ValueError, match="adds losses, updates or metrics at each step of a loop"):
        L.RNN(Costly())(inputs())
    x = inputs(steps=2)
    model = Model(x, L.RNN(Costly(), unroll=True)(x))
    model.compile("sgd")
    np.testing.assert_allclose(model.evaluate(X[:, :2], verbose=0), X[:, :2].sum(), rtol=1e-5)
