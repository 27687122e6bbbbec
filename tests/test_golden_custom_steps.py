"""Steps of a user's own train as in tf_keras: history, weights, evaluation."""

import numpy as np
import pytest

import kcompile as keras
from kcompile import backend as K
from tests.golden import load
from tests.golden.cases.custom_steps import BATCH_SIZE, CASES, EPOCHS
from tests.golden.compare import assert_all_close, assert_close

GOLDEN = load("custom_steps")
TOLERANCE = 1e-4


@pytest.mark.parametrize("name", CASES)
def test_custom_step(name: str) -> None:
    golden = GOLDEN[name]
    case = CASES[name](keras, K, keras.GradientTape, keras.optimizers)
    weights = iter(golden.weights)
    for part in case.parts:
        part.set_weights([next(weights) for _ in part.get_weights()])
    assert next(weights, None) is None

    history = case.model.fit(
        case.x, case.y, epochs=EPOCHS, batch_size=BATCH_SIZE, shuffle=False, verbose=0, **case.fit
    ).history
    assert set(history) == set(golden.history)
    for key, expected in golden.history.items():
        assert_close(history[key], np.array(expected), f"history[{key!r}]", TOLERANCE)
    found = [w for part in case.parts for w in part.get_weights()]
    assert_all_close(found, golden.final_weights, "weights", TOLERANCE)
    if case.evaluate:
        values = case.model.evaluate(case.x, case.y, batch_size=BATCH_SIZE, verbose=0)
        assert_close(np.ravel(values), np.array(golden.evaluate), "evaluate", TOLERANCE)
