"""The benchmark of Keras files: its table, its comparison of outputs, and one real run of its own half."""

from __future__ import annotations

import json

import numpy as np
import pytest

import kcompile
from benchmarks import files, onnx_files
from benchmarks.__main__ import main
from benchmarks.files import FileResult

FILE_TABLE = """
| file | nodes | tf2onnx | ms, batch 1 | tf2onnx | ratio | difference |
| ---- | ----: | ------: | ----------: | ------: | ----: | ---------: |
| b.h5 |     3 |       2 |        4.00 |    2.00 | 0.500 |      0e+00 |
| a.h5 |     2 |       2 |        3.00 |    8.00 |  3.00 |      1e-06 |
"""


def test_files_are_listed_from_the_slowest():
    fast = FileResult("a.h5", [2, 2], {"1": [[[0.002], [0.004, 0.009]], [[0.004], [0.012]]]}, 1e-6)
    slow = FileResult("b.h5", [3, 2], {"1": [[[0.004]], [[0.002]]]}, 0.0)
    assert fast.ratio("1") == pytest.approx(3)  # of the second of two rounds
    broken = FileResult("c.h5", error="tf2onnx: no such layer")
    printed = files.render([fast, slow, broken])
    assert FILE_TABLE.strip() in printed
    assert "2 files, 1 of them slower than tf2onnx' in a batch size, 1 with more nodes" in printed
    assert "geometric mean of the ratios 1.22" in printed
    assert "not compared: c.h5: tf2onnx: no such layer" in printed


def test_outputs_of_files_are_compared():
    a = np.array([[1.0, -4.0]], "float32")
    assert onnx_files.difference([a, a], [a, a + 0.5]) == pytest.approx(0.125)
    with pytest.raises(ValueError, match=r"shapes \(1, 2\) and \(2, 1\)"):
        onnx_files.difference([a], [a.T])


def test_files_are_converted_and_timed(tmp_path, capsys):
    """The other converter's file is there already, so that its environment is not needed."""
    words = kcompile.Sequential([kcompile.layers.Embedding(5, 3), kcompile.layers.LSTM(2)])
    words.build((None, None))
    words.save(tmp_path / "words.h5")
    (tmp_path / "broken.keras").write_bytes(b"")
    words.export(tmp_path / "words.h5.tf2onnx.onnx")
    raw = tmp_path / "raw.json"
    command = ["files", str(tmp_path), "--onnx", str(tmp_path), "--peers", "kcompile,tf2onnx", "--batch", "2"]
    assert main([*command, "--rounds", "1", "--seconds", "0", "--json", str(raw)]) == 0
    printed = capsys.readouterr().out
    assert "| words.h5 |" in printed
    assert "not compared: broken.keras: kcompile: " in printed
    _, measured = json.loads(raw.read_text())["results"]
    assert (measured["difference"], measured["nodes"][0]) == (0.0, measured["nodes"][1])
    assert [len(measured["times"][batch]) for batch in ("1", "2")] == [2, 2]
    with np.load(tmp_path / "words.h5.kcompile.onnx.2.npz") as stored:
        assert stored["arr_0"].shape == (2, 64)
        assert set(np.unique(stored["arr_0"])) == set(range(5))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "needs the peers kcompile and tf2onnx; 'tf2onnx' is missing"),
        (["--peers", "kcompile,tf2onnx"], "no .h5, .hdf5 or .keras files in"),
        (["--peers", "kcompile,openvino"], "'openvino' does not take part in `files`"),
    ],
)
def test_wrong_arguments_are_named(arguments, message, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["files", str(tmp_path), *arguments])
    assert message in capsys.readouterr().err
