"""Wrappers and convolutional recurrence where Keras is no oracle: against the same thing written out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kcompile import Input, Model, Sequential, layers, models
from kcompile import backend as K
from tests.golden.compare import assert_close


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).randn(*shape).astype("float32")


class Scaled(layers.Layer):
    """A user's layer: a product, an update that counts calls, and noise in training."""

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight("kernel", (input_shape[-1], 2))
        self.calls = self.add_weight("calls", (), initializer="zeros", trainable=False)
        super().build(input_shape)

    def call(self, x: Any, training: Any = None) -> Any:
        self.add_update((self.calls, self.calls + 1.0))
        y = K.dot(x, self.kernel) - K.mean(x, axis=0, keepdims=True)[:, :2]
        return y + K.random_normal(K.shape(y)) if training else y


# ---- TimeDistributed


def branches(x_size: int, y_size: int) -> Model:
    x, y = Input((x_size,)), Input((y_size,))
    a, b = layers.Dense(3, activation="tanh")(x), layers.Dense(3)(y)
    return Model([x, y], [layers.add([a, b]), layers.Dense(2)(a)])


@pytest.mark.parametrize("steps", [4, None])
def test_several_inputs_and_outputs(steps: int | None) -> None:
    """Each step is what the inner model makes of it; with an open number of steps, for two numbers."""
    inner = branches(4, 5)
    left, right = Input((steps, 4)), Input((4, 5) if steps else (None, 5))
    outputs = layers.TimeDistributed(inner)([left, right])
    assert [tuple(y.shape) for y in outputs] == [(None, steps, 3), (None, steps, 2)]
    model = Model([left, right], outputs)
    for length in (4,) if steps else (4, 7):
        x, y = numbers(3, length, 4), numbers(3, length, 5, seed=1)
        found = model.predict([x, y])
        for step in range(length):
            for one, expected in zip(found, inner.predict([x[:, step], y[:, step]]), strict=True):
                assert_close(one[:, step], expected, f"step {step}")


def test_mask_of_one_of_several_inputs() -> None:
    left, right = Input((4, 3)), Input((4, 3))
    y = layers.TimeDistributed(layers.Add())([layers.Masking()(left), right])
    x = numbers(2, 4, 3)
    x[0, 1:] = 0
    (mask,) = K.function([left, right], [y._keras_mask])([x, numbers(2, 4, 3, seed=1)])
    assert mask.tolist() == [[True, False, False, False], [True] * 4]


def test_a_stateful_layer_goes_from_step_to_step() -> None:
    """On a fixed batch size, states go on from step to step, and from batch to batch."""
    inner = layers.LSTM(3, stateful=True)
    model = Sequential([layers.TimeDistributed(inner, batch_input_shape=(2, 4, 5, 3))])
    alone = Sequential([layers.LSTM(3, stateful=True, batch_input_shape=(2, 5, 3))])
    alone.set_weights(model.get_weights())
    x = numbers(2, 4, 5, 3)
    for _ in range(2):
        expected = np.stack([alone.predict_on_batch(x[:, step]) for step in range(4)], axis=1)
        assert_close(model.predict_on_batch(x), expected, "outputs")
    model.reset_states()
    alone.reset_states()
    assert_close(model.predict_on_batch(x)[:, 0], alone.predict_on_batch(x[:, 0]), "after reset_states")


def test_a_users_layer_on_a_fixed_batch_size() -> None:
    """It sees one step at a time: its mean is over samples, its update counts steps, its noise differs."""
    inner = Scaled()
    model = Sequential([layers.TimeDistributed(inner, batch_input_shape=(3, 4, 5))])
    x, kernel = numbers(3, 4, 5), inner.get_weights()[0]
    expected = x @ kernel - x.mean(axis=0, keepdims=True)[..., :2]
    assert_close(model.predict(x, batch_size=3), expected, "outputs")
    model.compile("sgd", "mse")
    model.train_on_batch(x, numbers(3, 4, 2))
    assert inner.get_weights()[1] == 4
    inner.set_weights([kernel, np.float32(0)])
    noise = K.function([model.input, K.learning_phase()], [model.output])([x, 1])[0] - expected
    assert len(np.unique(noise.round(4))) == noise.size


class Centred(layers.Layer):
    """A user's layer that mixes samples."""

    def call(self, x: Any) -> Any:
        return x - K.mean(x, axis=0, keepdims=True)


