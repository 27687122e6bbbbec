"""Whole trainings follow Keras: history, weights, evaluation, predictions, single batches."""

import numpy as np
import pytest

import kcompile as keras
from tests.golden import load
from tests.golden.cases.fit import BATCH_SIZE, CASES, EPOCHS
from tests.golden.compare import assert_all_close, assert_close

GOLDEN = load("fit")
# Nine optimizer steps carry float32 rounding along.
TOLERANCE = 5e-5


def first_rows(values, rows: int):
    """The first rows of an array, or of every array in a list or dict."""
    if isinstance(values, dict):
        return {key: value[:rows] for key, value in values.items()}
    return [value[:rows] for value in values] if isinstance(values, list) else values[:rows]


@pytest.mark.parametrize("name", CASES)
def test_fit(name: str) -> None:
    golden = GOLDEN[name]
    training = CASES[name](keras, keras.optimizers)
    model = training.model
    assert model.metrics_names == golden.metrics_names
    assert [w.shape for w in model.get_weights()] == [w.shape for w in golden.weights]
    model.set_weights(golden.weights)

    history = model.fit(
        training.x, training.y, epochs=EPOCHS, batch_size=BATCH_SIZE, shuffle=False, verbose=0, **training.fit
    )
    assert set(history.history) == set(golden.history)
    assert history.epoch == list(range(EPOCHS))
    for key, expected in golden.history.items():
        assert_close(history.history[key], np.array(expected), f"history[{key!r}]", TOLERANCE)
    assert_all_close(model.get_weights(), golden.final_weights, "weights", TOLERANCE)

    values = model.evaluate(training.x, training.y, batch_size=BATCH_SIZE, verbose=0, **training.evaluate)
    assert_close(np.ravel(values), np.array(golden.evaluate), "evaluate", TOLERANCE)
    predictions = model.predict(training.x, batch_size=BATCH_SIZE)
    predictions = predictions if isinstance(predictions, list) else [predictions]
    assert_all_close(predictions, golden.predictions, "predict", TOLERANCE)

    x, y = first_rows(training.x, 5), first_rows(training.y, 5)
    assert_close(np.ravel(model.test_on_batch(x, y)), np.array(golden.test_on_batch), "test_on_batch", TOLERANCE)
    assert_close(np.ravel(model.train_on_batch(x, y)), np.array(golden.train_on_batch), "train_on_batch", TOLERANCE)
    after = golden.weights_after_train_on_batch
    assert_all_close(model.get_weights(), after, "weights after train_on_batch", TOLERANCE)
