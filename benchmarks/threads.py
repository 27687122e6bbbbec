"""Two models of one kind that train in two threads of a process, against the same two one after the other.

Each model has one thread of ONNX Runtime, and the process is not pinned: on two quiet cores, the best ratio is 0.5.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks import models, report
from benchmarks.driver import Process, progress
from benchmarks.peers import Peer
from benchmarks.training import Stamp, stamp

NAMES = ("mlp_small", "mlp", "cnn", "gru", "resnet20")
"""The models that run by default."""
WAYS = ("one after the other", "two threads")
PARTS = 3
"""The part of a usual epoch that is trained at a time."""


class TwoModels:
    """What the process does; see :class:`benchmarks.worker.Task`."""

    def __init__(self, name: str, keras: Any) -> None:
        self.name = name
        self.keras = keras
        self.benchmark = models.find(name)
        self.steps = max(1, self.benchmark.steps // PARTS)
        self.x, self.y = models.data(name, self.steps * self.benchmark.batch_size)
        self.models: list[Any] = []

    def prepare(self) -> dict[str, float]:
        """Compile both; a part of an epoch each as warm-up."""
        self.models = [models.build(self.name, self.keras) for _ in range(2)]
        self._one_after_the_other()
        return {}

    def round(self, seconds: float) -> dict[str, list[float]]:
        """In turn, for about so long: per step and model, the seconds and those of processor time."""
        found: dict[str, list[float]] = {name: [] for way in WAYS for name in (way, f"{way}, processor")}
        start = stamp()[0]
        while stamp()[0] - start < seconds or not found[WAYS[1]]:
            for way, train in zip(WAYS, (self._one_after_the_other, self._two_threads), strict=True):
                wall, processor = taken(train)
                found[way].append(wall / self.steps / 2)
                found[f"{way}, processor"].append(processor / self.steps / 2)
        return found

    def _fit(self, model: Any) -> None:
        model.fit(self.x, self.y, batch_size=self.benchmark.batch_size, epochs=1, verbose=0)

    def _one_after_the_other(self) -> None:
        for model in self.models:
            self._fit(model)

    def _two_threads(self) -> None:
        threads = [threading.Thread(target=self._fit, args=(model,)) for model in self.models]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def taken(function: Callable[[], None]) -> Stamp:
    """The seconds that a call takes, and those of processor time."""
    before = stamp()
    function()
    after = stamp()
    return after[0] - before[0], after[1] - before[1]


@dataclass
class Times:
    """Of one model: per figure of :class:`TwoModels`, the mean of each round."""

    model: str
    rounds: dict[str, list[float]] = field(default_factory=dict)

    def ratio(self, of: str, to: str) -> float:
        """The median of the ratios of two figures in the same round."""
        return statistics.median(a / b for a, b in zip(self.rounds[of], self.rounds[to], strict=True))


def measure(model: str, *, rounds: int, seconds: float, timeout: float) -> Times:
    """One model, in a process of its own. A failure raises PeerError."""
    times = Times(model)
    with tempfile.TemporaryDirectory(prefix="kcompile-benchmarks-") as folder:
        peer = Peer("kcompile", sys.executable)
        process = Process(peer, None, folder, timeout, {"KCOMPILE_THREADS": "1"})
        try:
            progress(f"{model}: preparing")
            process.ask(do="prepare", task="threads", peer=peer.name, model=model, threads=0)
            for number in range(rounds):
                progress(f"{model}: round {number + 1} of {rounds}")
                for figure, blocks in process.ask(do="round", seconds=seconds)["blocks"].items():
                    times.rounds.setdefault(figure, []).append(statistics.fmean(blocks))
        finally:
            process.close()
    return times


def table(times: list[Times]) -> str:
    """Per model: milliseconds a step both ways, the ratio, that of the processor time, and the cores kept busy."""
    rows = []
    alone, threads = WAYS
    for one in times:
        rows.append(
            [
                one.model,
                *(report.number(statistics.median(one.rounds[way]), 1e3) for way in WAYS),
                report.number(one.ratio(threads, alone)),
                report.number(one.ratio(f"{threads}, processor", f"{alone}, processor")),
                *(report.number(one.ratio(f"{way}, processor", way)) for way in WAYS),
            ]
        )
    header = ["model", *(f"{way}, ms" for way in WAYS), "ratio", "ratio of cpu", *(f"{way}: cores" for way in WAYS)]
    return report.table(header, rows, left=1)
