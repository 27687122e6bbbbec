"""A process that is killed while it saves leaves the file that was there, or the new one; of every format."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kcompile.common.files import write_atomically

KILLED = """
import os, signal, sys, time
import numpy as np
from kcompile import layers as L
from kcompile.models import Sequential, load_model

def model():
    return Sequential([L.Dense(300, input_shape=(300,), use_bias=False)])

def write(made, number, path):
    made.set_weights([np.full((300, 300), number, "float32")])
    (made.save_weights if path.endswith((".npz", ".weights.h5")) else made.save)(path)

path, rounds, made, again = sys.argv[1], int(sys.argv[2]), model(), model()
random, saved = np.random.default_rng(0), 0
write(made, 0, path)
start = time.perf_counter()
write(made, 1, path)
took = time.perf_counter() - start
for _ in range(rounds):
    read, wrote = os.pipe()
    child = os.fork()
    if child == 0:
        for number in range(saved + 1, saved + 10**6):
            write(made, number, path)
            os.write(wrote, b".")
    os.read(read, 1)
    time.sleep(random.uniform(0, 3 * took))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(wrote)
    if path.endswith((".npz", ".weights.h5")):
        again.load_weights(path)
    else:
        again = load_model(path)
    (found,) = again.get_weights()
    assert (found == found[0, 0]).all() and found[0, 0] > saved, (found, saved)
    saved = int(found[0, 0])
halves = [name for name in os.listdir(os.path.dirname(path)) if name.endswith(".tmp")]
assert halves or rounds < 50, "no process was killed in the middle of writing"
"""


@pytest.mark.parametrize(("ending", "rounds"), [("keras", 50), ("h5", 10), ("weights.h5", 5), ("npz", 5)])
def test_kills(ending: str, rounds: int, tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path / f"model.{ending}"), str(rounds)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_what_killed_processes_leave_is_removed_later(tmp_path: Path) -> None:
    """What another process is still writing (it holds the lock), what is new, and what others named stays."""
    fcntl = pytest.importorskip("fcntl")
    path, left, held, named = (
        tmp_path / name for name in ("m.h5", ".m.h5.aaaaaaaa.tmp", ".m.h5.bbbbbbbb.tmp", ".m.h5.c.tmp")
    )
    other = tmp_path / ".m.h5.cccccccc.tmp"
    for file in (left, held, other, named):
        file.write_bytes(b"half")
    for file in (left, held, named):
        os.utime(file, (0, 0))
    with held.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        write_atomically(path, b"whole")
    assert sorted(tmp_path.iterdir()) == sorted([path, held, other, named])
