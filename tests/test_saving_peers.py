"""What we write, others load: tf_keras and Keras 3, in an environment of theirs. ``pytest -m peer``.

``KCOMPILE_TF_PYTHON`` names a Python interpreter with TensorFlow, tf_keras and Keras 3.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kcompile as keras
from tests.golden.cases.files import CASES
from tests.golden.compare import assert_all_close

PYTHON = os.environ.get("KCOMPILE_TF_PYTHON")
pytestmark = [
    pytest.mark.peer,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not PYTHON, reason="KCOMPILE_TF_PYTHON names no interpreter"),
]

READER = """
import importlib, sys
import numpy as np
from tests.golden.cases.files import CASES
from tests.golden.oracle import tf
peer, folder = sys.argv[1:3]
keras, found = importlib.import_module(peer), {}

def predict(model, x, name):
    y = model.predict(x, verbose=0)
    for i, each in enumerate(y if isinstance(y, list) else [y]):
        found[f"{name}/{i}"] = each

for name, make in CASES.items():
    if peer == "keras" and "nested" in name:
        continue  # Keras 3 counts the calls of models inside models otherwise, also in files of tf_keras
    model = keras.models.load_model(f"{folder}/{name}.h5")
    case = make(keras, keras.optimizers)
    predict(model, case.x, f"{name}/before")
    if peer == "tf_keras":
        found[f"{name}/iterations"] = np.asarray(model.optimizer.iterations)
        model.fit(case.x, case.y, epochs=1, batch_size=4, shuffle=False, verbose=0)
        predict(model, case.x, f"{name}/after")
np.savez(f"{folder}/{peer}.npz", **found)
"""


def listed(y: Any) -> list[np.ndarray]:
    return y if isinstance(y, list) else [y]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Our files, after an epoch of training, with the predictions of then, and of after another epoch."""
    np.random.seed(0)  # of the initial weights
    folder, expected = tmp_path_factory.mktemp("written"), {}
    for name, make in CASES.items():
        case = make(keras, keras.optimizers)
        case.model.fit(case.x, case.y, epochs=1, batch_size=4, shuffle=False, verbose=0)
        case.model.save(folder / f"{name}.h5")
        before = listed(case.model.predict(case.x))
        case.model.fit(case.x, case.y, epochs=1, batch_size=4, shuffle=False, verbose=0)
        expected[name] = before, listed(case.model.predict(case.x))
    return folder, expected


def read_by(peer: str, folder: Path) -> dict[str, np.ndarray]:
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([str(PYTHON), "-c", READER, peer, str(folder)], check=True, env=environment)
    with np.load(folder / f"{peer}.npz") as file:
        return dict(file)


def outputs(found: dict[str, np.ndarray], start: str) -> list[np.ndarray]:
    return [value for key, value in sorted(found.items()) if key.startswith(start)]


def test_tf_keras_goes_on_where_we_stopped(written: tuple[Path, dict[str, Any]]) -> None:
    """Predictions, and those after another epoch: with the state of the optimizer."""
    folder, expected = written
    found = read_by("tf_keras", folder)
    for name, (before, after) in expected.items():
        assert found[f"{name}/iterations"] == 2
        assert_all_close(outputs(found, f"{name}/before"), before, name)
        assert_all_close(outputs(found, f"{name}/after"), after, f"{name} after another epoch", 5e-5)


def test_keras_3_loads_our_files(written: tuple[Path, dict[str, Any]]) -> None:
    """Predictions. Of HDF5 files Keras 3 reads the optimizer's state only in an order of its own, which tf_keras does
    not read; archives keep it for both."""
    folder, expected = written
    found = read_by("keras", folder)
    for name in [name for name in CASES if "nested" not in name]:
        before, _ = expected[name]
        assert_all_close(outputs(found, f"{name}/before"), before, name)
