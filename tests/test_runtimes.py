"""Files run alike in released versions of ONNX Runtime, with its optimizations off and on; opt-in, ``-m runtimes``.

``KCOMPILE_RUNTIMES`` lists interpreters with onnxruntime and numpy, separated as in ``PATH``;
``tools/make_runtimes.py`` makes them. Without it the installed version is tried. Some minutes for each.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runtime_cases import write_cases

WORKER = Path(__file__).with_name("runtime_worker.py")
INTERPRETERS = [item for item in os.environ.get("KCOMPILE_RUNTIMES", "").split(os.pathsep) if item] or [sys.executable]
MOST_CRASHES = 20

pytestmark = pytest.mark.runtimes

KNOWN = [
    ((1, 21), r"op-arg_m(ax|in)-int16", "no kernel", "NOT_IMPLEMENTED"),
    ((1, 21), r"op-(dropout_mask|random_bits)|step-.*", "uint32 has no kernels of Mul, Add, Less", "NOT_IMPLEMENTED"),
    ((1, 19), r"op-(gru|rnn|lstm).*-gradient|step-.*", "a second run reuses memory of the first too early", ""),
    ((1, 26), r"op-onnx_rnn-.*-lengths", "what comes after a sequence is whatever is in memory", "y0"),
    ((9, 99), r"op-batch_norm_grad-.*", "the variance of equal numbers is what rounding leaves", "inputs equal"),
    ((9, 99), r"op-onnx_(gru|lstm|rnn)-.*", "activations without bounds grow until rounding tells", "large"),
]
"""What is not ours to mend: before which version, which cases, why, and what the complaint contains."""


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    assert write_cases(folder) > 1000
    return folder


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_every_op_and_model(interpreter: str, corpus: Path, tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    command = [interpreter, str(WORKER), str(corpus), str(result)]
    for _ in range(MOST_CRASHES):  # each goes on behind the case that ended the one before
        if subprocess.run(command, check=False).returncode == 0:
            break
    found = dict(json.loads(line) for line in result.read_text().splitlines())
    version = found.pop("version")
    assert len(found) == len(list(corpus.glob("*.onnx")))
    failures = {case: ["the process ended"] if complaints is None else complaints for case, complaints in found.items()}
    wrong = {case: new for case, complaints in failures.items() if (new := unknown(version, case, complaints))}
    text = "\n".join(f"{case}: {'; '.join(complaints[:3])}" for case, complaints in wrong.items())
    assert not wrong, f"ONNX Runtime {version}, {len(wrong)} of {len(found)} cases:\n{text}"


def unknown(version: str, case: str, complaints: list[str]) -> list[str]:
    """The complaints that no row of :data:`KNOWN` explains."""
    release = tuple(map(int, version.split(".")[:2]))
    reasons = [part for before, pattern, _, part in KNOWN if release < before and re.match(pattern, case)]
    return [text for text in complaints if not any(part in text for part in reasons)]
