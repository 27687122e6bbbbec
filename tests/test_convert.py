"""``kcompile convert``: files in, ONNX files and reports out; and the check that would notice a wrong file."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from kcompile import Input, Model, Sequential, layers
from kcompile.cli import main
from kcompile.converting import FileReport, check_parity, targets
from kcompile.converting.command import Bar, dims_of, samples
from kcompile.converting.sources import custom_objects_of
from tests.small_models import ZOO

# ---- parity


@pytest.mark.parametrize("name", ZOO)
def test_exported_files_are_equal_to_their_models(name: str, tmp_path: Path) -> None:
    np.random.seed(3)
    model = ZOO[name]()
    for kind in ("float32", "fp16"):
        model.export(tmp_path / "m.onnx", fp16=kind == "fp16", opset=18)
        found = check_parity(model, tmp_path / "m.onnx", kind)
        assert {item.sizes["batch"] for item in found} == {1, 8}
        assert all(item.passed for item in found), [str(item) for item in found]


def test_a_file_with_other_weights_is_noticed(tmp_path: Path) -> None:
    model = Sequential([layers.Dense(4, input_shape=(3,)), layers.Dense(2)])
    model.export(tmp_path / "m.onnx")
    model.set_weights([1.01 * array for array in model.get_weights()])
    found = check_parity(model, tmp_path / "m.onnx")
    assert [item.kind for item in found if item.passed] == ["zero"]
    assert "DIFFERENT at batch 1: largest relative difference" in str(found[0])
    assert "DIFFERENT at batch 1, negative inputs: largest relative difference" in "\n".join(map(str, found))


def test_numbers_that_are_undefined_are_compared_too(tmp_path: Path) -> None:
    model = Sequential([layers.Dense(2, input_shape=(2,))])
    model.set_weights([np.array([[np.nan, 1], [1, 1]], "float32"), np.zeros(2, "float32")])
    model.export(tmp_path / "m.onnx")
    assert all(item.passed for item in check_parity(model, tmp_path / "m.onnx"))
    model.set_weights([np.ones((2, 2), "float32"), np.zeros(2, "float32")])
    assert "infinite or undefined numbers at other places" in str(check_parity(model, tmp_path / "m.onnx")[0])


def test_free_sizes_are_tried_until_the_model_takes_them(tmp_path: Path) -> None:
    model = Sequential([layers.Conv1D(2, 30, input_shape=(None, 3), name="c"), layers.GlobalMaxPooling1D()])
    model.export(tmp_path / "m.onnx")
    found = [dict(item.sizes) for item in check_parity(model, tmp_path / "m.onnx")]
    assert found[:4] == [{"batch": b, "c_input_dim1": n} for b in (1, 8) for n in (32, 49)]
    model.export(tmp_path / "m.onnx", batch_size=2)
    assert {item.sizes["batch"] for item in check_parity(model, tmp_path / "m.onnx", fixed={"batch": 2})} == {2}
    for window, sizes in ((400, [400, 401]), (1500, [1504, 1536])):
        long = Sequential([layers.Conv1D(1, window, input_shape=(None, 1)), layers.GlobalMaxPooling1D()])
        long.export(tmp_path / "n.onnx")
        found = check_parity(long, tmp_path / "n.onnx")
        assert all(item.passed for item in found)
        assert sorted({n for item in found for name, n in item.sizes.items() if name != "batch"}) == sizes
    pooled = Sequential([layers.MaxPooling1D(400, input_shape=(None, 1))])  # whose output would be empty
    pooled.export(tmp_path / "p.onnx")
    assert min(n for name, n in check_parity(pooled, tmp_path / "p.onnx")[0].sizes.items() if name != "batch") >= 400


def test_models_that_are_too_large_for_numpy_are_not_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import kcompile.converting.parity as parity

    model = ZOO["dense"]()
    model.save(tmp_path / "m.h5")
    model.export(tmp_path / "m.onnx")
    monkeypatch.setattr(parity, "MUCH_WORK", 100)
    assert [item.sizes["batch"] for item in check_parity(model, tmp_path / "m.onnx")] == [1]
    monkeypatch.setattr(parity, "MOST_WORK", 100)
    with pytest.raises(ValueError, match="too large to be checked in NumPy"):
        check_parity(model, tmp_path / "m.onnx")
    assert main(["convert", str(tmp_path / "m.h5"), "--check", "--force"]) == 0
    assert "not checked: too large to be checked in NumPy" in capsys.readouterr().out


def saturated() -> Sequential:
    model = Sequential([layers.Dense(50, input_shape=(20,)), layers.Dense(3, activation="sigmoid")])
    model.layers[-1].set_weights([model.layers[-1].get_weights()[0], np.full(3, -11.5, "float32")])
    return model


def ending() -> Sequential:
    """For equal inputs the sigmoid is 2e-22 in NumPy, and 0 in ONNX Runtime; for others it is as large as can be."""
    model = Sequential([layers.Dense(1, activation="sigmoid", input_shape=(4,))])
    model.set_weights([np.array([[90], [-90], [-30], [-31]], "float32"), np.array([-4], "float32")])
    return model


def cancelling() -> Model:
    """The difference of large numbers that are almost equal."""
    x = Input((30,))
    big = layers.Dense(1, name="big", kernel_initializer="ones")(layers.Lambda(lambda t: t * 1e4)(x))
    return Model(x, layers.Lambda(lambda t: t[0] - t[1])([big, layers.Lambda(lambda t: t * 1.0000002)(big)]))


def in_time() -> Model:
    x = Input((2, 4))
    return Model(x, layers.TimeDistributed(layers.Embedding(7, 3))(x))


def shifted() -> Model:
    x = Input((4,), dtype="int32")
    return Model(x, layers.Embedding(7, 3)(layers.Lambda(lambda t: t + 1)(x)))


@pytest.mark.parametrize("build", [saturated, ending, cancelling, in_time, shifted], ids=lambda build: build.__name__)
def test_no_false_alarms(build: Any, tmp_path: Path) -> None:
    np.random.seed(0)
    model = build()
    model.export(tmp_path / "m.onnx")
    found = check_parity(model, tmp_path / "m.onnx")
    assert all(item.passed for item in found), [str(item) for item in found]


def test_bounds_from_rounding_still_notice_what_is_wrong(tmp_path: Path) -> None:
    np.random.seed(0)
    model = saturated()
    model.export(tmp_path / "m.onnx")
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel, bias + 0.2])
    # Where inputs are large, some of the outputs are 1, and none of the others matters.
    assert not any(item.passed for item in check_parity(model, tmp_path / "m.onnx") if item.kind != "large")


def test_faults_that_only_special_numbers_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime that takes zeros before a pooling for pads, as many releases do: negative inputs tell."""
    from kcompile.ir.ops.arrays.slicing import Pad

    lower = Pad.lower

    def lowest(self: Pad, b: Any, node: Any, *names: str) -> str:
        return lower(dataclasses.replace(self, value=-1e30), b, node, *names)

    model = Sequential([layers.ZeroPadding2D(1, input_shape=(4, 4, 1)), layers.MaxPooling2D(3)])
    monkeypatch.setattr(Pad, "lower", lowest)
    model.export(tmp_path / "m.onnx")
    assert "negative" in {item.kind for item in check_parity(model, tmp_path / "m.onnx") if not item.passed}


