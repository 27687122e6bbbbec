"""Files that are almost right end in a model or in our errors; see :mod:`tests.fuzzing`."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.fuzzing import TARGETS

EXAMPLES = int(os.environ.get("KCOMPILE_FUZZ_EXAMPLES", "1000"))
SEED = os.environ.get("KCOMPILE_FUZZ_SEED", "0")


def fuzz(target: str, count: int, seed: str = "0") -> None:
    command = [sys.executable, "-m", "tests.fuzzing", target, str(count), seed]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    # The process says which example it is at, also where the HDF5 library ends it.
    assert done.returncode == 0, f"exit status {done.returncode}: {done.stdout[-3000:]} {done.stderr[-500:]}"


@pytest.mark.parametrize("target", ["json_configs", "hdf5_configs", "archive_configs"])
def test_a_few_examples(target: str) -> None:
    fuzz(target, 40 if target == "json_configs" else 5)


@pytest.mark.fuzz
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("target", TARGETS)
def test_many_examples(target: str) -> None:
    fuzz(target, EXAMPLES, SEED)
