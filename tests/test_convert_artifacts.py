"""The command on real files, of models that others trained and published. ``pytest -m artifacts`` fetches them."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from kcompile.cli import main
from tests.test_artifacts import FILES, member, mnist

pytestmark = [pytest.mark.artifacts, pytest.mark.timeout(600)]

PICASSO = "picasso/examples/keras/data-volume"

DEEPCUT = """
from kcompile import Input, Model, layers as L

def unit(x, filters, window):
    y = L.TimeDistributed(L.Dense(5))(L.Conv1D(filters, window, activation="relu")(x))
    return L.ZeroPadding1D((0, window - 1))(y)

def make():
    characters, kinds = Input((21,)), Input((21,))
    a = L.BatchNormalization()(L.SpatialDropout1D(0.15)(L.Embedding(178, 32)(characters)))
    units = [unit(a, 200 if i < 9 else 150 if i < 12 else 100, i) for i in range(1, 13)]
    b = L.SpatialDropout1D(0.15)(L.Embedding(12, 12)(kinds))
    x = L.BatchNormalization()(L.Concatenate()([a, L.Maximum()(units), b]))
    return Model([characters, kinds], L.Dense(1, activation="sigmoid")(L.Dense(100, activation="relu")(L.Flatten()(x))))
"""

LRELU = """
from kcompile import backend as K
custom_objects = {"<lambda>": lambda x: K.relu(x, alpha=0.1, max_value=20.0)}
"""


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(path: str, *arrays: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip((x.name for x in session.get_inputs()), arrays, strict=True)))[0]


@pytest.mark.parametrize("options", [["--opset", "17"], ["--opset", "26", "--fp16"]], ids=" ".join)
def test_all_of_them_at_once(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("lrelu.py").write_text(LRELU)
    sources = []
    for package, name, *_ in FILES:
        sources.append(Path(name).name)
        Path(sources[-1]).write_bytes(member(package, name))
    with zipfile.ZipFile(io.BytesIO(member("sleepecg", "sleepecg/classifiers/ws-gru-mesa.zip"))) as archive:
        sources.append("classifier.keras")
        Path(sources[-1]).write_bytes(archive.read("classifier.keras"))
    assert main(["convert", *sources, "--check", "-o", "onnx", "--custom-objects", "lrelu.py", *options]) == 0
    assert f"{len(sources)} of {len(sources)} files converted" in capsys.readouterr().out


def test_picasso_reads_mnist_in_every_precision(capsys: pytest.CaptureFixture[str]) -> None:
    """Weights and architecture apart (a string of JSON in JSON), 98.97 % in float32."""
    Path("weights.h5").write_bytes(member("picasso-viz", f"{PICASSO}/MNIST-weights.hdf5"))
    Path("model.json").write_bytes(member("picasso-viz", f"{PICASSO}/model.json"))
    x = mnist("t10k-images-idx3-ubyte", 16).reshape(-1, 28, 28, 1).astype("float32") / 255
    labels = mnist("t10k-labels-idx1-ubyte", 8)
    np.savez("data.npz", x=x[:500], y=labels[:500])
    for options, least in (([], 0.9897), (["--fp16"], 0.9895), (["--int8", "data.npz"], 0.988)):
        assert main(["convert", "weights.h5", "--arch", "model.json", "--check", "--force", *options]) == 0
        assert (run("weights.onnx", x).argmax(1) == labels).mean() >= least
    assert "accuracy: 0.99" in capsys.readouterr().out


def test_deepcut_equals_its_twin() -> None:
    Path("deepcut.py").write_text(DEEPCUT)
    Path("weights.h5").write_bytes(member("deepcut", "deepcut/weight/cnn_without_ne_ab.h5"))
    Path("twin.onnx").write_bytes(member("pythainlp", "pythainlp/corpus/deepcut.onnx"))
    assert main(["convert", "weights.h5", "--arch", "deepcut.py:make", "--check"]) == 0
    random = np.random.RandomState(0)
    feeds = [random.randint(0, high, (64, 21)).astype("float32") for high in (178, 12)]
    np.testing.assert_allclose(run("weights.onnx", *feeds), run("twin.onnx", *feeds), rtol=1e-4, atol=1e-6)


def test_unknown_classes_end_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    Path("model.keras").write_bytes(member("imspy", "imspy/algorithm/pretrained/rt/rtpred-26-05-2024.keras"))
    assert main(["convert", "model.keras"]) == 1
    output = capsys.readouterr().out
    assert "error: Unknown layer 'GRURetentionTimePredictor'" in output
    assert "unexpected" not in output
