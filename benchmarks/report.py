"""Results, the rule that turns blocks of time into one figure, and the tables."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.peers import REFERENCE

MEGABYTE = 1e6


def robust(rounds: list[list[float]]) -> float:
    """The median over the rounds of the fastest block of each round.

    Interference only ever adds time, so the fastest block is the best estimate that a round has of the
    undisturbed time; the median keeps one lucky or unlucky round from deciding.
    """
    return statistics.median(min(blocks) for blocks in rounds)


def spread(rounds: list[list[float]]) -> float:
    """How far the rounds' figures lie apart, (slowest - fastest) / median."""
    fastest = [min(blocks) for blocks in rounds]
    return (max(fastest) - min(fastest)) / statistics.median(fastest)


@dataclass
class Result:
    """What one peer did with one model. `error` is set when it could not, and why."""

    model: str
    peer: str
    figures: dict[str, float] = field(default_factory=dict)
    rounds: dict[str, list[list[float]]] = field(default_factory=dict)
    cores: list[float] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    error: str | None = None

    def figure(self, name: str) -> float | None:
        """The robust time of this name in seconds, or None when it was not measured."""
        return robust(self.rounds[name]) if not self.error and self.rounds.get(name) else None

    def as_json(self) -> dict[str, Any]:
        """All raw numbers, and the figures made of them."""
        return {**asdict(self), "robust": {name: self.figure(name) for name in self.rounds}}


def reference(results: list[Result], figure: str) -> Result | None:
    """What the others are compared with: kcompile, or the fastest when kcompile isn't there."""
    measured = [result for result in results if result.figure(figure) is not None]
    for result in measured:
        if result.peer == REFERENCE:
            return result
    return min(measured, key=lambda result: result.figure(figure) or 0.0, default=None)


def ratio(result: Result, results: list[Result], figure: str) -> float | None:
    """Time of this peer over that of the reference on the same model: above 1 means slower than it."""
    base = reference([other for other in results if other.model == result.model], figure)
    mine = result.figure(figure)
    return mine / (base.figure(figure) or 1.0) if base and mine is not None else None


def number(value: float | None, scale: float = 1.0, suffix: str = "") -> str:
    """Three significant digits, without an exponent; a dash for what was not measured."""
    if value is None:
        return "-"
    scaled = value * scale
    decimals = 0 if abs(scaled) >= 100 else 1 if abs(scaled) >= 10 else 2 if abs(scaled) >= 1 else 3
    return f"{scaled:.{decimals}f}{suffix}"


def table(header: list[str], rows: list[list[str]], left: int = 2) -> str:
    """A Markdown table with aligned columns, the first `left` to the left, the others to the right."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]

    def line(cells: list[str]) -> str:
        padded = [
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "| " + " | ".join(padded) + " |"

    rule = ["-" * width if column < left else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    return "\n".join([line(header), line(rule), *(line(row) for row in rows)])


def facts(result: Result) -> list[str]:
    """The cells that every command shows. `cores` is the processor time per second of the busiest round."""
    return [
        number(max(result.cores, default=None)),
        number(result.figures.get("first step"), suffix=" s"),
        number(result.figures.get("import"), suffix=" s"),
        number(result.facts.get("peak_bytes"), 1 / MEGABYTE),
        number(result.facts.get("installed_bytes"), 1 / MEGABYTE),
    ]


FACTS = ["cores", "first step", "import", "peak MB", "installed MB"]


def fit_table(results: list[Result]) -> str:
    """Model and peer, ms/step and its ratio, in processor time too, spread, time between epochs, facts."""
    rows = []
    for result in results:
        step = result.rounds.get("step")
        rows.append(
            [
                result.model,
                result.peer,
                number(result.figure("step"), 1e3),
                number(ratio(result, results, "step")),
                number(result.figure("step, processor"), 1e3),
                number(ratio(result, results, "step, processor")),
                f"{spread(step):.0%}" if step and not result.error else "-",
                number(result.figure("between epochs"), 1e3, " ms"),
                *facts(result),
            ]
        )
    return table(["model", "peer", "ms/step", "ratio", "cpu ms", "ratio", "spread", "between epochs", *FACTS], rows)


def predict_table(results: list[Result]) -> str:
    """Model and peer, latency of one row, rows per second in batches of 32, their ratios, and the facts."""
    rows = []
    for result in results:
        batch = result.figure("batch 32")
        rows.append(
            [
                result.model,
                result.peer,
                number(result.figure("batch 1"), 1e3),
                number(ratio(result, results, "batch 1")),
                number(32 / batch if batch else None),
                number(ratio(result, results, "batch 32")),
                *facts(result),
            ]
        )
    header = ["model", "peer", "ms, batch 1", "ratio", "rows/s, batch 32", "ratio of times"]
    return table([*header, *FACTS], rows)


def overview(results: list[Result], figure: str) -> str:
    """One row per peer, one column per model: milliseconds, and the ratio to the reference in parentheses."""
    models = list(dict.fromkeys(result.model for result in results))
    rows = []
    for peer in dict.fromkeys(result.peer for result in results):
        cells = [peer]
        for model in models:
            found = [result for result in results if (result.model, result.peer) == (model, peer)]
            time = found[0].figure(figure) if found else None
            times = ratio(found[0], results, figure) if found else None
            cells.append("-" if time is None else f"{number(time, 1e3)} ({number(times)})")
        rows.append(cells)
    return table([f"ms, {figure}", *models], rows, left=1)


def failures(results: list[Result]) -> str:
    """One line for each peer that is missing or failed, and why."""
    failed = [result for result in results if result.error]
    return "\n".join(f"missing: {result.peer} on {result.model}: {result.error}" for result in failed)


def versions(results: list[Result]) -> str:
    """One line per peer with the versions of what it runs on."""
    shown = ("kcompile", "keras", "tensorflow-cpu", "jax", "torch", "onnxruntime", "openvino", "numpy")
    lines = {}
    for result in results:
        found = result.facts.get("versions", {})
        text = ", ".join(f"{name} {found[name]}" for name in shown if name in found)
        if text:
            lines[result.peer] = f"{result.peer}: {text}"
    return "\n".join(lines.values())
