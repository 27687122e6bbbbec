"""Starts the peers' processes and lets them measure in turn. Imports no peer."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.peers import Peer, cores, variables
from benchmarks.report import Result

ROOT = Path(__file__).resolve().parent.parent
# Who writes the ONNX file that a peer runs, in order of preference.
EXPORTERS = {"bare": ("kcompile",), "tf2onnx": ("tf2onnx",), "openvino": ("tf2onnx", "openvino")}


class PeerError(Exception):
    """A peer could not do what it was asked; the message goes into the table."""


class Process:
    """A worker process of one peer: one JSON line there, one back, with a deadline.

    It is pinned to `threads` cores, and told so by environment variables. With `threads` None it may use all, and
    knows of no limit but those that `settings` (more variables) set.
    """

    def __init__(
        self, peer: Peer, threads: int | None, folder: str, timeout: float, settings: dict[str, str] | None = None
    ) -> None:
        if peer.missing:
            raise PeerError(peer.missing)
        self.peer = peer
        self.timeout = timeout
        self.log = tempfile.TemporaryFile("w+", dir=folder)  # noqa: SIM115 - closed by close()
        self.process = subprocess.Popen(
            [peer.python, "-m", "benchmarks.worker", *map(str, cores(threads) if threads else ())],
            cwd=ROOT,
            env={**variables(peer, threads, folder), **(settings or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and wait for the answer. Raises PeerError for a failure, a death or a timeout."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        deadline = threading.Timer(self.timeout, self.process.kill)
        deadline.start()
        start = time.monotonic()
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            deadline.cancel()
        if not line:
            if time.monotonic() - start >= self.timeout:
                raise PeerError(f"no answer within {self.timeout:.0f} s")
            raise PeerError(f"its process ended: {self.last_words()}")
        answer = json.loads(line)
        if "error" in answer:
            raise PeerError(answer["error"])
        return answer

    def last_words(self) -> str:
        self.log.seek(0)
        lines = self.log.read().strip().splitlines()
        return lines[-1] if lines else "no message"

    def close(self) -> None:
        """End the process: no more requests, and a kill if it doesn't leave by itself."""
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                with suppress(BrokenPipeError):
                    stream.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


@contextmanager
def started(peer: Peer, threads: int, folder: str, timeout: float) -> Iterator[Process]:
    """A worker process for the length of a `with` block."""
    process = Process(peer, threads, folder, timeout)
    try:
        yield process
    finally:
        process.close()


def progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def export(model: str, peers: list[Peer], threads: int, folder: str, timeout: float) -> dict[str, Any]:
    """Write the ONNX files that the peers need; per peer the file, or the PeerError that prevented it."""
    files: dict[str, Any] = {}
    named = {peer.name: peer for peer in peers}
    written: dict[Peer, Any] = {}
    for peer in peers:
        if peer.name not in EXPORTERS:
            continue
        exporter = next((named[name] for name in EXPORTERS[peer.name] if name in named), None)
        if exporter is None:
            files[peer.name] = PeerError(f"needs the peer {EXPORTERS[peer.name][0]!r}, which writes its file")
            continue
        if exporter not in written:
            progress(f"{model}: {exporter.name} writes an ONNX file")
            file = str(Path(folder, f"{model}-{exporter.name}.onnx"))
            try:
                with started(exporter, threads, folder, timeout) as process:
                    process.ask(do="export", peer=exporter.name, model=model, file=file)
                written[exporter] = file
            except PeerError as error:
                written[exporter] = PeerError(f"no ONNX file: {error}")
        files[peer.name] = written[exporter]
    return files


def measure(
    task: str, model: str, peers: list[Peer], *, threads: int, rounds: int, seconds: float, timeout: float
) -> list[Result]:
    """One model on all peers: each prepares, then `rounds` times each measures for `seconds` in its turn.

    The processes of all peers stay alive, waiting, while one measures, so that a slow minute of the machine
    falls on all of them alike. A peer that fails is reported as such and leaves the others alone.
    """
    results = {peer.name: Result(model, peer.name) for peer in peers}
    processes: dict[str, Process] = {}
    with tempfile.TemporaryDirectory(prefix="kcompile-benchmarks-", ignore_cleanup_errors=True) as folder:
        files = export(model, peers, threads, folder, timeout)

        def attempt(name: str, what: str, **request: Any) -> dict[str, Any]:
            """Ask a peer that is still in the race; a failure takes it out and is noted."""
            if results[name].error:
                return {}
            progress(f"{model}: {name}: {what}")
            try:
                return processes[name].ask(**request)
            except PeerError as error:
                results[name].error = str(error)
                progress(f"{model}: {name}: failed: {error}")
                return {}

        try:
            for peer in peers:
                file = files.get(peer.name)
                try:
                    if isinstance(file, PeerError):
                        raise file
                    processes[peer.name] = Process(peer, threads, folder, timeout)
                except PeerError as error:
                    results[peer.name].error = str(error)
                    continue
                request = {"task": task, "peer": peer.name, "model": model, "threads": threads, "file": file}
                results[peer.name].figures = attempt(peer.name, "preparing", do="prepare", **request)
            for number in range(rounds):
                for name in results:
                    turn = attempt(name, f"round {number + 1} of {rounds}", do="round", seconds=seconds)
                    results[name].cores += [turn["cores"]] if turn else []
                    for figure, blocks in turn.get("blocks", {}).items():
                        results[name].rounds.setdefault(figure, []).append(blocks)
            for name, result in results.items():
                result.facts = attempt(name, "finishing", do="finish")
        finally:
            for process in processes.values():
                process.close()
    return list(results.values())
