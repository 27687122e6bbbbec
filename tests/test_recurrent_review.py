"""Recurrence as a stranger uses it: cells that tell nothing of their arguments, and what is said of misfits."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kcompile import activations
from kcompile import backend as K
from kcompile import layers as L
from kcompile.models import Model, clone_model, load_model, model_from_json

X = np.random.default_rng(0).standard_normal((3, 4, 2)).astype(np.float32)


class Plain(L.Layer):
    """A cell without ``get_config``, as in many tutorials."""

    def __init__(self, units: int, activation: Any = "tanh", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = self.state_size = units
        self.activation = activations.get(activation)

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1] + self.units, self.units))
        self.built = True

    def call(self, inputs: Any, states: Any) -> Any:
        h = self.activation(K.dot(K.concatenate([inputs, states[0]]), self.kernel))
        return h, [h]


class Minimal(L.AbstractRNNCell):
    """The example of tf.keras' documentation."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        self.units = units
        super().__init__(**kwargs)

    @property
    def state_size(self) -> int:
        return self.units

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units), initializer="uniform", name="kernel")
        self.recurrent_kernel = self.add_weight(shape=(self.units, self.units), initializer="uniform", name="recurrent")
        self.built = True

    def call(self, inputs: Any, states: Any) -> Any:
        output = K.dot(inputs, self.kernel) + K.dot(states[0], self.recurrent_kernel)
        return output, output


class Around(L.Layer):
    """A layer that is made with another one."""

    def __init__(self, inner: L.Layer, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inner = inner


class Residual(Around):
    """A cell around a cell."""

    def __init__(self, cell: L.Layer, **kwargs: Any) -> None:
        super().__init__(cell, **kwargs)
        self.state_size = self.inner.state_size

    def call(self, inputs: Any, states: Any) -> Any:
        y, after = self.inner(inputs, states)
        return y + inputs, after


UNTOLD: dict[str, Callable[[], L.Layer]] = {
    "cell": lambda: L.RNN(Plain(3, activation="sigmoid"), return_sequences=True),
    "abstract": lambda: L.RNN(Minimal(3), return_state=True),
    "bidirectional": lambda: L.Bidirectional(L.RNN(Plain(3, "relu"))),
    "stacked": lambda: L.Bidirectional(L.RNN([Plain(3), Plain(activation="softsign", units=2)]), merge_mode="sum"),
}


@pytest.mark.parametrize("name", UNTOLD)
def test_layers_without_get_config_keep_their_arguments(name: str) -> None:
    x = L.Input((None, 2))
    model = Model(x, UNTOLD[name]()(x))
    expected = model.predict(X)
    for copy in (clone_model(model), model_from_json(model.to_json(), {"Plain": Plain, "Minimal": Minimal})):
        copy.set_weights(model.get_weights())
        np.testing.assert_allclose(copy.predict(X), expected, rtol=1e-6)


def test_a_cell_around_a_cell_trains_the_inner_one() -> None:
    x = L.Input((None, 2))
    model = Model(x, L.RNN(Residual(L.GRUCell(2, dropout=0.1, recurrent_dropout=0.1)))(x))
    model.compile("adam", "mse")
    before = model.get_weights()
    model.fit(X, X[:, 0], verbose=0)
    assert len(before) == 3
    assert all(np.any(one != other) for one, other in zip(before, model.get_weights(), strict=True))


def test_a_layer_that_holds_others_has_no_configuration_by_itself() -> None:
    assert "inner" not in Around(L.Dense(2)).get_config()
    assert json.dumps(Plain(2, trainable=False).get_config())


def cell_of(call: Any, state_size: Any = 2) -> L.Layer:
    return type("Odd", (L.Layer,), {"state_size": state_size, "call": call})()


def steps(x: Any, states: Any) -> Any:
    return x, states


def inputs(*shape: int | None) -> Any:
    return L.Input(shape)


MISFITS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: L.LSTM(3, name="a")(inputs(5, 2), mask=inputs(6)),
        ValueError,
        r"layer 'a' \(LSTM\) .* the mask must have the shape \(batch, time\), here \(None, 5\), got \(None, 6\)",
    ),
    (lambda: L.LSTM(3)(inputs(5, 2), mask=inputs(5, 2)), ValueError, r"here \(None, 5\), got \(None, 5, 2\)"),
    (lambda: L.GRU(3, time_major=True)(inputs(5, 2), mask=inputs(7)), ValueError, r"must have the shape \(time, batch"),
    (lambda: L.RNN(Plain(3))(inputs(5, 2), mask=inputs(6)), ValueError, r"layer 'rnn_\d+' \(RNN\) .* the mask must"),
    (lambda: L.Bidirectional(L.GRU(3))(inputs(4)), ValueError, r"\(GRU\) takes an input \(batch, time, \.\.\.\) of 3"),
    (lambda: L.TimeDistributed(L.LSTM(3))(inputs(5, 2)), ValueError, r"\(LSTM\) takes an input .* shape \(None, 2\)"),
    (lambda: L.RNN(cell_of(lambda self, x, s: x))(inputs(5, 2)), TypeError, "cell Odd must return the output and a l"),
    (lambda: L.RNN(cell_of(lambda self, x, s: (x, [x, x])))(inputs(5, 2)), ValueError, "as it gets, 1, got 2"),
    (
        lambda: L.RNN(cell_of(lambda self, x, s: (x, [K.concatenate([s[0], x])])))(inputs(5, 2)),
        ValueError,
        r"state 0 has the shape \(None, 2\) before a step and \(None, 4\) after it",
    ),
    (lambda: L.RNN(L.AbstractRNNCell()), NotImplementedError, "AbstractRNNCell must define state_size"),
    (lambda: L.GRU(2)(inputs(5, 2), initial_state="zeros"), TypeError, "must be tensors or arrays, got 'zeros'"),
    (lambda: L.RNN(cell_of(steps, {"h": 2})), TypeError, "must be a size or a list of sizes, got a dictionary"),
    (lambda: L.RNN(cell_of(steps, "2"))(inputs(5, 2)), TypeError, "state_size .* must be a size or a list of sizes"),
    (lambda: K.rnn(lambda x, s: x, K.zeros((2, 5, 3)), [K.zeros((2, 3))]), TypeError, "a step must return its output"),
    (
        lambda: K.rnn(steps, [K.zeros((2, 5, 3)), K.zeros((2, 4, 3))], [K.zeros((2, 3))]),
        ValueError,
        r"different numbers of steps: \[5, 4\]",
    ),
    (
        lambda: L.Bidirectional(L.RNN(Residual(L.LSTMCell(2)))),
        TypeError,
        "missing 1 required positional argument: 'cell'; its get_config must return what its __init__ takes",
    ),
    (lambda: L.LSTM(3, foo=1), TypeError, r"unknown argument 'foo'\. It takes units"),
    (lambda: L.CuDNNLSTM(3, implementation=1), TypeError, "CuDNNLSTM has no choice of implementation, got 1"),
    (lambda: L.CuDNNGRU(3, activation="relu"), TypeError, "CuDNNGRU got an unknown argument 'activation'"),
    (lambda: L.LSTM(activation="relu"), TypeError, "LSTM: missing a required argument: 'units'"),
    (lambda: L.LSTMCell(3).get_initial_state(), ValueError, "needs the inputs of one step, or a batch size"),
    (lambda: L.TimeDistributed(L.Dense(3)).build(), ValueError, "is built for an input shape, got None"),
]


