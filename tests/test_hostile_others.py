"""ONNX, npz, odd zips and wrong values: one sentence each, no other file is opened, little is allocated."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kcompile import layers as L
from kcompile.inspecting.files import describe_file
from kcompile.models import Sequential, load_model, model_from_json
from tests.hostile_onnx import CASES
from tests.hostile_others import NPZ, VALUES, ZIPS
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
