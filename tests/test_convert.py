"""``kcompile convert``: files in, ONNX files and reports out; and the check that would notice a wrong file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kcompile import Sequential, layers
from kcompile.cli import main
from kcompile.converting import check_parity, targets
from kcompile.converting.command import dims_of, samples
from kcompile.converting.sources import custom_objects_of
from tests.small_models import ZOO

# ---- parity


@pytest.mark.parametrize("name", ZOO)
def test_exported_files_are_equal_to_their_models(name: str, tmp_path: Path) -> None:
    model = ZOO[name]()
    for kind in ("float32", "fp16"):
        model.export(tmp_path / "m.onnx", fp16=kind == "fp16", opset=18)
        found = check_parity(model, tmp_path / "m.onnx", kind)
        assert {item.sizes["batch"] for item in found} == {1, 3}
        assert all(item.passed for item in found), [str(item) for item in found]


def test_a_file_with_other_weights_is_noticed(tmp_path: Path) -> None:
    model = Sequential([layers.Dense(4, input_shape=(3,)), layers.Dense(2)])
    model.export(tmp_path / "m.onnx")
    model.set_weights([1.01 * array for array in model.get_weights()])
    found = check_parity(model, tmp_path / "m.onnx")
    assert not any(item.passed for item in found)
    assert "DIFFERENT at batch 1: largest relative difference" in str(found[0])


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
    assert found == [{"batch": b, "c_input_dim1": n} for b in (1, 3) for n in (32, 49)]
    model.export(tmp_path / "m.onnx", batch_size=2)
    assert {item.sizes["batch"] for item in check_parity(model, tmp_path / "m.onnx", fixed={"batch": 2})} == {2}
    endless = Sequential([layers.Conv1D(2, 400, input_shape=(None, 3)), layers.GlobalMaxPooling1D()])
    endless.export(tmp_path / "n.onnx")
    with pytest.raises(ValueError, match="accepts none of the tried sizes"):
        check_parity(endless, tmp_path / "n.onnx")


def test_models_that_are_too_large_for_numpy_are_not_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import kcompile.converting.parity as parity

    model = ZOO["dense"]()
    model.export(tmp_path / "m.onnx")
    monkeypatch.setattr(parity, "MOST_WORK", 100)
    with pytest.raises(ValueError, match="too large to be checked in NumPy"):
        check_parity(model, tmp_path / "m.onnx")


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
        (["a.h5", "a.keras"], None, r"'a.keras' would become 'a.onnx', as 'a.h5' does"),
        (["a.h5", "d/a.h5"], "new", r"'d/a.h5' would become 'new/a.onnx', as 'a.h5' does"),
        (["a.h5", "a.h5"], None, "'a.h5' would become 'a.onnx', and is listed twice"),
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
        with pytest.raises(ValueError, match=r"no \.npy or \.npz file of numbers"):
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
        (["a.h5", "--opset", "16"], "opset is 16; use 17 to 26"),
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
