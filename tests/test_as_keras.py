"""Scripts that import Keras run on kcompile, with one class of each name, however deep the module is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import kcompile.as_keras
import sys
from keras.layers.core import Dense
from keras.utils.np_utils import to_categorical
import keras.backend as K
from keras import Sequential, layers
import keras
import kcompile

assert Dense is layers.Dense is kcompile.layers.Dense and Dense.__module__ == "kcompile.layers.core.dense"
assert keras is kcompile and K is kcompile.backend
assert keras.layers.core.__spec__.name == "kcompile.layers.core" and keras.__spec__.name == "kcompile"
assert {module.__name__ for name, module in sys.modules.items() if name.startswith("keras")} <= set(sys.modules)
assert all(not module.__name__.startswith("keras") for module in list(sys.modules.values()))
for name in ("keras.applications", "keras.nothing.at_all"):
    try:
        __import__(name)
    except ModuleNotFoundError as error:
        assert str(error).startswith("No module named 'keras."), error
    else:
        raise AssertionError(name)
Sequential([Dense(2, input_shape=(3,))]).predict([[1, 2, 3]])
"""


def run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "keras.py").write_text("the_other = True")  # as if Keras were installed
    path = str(Path(__file__).resolve().parent.parent)
    code = f"import sys; sys.path[:0] = [{str(folder)!r}, {path!r}]\n{script}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_keras_is_kcompile(tmp_path: Path) -> None:
    done = run(SCRIPT, tmp_path)
    assert not done.returncode, done.stderr


def test_too_late_is_said(tmp_path: Path) -> None:
    done = run("import keras; assert keras.the_other; import kcompile.as_keras", tmp_path)
    assert "keras is imported already; import kcompile.as_keras before it" in done.stderr
