"""ONNX, npz, odd zips and wrong values: one sentence each, no other file is opened, little is allocated."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from kcompile import layers as L
from kcompile.inspecting.files import describe_file
from kcompile.models import Sequential, load_model, model_from_json
from tests.hostile_archives import layer
from tests.hostile_onnx import CASES
from tests.hostile_others import NPZ, VALUES, ZIPS, with_value
from tests.test_hostile_archives import assert_refused


@pytest.mark.parametrize("name", CASES)
def test_onnx(name: str, tmp_path: Path) -> None:
    build, refusal = CASES[name]
    path = build(tmp_path)
    before = {each: each.lstat().st_mtime_ns for each in tmp_path.rglob("*")}
    assert_refused(lambda: describe_file(path), refusal, path)
    assert {each: each.lstat().st_mtime_ns for each in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("name", NPZ)
def test_npz(name: str, tmp_path: Path) -> None:
    build, refusal = NPZ[name]
    path = tmp_path / "weights.npz"
    path.write_bytes(build())
    model = Sequential([L.Dense(4, input_shape=(4,), use_bias=False)])
    (before,) = model.get_weights()
    assert_refused(lambda: model.load_weights(path), refusal, path)
    np.testing.assert_array_equal(model.get_weights()[0], before)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ZIPS)
def test_zips(name: str, tmp_path: Path) -> None:
    build, refusal = ZIPS[name]
    path = tmp_path / "model.keras"
    path.write_bytes(build())
    assert_refused(lambda: load_model(path), refusal, path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", VALUES)
def test_values(name: str) -> None:
    text, refusal = VALUES[name]
    assert_refused(lambda: model_from_json(text), refusal)


def test_a_count_of_steps_that_nobody_can_take(tmp_path: Path) -> None:
    """Nadam's momentum schedule is a product over all steps, where a file lacks it."""
    model = Sequential([L.Dense(4, input_shape=(4,))])
    model.compile("nadam", "mse")
    model.train_on_batch(np.ones((1, 4)), np.ones((1, 4)))
    path = tmp_path / "model.h5"
    model.save(path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["training_config"])
        config["optimizer_config"]["config"] = {"beta_1": 1 - 1e-14, "schedule_decay": 1e6}
        file.attrs["training_config"] = json.dumps(config)
        group = file["optimizer_weights"]
        names = list(group.attrs["weight_names"])
        group[names[0].decode()][()] = 2**62
        group.attrs["weight_names"] = [name for name in names if b"cache" not in name]
    start = time.process_time()
    assert load_model(path).loaded.has_optimizer
    assert time.process_time() - start < 1


def test_layers_in_any_order_take_linear_time() -> None:
    """Keras goes through them again and again, which would take some 10 s here."""
    config = json.loads(with_value("config", "output_layers", value=[["l4000", 0, 0]]))
    layers = config["config"]["layers"]
    for i in range(4000):
        source = [[[f"l{i}" if i else "d", 0, 0, {}]]]
        entry = {**layer("Activation", {"name": f"l{i + 1}", "activation": "relu"}), "name": f"l{i + 1}"}
        layers.append({**entry, "inbound_nodes": source})
    layers.reverse()
    start = time.process_time()
    assert len(model_from_json(json.dumps(config)).layers) == 4002
    assert time.process_time() - start < 5


def test_little_is_allocated(tmp_path: Path) -> None:
    """All of them in one process, which may not take more than 200 MB beyond what it begins with."""
    code = """
import resource, sys
from pathlib import Path
from kcompile import Sequential, layers as L
from kcompile.inspecting.files import describe_file
from kcompile.models import load_model, model_from_json
from tests.hostile_onnx import CASES
from tests.hostile_others import VALUES
model = Sequential([L.Dense(4, input_shape=(4,), use_bias=False)])
folder = Path(sys.argv[1])
onnx = [build(folder) for name, (build, _) in CASES.items() if not (folder := Path(sys.argv[1], name)).mkdir()]
texts = [text for text, _ in VALUES.values()]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
archives, arrays = sorted(Path(sys.argv[1]).glob("*.keras")), sorted(Path(sys.argv[1]).glob("*.npz"))
kinds = (load_model, archives), (model.load_weights, arrays), (model_from_json, texts), (describe_file, onnx)
for load, cases in kinds:
    for case in cases:
        try:
            load(case)
        except ValueError:
            pass
        taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert taken < 200 * 1024, (str(case)[:100], taken)
"""
    for ending, table in (("keras", ZIPS), ("npz", NPZ)):
        for name, (build, _) in table.items():
            (tmp_path / f"{name}.{ending}").write_bytes(build())
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=100)
