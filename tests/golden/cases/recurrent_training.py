"""Trainings of recurrent models, and what stateful ones answer call after call."""

from typing import Any

import numpy as np

from tests.golden import data
from tests.golden.cases.fit import Training

BATCH_SIZE = 4
EPOCHS = 2
SAMPLES = 12


def words(keras: Any, optimizers: Any) -> Training:
    """Masks from an Embedding through two recurrent layers; regularizers and constraints of each kernel."""
    layers, regularizers, constraints = keras.layers, keras.regularizers, keras.constraints
    model = keras.models.Sequential(
        [
            layers.Embedding(10, 4, mask_zero=True, input_shape=(6,), name="embedding"),
            layers.LSTM(
                5,
                return_sequences=True,
                kernel_regularizer=regularizers.l2(0.01),
                recurrent_regularizer=regularizers.l1(0.01),
                bias_regularizer=regularizers.l2(0.1),
                recurrent_constraint=constraints.max_norm(1.0),
                name="lstm",
            ),
            layers.GRU(
                3,
                reset_after=True,
                kernel_constraint=constraints.unit_norm(),
                bias_constraint=constraints.non_neg(),
                go_backwards=True,
                name="gru",
            ),
            layers.Dense(1, activation="sigmoid", name="answer"),
        ]
    )
    model.compile(optimizers.Adam(lr=0.01), "binary_crossentropy", metrics=["accuracy"])
    x = data.integers((SAMPLES, 6), 10, "words", "x")
    x[data.generator("words", "padding").uniform(size=x.shape) < 0.3] = 0
    return Training(model, x, data.values("binary", (SAMPLES, 1), "words", "y"))


def sequence_to_sequence(keras: Any, optimizers: Any) -> Training:
    """An encoder whose last states begin a decoder (teacher forcing), padded with zeros; targets for each step."""
    layers = keras.layers
    source = layers.Input(shape=(None, 3), name="source")
    target = layers.Input(shape=(None, 2), name="target")
    _, h, c = layers.LSTM(4, return_state=True, name="encoder")(layers.Masking(name="masking")(source))
    y, _, _ = layers.LSTM(4, return_sequences=True, return_state=True, name="decoder")(target, initial_state=[h, c])
    y = layers.Dense(2, activation="softmax", name="symbols")(y)
    model = keras.models.Model([source, target], y)
    model.compile(optimizers.RMSprop(lr=0.01), "categorical_crossentropy")
    x = data.normal((SAMPLES, 5, 3), "seq2seq", "source")
    x[:, :2][data.generator("seq2seq", "padding").uniform(size=SAMPLES) < 0.5] = 0
    return Training(
        model,
        [x, data.values("one_hot", (SAMPLES, 4, 2), "seq2seq", "target")],
        data.values("one_hot", (SAMPLES, 4, 2), "seq2seq", "y"),
    )


def stateful(keras: Any, optimizers: Any) -> Training:
    """States pass from batch to batch and from epoch to epoch."""
    layers = keras.layers
    model = keras.models.Sequential(
        [
            layers.SimpleRNN(
                3, stateful=True, return_sequences=True, batch_input_shape=(BATCH_SIZE, 3, 2), name="simple"
            ),
            layers.GRU(3, stateful=True, reset_after=False, return_sequences=True, name="gru"),
            layers.LSTM(4, stateful=True, name="lstm"),
            layers.Dense(1, name="answer"),
        ]
    )
    model.compile(optimizers.SGD(lr=0.05), "mse")
    return Training(model, data.normal((SAMPLES, 3, 2), "stateful", "x"), data.normal((SAMPLES, 1), "stateful", "y"))


def stateful_from_given_states(keras: Any, optimizers: Any) -> Training:
    """States that are given serve until there are some from a batch before."""
    layers = keras.layers
    x = layers.Input(batch_shape=(BATCH_SIZE, 3, 2), name="x")
    first = layers.Input(batch_shape=(BATCH_SIZE, 4), name="first")
    y, h = layers.GRU(4, stateful=True, return_state=True, reset_after=True, name="gru")(x, initial_state=first)
    model = keras.models.Model([x, first], layers.Dense(1, name="answer")(layers.Add(name="sum")([y, h])))
    model.compile(optimizers.SGD(lr=0.05), "mse")
    name = "stateful_from_given_states"
    return Training(
        model,
        [data.normal((SAMPLES, 3, 2), name, "x"), data.normal((SAMPLES, 4), name, "first")],
        data.normal((SAMPLES, 1), name, "y"),
    )


CASES = {
    function.__name__: function for function in (words, sequence_to_sequence, stateful, stateful_from_given_states)
}


def first_batch(values: Any) -> Any:
    """The first rows of an array, or of each in a list."""
    return [v[:BATCH_SIZE] for v in values] if isinstance(values, list) else np.asarray(values)[:BATCH_SIZE]


def answers(training: Training) -> dict[str, Any]:
    """What the model of a case does, from its initial weights on: arrays and lists of numbers by name."""
    model, x, y = training.model, training.x, training.y
    history = model.fit(x, y, epochs=EPOCHS, batch_size=BATCH_SIZE, shuffle=False, verbose=0)
    found: dict[str, Any] = {"loss": [float(v) for v in history.history["loss"]], "weights": model.get_weights()}
    found["evaluate"] = [float(v) for v in np.ravel(model.evaluate(x, y, batch_size=BATCH_SIZE, verbose=0))]
    model.reset_states()
    batch = first_batch(x), first_batch(y)
    found["calls"] = [np.asarray(model.predict(batch[0], batch_size=BATCH_SIZE, verbose=0)) for _ in range(3)]
    found["train_on_batch"] = [float(np.ravel(model.train_on_batch(*batch))[0]) for _ in range(3)]
    found["test_on_batch"] = [float(np.ravel(model.test_on_batch(*batch))[0]) for _ in range(2)]
    found["all"] = [np.asarray(model.predict(x, batch_size=BATCH_SIZE, verbose=0))]
    return found
