"""One part of one row of the grid, timed: data, memory, blocks. Runs in the peer's environment."""

from __future__ import annotations

import ctypes
import gc
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.shapes import Row, parse

BLOCK_SECONDS = 0.01
PROGRAMS = {"kcompile": "grid_kcompile", "tensorflow": "grid_tensorflow", "pytorch": "grid_pytorch"}
"""The peers' modules; each has a class `Program(row, part, data)` with `build()`, `call` and `results()`."""
EMPTY = "relu 1x1"
"""The row with nothing to do: what a call costs by itself."""
FIRST = ("conv2d 1x4x4x4 k3 f4", "filter")
"""Run before the first row of a process, so that libraries are loaded and pools made when memory is looked at."""

Array = np.ndarray


@dataclass
class Data:
    """What a row works on, channels last: inputs, weights, and the gradient of the result."""

    inputs: list[Array]
    weights: list[Array]
    seed: Array | None


def data(row: Row, part: str) -> Data:
    """Seeded arrays, the same for all peers."""
    generator = np.random.default_rng(0)

    def numbers(shape: tuple[int, ...]) -> Array:
        return generator.standard_normal(shape, dtype=np.float32)

    if row.kind == "embedding":
        inputs = [generator.integers(0, row.number("words"), row.sizes, dtype=np.int32)]
    else:
        inputs = [numbers(row.sizes) for _ in range(row.count)]
    if row.kind == "softmax":
        inputs.append(generator.integers(0, row.channels, row.sizes[:-1], dtype=np.int32))
    weights = [numbers(row.weight())] if row.weight() else []
    if row.kind == "batchnorm":
        ones, zeros = (np.full(row.channels, value, np.float32) for value in (1, 0))
        weights = [ones, zeros, zeros, ones]
    seeded = part in ("input", "filter") and row.kind != "softmax"
    return Data(inputs, weights, numbers(row.output()) if seeded else None)


def memory(key: str) -> int:
    """VmRSS (now) or VmHWM (the most since `reset_peak`) of this process in bytes; 0 where the system does not say."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1]) * 1024
    return 0


def reset_peak() -> None:
    """Let VmHWM start from what is held now."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def give_back() -> None:
    """Free what nobody holds, and give free memory back to the system."""
    gc.collect()
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


@cache
def empty_call(peer: str) -> Callable[[], Any]:
    """A call of the empty row; makes it, and runs the first one, once in a process."""
    make = import_module(f"benchmarks.{PROGRAMS[peer]}").Program
    made = []
    for name, part in (FIRST, (EMPTY, "forward")):
        row = parse(name)
        made.append(make(row, part, data(row, part)))
        made[-1].build()
        made[-1].call()
    gc.collect()
    gc.freeze()  # what the peer's modules hold need not be looked through before each row
    return made[-1].call


def blocks(call: Callable[[], Any], expected: float, seconds: float) -> tuple[list[float], list[float]]:
    """Seconds per call of each block, in wall-clock and processor time; one block at least, if a call takes so long."""
    calls = max(1, round(BLOCK_SECONDS / max(expected, 1e-7)))
    wall, processor = [], []
    end = time.perf_counter() + seconds
    while not wall or time.perf_counter() + calls * expected < end:
        begin = time.perf_counter(), time.process_time()
        for _ in range(calls):
            call()
        wall.append((time.perf_counter() - begin[0]) / calls)
        processor.append((time.process_time() - begin[1]) / calls)
    return wall, processor


class GridTask:
    """A part of a row in one peer: `prepare` once, then as many rounds as asked."""

    def __init__(self, peer: str, name: str, part: str) -> None:
        self.row, self.part = parse(name), part
        self.make: Callable[..., Any] = import_module(f"benchmarks.{PROGRAMS[peer]}").Program
        self.empty = empty_call(peer)

    def prepare(self) -> dict[str, Any]:
        """Compile and call twice: seconds of both, how much memory grew, and the sum of squares of each result."""
        give_back()
        self.program = self.make(self.row, self.part, data(self.row, self.part))
        give_back()
        before = memory("VmRSS")
        start = time.perf_counter()
        self.program.build()
        built = time.perf_counter()
        gc.collect()
        reset_peak()
        own = self.program.allocated(self.program.call) if hasattr(self.program, "allocated") else 0
        self.program.call()
        self.program.call()
        growth = max(memory("VmHWM") - before, own)
        first = time.perf_counter()
        self.program.call()
        self.seconds = time.perf_counter() - first
        sums = [float(np.square(result, dtype=np.float64).sum()) for result in self.program.results()]
        return {"build": built - start, "call": self.seconds, "growth": growth, "sums": sums}

    def round(self, seconds: float) -> dict[str, list[float]]:
        """Blocks of the part, and a few of the empty call."""
        found = {self.part: blocks(self.program.call, self.seconds, seconds), "empty": blocks(self.empty, 1e-4, 0.03)}
        return {
            **{name: wall for name, (wall, _) in found.items()},
            **{f"{name}, processor": processor for name, (_, processor) in found.items()},
        }
