"""Hostile HDF5 files get one sentence: no other file is read, nothing is imported, little is allocated."""

from __future__ import annotations

import importlib
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kcompile import layers as L
from kcompile.common.errors import KCompileError
from kcompile.models import Sequential, load_model
from tests.hostile_hdf5 import CASES

_watched: dict[str, Any] = {}


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """What Python reports of files that are opened, processes, and the network."""
    if not _watched.get("path"):
        return
    if event == "open" and isinstance(arguments[0], (str, bytes, Path)):
        name = str(arguments[0])
        if name not in (_watched["path"], "/proc/meminfo") and not name.endswith((".py", ".pyc")):
            _watched["seen"].append((event, name))
    elif event == "marshal.loads" and "importlib" in sys._getframe(1).f_code.co_filename:
        pass  # Python's own modules
    elif event.startswith(("socket.", "subprocess.", "os.system", "marshal.", "pickle.", "shutil.", "urllib.")):
        _watched["seen"].append((event, str(arguments)[:100]))


sys.addaudithook(_watch)
for _module in ("saving.hdf5.models", "saving.archive.archives", "saving.training_config", "objects.dialects.lambdas"):
    importlib.import_module(f"kcompile.{_module}")  # so that importing them is not mistaken for the file's doing


@pytest.mark.parametrize("name", CASES)
def test_hostile_files_are_refused(name: str, tmp_path: Path) -> None:
    build, refusal = CASES[name]
    path = build(tmp_path)
    before = {each: each.stat().st_mtime_ns for each in tmp_path.iterdir()}
    _watched.update(path=str(path), seen=[])
    start = time.process_time()
    try:
        with pytest.raises(KCompileError, match=refusal) as caught:
            load_model(path)
    finally:
        _watched["path"] = None
    assert time.process_time() - start < 1
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert _watched["seen"] == []
    assert {each: each.stat().st_mtime_ns for each in tmp_path.iterdir()} == before


@pytest.mark.parametrize("name", CASES)
def test_hostile_files_change_no_weights(name: str, tmp_path: Path) -> None:
    """Where only the architecture is bad, the weights may be loaded; else all stay as they were."""
    path = CASES[name][0](tmp_path)
    model = Sequential([L.Dense(4, input_shape=(4,), use_bias=False)])
    (before,) = model.get_weights()
    try:
        model.load_weights(path)
    except KCompileError:
        np.testing.assert_array_equal(model.get_weights()[0], before)


def test_hostile_files_allocate_little(tmp_path: Path) -> None:
    """All of them in one process, which may not take more than 200 MB beyond what it begins with."""
    code = """
import resource, sys
from pathlib import Path
from kcompile.models import load_model
from tests.hostile_hdf5 import CASES
paths = []
for name, (build, _) in CASES.items():
    folder = Path(sys.argv[1]) / name
    folder.mkdir()
    paths.append(build(folder))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in paths:
    try:
        load_model(path)
    except ValueError:
        pass
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert taken < 200 * 1024, (path, taken)
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=100)