@pytest.mark.parametrize("steps", [4, None])
def test_a_masked_step_repeats_the_one_before_where_steps_are_apart(steps: int | None) -> None:
    x = Input(batch_shape=(2, steps, 5))
    y = layers.TimeDistributed(Centred())(layers.Masking()(x))
    values = numbers(2, 4, 5)
    values[0, 0] = values[0, 2] = 0
    found = Model(x, y).predict(values, batch_size=2)
    assert_close(found[1], values[1] - values.mean(axis=0), "a sample of which no step is masked")
    assert (found[0, 0] == 0).all()
    np.testing.assert_array_equal(found[0, 2], found[0, 1])


def test_indices_of_a_wrapped_embedding_are_checked() -> None:
    model = Sequential([layers.TimeDistributed(layers.Embedding(5, 2), input_shape=(3, 4))])
    assert model.inputs[0].dtype == "int32"
    with pytest.raises(ValueError, match=r"5"):
        model.predict(np.full((1, 3, 4), 5))


# ---- Wrapper


class Halved(layers.Wrapper):
    """What users write: the inner layer's kernel is replaced by another one, here half of it."""

    def __init__(self, layer: Any, factor: float = 0.5, **kwargs: Any) -> None:
        super().__init__(layer, **kwargs)
        self.factor = factor

    def build(self, input_shape: Any = None) -> None:
        if not self.layer.built:
            self.layer.build(input_shape)
            self.layer.built = True
        super().build()
        self.kernel = self.layer.kernel
        self.layer.add_loss(K.sum(K.square(self.kernel)))

    def call(self, inputs: Any) -> Any:
        self.layer.kernel = self.kernel * self.factor
        return self.layer.call(inputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self.layer.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor}


def test_a_users_wrapper() -> None:
    """Weights of the inner layer count once, its losses count, and the configuration holds it."""
    layer = Halved(layers.Dense(3, kernel_regularizer="l2"), factor=0.25)
    model = Sequential([layer, layers.Dense(1)])
    model.build((None, 4))
    kernel, bias = layer.get_weights()
    x = numbers(2, 4)
    assert_close(Model(model.input, layer.output).predict(x), x @ kernel * 0.25 + bias, "output")
    model.compile("sgd", "mse")
    plain = np.square(model.predict(x)).mean()
    expected = plain + (1 + 0.01) * np.square(kernel).sum()
    assert model.evaluate(x, np.zeros((2, 1)), verbose=0) == pytest.approx(expected, rel=1e-5)
    again = models.Model.from_config(Model(model.input, model.output).get_config(), {"Halved": Halved})
    again.set_weights(model.get_weights())
    assert_close(again.predict(x), model.predict(x), "output of the model from its configuration")


def test_a_layer_inside_and_outside_of_a_wrapper_counts_once() -> None:
    """Its regularization counts once, and each of its two calls moves its statistics once."""
    dense, normalization = layers.Dense(2, kernel_regularizer="l2"), layers.BatchNormalization(momentum=0.9)
    x, y = Input((3,)), Input((4, 3))
    outputs = [normalization(dense(x)), layers.TimeDistributed(normalization)(layers.TimeDistributed(dense)(y))]
    model = Model([x, y], outputs)
    assert len(model.losses) == 1
    assert len(model.updates) == 4
    model.compile("sgd", "mse")
    model.train_on_batch([np.ones((2, 3)), np.ones((2, 4, 3))], [np.zeros((2, 2)), np.zeros((2, 4, 2))])
    np.testing.assert_allclose(normalization.get_weights()[3], 0.9**2, rtol=1e-6)  # of equal samples: no variance


class Attended(layers.Wrapper):
    """An attention over the outputs of a recurrent layer."""

    def build(self, input_shape: Any = None) -> None:
        super().build(input_shape)
        self.score = self.add_weight("score", (self.layer.compute_output_shape(input_shape)[-1], 1))

    def call(self, inputs: Any, mask: Any = None) -> Any:
        ys = self.layer(inputs, mask=mask)
        weights = K.dot(ys, self.score)
        if mask is not None:
            weights = weights - K.expand_dims(1e9 * (1.0 - K.cast(mask, "float32")), -1)
        return K.sum(ys * K.softmax(weights, axis=1), axis=1)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        return None


