"""Hostile archives, JSON and YAML get one sentence: nothing is run, imported or opened, and little is allocated."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kcompile import backend as K
from kcompile import layers as L
from kcompile.common.errors import KCompileError
from kcompile.models import Model, Sequential, load_model, model_from_json, model_from_yaml
from tests.hostile_archives import ARCHIVES, TEXTS, YAML, benign, layer, packed, schedule_of_unknown_class
from tests.watching import watched

TRACE = Path("/tmp/kcompile-was-here")


def assert_refused(action: Callable[[], Any], refusal: str, *allowed: Any) -> None:
    settings = K.floatx(), K.epsilon(), K.image_data_format()
    start = time.process_time()
    with watched(*allowed) as seen, pytest.raises(KCompileError, match=refusal) as caught:
        action()
    assert time.process_time() - start < 1
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert seen == []
    assert not TRACE.exists()
    assert (K.floatx(), K.epsilon(), K.image_data_format()) == settings


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives(name: str, tmp_path: Path) -> None:
    build, refusal = ARCHIVES[name]
    path = tmp_path / "model.keras"
    path.write_bytes(build())
    assert_refused(lambda: load_model(path), refusal, path)
    assert list(tmp_path.iterdir()) == [path]
    model = Sequential([L.Dense(4, input_shape=(4,), name="dense", use_bias=False)])
    (before,) = model.get_weights()
    try:  # where only the architecture is bad, the weights may be good
        model.load_weights(path)
    except KCompileError:
        np.testing.assert_array_equal(model.get_weights()[0], before)


def test_what_only_training_would_need_is_told_and_not_imported(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(schedule_of_unknown_class())
    with watched(path) as seen, pytest.warns(UserWarning, match=r"'os.Evil'.*loaded without it"):
        model = load_model(path)
    assert seen == []
    assert model.optimizer is None


def test_the_archive_that_they_come_from_is_good(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(packed(benign()))
    with watched(path) as seen:
        model = load_model(path)
    assert seen == []
    assert model.loaded.has_optimizer


@pytest.mark.parametrize("name", TEXTS)
def test_json(name: str) -> None:
    build, refusal = TEXTS[name]
    content = build()
    assert_refused(lambda: model_from_json(content), refusal)
    try:
        config = json.loads(content)["config"]
    except (ValueError, RecursionError):
        return
    if name in ("key_that_occurs_twice", "number_with_a_million_digits", "not_a_number"):
        return  # in dicts there is nothing left of them
    cls = Sequential if "output_layers" not in config else Model
    assert_refused(lambda: cls.from_config(config), refusal)  # the same at the other doors
    assert_refused(lambda: L.deserialize({"class_name": cls.__name__, "config": config}), refusal)


@pytest.mark.parametrize("name", YAML)
def test_yaml(name: str) -> None:
    content, refusal = YAML[name]
    assert_refused(lambda: model_from_yaml(content), refusal)


def test_little_is_allocated(tmp_path: Path) -> None:
    """All of them in one process, which may not take more than 200 MB beyond what it begins with."""
    code = """
import resource, sys
from pathlib import Path
from kcompile.models import load_model, model_from_json, model_from_yaml
from tests.hostile_archives import ARCHIVES, TEXTS, YAML
files = sorted(Path(sys.argv[1]).glob("*.keras"))
texts = [build() for build, _ in TEXTS.values()]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
yaml = [text for text, _ in YAML.values()]
for load, cases in ((load_model, files), (model_from_json, texts), (model_from_yaml, yaml)):
    for case in cases:
        try:
            load(case)
        except ValueError:
            pass
        taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert taken < 200 * 1024, (str(case)[:100], taken)
"""
    for name, (build, _) in ARCHIVES.items():
        (tmp_path / f"{name}.keras").write_bytes(build())
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=100)


def test_bytecode_runs_only_if_the_caller_says_so() -> None:
    model = Sequential([L.Lambda(lambda x, k=3.0: x * k, input_shape=(2,), name="thrice")])
    with pytest.warns(RuntimeWarning, match="safe_mode=False"):
        content = model.to_json()
    assert_refused(lambda: model_from_json(content), "bytecode.*safe_mode=False")
    again = model_from_json(content, safe_mode=False)
    np.testing.assert_array_equal(again.predict(np.ones((1, 2))), [[3, 3]])


def test_bytecode_of_another_python() -> None:
    function = {"class_name": "__lambda__", "config": {"value": "AAAA", "defaults": None, "python": "2.7"}}
    entry = layer("Lambda", {"name": "old", "function": function})
    with pytest.raises(ValueError, match=r"bytecode of Python 2.7.*custom_objects"):
        model_from_json(
            json.dumps({"class_name": "Sequential", "config": {"name": "m", "layers": [entry]}}), safe_mode=False
        )
