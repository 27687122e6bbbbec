"""The examples run, each in a process of its own, on a sample of made-up mails."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def run(name: str, folder: Path, *arguments: str) -> str:
    """What an example prints, run in ``folder``."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def numbers(pattern: str, output: str) -> list[float]:
    return [float(number) for number in re.findall(pattern, output)]


def test_text_generation(tmp_path: Path) -> None:
    output = run("text_generation.py", tmp_path, "--quick")
    bits = numbers(r"([\d.]+) bits per sign", output)
    assert bits[-1] < bits[0] < 6
    assert "writer.onnx writes in ONNX Runtime alone" in output
    assert (tmp_path / "writer.onnx").exists()


def test_text_generation_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("abcabcabc. " * 400)
    output = run("text_generation.py", tmp_path, "--quick", "--text", "text.txt", "--epochs", "8")
    assert numbers(r"([\d.]+) bits per sign", output)[-1] < 1


def test_sequence_to_sequence(tmp_path: Path) -> None:
    output = run("seq2seq.py", tmp_path, "--quick", "--output", "models")
    losses = numbers(r"loss ([\d.]+)", output)
    assert losses[-1] < losses[0]
    assert "spell the same in ONNX Runtime alone" in output
    assert (tmp_path / "models" / "decoder.onnx").exists()


def test_spam_classifier(tmp_path: Path) -> None:
    output = run("spam_classifier.py", tmp_path, "--quick")
    assert numbers(r"test accuracy ([\d.]+)%", output)[0] >= 75  # of 8 mails
    assert "gives the same in ONNX Runtime alone" in output


@pytest.mark.artifacts
@pytest.mark.timeout(1800)
def test_spam_classifier_on_the_corpus(tmp_path: Path) -> None:
    """At least 97 % of real mails that it has not seen."""
    output = run("spam_classifier.py", tmp_path)
    assert numbers(r"test accuracy ([\d.]+)%", output)[0] >= 97
