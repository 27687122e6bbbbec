"""``K.rnn``, dropout within recurrence, and cells, beyond what Keras recorded."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

import kcompile as keras
from kcompile import backend as K
from kcompile import layers as L
from kcompile.models import Model
from tests.golden.cases.recurrent import shape_type
from tests.recurrent_samples import (
    FEATURES,
    SAMPLES,
    STEPS,
    UNITS,
    GatedSum,
    Nested,
    X,
    inputs,
    model_of,
)


class Slow(L.LSTMCell):
    """An LSTM cell that only its ``call`` knows: it runs in a loop."""

    def call(self, inputs: Any, states: Any, training: Any = None) -> Any:
        return super().call(inputs, states, training=training)


class SlowGRU(L.GRUCell):
    def call(self, inputs: Any, states: Any, training: Any = None) -> Any:
        return super().call(inputs, states, training=training)


class SlowSimple(L.SimpleRNNCell):
    def call(self, inputs: Any, states: Any, training: Any = None) -> Any:
        return super().call(inputs, states, training=training)


# ---- K.rnn


def by_hand(x: Any, mask: Any, h: Any, w: Any, backwards: bool, zeros: bool, own: bool) -> list[Any]:
    """What K.rnn gives for ``h = tanh(x + h @ w)``, where the output is h, or (not ``own``) 2 h + 1."""
    previous, outputs = np.zeros_like(h), []
    for t in reversed(range(x.shape[1])) if backwards else range(x.shape[1]):
        new = np.tanh(x[:, t] + h @ w)
        valid = mask[:, t, None]
        previous = np.where(valid, new if own else 2 * new + 1, 0 if zeros else previous)
        h = np.where(valid, new, h)
        outputs.append(previous)
    return [previous, np.stack(outputs, 1), h]


@settings(max_examples=12, deadline=None)
@given(
    some.integers(1, 4), some.integers(1, 5), some.booleans(), some.booleans(), some.booleans(), some.booleans(),
    some.integers(0, 2**32 - 1),
)  # fmt: skip
def test_rnn_masks(samples: int, steps: int, backwards: bool, zeros: bool, own: bool, unroll: bool, seed: int) -> None:
    random = np.random.default_rng(seed)
    x, h, w = (random.standard_normal(s).astype(np.float32) for s in ((samples, steps, 2), (samples, 2), (2, 2)))
    mask = random.random((samples, steps)) < 0.6
    shapes = ((None, steps if unroll else None, 2), (None, None), (None, 2))
    px, pm, ph = (K.placeholder(shape) for shape in shapes)

    def step(x: Any, states: Any) -> Any:
        new = K.tanh(x + K.dot(states[0], K.constant(w)))
        return (new if own else new * 2 + 1), [new]

    last, outputs, (state,) = K.rnn(
        step, px, [ph], go_backwards=backwards, mask=pm, unroll=unroll, zero_output_for_mask=zeros
    )
    results = K.function([px, pm, ph], [last, outputs, state])([x, mask.astype(np.float32), h])
    for got, expected in zip(results, by_hand(x, mask, h, w, backwards, zeros, own), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def total(x: Any, states: Any) -> Any:
    return states[0] + x, [states[0] + x]


def test_rnn_takes_lengths_and_constants() -> None:
    x, zeros = K.constant(X), K.constant(np.zeros((SAMPLES, FEATURES)))
    lengths = np.array([1, 4, 2])
    last, outputs, _ = K.rnn(total, x, [zeros], input_length=K.constant(lengths, dtype="int64"))
    np.testing.assert_allclose(K.eval(last), [X[i, :n].sum(0) for i, n in enumerate(lengths)], rtol=1e-5)
    last, _, _ = K.rnn(total, x, [zeros], input_length=K.constant(lengths, dtype="int64"), go_backwards=True)
    np.testing.assert_allclose(K.eval(last), [X[i, :n].sum(0) for i, n in enumerate(lengths)], rtol=1e-5)
    with pytest.raises(ValueError, match="input_length is 7, but the inputs have 4 steps"):
        K.rnn(total, x, [zeros], input_length=7)

    def scaled(x: Any, states: Any) -> Any:
        return x * states[1], [states[0]]

    _, outputs, _ = K.rnn(scaled, x, [zeros], constants=[K.constant(3.0)])
    np.testing.assert_allclose(K.eval(outputs), 3 * X, rtol=1e-6)


def test_steps_draw_different_numbers_and_runs_too() -> None:
    x = K.placeholder((None, None, 50))
    _, drawn, _ = K.rnn(lambda x, s: (K.dropout(x, 0.5), s), x, [K.zeros_like(x[:, 0])])
    _, once, _ = K.rnn(lambda x, s: (K.dropout(x, 0.5), s), x, [K.zeros_like(x[:, 0])], unroll=False)
    run = K.function([x], [drawn, once])
    ones = np.ones((1, 6, 50), np.float32)
    first, second = (np.concatenate([a[0] for a in run([ones])]) for _ in range(2))
    rows = {tuple(row) for row in np.concatenate([first, second])}
    assert len(rows) == 24  # each of 2 loops x 6 steps x 2 runs has numbers of its own


# ---- dropout


def trained(outputs: list[Any], x: Any, array: np.ndarray) -> list[np.ndarray]:
    return K.function([x, K.learning_phase()], outputs)([array, 1])


def test_dropout_masks_stay_for_the_sequence() -> None:
    rate, size = 0.25, 40
    eye, nothing, x = np.eye(size), np.zeros((size, size)), inputs(size)
    ones = np.ones((30, 5, size), np.float32)
    of_input = L.SimpleRNN(size, "linear", dropout=rate, return_sequences=True, use_bias=False)
    of_state = L.SimpleRNN(size, "linear", recurrent_dropout=rate, return_sequences=True, use_bias=False)
    y, z = of_input(x), of_state(x, initial_state=K.constant(np.ones((30, size))))
    of_input.set_weights([eye, nothing])
    of_state.set_weights([nothing, eye])
    dropped, kept = trained([y, z], x, ones)
    for mask in (dropped, kept):
        assert 0.7 < np.mean(mask[:, 0] > 0) < 0.8
        assert len({tuple(row) for row in mask[:, 0]}) == 30  # each sample has its own
    np.testing.assert_allclose(dropped, np.repeat(dropped[:, :1], 5, 1), rtol=1e-6)
    np.testing.assert_allclose(dropped[dropped > 0], 1 / (1 - rate), rtol=1e-6)
    powers = np.cumprod(np.repeat(kept[:, :1], 5, 1), axis=1)  # multiplied with the same mask at each step
    np.testing.assert_allclose(kept, powers, rtol=1e-5)
    quiet = K.function([x], [y, z])([ones])
    np.testing.assert_allclose(quiet[0], ones, rtol=1e-6)
    np.testing.assert_allclose(quiet[1], ones, rtol=1e-6)


@pytest.mark.parametrize(("implementation", "masks"), [(1, 3), (2, 1)])
def test_implementations_have_a_mask_for_each_gate_or_one(implementation: int, masks: int) -> None:
    size, x = 60, inputs(60)
    layer = L.LSTM(size, "linear", "linear", False, implementation=implementation, dropout=0.3, return_sequences=True)
    y = layer(x)
    kernel = np.concatenate([np.eye(size), np.zeros((size, size)), np.eye(size), np.eye(size)], 1)  # nothing is kept
    layer.set_weights([kernel, np.zeros((size, 4 * size))])
    (drawn,) = trained([y], x, np.ones((30, 3, size), np.float32))
    np.testing.assert_allclose(drawn, np.repeat(drawn[:, :1], 3, 1), rtol=1e-6)
    assert abs(np.mean(drawn[:, 0] != 0) - 0.7**masks) < 0.05
    np.testing.assert_allclose(drawn[drawn != 0], 0.7**-3, rtol=1e-5)


@pytest.mark.parametrize(
    ("fast", "slow", "arguments"),
    [
        (L.SimpleRNNCell, SlowSimple, {}),
        (L.GRUCell, SlowGRU, {"reset_after": True, "implementation": 1}),
        (L.GRUCell, SlowGRU, {"implementation": 2}),
        (L.LSTMCell, Slow, {"implementation": 1}),
        (L.LSTMCell, Slow, {"implementation": 2}),
    ],
)
@pytest.mark.parametrize("rates", [(0.4, 0.0), (0.4, 0.4)])
def test_all_steps_at_once_drop_what_single_steps_drop(fast: Any, slow: Any, arguments: Any, rates: Any) -> None:
    x, outputs = inputs(), []
    for cell in (fast, slow):
        own = cell(UNITS, dropout=rates[0], recurrent_dropout=rates[1], seed=7, **arguments)
        layer = L.RNN(own, return_sequences=True)
        y = layer(x)
        outputs += [y, *K.gradients(K.sum(y * y), layer.trainable_weights)]
        random = np.random.default_rng(1)
        layer.set_weights([random.standard_normal(w.shape) for w in layer.get_weights()])
    results = trained(outputs, x, X)
    half = len(results) // 2
    for one, other in zip(results[:half], results[half:], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


# ---- cells


def test_gradients_of_a_custom_cell_are_those_of_finite_differences() -> None:
    x, h = K.placeholder((None, None, FEATURES)), K.placeholder((None, 2))
    layer = L.RNN(GatedSum(2, shape_type(keras)), return_sequences=True)
    states = [h, K.zeros_like(h)[:, :, None] + K.zeros((3,)), K.ones_like(h[:, :1])]
    y = layer(x, initial_state=states)
    random = np.random.default_rng(5)
    layer.set_weights([random.uniform(-0.7, 0.7, w.shape) for w in layer.get_weights()])
    value = K.sum(K.sin(y))
    run = K.function([x, h], [value, *K.gradients(value, [x, h, *layer.trainable_weights])])
    start = np.full((SAMPLES, 2), 0.3, np.float32)
    found = run([X, start])

    def change(index: int, direction: np.ndarray, step: float = 2e-2) -> float:
        results = []
        for sign in (1, -1):
            arrays = [X, start]
            if index < 2:
                arrays[index] = arrays[index] + sign * step * direction
                results.append(run(arrays)[0])
                continue
            weight = layer.trainable_weights[index - 2]
            before = weight.numpy()
            weight.assign(before + sign * step * direction)
            results.append(run(arrays)[0])
            weight.assign(before)
        return float(results[0] - results[1]) / (2 * step)

    for index, gradient in enumerate(found[1:]):
        direction = random.standard_normal(gradient.shape).astype(np.float32)
        np.testing.assert_allclose(change(index, direction), np.sum(gradient * direction), rtol=5e-3, atol=5e-3)


def test_a_cell_that_asks_for_the_phase_gets_both() -> None:
    class Noisy(L.Layer):
        state_size = FEATURES

        def call(self, inputs: Any, states: Any, training: Any = None) -> Any:
            if training:
                return inputs * 10, states
            return inputs, states

    x = inputs()
    y = L.RNN(Noisy(), return_sequences=True)(x)
    run = K.function([x, K.learning_phase()], [y])
    np.testing.assert_allclose(run([X, 1])[0], 10 * X, rtol=1e-6)
    np.testing.assert_allclose(run([X, 0])[0], X, rtol=1e-6)


def test_a_frozen_layer_can_be_thawed() -> None:
    layer = L.GRU(UNITS, trainable=False)
    model = model_of(layer)
    assert (len(model.trainable_weights), len(model.non_trainable_weights)) == (0, 3)
    layer.trainable = True
    assert (len(model.trainable_weights), len(model.non_trainable_weights)) == (3, 0)


def test_nested_inputs_come_back() -> None:
    class Named(L.Layer):
        state_size = 2

        def call(self, inputs: Any, states: Any) -> Any:
            y = inputs["a"] + inputs["b"] + states[0]
            return y, [y]

    class Pair(Nested):  # type: ignore[valid-type, misc]
        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "sizes": self.state_size}

    x, y = inputs(), inputs()
    named, pair = L.RNN(Named())({"a": x, "b": y}), L.RNN(Pair((2, 3)))((x, y))
    model = Model([x, y], [named, *pair])
    copy = Model.from_config(json.loads(json.dumps(model.get_config())), custom_objects={"Named": Named, "Pair": Pair})
    copy.set_weights(model.get_weights())
    for one, other in zip(model.predict([X, 2 * X]), copy.predict([X, 2 * X]), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    np.testing.assert_allclose(model.predict([X, 2 * X])[0], 3 * X.sum(1), rtol=1e-5, atol=1e-6)


def test_any_object_with_call_and_state_size_is_a_cell() -> None:
    class Counter:
        state_size = 1

        def get_initial_state(self, batch_size: Any = None) -> Any:
            return K.ones((batch_size, 1)) * 5.0

        def call(self, inputs: Any, states: Any) -> Any:
            return states[0] + 1, [states[0] + 1]

    x = inputs()
    y = Model(x, L.RNN(Counter(), return_sequences=True)(x)).predict(X)
    np.testing.assert_array_equal(y[:, :, 0], [[6, 7, 8, 9]] * SAMPLES)


def test_layers_within_a_cell() -> None:
    class Deep(L.Layer):
        state_size = 4

        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.inner, self.outer = L.Dense(5, activation="relu"), L.Dense(4)

        def call(self, inputs: Any, states: Any) -> Any:
            y = self.outer(self.inner(K.concatenate([inputs, states[0]])))
            return y, [y]

    model = model_of(L.RNN(Deep()))
    assert [w.shape for w in model.get_weights()] == [(6, 5), (5,), (5, 4), (4,)]
    model.compile("sgd", "mse")
    before = model.get_weights()
    model.fit(X, np.ones((SAMPLES, 4)), verbose=0)
    assert all(np.abs(a - b).max() > 0 for a, b in zip(before, model.get_weights(), strict=True))


def test_a_cell_within_a_cell() -> None:
    class Doubled(L.Layer):
        def __init__(self, units: int, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.inner = L.LSTMCell(units, dropout=0.5)
            self.state_size = self.inner.state_size

        def call(self, inputs: Any, states: Any) -> Any:
            y, after = self.inner(inputs, states)
            return 2.0 * y, after

    layer, plain = L.RNN(Doubled(UNITS), return_sequences=True, return_state=True), L.LSTM(UNITS, return_sequences=True)
    model, reference = model_of(layer), model_of(plain)
    plain.set_weights(layer.get_weights())
    y, h, _ = model.predict(X)
    expected = reference.predict(X)
    np.testing.assert_allclose(y, 2 * expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(h, expected[:, -1], rtol=1e-5, atol=1e-6)
    x = inputs()
    first, second = (K.sum(layer(x)[0]) for _ in range(2))
    one, other = trained([first, second], x, X)
    assert one != other  # each call draws masks of its own


def test_cells_in_a_model_without_a_loop() -> None:
    x, h, c = L.Input((FEATURES,)), L.Input((UNITS,)), L.Input((UNITS,))
    y, (h1, c1) = L.LSTMCell(UNITS)(x, [h, c])
    model = Model([x, h, c], [y, h1, c1])
    loop = L.LSTM(UNITS, return_state=True)
    steps = model_of(loop)
    model.set_weights(steps.get_weights())
    states = [np.zeros((SAMPLES, UNITS))] * 2
    for t in range(STEPS):
        _, *states = model.predict([X[:, t], *states])
    for one, other in zip(states, steps.predict(X)[1:], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    copies = [Model.from_config(json.loads(json.dumps(model.get_config()))), keras.models.clone_model(model)]
    for copy in copies:
        copy.set_weights(model.get_weights())
        np.testing.assert_allclose(copy.predict([X[:, 0], *states])[0], model.predict([X[:, 0], *states])[0], rtol=1e-6)