def test_attention_as_a_wrapper() -> None:
    """It trains, ignores masked steps, and takes two lengths."""
    words = Input((None,), dtype="int32")
    x = layers.Embedding(9, 4, mask_zero=True)(words)
    model = Model(words, layers.Dense(1)(Attended(layers.Bidirectional(layers.GRU(3, return_sequences=True)))(x)))
    model.compile("adam", "mse")
    data = np.random.RandomState(0).randint(1, 9, (16, 6))
    losses = model.fit(data, numbers(16, 1), epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    padded = np.concatenate([data, np.zeros((16, 3), int)], axis=1)
    assert_close(model.predict(padded), model.predict(data), "with three masked steps more")


# ---- Bidirectional


def test_weights_names_and_states_of_both_directions() -> None:
    layer = layers.Bidirectional(layers.GRU(3, stateful=True, name="gru"), name="both")
    Sequential([layer]).build((2, 4, 5))
    assert [w.label for w in layer.weights] == [
        f"{direction}_gru/{name}"
        for direction in ("forward", "backward")
        for name in ("kernel", "recurrent_kernel", "bias")
    ]
    values = [numbers(*w.shape, seed=i) for i, w in enumerate(layer.get_weights())]
    other = layers.Bidirectional(layers.GRU(3), weights=values)
    Sequential([other]).build((2, 4, 5))
    for one, expected in zip(other.get_weights(), values, strict=True):
        np.testing.assert_array_equal(one, expected)
    layer.reset_states([np.ones((2, 3)), np.full((2, 3), 2.0)])
    assert [float(state.numpy().mean()) for state in layer.states] == [1, 2]
    again = layers.Bidirectional.from_config(  # as Keras 3 writes it
        {"layer": layers.serialize(layer.forward_layer), "backward_layer": layers.serialize(layer.backward_layer)}
    )
    assert [again.forward_layer.name, again.backward_layer.name] == ["forward_gru", "backward_gru"]
    layer.trainable = False
    assert not layer.trainable_weights
    assert len(layer.non_trainable_weights) == 6


class Counting(layers.Layer):
    """A cell of the user's, with a constant: it adds to its state."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = self.state_size = units

    def build(self, input_shape: Any) -> None:
        self.built = True

    def call(self, inputs: Any, states: Any, constants: Any = None) -> Any:
        h = states[0] * 0.5 + inputs + constants[0]
        return h, [h]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


def test_a_users_cell_with_states_and_constants() -> None:
    x, first, second, constant = Input((4, 3)), Input((3,)), Input((3,)), Input((3,))
    layer = layers.Bidirectional(layers.RNN(Counting(3), return_sequences=True), merge_mode=None)
    model = Model([x, first, second, constant], layer(x, initial_state=[first, second], constants=constant))
    arrays = [numbers(2, 4, 3), numbers(2, 3, seed=1), numbers(2, 3, seed=2), numbers(2, 3, seed=3)]
    forward, backward = np.empty((2, 4, 3), "float32"), np.empty((2, 4, 3), "float32")
    for ys, state, order in ((forward, arrays[1], range(4)), (backward, arrays[2], reversed(range(4)))):
        for step in order:
            state = ys[:, step] = state * 0.5 + arrays[0][:, step] + arrays[3]
    again = Model.from_config(model.get_config(), custom_objects={"Counting": Counting})
    for one in (model, again, models.clone_model(model)):
        for found, expected in zip(one.predict(arrays), (forward, backward), strict=True):
            assert_close(found, expected, "outputs")


def test_two_reversals_cancel_and_directions_become_one_operator(tmp_path: Any) -> None:
    import onnx

    model = Sequential([layers.Bidirectional(layers.LSTM(4, return_sequences=True), input_shape=(None, 3))])
    model.export(str(tmp_path / "model.onnx"))
    kinds = [node.op_type for node in onnx.load(str(tmp_path / "model.onnx")).graph.node]
    assert kinds.count("LSTM") == 1
    assert not {"Scan", "Loop", "Slice", "Gather", "ReverseSequence"} & set(kinds)


# ---- convolutional recurrence


class Apart(layers.ConvLSTM2DCell):
    """The cell without its way over all steps: a loop calls it at each step."""

    def call(self, inputs: Any, states: Any, training: Any = None) -> Any:
        return super().call(inputs, states, training=training)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("go_backwards", [False, True])
def test_all_steps_at_once_are_the_steps_one_by_one(data_format: str, go_backwards: bool) -> None:
    """Also in training, where each gate has a dropout mask that all steps share; and with masked steps."""
    options = {"padding": "same", "data_format": data_format, "dropout": 0.3, "recurrent_dropout": 0.2, "seed": 5}
    returned = {"return_sequences": True, "return_state": True, "go_backwards": go_backwards}
    x, mask = Input((4, 5, 5, 5)), Input((4,), dtype="bool")
    at_once = layers.ConvLSTM2D(2, 3, **options, **returned)
    by_step = layers.ConvRNN2D(Apart(2, 3, **options), **returned)
    outputs = [*at_once(x, mask=mask), *by_step(x, mask=mask)]
    weights = [numbers(*w.shape, seed=i) * 0.3 for i, w in enumerate(at_once.get_weights())]
    at_once.set_weights(weights)
    by_step.set_weights(weights)
    valid = np.array([[True, False, True, True], [False, True, True, False]])
    results = {}
    for phase in (0, 1):
        found = results[phase] = K.function([x, mask, K.learning_phase()], outputs)(
            [numbers(2, 4, 5, 5, 5), valid, phase]
        )
        for one, other in zip(found[:3], found[3:], strict=True):
            assert_close(one, other, f"phase {phase}")
    assert np.abs(results[0][0] - results[1][0]).max() > 0.01


def test_channels_first_is_channels_last_with_axes_moved() -> None:
    last = Sequential([layers.ConvLSTM2D(2, (3, 2), strides=(1, 2), input_shape=(None, None, None, 3))])
    first = Sequential(
        [layers.ConvLSTM2D(2, (3, 2), strides=(1, 2), data_format="channels_first", input_shape=(None, 3, None, None))]
    )
    first.set_weights(last.get_weights())
    for steps, rows in ((2, 5), (3, 7)):
        x = numbers(2, steps, rows, 6, 3)
        assert_close(np.moveaxis(first.predict(np.moveaxis(x, -1, 2)), 1, -1), last.predict(x), "outputs")


# ---- refusals

REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "no layer": (lambda: layers.TimeDistributed(layers.Dense), TypeError, "make an instance: Dense"),
    "no step": (
        lambda: layers.TimeDistributed(layers.Dense(2))(Input((3,))),
        ValueError,
        r"at least 3 axes, got shape \(None, 3\)",
    ),
    "open steps": (
        lambda: layers.TimeDistributed(layers.LSTM(2, stateful=True))(Input(batch_shape=(2, None, 3, 4))),
        ValueError,
        "number of steps must be known",
    ),
    "merge mode": (
        lambda: layers.Bidirectional(layers.LSTM(2), merge_mode="concatenate"),
        ValueError,
        "did you mean 'concat'",
    ),
    "no direction": (lambda: layers.Bidirectional(layers.Dense(2)), ValueError, "must be a recurrent layer"),
    "same direction": (
        lambda: layers.Bidirectional(layers.LSTM(2), backward_layer=layers.LSTM(2)),
        ValueError,
        "both have go_backwards=False",
    ),
    "unlike": (
        lambda: layers.Bidirectional(
            layers.LSTM(2), backward_layer=layers.LSTM(2, go_backwards=True, return_sequences=True)
        ),
        ValueError,
        "return_sequences=False and backward_layer return_sequences=True",
    ),
    "odd states": (
        lambda: layers.Bidirectional(layers.GRU(2))(Input((3, 4)), initial_state=[Input((2,))]),
        ValueError,
        "forward layer and then those of the backward layer, got 1",
    ),
    "not stateful": (lambda: layers.Bidirectional(layers.GRU(2)).reset_states(), AttributeError, "not stateful"),
    "unrolled images": (lambda: layers.ConvLSTM2D(2, 3, unroll=True), TypeError, "unroll"),
    "stacked images": (
        lambda: layers.ConvRNN2D([layers.ConvLSTM2DCell(2, 3), layers.ConvLSTM2DCell(2, 3)]),
        TypeError,
        "one cell",
    ),
    "padding": (lambda: layers.ConvLSTM2D(2, 3, padding="full"), ValueError, "'valid', 'same'"),
    "four axes": (lambda: layers.ConvLSTM2D(2, 3)(Input((5, 5, 3))), ValueError, "4 axes; expected 5"),
    "small images": (lambda: layers.ConvLSTM2D(2, 3)(Input((4, 2, 5, 3))), ValueError, "does not fit into"),
    "open sizes": (
        lambda: layers.ConvLSTM2D(2, 3, stateful=True)(Input(batch_shape=(2, 4, None, 5, 3))),
        ValueError,
        "needs fixed sizes of batch and images",
    ),
    "state size": (
        lambda: layers.ConvLSTM2D(2, 3)(Input((4, 5, 5, 3)), initial_state=[Input((3, 3, 2)), Input((3, 4, 2))]),
        ValueError,
        r"initial state 1 has shape \(None, 3, 4, 2\); expected \(None, 3, 3, 2\)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(case: str) -> None:
    call, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message):
        call()
