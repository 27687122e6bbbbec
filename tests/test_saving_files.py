"""Saving as an act on files: what is replaced, what survives; checkpoints; data in HDF5 files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

import kcompile as keras
from kcompile import layers as L
from kcompile.models import Input, Model, Sequential, load_model
from kcompile.utils.io_utils import HDF5Matrix
from tests.saving_samples import assert_equal, small, weights_of

# ---- writing


def test_files_are_not_replaced_unless_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    small().save(path)
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match=r"model.h5.*overwrite=True"):
        small(4).save(path, overwrite=False)
    assert path.read_bytes() == before
    with pytest.raises(FileNotFoundError, match="no folder"):
        small().save(tmp_path / "missing" / "model.h5")
    with pytest.raises(ValueError, match="SavedModel"):
        small().save(path, save_format="tf")
    with pytest.raises(IsADirectoryError):
        small().save(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="a device or a pipe"):
        small().save(tmp_path / "pipe")


def test_a_link_is_replaced_and_what_it_points_to_stays(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("precious")
    (tmp_path / "model.h5").symlink_to("target")
    small().save(tmp_path / "model.h5")
    assert (tmp_path / "target").read_text() == "precious"
    assert load_model(tmp_path / "model.h5").output_shape == (None, 2)


FOREIGN = [
    (b"", "an empty file"),
    (b"\x80\x04\x95abc", "a Python pickle"),
    (b"\x08\x07\x12\x07pytorch", "a protocol buffer"),
    (b"\x1c\x00\x00\x00TFL3abc", "TensorFlow Lite"),
    (b'{"class_name": 1}', "JSON: read it with model_from_json"),
    (b"<html>", "a web page"),
    (b"hello there", "but .*text"),
    (b"\x00\x01\x02\xff", "begins with"),
]


@pytest.mark.parametrize(("content", "words"), FOREIGN)
def test_other_files_are_called_by_their_names(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "model.h5"
    path.write_bytes(content)
    for load_it in (load_model, small().load_weights):
        with pytest.raises(ValueError, match=rf"'model.h5'.*{words}.*Supported"):
            load_it(path)


def test_paths_without_a_file(tmp_path: Path) -> None:
    for load_it in (load_model, small().load_weights):
        with pytest.raises(FileNotFoundError, match="no file"):
            load_it(tmp_path / "missing.h5")
        with pytest.raises(IsADirectoryError, match="folder"):
            load_it(tmp_path)
        with pytest.raises(TypeError, match="a path or a binary file object"):
            load_it(3)
    (tmp_path / "saved_model.pb").write_bytes(b"")
    with pytest.raises(IsADirectoryError, match="SavedModel of TensorFlow"):
        load_model(tmp_path)
    with pytest.raises(ValueError, match=r"weights only.*load_weights"):
        load_model(weights_of(small()))


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    """In a process that may write 20 kB per file."""
    code = """
import resource, signal, sys
from pathlib import Path
from kcompile import layers as L
from kcompile.models import Sequential, load_model
path = Path(sys.argv[1])
Sequential([L.Dense(1, input_shape=(1,))]).save(path)
before = path.read_bytes()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (30000, 30000))
large = Sequential([L.Dense(200, input_shape=(200,))])
try:
    large.save(path)
except OSError as error:
    assert str(path) in str(error) and "cannot write" in str(error), error
else:
    raise AssertionError("nothing was raised")
assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]
large.predict([[0.0] * 200])
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "model.h5")], check=True, timeout=60)


KILLED = """
import sys
import numpy as np
from kcompile import layers as L
from kcompile.models import Sequential
model = Sequential([L.Dense(300, input_shape=(300,), use_bias=False)])
for number in range(10**6):
    model.set_weights([np.full((300, 300), number, "float32")])
    model.save(sys.argv[1])
    print(number, flush=True)
"""


def kill_while_saving(folder: Path, rounds: int) -> None:
    path, random = folder / "model.h5", np.random.default_rng(0)
    for _ in range(rounds):
        writer = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(random.uniform(0, 0.05))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        (found,) = load_model(path).get_weights()
        assert (found == found[0, 0]).all()


@pytest.mark.slow
def test_processes_that_are_killed_while_they_save_leave_files_that_load(tmp_path: Path) -> None:
    kill_while_saving(tmp_path, 50)


