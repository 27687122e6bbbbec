"""Files of both Keras with layers that normalize samples load, predict and train on; ours come back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import kcompile as keras
from kcompile.models import load_model
from tests.golden import load
from tests.golden.cases.normalization_files import CASES
from tests.golden.compare import assert_close

GOLDEN = load("normalization_files")


@pytest.mark.filterwarnings("ignore:.*does not tell its optimizer")
@pytest.mark.parametrize("name", GOLDEN)
def test_file_of_keras(name: str, tmp_path: Path) -> None:
    record, ending = GOLDEN[name], name.rsplit("_")[-1]
    path = tmp_path / f"model.{ending}"
    path.write_bytes(record.file[0].tobytes())
    model = load_model(path)
    case = CASES[name.split("_")[-2]](keras, keras.optimizers)
    assert_close(model.predict(case.x, verbose=0), record.predictions[0], "predictions")
    if ending == "h5" and name.startswith("keras_3"):
        return  # Keras 3 forgets the optimizer there
    model.fit(case.x, case.y, epochs=1, batch_size=4, shuffle=False, verbose=0)
    # Two steps of Adam, whose first are of the sign of gradients, some of which are almost zero.
    tolerance = 1e-3 if "images" in name else 1e-5
    assert_close(model.predict(case.x, verbose=0), record.predictions_after_another_epoch[0], "later", tolerance)


@pytest.mark.parametrize("ending", ["h5", "keras"])
@pytest.mark.parametrize("name", CASES)
def test_file_of_our_own(name: str, ending: str, tmp_path: Path) -> None:
    case = CASES[name](keras, keras.optimizers)
    case.model.fit(case.x, case.y, epochs=1, batch_size=4, shuffle=False, verbose=0)
    case.model.save(tmp_path / f"model.{ending}")
    model = load_model(tmp_path / f"model.{ending}")
    np.testing.assert_array_equal(model.predict(case.x), case.model.predict(case.x))
    for each in (model, case.model):
        each.fit(case.x, case.y, epochs=1, batch_size=4, shuffle=False, verbose=0)
    np.testing.assert_array_equal(model.predict(case.x), case.model.predict(case.x))
