"""Files with every loss, metric, optimizer and layer of tf_keras and Keras 3, with every argument, give their numbers.

What kcompile does not have is listed here, name by name: such a file loads with a warning, and predicts. By default one
format of each writer is read, with ``-m slow`` the other one.
"""

from __future__ import annotations

import lzma
from functools import cache
from typing import Any

import numpy as np
import pytest

from kcompile.models import load_model
from tests.golden import load
from tests.golden.cases.sweep import parts
from tests.golden.compare import assert_all_close
from tests.golden.generate_sweep import SAMPLES, features, inputs_of, targets_of
from tests.saving_samples import listed

pytestmark = pytest.mark.filterwarnings("ignore:.*does not tell its optimizer")

NOT_HERE: dict[str, tuple[str, ...]] = {
    "losses": (
        "BinaryFocalCrossentropy", "CategoricalFocalCrossentropy", "CategoricalGeneralizedCrossEntropy", "Circle",
        "Dice", "Tversky", "binary_focal_crossentropy", "categorical_focal_crossentropy", "circle", "dice", "tversky",
    ),
    "metrics": (
        "BinaryIoU", "ConcordanceCorrelation", "F1Score", "FBetaScore", "IoU", "OneHotIoU", "OneHotMeanIoU",
        "PearsonCorrelation", "PrecisionAtRecall", "R2Score", "RecallAtPrecision", "binary_focal_crossentropy",
        "categorical_focal_crossentropy", "concordance_correlation", "pearson_correlation",
    ),
    "optimizers": ("AdamW", "Adafactor", "Ftrl", "Lion", "legacy.Ftrl"),
}  # fmt: skip
"""Names that training configurations can have and kcompile has not."""

WITH_ARGUMENTS = (
    "losses/SparseCategoricalCrossentropy",  # ignore_class
    "metrics/SparseCategoricalCrossentropy",  # ignore_class
    "metrics/AUC",  # multi_label, label_weights
    "metrics/AUC-logits",
    "metrics/MeanIoU",  # sparse_y_pred=False
)
OPTIONS = ("use_ema", "weight_decay")
"""Arguments of optimizers that kcompile has not."""
LAYERS = ("LocallyConnected1D", "LocallyConnected2D")
REFUSED = ("ConvLSTM1D", "ConvLSTM2D", "ZeroPadding1D")
"""Layers of Keras 3 with an argument that is refused here: unroll, and channels_first."""
UNUSUAL = tuple(f"tf_keras.h5/layers/{name}" for name in ("ConvLSTM1D", "ConvLSTM2D", "Cropping3D"))
"""With time_major, of which tf.keras heeds a half; with nothing left."""

"""Files that hold an argument which kcompile has not, besides those that it has."""

OTHERWISE = (
    "metrics/SensitivityAtSpecificity",  # the best threshold that reaches it there, the nearest here, as in 2.3.1
    "metrics/SparseCategoricalCrossentropy-logits",  # with the loss of class numbers against columns, which broadcasts
)
"""What is not compared: it differs by what docs/keras_versions.md or tests/golden/README.md tell."""


@cache
def family(name: str) -> tuple[dict[str, Any], list[bytes]]:
    """The records of a family, and its files."""
    records: dict[str, Any] = {}
    files: list[bytes] = []
    for part, _ in parts(name):
        found = dict(load(part))
        stored = found.pop("files")
        for record in found.values():
            record["file"] += len(files)
        records |= found
        content, start = lzma.decompress(stored.packed[0].tobytes()), 0
        for length in stored.lengths:
            files.append(content[start : start + length])
            start += length
    return records, files


def cases(*families: str) -> list[Any]:
    default = ("tf_keras.h5", "keras.keras")
    names = [name for each in families for name in family(each)[0] if not name.endswith(OTHERWISE)]
    return [n if n.startswith(default) else pytest.param(n, marks=pytest.mark.slow) for n in names]


def case(name: str) -> tuple[Any, bytes]:
    records, files = family(name.split("/")[1])
    return records[name], files[records[name].file]


def is_here(name: str) -> bool:
    """Whether kcompile has all that the training configuration of a file names."""
    _, kind, rest = name.split("/", 2)
    return rest.partition("-")[0] not in NOT_HERE.get(kind, ()) and f"{kind}/{rest}" not in WITH_ARGUMENTS


@pytest.mark.parametrize("name", cases("losses", "metrics", "outputs"))
def test_evaluate(name: str) -> None:
    record, content = case(name)
    if not is_here(name):
        with pytest.warns(UserWarning, match="training configuration of the file cannot be read.*loaded without it"):
            model = load_model(content)
        assert model.optimizer is None
        assert np.isfinite(model.predict(features())).all()
        return
    model = load_model(content)
    if "evaluated" not in record:  # compiled without a loss
        return
    y = [targets_of(kind) for kind in record.kinds]
    found = model.evaluate(features(), y if len(y) > 1 else y[0], batch_size=SAMPLES, verbose=0)
    found = np.concatenate([np.ravel(value) for value in listed(found)]).astype("float32")
    (expected,) = record.evaluated
    if name.endswith("partial loss") and name.startswith("keras"):
        found = found[: len(expected)]  # Keras 3 does not repeat the only loss of several outputs by its name
    assert_all_close([found], [expected], name)


@pytest.mark.parametrize("name", cases("layers", "masks"))
def test_predict(name: str) -> None:
    record, content = case(name)
    layer = name.rpartition("/")[2]
    if layer in LAYERS or (layer in REFUSED and name.startswith("keras")) or name in UNUSUAL:
        with pytest.raises(ValueError, match=f"'{layer}'|unroll|channels_last|leaves nothing|time_major"):
            load_model(content)
        return
    model = load_model(content)
    x = inputs_of([tuple(shape) for shape in record.shapes], record.integers)
    assert_all_close(listed(model.predict(x if len(x) > 1 else x[0])), record.predictions, name)


@pytest.mark.parametrize("name", cases("optimizers"))
def test_training_goes_on(name: str) -> None:
    record, content = case(name)
    optimizer, _, option = name.rpartition("/")[2].partition("-")
    if optimizer in NOT_HERE["optimizers"] or option in OPTIONS:
        with pytest.warns(UserWarning, match="training configuration of the file cannot be read.*loaded without it"):
            assert load_model(content).optimizer is None
        return
    model = load_model(content)
    model.fit(features(), targets_of("same")[:, :1], batch_size=4, shuffle=False, verbose=0)
    assert_all_close(model.get_weights(), record.weights, name)