@pytest.mark.parametrize(("make", "kind", "message"), MISFITS)
def test_misfits(make: Callable[[], Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        make()


def test_arrays_as_first_states_of_both_directions() -> None:
    x, states = L.Input((None, 2)), [np.full((3, 2), value, np.float32) for value in (0.5, -0.25)]
    layer = L.Bidirectional(L.GRU(2))
    given = [L.Input((2,)) for _ in states]
    expected = Model([x, *given], layer(x, initial_state=given)).predict([X, *states])
    np.testing.assert_allclose(Model(x, layer(x, initial_state=states)).predict(X), expected, rtol=1e-6)


@pytest.mark.parametrize("end", ["h5", "keras"])
def test_arrays_as_first_states_are_saved(end: str, tmp_path: Any) -> None:
    x, state = L.Input((None, 2)), np.linspace(-1, 1, 6, dtype=np.float32).reshape(3, 2)
    both = L.Bidirectional(L.SimpleRNN(2))(x, initial_state=[state, -state])
    model = Model(x, [L.GRU(2)(x, initial_state=state), L.LSTM(2)(x, initial_state=[state, 2 * state]), both])
    model.save(tmp_path / f"model.{end}")
    for one, other in zip(load_model(tmp_path / f"model.{end}").predict(X), model.predict(X), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.parametrize("layer", [L.LSTM, L.GRU, L.SimpleRNN])
def test_inputs_of_another_float_type_are_cast_to_the_layer_s(layer: Any) -> None:
    made, results = layer(2), []
    for dtype in ("float64", "float32"):
        x = L.Input((None, 2), dtype=dtype)
        results.append(Model(x, made(x)).predict(X.astype(dtype)))
    assert results[0].dtype == np.float32
    np.testing.assert_allclose(*results, rtol=1e-6)
