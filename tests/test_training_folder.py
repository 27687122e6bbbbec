"""A folder of an exported training is replaced in one step; its state comes back into the model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kcompile import Sequential, layers, optimizers
from kcompile.export import generations
from kcompile.export.training import read_state
from kcompile.passes.onnx import initializers
from tests.small_models import ZOO, random_inputs

SCRIPT = Path(generations.__file__).with_name("scripts") / "continue_training.py"


def model(units: int = 3, optimizer: Any = "adam", metrics: Any = ("mae",)) -> Sequential:
    parts = [layers.Dense(units, input_shape=(4,), name="d"), layers.Dropout(0.3, name="o"), layers.Dense(1, name="e")]
    made = Sequential(parts, name="m")
    made.compile(optimizer, "mse", metrics=list(metrics))
    return made


def filled(made: Sequential, number: float) -> Sequential:
    made.set_weights([np.full_like(w, number) for w in made.get_weights()])
    return made


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_the_folder_holds(tmp_path: Path) -> None:
    report = model().export_training(tmp_path)
    manifest = json.loads(report.manifest.read_text())
    assert names(tmp_path) == {"manifest.json", *manifest["files"]}
    assert {path.name for path in report.files.values()} == set(manifest["files"])
    assert [name.split(".")[0] for name in sorted(manifest["files"])] == ["eval_step", "model", "state", "train_step"]
    assert manifest["previous_files"] == []
    assert "negative" in manifest["checks"]
    assert str(tmp_path) in str(report)
    assert f"{report.state} tensors of state; feed {', '.join(report.inputs)}" in str(report)


def test_the_set_before_stays_and_the_one_before_that_goes(tmp_path: Path) -> None:
    seen, made = [], model()
    for number in range(3):
        report = filled(made, number).export_training(tmp_path)
        manifest = json.loads(report.manifest.read_text())
        seen.append(set(manifest["files"]))
        kept = seen[-1] | (seen[-2] if number else set())
        assert names(tmp_path) == {"manifest.json", *kept}
        assert set(manifest["previous_files"]) == kept - seen[-1]
    same = filled(made, 2).export_training(tmp_path)  # nothing new: nothing is lost
    assert set(json.loads(same.manifest.read_text())["files"]) == seen[-1] <= names(tmp_path)


def test_other_files_and_young_ones_are_left_alone(tmp_path: Path) -> None:
    old, young, mine = (tmp_path / f"{stem}.0123456789abcdef.bin" for stem in ("state", "eval_step", "my-own"))
    for path in (old, young, mine):
        path.write_bytes(b"left")
    os.utime(old, (0, 0))
    os.utime(mine, (0, 0))
    (tmp_path / "manifest.json").write_text('{"previous_files": ["../x.0123456789abcdef.bin", 3], "files": []}')
    model().export_training(tmp_path)
    assert not old.exists()
    assert young.exists()
    assert mine.exists()


@pytest.mark.parametrize("step", range(5))
def test_a_full_disk_keeps_the_old_set_and_leaves_nothing(
    step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(model(), 1).export_training(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    write, count = generations.write_atomically, iter(range(99))

    def full(path: Any, data: Any) -> None:
        if next(count) == step:
            raise OSError(28, "No space left on device", str(path))
        write(path, data)

    monkeypatch.setattr(generations, "write_atomically", full)
    changed = filled(model(units=5), 2)
    with pytest.raises(OSError, match="No space left"):
        changed.export_training(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder, files: files["state"].write_bytes(b"x" * files["state"].stat().st_size), "has other contents"),
        (lambda folder, files: files["state"].unlink(), "is missing; the folder"),
        (lambda folder, files: (folder / "manifest.json").write_text("{"), "is no JSON"),
        (lambda folder, files: (folder / "manifest.json").write_text("[]"), "is no manifest"),
        (lambda folder, files: (folder / "manifest.json").write_text('{"format": "x"}'), "is not of export_training"),
        (
            lambda folder, files: (folder / "manifest.json").write_text(
                '{"format": "kcompile-training", "state_file": "../state.bin", "train_step": {"inputs": []}}'
            ),
            "no file in its folder",
        ),
    ],
)
def test_a_broken_folder_is_noticed(spoil: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    made = model()
    spoil(tmp_path, made.export_training(tmp_path).files)
    before = made.get_weights()
    with pytest.raises(ValueError, match=message):
        made.load_state(tmp_path)
    for a, b in zip(before, made.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


WRITER = """
import os, signal, sys, time
import numpy as np
from kcompile.export.training import read_state
from kcompile import layers, Sequential

folder, rounds, writers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
made = Sequential([layers.Dense(2, input_shape=(3,), name="d")])
made.compile("sgd", "mse")

def write(number):
    made.set_weights([np.full_like(w, number) for w in made.get_weights()])
    made.export_training(folder)

