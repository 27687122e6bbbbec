"""The number of threads and their spinning: `fit` or `predict` on a quiet machine, and on one with busy processes.

Each setting has a process of its own, which is not pinned; they measure in turn. A quiet round of all is followed by
one in which the busy processes run.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from benchmarks import report
from benchmarks.driver import Process, progress
from benchmarks.peers import Peer

NAMES = ("mlp_small", "mlp", "cnn", "lstm", "gru", "resnet20")
"""The models that run by default."""
ALONE = "KCOMPILE_THREADS=1"
"""The setting that others are compared with."""
MACHINES = ("quiet", "busy")


@dataclass
class Times:
    """Of one model, setting, and kind of machine: per figure, the mean seconds of a step or call in each round."""

    model: str
    setting: str
    machine: str
    rounds: dict[str, list[float]] = field(default_factory=dict)
    cores: list[float] = field(default_factory=list)

    def ratios(self, alone: Times, figure: str) -> list[float]:
        """Of each round, the time over that with one thread in the same round."""
        return [mine / other for mine, other in zip(self.rounds[figure], alone.rounds[figure], strict=True)]


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """So many processes that compute without end."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()


def variables(setting: str) -> dict[str, str]:
    """The environment variables of a setting: NAME=VALUE, several with spaces between them; "default" has none.

    Raises ValueError for anything else.
    """
    if setting == "default":
        return {}
    pairs = [part.partition("=") for part in setting.split()]
    if not pairs or not all(name and equals for name, equals, _ in pairs):
        raise ValueError(f"{setting!r}: expected 'default' or NAME=VALUE")
    return {name: value for name, _, value in pairs}


def measure(
    task: str, model: str, settings: list[str], count: int, *, rounds: int, seconds: float, timeout: float
) -> list[Times]:
    """One model with all settings, quiet and beside `count` busy processes. A failure raises PeerError."""
    peer = Peer("kcompile", sys.executable)
    times = {(setting, kind): Times(model, setting, kind) for kind in MACHINES for setting in settings}
    with tempfile.TemporaryDirectory(prefix="kcompile-benchmarks-") as folder, ExitStack() as stack:
        processes = {}
        for setting in settings:
            progress(f"{model}: {setting}: preparing")
            process = Process(peer, None, folder, timeout, variables(setting))
            stack.callback(process.close)
            process.ask(do="prepare", task=task, peer=peer.name, model=model, threads=0)
            processes[setting] = process
        for number in range(rounds):
            for kind in MACHINES:
                progress(f"{model}: round {number + 1} of {rounds}, {kind}")
                with busy_processes(count if kind == "busy" else 0):
                    for setting in settings:
                        turn = processes[setting].ask(do="round", seconds=seconds)
                        found = times[setting, kind]
                        found.cores.append(turn["cores"])
                        for figure, blocks in turn["blocks"].items():
                            if figure in ("step", "batch 1", "batch 32"):
                                found.rounds.setdefault(figure, []).append(statistics.fmean(blocks))
    return list(times.values())


def table(times: list[Times]) -> str:
    """Per model, figure and setting, for both machines: milliseconds, ratio to one thread, cores kept busy.

    All are medians over the rounds; the ratio is that of the rounds' ratios.
    """
    rows = []
    found = {(one.model, one.setting, one.machine): one for one in times}
    for model, setting in dict.fromkeys((one.model, one.setting) for one in times):
        for figure in found[model, setting, "quiet"].rounds:
            cells = [model, figure, setting]
            for kind in MACHINES:
                mine, alone = found[model, setting, kind], found[model, ALONE, kind]
                cells += [
                    report.number(statistics.median(mine.rounds[figure]), 1e3),
                    report.number(statistics.median(mine.ratios(alone, figure))),
                    report.number(statistics.median(mine.cores)),
                ]
            rows.append(cells)
    header = [f"{kind}{what}" for kind in MACHINES for what in (", ms", ": ratio", ": cores")]
    return report.table(["model", "figure", "setting", *header], rows, left=3)
