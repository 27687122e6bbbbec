"""`python -m benchmarks files`: Keras files, each as kcompile's ONNX file and as tf2onnx's, timed in turn."""

from __future__ import annotations

import argparse
import math
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.driver import PeerError, Process, progress
from benchmarks.peers import Peer
from benchmarks.report import number, robust

ENDINGS = (".h5", ".hdf5", ".keras")
CONVERTERS = ("kcompile", "tf2onnx")
SLOWER = 1 / 1.03
"""Below this ratio our file counts as slower."""


@dataclass
class FileResult:
    """What was seen of one Keras file. `error` says why there are no times."""

    name: str
    nodes: list[int] = field(default_factory=list)
    times: dict[str, list[list[list[float]]]] = field(default_factory=dict)
    difference: float | None = None
    error: str | None = None

    def seconds(self, batch: str) -> list[float]:
        """Ours and theirs, by the rule of all benchmarks."""
        return [robust(rounds) for rounds in self.times[batch]]

    def ratio(self, batch: str) -> float:
        """Their time over ours, of the round in the middle: blocks of a round were taken in turn."""
        ratios = sorted(min(b) / min(a) for a, b in zip(*self.times[batch], strict=True))
        return ratios[len(ratios) // 2]

    def worst(self) -> float:
        return min(self.ratio(batch) for batch in self.times)


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments of this command besides those that all have."""
    command.add_argument("folder", help="with files .h5, .hdf5 and .keras")
    command.add_argument("--only", default="", metavar="TEXT", help="files whose names contain this, or one of a,b,...")
    command.add_argument("--batch", type=int, default=8, help="the larger batch size (default: 8)")
    command.add_argument("--seconds", type=float, default=0.3, help="length of a round of both files (default: 0.3)")
    command.add_argument(
        "--onnx", metavar="FOLDER", help="keep ONNX files here, and take those of tf2onnx that are here"
    )


class Workers:
    """A process for each peer, made anew after one has failed."""

    def __init__(self, members: list[Peer], threads: int, folder: str, timeout: float) -> None:
        self.members = {peer.name: peer for peer in members}
        self.settings = (threads, folder, timeout)
        self.running: dict[str, Process] = {}

    def ask(self, name: str, **request: Any) -> dict[str, Any]:
        """As :meth:`Process.ask`."""
        if name not in self.running:
            self.running[name] = Process(self.members[name], *self.settings)
        try:
            return self.running[name].ask(**request)
        except PeerError:
            self.running.pop(name).close()
            raise

    def close(self) -> None:
        for process in self.running.values():
            process.close()


def run(arguments: argparse.Namespace, members: list[Peer]) -> list[FileResult]:
    """Convert and time each file.

    Raises ValueError if there is no such folder, it has no Keras files, or a converter is missing among the peers.
    """
    absent = [name for name in CONVERTERS if name not in {peer.name for peer in members}]
    if absent:
        raise ValueError(f"files: needs the peers {' and '.join(CONVERTERS)}; {absent[0]!r} is missing")
    folder = Path(arguments.folder)
    if not folder.is_dir():
        raise ValueError(f"files: {arguments.folder!r} is no folder")
    wanted = arguments.only.split(",")
    sources = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in ENDINGS and any(text in path.name for text in wanted)
    )
    if not sources:
        raise ValueError(f"files: no .h5, .hdf5 or .keras files in {arguments.folder!r}")
    with ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="kcompile-benchmarks-"))
        kept = Path(arguments.onnx or scratch)
        kept.mkdir(parents=True, exist_ok=True)
        workers = Workers(members, arguments.threads, scratch, arguments.timeout)
        stack.callback(workers.close)
        return [one(source.resolve(), kept.resolve(), workers, arguments) for source in sources]


def one(source: Path, folder: Path, workers: Workers, arguments: argparse.Namespace) -> FileResult:
    """Convert and time one file."""
    result = FileResult(source.name)
    batches = [1, arguments.batch]
    targets = []
    try:
        for name in CONVERTERS:
            targets.append(str(folder / f"{source.name}.{name}.onnx"))
            if name == "tf2onnx" and Path(targets[-1]).exists():
                continue
            progress(f"{source.name}: {name} converts")
            request = {"peer": name, "source": str(source), "target": targets[-1], "batches": batches}
            try:
                workers.ask(name, do="convert", **request)
            except PeerError as error:
                raise PeerError(f"{name}: {error}") from None
        progress(f"{source.name}: timing")
        options = {"threads": arguments.threads, "rounds": arguments.rounds, "seconds": arguments.seconds}
        seen = workers.ask("kcompile", do="compare", files=targets, batches=batches, **options)
    except PeerError as error:
        result.error = str(error)
        progress(f"{source.name}: {result.error}")
        return result
    result.nodes, result.times, result.difference = seen["nodes"], seen["times"], seen["difference"]
    ratios = ", ".join(number(result.ratio(batch)) for batch in result.times)
    progress(f"{source.name}: ratios {ratios}; nodes {result.nodes[0]}, {result.nodes[1]}")
    return result


def render(results: list[FileResult]) -> str:
    """A row for each file, the slowest first, a line of totals, and what could not be compared."""
    measured = sorted((result for result in results if not result.error), key=FileResult.worst)
    batches = list(dict.fromkeys(batch for result in measured for batch in result.times))
    rows = []
    for result in measured:
        cells = [result.name, *map(str, result.nodes)]
        for batch in batches:
            if batch not in result.times:
                cells += ["-"] * 3
                continue
            cells += [*(number(seconds, 1e3) for seconds in result.seconds(batch)), number(result.ratio(batch))]
        rows.append([*cells, f"{result.difference:.0e}"])
    header = ["file", "nodes", "tf2onnx"]
    for batch in batches:
        header += [f"ms, batch {batch}", "tf2onnx", "ratio"]
    parts = [report.table([*header, "difference"], rows, left=1), totals(measured)] if measured else []
    failed = [f"not compared: {result.name}: {result.error}" for result in results if result.error]
    return "\n\n".join([*parts, *(["\n".join(failed)] if failed else [])])


def totals(measured: list[FileResult]) -> str:
    """How many files are slower, or have more nodes, and the geometric mean of all ratios."""
    ratios = [result.ratio(batch) for result in measured for batch in result.times]
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    slower = sum(result.worst() < SLOWER for result in measured)
    larger = sum(result.nodes[0] > result.nodes[1] for result in measured)
    return (
        f"{len(measured)} files, {slower} of them slower than tf2onnx' in a batch size, {larger} with more nodes; "
        f"geometric mean of the ratios {number(mean)}"
    )
