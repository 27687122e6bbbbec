"""`python -m benchmarks grid`: single operations over a grid of shapes, the worst ratios first."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from math import exp, log
from typing import Any

from benchmarks.driver import PeerError, Process, progress
from benchmarks.peers import REFERENCE, Peer
from benchmarks.report import Result, number, table
from benchmarks.shapes import Row

LIMIT = 1.5
"""What counts as slow: this many times the time of the others."""
PROCESSOR = ", processor"
"""Figures of processor time: on one core it is the time, without that for which others had the core."""
TOLERANCE = 0.2
"""By how much sums of squares may differ: padding of even excess lies elsewhere in some peers."""


@dataclass
class Case:
    """A part of a row, and what each peer did with it; `clock` ends the names of the figures that count."""

    row: Row
    part: str
    results: dict[str, Result]
    clock: str = ""

    def seconds(self, peer: str) -> float | None:
        """Of one call, less what an empty call takes (but no less than a quarter of it)."""
        result = self.results.get(peer)
        if result is None or (whole := result.figure(self.part + self.clock)) is None:
            return None
        return max(whole - result.figures.get("empty", 0.0), whole / 4)

    def ratio(self, *peers: str) -> float | None:
        """Time of kcompile over that of the slower of `peers`: above 1, kcompile is slower."""
        ours = self.seconds(REFERENCE)
        theirs = [seconds for peer in peers if (seconds := self.seconds(peer)) is not None]
        return ours / max(theirs) if ours is not None and theirs else None

    def others(self) -> list[str]:
        return [peer for peer in self.results if peer != REFERENCE]

    def growth(self, peer: str) -> float | None:
        """Bytes by which the memory of a peer grew while it compiled and ran this case."""
        result = self.results.get(peer)
        return None if result is None or result.error else result.figures.get("growth")

    def disagreement(self) -> str | None:
        """Which peers' results have other sums of squares than kcompile's (or the first's)."""
        found = {name: result.facts["sums"] for name, result in self.results.items() if result.facts.get("sums")}
        base = found.get(REFERENCE) or next(iter(found.values()), [])
        wrong = []
        for name, sums in found.items():
            pairs = zip(base, sums, strict=False)
            if len(sums) != len(base) or any(abs(a - b) > TOLERANCE * max(abs(a), abs(b)) for a, b in pairs):
                wrong.append(f"{name} {sums} where {base} was expected")
        return "; ".join(wrong) or None


class Members:
    """The peers' processes, one for all rows; one that died is started again for the next row."""

    def __init__(self, peers: list[Peer], threads: int, folder: str, timeout: float) -> None:
        self.peers = {peer.name: peer for peer in peers}
        self.threads, self.folder, self.timeout = threads, folder, timeout
        self.processes: dict[str, Process] = {}

    def ask(self, name: str, **request: Any) -> dict[str, Any]:
        """Raises PeerError; a process that is gone is forgotten."""
        if name not in self.processes:
            self.processes[name] = Process(self.peers[name], self.threads, self.folder, self.timeout)
        process = self.processes[name]
        try:
            return process.ask(**request)
        except PeerError:
            if process.process.poll() is not None:
                process.close()
                del self.processes[name]
            raise

    def close(self) -> None:
        for process in self.processes.values():
            process.close()


def measure(
    rows: list[Row], parts: list[str], peers: list[Peer], *, threads: int, rounds: int, seconds: float, timeout: float
) -> list[Case]:
    """All parts of all rows: each peer prepares, then `rounds` times each measures for `seconds` in its turn."""
    clock = PROCESSOR if threads == 1 else ""
    cases = [
        Case(row, part, {peer.name: Result(f"{row.name}, {part}", peer.name) for peer in peers}, clock)
        for row in rows
        for part in parts
        if part in row.parts()
    ]
    with tempfile.TemporaryDirectory(prefix="kcompile-benchmarks-", ignore_cleanup_errors=True) as folder:
        members = Members(peers, threads, folder, timeout)
        try:
            for position, case in enumerate(cases, start=1):
                progress(f"{position} of {len(cases)}: {case.row.name}, {case.part}")
                one(case, members, rounds, seconds)
            facts = {name: members.ask(name, do="finish") for name in members.processes}
        finally:
            members.close()
    for name in members.peers:
        results = [case.results[name] for case in cases]
        turns = [turn for result in results for turn in result.rounds.get("empty" + clock, ())]
        empty = min(map(min, turns), default=0.0)
        for result in results:
            result.figures["empty"] = empty
            result.facts |= facts.get(name, {})
    return cases


def one(case: Case, members: Members, rounds: int, seconds: float) -> None:
    """Measure one case on all peers; what fails is noted in its result."""

    def attempt(name: str, **request: Any) -> dict[str, Any]:
        if case.results[name].error:
            return {}
        try:
            return members.ask(name, **request)
        except PeerError as error:
            case.results[name].error = str(error)
            progress(f"{case.results[name].model}: {name}: failed: {error}")
            return {}

    request = {"task": "grid", "model": case.row.name, "part": case.part, "threads": members.threads}
    for name, result in case.results.items():
        figures = attempt(name, do="prepare", peer=name, **request)
        result.facts = {"sums": figures.pop("sums", None)}
        result.figures = figures
    for _ in range(rounds):
        for name, result in case.results.items():
            turn = attempt(name, do="round", seconds=seconds)
            result.cores += [turn["cores"]] if turn else []
            for figure, blocks in turn.get("blocks", {}).items():
                result.rounds.setdefault(figure, []).append(blocks)
    for name in case.results:
        if name in members.processes:
            attempt(name, do="release")


def worst_first(cases: list[Case]) -> list[Case]:
    """By the ratio to the slowest of the others, then to the first; what has no ratio comes last."""
    return sorted(cases, key=lambda case: -(case.ratio(*case.others()) or 0.0))


def case_table(cases: list[Case]) -> str:
    """Row and part; milliseconds of each peer; kcompile's time over that of the slower, and of each; memory growth."""
    peers = list(cases[0].results) if cases else []
    others = [peer for peer in peers if peer != REFERENCE]
    compared = others if REFERENCE in peers else []
    rows = []
    for case in cases:
        cells = [case.row.name, case.part, *(number(case.seconds(peer), 1e3) for peer in peers)]
        if len(compared) > 1:
            cells.append(number(case.ratio(*compared)))
        cells += [number(case.ratio(peer)) for peer in compared]
        cells += [number(case.growth(peer), 1e-6) for peer in peers]
        rows.append(cells)
    header = ["row", "part", *(f"{peer} ms" for peer in peers), *(["to slower"] if len(compared) > 1 else [])]
    return table([*header, *(f"to {peer}" for peer in compared), *(f"{peer} MB" for peer in peers)], rows)


def mean(ratios: list[float]) -> float | None:
    """The geometric mean."""
    return exp(sum(map(log, ratios)) / len(ratios)) if ratios else None


def summary_table(cases: list[Case]) -> str:
    """Per family and part: rows, geometric means of kcompile's time over each peer's, and how many are above LIMIT."""
    others = cases[0].others() if cases else []
    groups: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        for key in ((case.row.family, case.part), ("all", case.part), ("all", "all")):
            groups.setdefault(key, []).append(case)
    rows = []
    for (family, part), members in sorted(groups.items(), key=lambda item: (item[0][0] == "all", item[0][1] == "all")):
        cells = [family, part, str(len(members))]
        for peers in ([others] if len(others) > 1 else []) + [[peer] for peer in others]:
            ratios = [ratio for case in members if (ratio := case.ratio(*peers)) is not None]
            cells += [number(mean(ratios)), str(sum(ratio > LIMIT for ratio in ratios))]
        rows.append(cells)
    header = ["family", "part", "rows"]
    for name in (["slower"] if len(others) > 1 else []) + others:
        header += [f"to {name}", f"> {LIMIT}"]
    return table(header, rows)


def remarks(cases: list[Case]) -> str:
    """What is missing and why, and what disagrees."""
    lines = []
    for case in cases:
        lines += [f"missing: {r.peer} on {r.model}: {r.error}" for r in case.results.values() if r.error]
        if wrong := case.disagreement():
            lines.append(f"different results: {case.row.name}, {case.part}: {wrong}")
    return "\n".join(lines)


def as_json(cases: list[Case]) -> list[dict[str, Any]]:
    """All raw numbers."""
    found = []
    for case in cases:
        peers = {}
        for name, result in case.results.items():
            content = result.as_json()
            content["facts"] = {"sums": content["facts"].get("sums")}
            peers[name] = content
        found.append({"row": case.row.name, "family": case.row.family, "part": case.part, "peers": peers})
    return found
