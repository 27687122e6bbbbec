"""Models that compute between layers come back from files: the operations are written in the text form of the IR."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kcompile as keras
from kcompile import backend as K
from kcompile import layers
from kcompile.layers.operations import FUNCTIONS
from kcompile.objects.dialects.operations import OPERATIONS


def computing_model() -> Any:
    """Two inputs, one of unknown length; numbers, sums, slices and a constant too large to be written inline."""
    x, sequence = keras.Input((4,), name="x"), keras.Input((None, 3), name="sequence")
    h = layers.Dense(3, name="dense")(x / 255.0 * 2 + 1)
    h = K.softmax(h + K.sum(sequence, axis=1))
    table = np.arange(3000, dtype=np.float32).reshape(3, 1000) / 3000
    y = layers.Dense(2, name="last")(K.dot(h, K.constant(table))[:, :7])
    return keras.Model([x, sequence], [y, h * 2], name="computing")


@pytest.mark.parametrize("form", ["json", "model.h5", "model.keras"])
def test_operations_come_back(form: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    model = computing_model()
    if form == "json":
        again = keras.models.model_from_json(model.to_json())
        again.set_weights(model.get_weights())
    else:
        model.save(tmp_path / form)
        again = keras.models.load_model(tmp_path / form)
    for rows, length in ((5, 6), (2, 9)):
        data = [random.random((rows, 4), np.float32), random.random((rows, length, 3), np.float32)]
        for expected, actual in zip(model.predict(data), again.predict(data), strict=True):
            np.testing.assert_array_equal(actual, expected)


def test_what_no_configuration_can_hold_is_said() -> None:
    x = keras.Input((4,))
    noisy = keras.Model(x, layers.Dense(1)(x + K.random_normal((4,))))
    with pytest.raises(ValueError, match="draws random numbers, which no configuration can hold"):
        noisy.to_json()
    scaled = keras.Model(x, layers.Dense(1)(x * K.variable(2.0, name="scale")))
    with pytest.raises(ValueError, match="uses the variable 'scale'"):
        scaled.to_json()


@pytest.mark.parametrize(
    "program",
    [
        None,
        "import os",
        "def f(x0: f32[3]):\n    y: f32[3] = os.system(x0)\n    return y",
        "def f(x0: f32[3]):\n    y: f32[3] = add(x0, " + "(" * 5000 + "1" + ")" * 5000 + ")\n    return y",
        "def f(x0: f32[3]):\n    c: f32[99999, 99999] = constant(1.0)\n    return c",
        'def f(x0: f32[3]):\n    w: f32[3] = variable("w", "weight")\n    y: f32[3] = add(x0, w)\n    return y',
    ],
)
def test_programs_of_files_are_not_trusted(program: Any) -> None:
    config = {"layers": [{"class_name": "OpLayer", "config": {"name": "o", "program": program}}]}
    with pytest.raises(ValueError, match=r"layer 'o' \(OpLayer\): program"):
        keras.models.Sequential.from_config(config)


def test_every_operation_of_the_table_computes_something() -> None:
    assert FUNCTIONS.keys() == OPERATIONS.keys()