def test_fractions_are_no_indices() -> None:
    with pytest.raises(ValueError, match=r"0\.5"):
        in_time().predict(np.full((1, 2, 4), 0.5), verbose=0)


# ---- the command's arguments


@pytest.mark.parametrize(
    ("sources", "output", "expected"),
    [
        (["a.h5"], None, ["a.onnx"]),
        (["a.h5", "d/b.keras"], None, ["a.onnx", "d/b.onnx"]),
        (["a.h5"], "x.onnx", ["x.onnx"]),
        (["a.h5"], "new/", ["new/a.onnx"]),
        (["a.h5", "d/b.keras"], "new", ["new/a.onnx", "new/b.onnx"]),
        (["a.h5"], "d", ["d/a.onnx"]),
        (["a.h5", "b.h5", "a.keras"], None, ["a.h5.onnx", "b.onnx", "a.keras.onnx"]),
        (["a.h5", "d/a.h5"], "new", ["new/a.h5.onnx", "new/d_a.h5.onnx"]),
        (["c/a.h5", "d/a.h5", "a.keras"], "new", ["new/c_a.h5.onnx", "new/d_a.h5.onnx", "new/a.keras.onnx"]),
    ],
)
def test_where_files_go(
    sources: list[str], output: str | None, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("d").mkdir()
    assert targets([Path(s) for s in sources], output) == [Path(e) for e in expected]


@pytest.mark.parametrize(
    ("sources", "output", "message"),
    [
        (["a.onnx"], None, "'a.onnx' would be overwritten, which is read"),
        (["a.h5"], "a.h5", "'a.h5' would be overwritten"),
        (["b.h5"], "w.h5", "'w.h5' would be overwritten"),
        (["a.h5", "b.h5"], "file", "must be a folder"),
        (["a.h5", "a.h5"], None, "'a.h5' is listed twice"),
        (["d/a.h5", "d/../d/a.h5"], "new", "'d/../d/a.h5' is the same file as 'd/a.h5'"),
        (["link.h5"], "a.h5", "'a.h5' would be overwritten"),
    ],
)
def test_files_that_would_be_lost(
    sources: list[str], output: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.h5").touch()
    Path("link.h5").symlink_to("a.h5")
    Path("file").touch()
    with pytest.raises(ValueError, match=message):
        targets([Path(s) for s in sources], output, [Path("w.h5")])


def test_dims() -> None:
    assert dims_of("image=1,None, n,3") == ("image", (1, None, "n", 3))
    assert dims_of("a=b=2") == ("a=b", (2,))
    for text in ("image", "=1", "image=", "image=1;2", "image=-1"):
        with pytest.raises(ValueError, match="expected INPUT=SIZES"):
            dims_of(text)


def test_samples(tmp_path: Path) -> None:
    x, y = np.ones((3, 2), "float32"), np.arange(3)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", x=x)
    np.savez(tmp_path / "xy.npz", x=x, y=y)
    np.savez(tmp_path / "ab.npz", a=x, b=x)
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    (tmp_path / "text.npy").write_text("hello")
    assert samples("dynamic") is True
    assert samples(str(tmp_path / "x.npy")).shape == samples(str(tmp_path / "x.npz")).shape == (3, 2)
    assert [part.shape for part in samples(str(tmp_path / "xy.npz"))] == [(3, 2), (3,)]
    assert list(samples(str(tmp_path / "ab.npz"))) == ["a", "b"]
    for name in ("objects.npy", "text.npy"):
        with pytest.raises(ValueError, match=r"no \.npy or \.npz file of numbers$"):
            samples(str(tmp_path / name))
    with pytest.raises(OSError, match="there is no file"):
        samples(str(tmp_path / "missing.npy"))


def test_custom_objects(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import os\nfrom kcompile.layers import Dense\nclass Mine(Dense): pass\ndef swish(x): return x\n_no = 1\n"
    )
    assert sorted(custom_objects_of(str(file))) == ["Mine", "swish"]
    file.write_text("custom_objects = {'a': 1}")
    assert custom_objects_of(str(file)) == {"a": 1}
    file.write_text("1 / 0")
    with pytest.raises(ValueError, match="ZeroDivisionError"):
        custom_objects_of(str(file))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.h5", "--opset", "16"], "--opset is 16; use 17 to 26"),
        (["a.h5", "--batch-size", "0"], "--batch-size is 0; use a whole number from 1 on"),
        (["a.h5", "--dims", "x"], "expected INPUT=SIZES"),
        (["a.h5", "--int8", "none.npz"], "there is no file 'none.npz'"),
        (["a.h5", "b.h5", "--weights", "w.h5"], "--weights takes one SRC"),
        (["a.h5", "--custom-objects", "none.py"], "there is no file 'none.py'"),
    ],
)
def test_wrong_arguments(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["convert", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("kcompile convert: ")
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert not captured.out
    assert not list(tmp_path.iterdir())


# ---- files


def small(seed: int = 0) -> Sequential:
    np.random.seed(seed)
    return Sequential(
        [
            layers.Conv1D(4, 2, activation="relu", input_shape=(None, 3), name="conv"),
            layers.Dropout(0.2, name="drop"),
            layers.GlobalMaxPooling1D(),
            layers.Dense(2, activation="softmax", name="kind"),
        ]
    )


def run(path: Path, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


X = np.random.default_rng(0).standard_normal((5, 7, 3)).astype("float32")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, the present one, with files of the model in every form."""
    monkeypatch.chdir(tmp_path)
    model = small()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.save("model.h5")
    model.save("archive.keras")
    model.save_weights("only.h5")
    Path("model.json").write_text(model.to_json())
    Path("model.yaml").write_text(model.to_yaml())
    Path("twice.json").write_text(json.dumps(model.to_json()))
    Path("build.py").write_text(
        "from kcompile import Sequential, layers\n"
        "def make():\n"
        "    return Sequential([layers.Conv1D(4, 2, activation='relu', input_shape=(None, 3)),\n"
        "                       layers.GlobalMaxPooling1D(), layers.Dense(2, activation='softmax')])\n"
        "def wrong():\n"
        "    return Sequential([layers.Dense(2, input_shape=(3,))])\n"
    )
    np.savez("data.npz", x=X, y=np.arange(5) % 2)
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ["model.h5"],
        ["archive.keras"],
        ["only.h5", "--arch", "build.py:make"],
        ["only.h5", "--arch", "model.json"],
        ["only.h5", "--arch", "twice.json"],
        ["only.h5", "--arch", "model.yaml"],
        ["model.json", "--weights", "only.h5"],
        ["model.yaml", "--weights", "model.h5"],
        ["model.h5", "--opset", "17"],
        ["model.h5", "--fp16"],
        ["model.h5", "--int8", "data.npz"],
        ["model.h5", "--int8", "dynamic"],
        ["model.h5", "--batch-size", "5", "--dims", "conv_input=None,7,3"],
        ["archive.keras", "--ort"],
    ],
    ids=" ".join,
)
def test_one_file(arguments: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", *arguments, "--check", "-o", "out.onnx"]) == 0, capsys.readouterr().out
    output = capsys.readouterr().out
    assert output.startswith(f"{arguments[0]}: ok (")
    assert "-> out.onnx" in output
    assert "38 parameters" in output
    assert output.count("equal at batch ") == (1 if "--dims" in arguments else 4) + 4  # and four kinds of numbers
    proto = onnx.load("out.onnx")
    onnx.checker.check_model(proto, full_check=True)
    assert proto.opset_import[0].version == (17 if "17" in arguments else 21)
    tolerance = 3e-2 if "--int8" in arguments or "--fp16" in arguments else 1e-5
    np.testing.assert_allclose(run(Path("out.onnx"), X), small().predict(X), rtol=tolerance, atol=tolerance)
    if "data.npz" in arguments:
        assert "accuracy: " in output
    if "--ort" in arguments:
        np.testing.assert_allclose(run(Path("out.ort"), X), small().predict(X), rtol=1e-5)


def test_many_files_of_which_some_fail(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("broken.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    small(1).save("second.h5")
    sources = ["broken.h5", "model.h5", "missing.h5", "only.h5", "twice.json", "build.py", "second.h5"]
    assert main(["convert", *sources, "-o", "new", "--check"]) == 1
    captured = capsys.readouterr()
    assert not captured.err
    assert sorted(path.name for path in Path("new").iterdir()) == ["model.onnx", "second.onnx"]
    np.testing.assert_allclose(run(Path("new/second.onnx"), X), small(1).predict(X), rtol=1e-5)
    assert "2 of 7 files converted; failed: broken.h5, missing.h5, only.h5, twice.json, build.py" in captured.out
    for line in (
        "there is no file 'missing.h5'",
        "'only.h5' holds weights only, without an architecture: give it with --arch",
        "'twice.json' is an architecture without weights; give them with --weights FILE",
        "'build.py' is Python code; call model.export(...) there, or give its weights as the file",
        "left out, since they act in training only: drop",
    ):
        assert line in captured.out
    assert "Traceback" not in captured.out
    assert "unexpected" not in captured.out


def test_a_check_that_fails_is_in_the_exit_status(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import kcompile.converting.parity as parity

    monkeypatch.setitem(parity.TOLERANCES, "float32", 0.0)
    monkeypatch.setattr(parity, "MOST_ROUNDING", 0.0)
    assert main(["convert", "model.h5", "--check"]) == 1
    assert "model.h5: FAILED" in (output := capsys.readouterr().out)
    assert "DIFFERENT at batch" in output


def test_what_is_there_is_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("model.onnx").write_bytes(b"old")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert main(["convert", "model.h5"]) == 1
    assert "'model.onnx' exists already; --force overwrites it" in capsys.readouterr().out
    for output in ("model.h5", "build.py"):
        assert main(["convert", "model.h5", "-o", output, "--force", "--arch", "build.py:make"]) in (1, 2)
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    assert main(["convert", "model.h5", "--force"]) == 0
    assert onnx.load("model.onnx").producer_name == "kcompile"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["only.h5", "--arch", "build.py"], "name the function that returns the model, as in build.py:FUNCTION"),
        (["only.h5", "--arch", "build.py:maek"], "defines no 'maek'; did you mean 'make'?"),
        (["only.h5", "--arch", "data.npz"], "expected FILE.py:FUNCTION or one of the kinds"),
        (["only.h5", "--arch", "missing.json"], "there is no file 'missing.json'"),
        (["only.h5", "--arch", "build.py:wrong"], "only.h5"),
        (
            ["model.json", "--arch", "build.py:make", "--weights", "only.h5"],
            "is an architecture, and --arch gives another one",
        ),
        (["model.h5", "--weights", "only.h5"], "--weights is for architectures"),
        (["model.h5", "--dims", "x=1,2,3"], "Unknown input in dims 'x'"),
        (["model.h5", "--dims", "conv_input=None,1,3"], "a window over 2 elements does not fit an axis of 1"),
    ],
)
def test_files_that_do_not_fit_together(
    arguments: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", *arguments, "-o", "out.onnx"]) == 1
    output = capsys.readouterr().out
    assert message in output
    assert "unexpected" not in output
    assert not Path("out.onnx").exists()


def test_own_classes_and_stored_code(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.py").write_text(
        "from kcompile import layers\nclass Twice(layers.Layer):\n    def call(self, x): return x * 2\n"
    )
    own = custom_objects_of("mine.py")["Twice"]
    Sequential([layers.Dense(2, input_shape=(3,)), own()]).save("own.h5")
    assert main(["convert", "own.h5"]) == 1
    assert "'Twice' of a file given with --custom-objects FILE.py" in capsys.readouterr().out
    assert main(["convert", "own.h5", "--custom-objects", "mine.py", "--check"]) == 0
    lambdas = Sequential([layers.Dense(2, input_shape=(3,)), layers.Lambda(lambda x: x + 1, name="added")])
    with pytest.warns(RuntimeWarning, match="saved as bytecode"):
        Path("code.json").write_text(lambdas.to_json())
    lambdas.save_weights("code.h5")
    arguments = ["convert", "code.json", "--weights", "code.h5", "--check"]
    assert main(arguments) == 1
    output = capsys.readouterr().out
    assert "added" in output
    assert "load with --unsafe-lambdas, or else give a function" in output
    assert "safe_mode" not in output
    assert "custom_objects=" not in output
    Path("folder").mkdir()
    Path("folder/saved_model.pb").touch()
    assert main(["convert", "folder", "own.h5", "--custom-objects", "mine.py", "--force"]) == 1
    output = capsys.readouterr().out
    assert "'folder' is a SavedModel of TensorFlow" in output
    assert "1 of 2 files converted; failed: folder" in output
    assert not Path("code.onnx").exists()
    assert main([*arguments, "--unsafe-lambdas"]) == 0


def test_progress_is_shown_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for terminal in (False, True):
        monkeypatch.setattr("sys.stderr.isatty", lambda terminal=terminal: terminal, raising=False)
        bar = Bar(4)
        bar.show(1, Path("a\x1bb.h5"))
        bar.clear()
        drawn = capsys.readouterr().err
        assert ("1/4 [=======......................." in drawn and "a?b.h5" in drawn) if terminal else not drawn


def test_names_cannot_steer_the_terminal(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = FileReport(Path("a\x1b[2J.h5"), error="layer '\x1b]0;owned\x07'")
    assert "\x1b" not in str(report)
    assert "\\x1b" in str(report)