write(0)
start = time.perf_counter(); write(1); took = time.perf_counter() - start
random = np.random.default_rng(0)
for attempt in range(rounds):
    children = []
    for writer in range(writers):
        child = os.fork()
        if child == 0:
            for number in range(10**6):
                write(2 + writer + writers * number)
        children.append(child)
    end = time.perf_counter() + random.uniform(0, 2 * took * writers)
    while time.perf_counter() < end:
        arrays = read_state(folder)
        assert len({float(x) for name in ("d/kernel", "d/bias") for x in arrays[name].ravel()}) == 1, arrays
    for child in children:
        os.kill(child, signal.SIGKILL)
    for child in children:
        os.waitpid(child, 0)
    arrays = read_state(folder)
    import json, hashlib
    manifest = json.load(open(folder + "/manifest.json"))
    for name, about in manifest["files"].items():
        assert hashlib.sha256(open(folder + "/" + name, "rb").read()).hexdigest() == about["sha256"], name
    made.load_state(folder)
    import onnx
    model = onnx.load(folder + "/" + manifest["model"]["file"])
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    assert (stored["d/kernel"] == arrays["d/kernel"]).all(), "model and state are of two exports"
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(("rounds", "writers"), [(8, 1), (3, 2)])
def test_kills_and_two_writers(rounds: int, writers: int, tmp_path: Path) -> None:
    """Readers find one set at any moment, and so they do after a kill at any moment."""
    command = [sys.executable, "-W", "ignore", "-c", WRITER, str(tmp_path), str(rounds), str(writers)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_weights_beside_the_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(initializers, "INLINE_BYTES", 100)
    made = model(units=400)
    report = made.export_training(tmp_path)
    manifest = json.loads(report.manifest.read_text())
    assert report.files["model_weights"].name in manifest["files"]
    import onnxruntime

    session = onnxruntime.InferenceSession(str(report.files["model"]), providers=["CPUExecutionProvider"])
    x = random_inputs(made, 3)[0]
    found = session.run(None, {made.input_names[0]: x})[0]
    # Sums of 400 terms, which may cancel: then what two kernels round differently is more than 1e-5 of the sum.
    np.testing.assert_allclose(found, made.predict(x, verbose=0), rtol=1e-5, atol=1e-6)


# ---- the way back


def continued(folder: Path, result: Path, batches: dict[str, np.ndarray], *more: str) -> None:
    np.savez(result.with_name("batches.npz"), **batches)
    command = [sys.executable, str(SCRIPT), str(folder), str(result.with_name("batches.npz")), str(result), *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["dense", "conv2d", "embedding", "several_outputs"])
def test_training_elsewhere_comes_back(name: str, tmp_path: Path) -> None:
    """Weights, slots, counters, metrics; into a model whose layers are numbered on."""
    np.random.seed(3)

    def made() -> Any:
        built = ZOO[name]()
        built.compile(optimizers.Adam(0.01, decay=0.1), "mse", metrics=["mae"])
        return built

    here = made()
    x = random_inputs(here, 8)
    y = [np.random.RandomState(1).rand(8, *o.shape[1:]).astype("float32") for o in here.outputs]
    report = here.export_training(tmp_path / "training")
    batches = {n: np.stack([array] * 3) for n, array in zip(report.inputs, [*x, *y], strict=True)}
    continued(tmp_path / "training", tmp_path / "result.npz", batches, "--save")
    feed_x, feed_y = (x if len(x) > 1 else x[0]), (y if len(y) > 1 else y[0])
    for _ in range(3):
        here.train_on_batch(feed_x, feed_y)
    for source in ("training", "result.npz"):
        away = made()
        away.load_state(tmp_path / source)
        for a, b in zip(away.get_weights(), here.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
        for a, b in zip(away.optimizer.get_weights(), here.optimizer.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
        if name != "dense":  # whose dropout draws other numbers in each model
            log = away.train_on_batch(feed_x, feed_y)
            away.load_state(tmp_path / source)
            np.testing.assert_allclose(log, away.train_on_batch(feed_x, feed_y), rtol=1e-6)
    # The saved set is whole, and the one before it still there for readers.
    manifest = json.loads(report.manifest.read_text())
    assert manifest["previous_files"] == [report.files["state"].name]
    assert names(tmp_path / "training") == {"manifest.json", *manifest["files"], *manifest["previous_files"]}


def test_a_state_that_does_not_fit_changes_nothing(tmp_path: Path) -> None:
    model().export_training(tmp_path / "training")
    state = dict(read_state(tmp_path / "training"))
    np.savez(tmp_path / "less.npz", **{n: a for n, a in state.items() if n != "d/kernel"})
    np.savez(tmp_path / "typed.npz", **{**state, "d/kernel": state["d/kernel"].astype("float64")})
    (tmp_path / "text.npz").write_text("hello")
    for made, source, message in (
        (model(units=5), "training", r"'d/kernel' is float32 \(4, 3\), the model's float32 \(4, 5\)"),
        (model(optimizer="sgd"), "training", "it has no 'SGD/iterations'"),
        (model(metrics=()), "training", "the model has no 'm.*'"),
        (model(metrics=["mae", "mape"]), "training", "it has no '.*'"),
        (model(), "less.npz", "it has no 'd/kernel'"),
        (model(), "typed.npz", r"'d/kernel' is float64 \(4, 3\)"),
        (model(), "text.npz", "no .npz file of numbers"),
        (Sequential([layers.Dense(3, input_shape=(4,))]), "training", "must be compiled before load_state"),
    ):
        before = made.get_weights()
        with pytest.raises(ValueError, match=message):
            made.load_state(tmp_path / source)
        for a, b in zip(before, made.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    for source in ("missing", "."):
        with pytest.raises(OSError, match=r"nothing at|has no manifest\.json; export_training writes one"):
            model().load_state(tmp_path / source)
    with pytest.raises(TypeError, match="a folder of export_training or a"):
        model().load_state({"a": 1})


def test_sample_weights_are_known_from_the_manifest(tmp_path: Path) -> None:
    made = model()
    made.export_training(tmp_path, sample_weight=True)
    weights = made.get_weights()
    filled(made, 0.0).load_state(tmp_path)
    for a, b in zip(weights, made.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
