"""``kcompile demo`` as it is run, and that its checks fail when they should."""

from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kcompile import cli, demo
from kcompile.datasets import digits
from kcompile.runtime.options import configure, options


@pytest.fixture(autouse=True)
def _options_are_put_back() -> Iterator[None]:
    before = dataclasses.asdict(options())
    yield
    configure(**before)


def test_the_digits() -> None:
    (x_train, y_train), (x_test, y_test) = digits.load_data()
    assert (x_train.shape, x_test.shape) == ((1437, 8, 8), (360, 8, 8))
    assert (x_train.dtype, y_train.dtype) == ("uint8", "uint8")
    assert (x_train.min(), x_train.max()) == (0, 16)
    assert min(np.bincount(y_train, minlength=10).min() / 100, np.bincount(y_test).min() / 25) > 1
    apart = {image.tobytes() for image in x_train}.isdisjoint(image.tobytes() for image in x_test)
    assert apart, "an image is in both parts"
    parts = demo.digits()
    assert [len(x) for x, _ in parts] == [1300, 137, 360]
    images = [image.tobytes() for x, _ in parts for image in x]
    assert len(set(images)) == len(images)


def test_the_demo_reaches_its_accuracy_and_passes_its_checks(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo", "--threads", "1", "--folder", str(tmp_path)]) == 0
    output = capfd.readouterr().out
    assert output.count("\nok: ") == 3
    assert "[==============================]" in output
    assert re.search(r"\nThe passes made \d+ operations of \d+, so that .* ms instead of .* ms", output)
    assert output.splitlines()[-1].startswith("All checks passed in ")
    assert "FLOPs saved" not in output
    assert {"model.onnx", "training", "continue_training.py"} <= {entry.name for entry in tmp_path.iterdir()}
    xml.etree.ElementTree.parse(tmp_path / "training_curve.svg")


def test_too_little_training_is_told_by_the_status(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo", "--threads", "1", "--epochs", "1", "--verbose", "--folder", str(tmp_path)]) == 1
    output = capfd.readouterr().out
    assert "ok: model.onnx" in output, "the files are right all the same"
    assert re.match(r"FAILED after \d+ s: the test accuracy is 0\.\d+, below 0\.98$", output.splitlines()[-1])
    assert "FLOPs saved" in output


def test_a_wrong_file_is_noticed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = demo.build()
    train, _, test = demo.digits()
    model.export(tmp_path / "model.onnx")
    model.export_training(tmp_path / "training")
    assert not demo.compare_inference(model, test[0], tmp_path)
    assert not demo.compare_training(model, train, tmp_path)
    # The model has moved on by now, the files have not.
    assert demo.compare_inference(model, test[0], tmp_path)
    assert demo.compare_training(model, train, tmp_path)
    assert capfd.readouterr().out.count("FAILED: ") >= 2


@pytest.mark.parametrize("arguments", [["--epochs", "0"], ["--threads", "-1"]])
def test_wrong_arguments(arguments: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo", "--folder", str(tmp_path), *arguments]) == 2
    assert capfd.readouterr().err.startswith("kcompile demo: ")
    assert not list(tmp_path.iterdir())