# ---- checkpoints


def test_checkpoints(tmp_path: Path) -> None:
    x, y = np.ones((8, 1)), np.zeros((8, 1))
    model = Sequential([L.Dense(1, input_shape=(1,), use_bias=False)])
    model.compile("sgd", "mse")
    checkpoint = keras.callbacks.ModelCheckpoint
    callbacks = [
        checkpoint(tmp_path / "{epoch}-{loss:.3f}.h5"),
        checkpoint(tmp_path / "best.h5", monitor="loss", save_best_only=True),
        checkpoint(tmp_path / "{epoch}-{batch}.npz", save_weights_only=True, save_freq=3),
    ]
    history = model.fit(x, y, batch_size=2, epochs=2, callbacks=callbacks, verbose=0).history
    epochs = [f"{i + 1}-{loss:.3f}.h5" for i, loss in enumerate(history["loss"])]
    assert {path.name for path in tmp_path.iterdir()} == {*epochs, "best.h5", "1-3.npz", "2-2.npz"}
    assert_equal(load_model(tmp_path / "best.h5").get_weights(), model.get_weights())
    earlier = load_model(tmp_path / epochs[0])
    earlier.fit(x, y, batch_size=2, verbose=0)
    assert_equal(earlier.get_weights(), model.get_weights())


def test_a_model_that_cannot_be_saved_is_refused_before_the_first_step(tmp_path: Path) -> None:
    x = Input((1,))
    model = Model(x, L.Dense(1)(x) * keras.backend.variable(2.0))
    model.compile("sgd", "mse")
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"ModelCheckpoint: .*computes outside of layers.*save_weights_only=True"):
        model.fit(np.ones((2, 1)), np.ones((2, 1)), callbacks=[keras.callbacks.ModelCheckpoint(tmp_path / "m")])
    assert_equal(model.get_weights(), before)


# ---- data in files


def test_data_in_an_hdf5_file(tmp_path: Path) -> None:
    values = np.arange(40.0, dtype="float32").reshape(10, 4)
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["x"] = values
        file.create_dataset("y", data=values[:, :1], chunks=(3, 1), compression="gzip")
    x, y = (HDF5Matrix(tmp_path / "data.h5", name, 2, 9) for name in "xy")
    assert (len(x), x.shape, x.ndim, x.size, x.dtype) == (7, (7, 4), 2, 28, np.float32)
    mine = values[2:9]
    slices = [slice(1, 5), slice(None), slice(5, 1, -2), slice(0, 7, 3), slice(9, 3)]
    for key in [0, -1, *slices, [3, 0, 0, -1], np.arange(7) > 3]:
        np.testing.assert_array_equal(x[key], mine[key])
    np.testing.assert_array_equal(x[1:3, 2], mine[1:3, 2])
    halved = HDF5Matrix(tmp_path / "data.h5", "x", normalizer=lambda a: a[:, :2] / 2)
    assert halved.shape == (10, 2)
    with pytest.raises(IndexError, match="7 rows"):
        x[7]
    for arguments in ({"start": 11}, {"start": 3, "end": 2}, {"dataset": "z"}):
        with pytest.raises(ValueError, match=r"HDF5Matrix|there is no /z"):
            HDF5Matrix(tmp_path / "data.h5", **{"dataset": "x", **arguments})
    with pytest.raises(TypeError, match="a path or a binary file object is needed, got 5"):
        HDF5Matrix(5, "x")
    model = Sequential([L.Dense(1, input_shape=(4,))])
    model.compile("sgd", "mse")
    model.fit(x, y, batch_size=3, shuffle="batch", verbose=0)
    np.testing.assert_array_equal(model.predict(x), model.predict(mine))


def test_the_question_before_a_file_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.h5"
    small().save(path)
    answers = iter(["what", "n", "y"])
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda text: next(answers))
    with pytest.raises(FileExistsError):
        small(3).save(path, overwrite=False)
    small(3).save(os.fspath(path), overwrite=False)
    assert load_model(path).output_shape == (None, 3)


def test_a_folder_that_may_not_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("kcompile.common.files.tempfile.mkstemp", refuse)
    with pytest.raises(PermissionError, match=r"cannot write to the folder \(Permission denied\): '.*m\.h5'"):
        Sequential([L.Dense(1, input_shape=(2,))]).save(tmp_path / "m.h5")
