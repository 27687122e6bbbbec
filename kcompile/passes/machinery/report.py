"""What the passes did: time, nodes, work saved, and which rule fired how often."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass
class PassRecord:
    """One run of one pass. ``flops`` and ``bytes`` are those of one execution with every symbolic size 1."""

    name: str
    seconds: float = 0.0
    nodes_before: int = 0
    nodes_after: int = 0
    flops_before: int = 0
    flops_after: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    rules: Counter[str] = field(default_factory=Counter)

    @property
    def changed(self) -> bool:
        return bool(self.rules) or self.nodes_before != self.nodes_after


@dataclass
class Report:
    """The passes of a pipeline in the order in which they ran. ``str(report)`` is a table."""

    records: list[PassRecord] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return sum(record.seconds for record in self.records)

    def rules(self) -> Counter[str]:
        """How often each rule fired, over all passes."""
        return sum((record.rules for record in self.records), Counter())

    def _repr_html_(self) -> str:
        """For notebooks."""
        return f"<pre>{html.escape(str(self))}</pre>"

    def __str__(self) -> str:
        if not self.records:
            return "no passes ran"
        width = max(4, *(len(record.name) for record in self.records))
        lines = [f"{'pass':{width}}  {'ms':>7}  {'nodes':>15}  {'FLOPs saved':>11}  {'bytes saved':>11}  rules"]
        for record in self.records:
            nodes = f"{record.nodes_before} -> {record.nodes_after}"
            fired = ", ".join(f"{name} {count}" for name, count in record.rules.most_common())
            flops = _short(record.flops_before - record.flops_after)
            moved = _short(record.bytes_before - record.bytes_after)
            milliseconds = f"{1000 * record.seconds:.1f}"
            row = f"{record.name:{width}}  {milliseconds:>7}  {nodes:>15}  {flops:>11}  {moved:>11}  {fired}"
            lines.append(row.rstrip())
        nodes = f"{self.records[0].nodes_before} -> {self.records[-1].nodes_after}"
        flops = _short(sum(record.flops_before - record.flops_after for record in self.records))
        moved = _short(sum(record.bytes_before - record.bytes_after for record in self.records))
        lines.append(f"{'total':{width}}  {1000 * self.seconds:>7.1f}  {nodes:>15}  {flops:>11}  {moved:>11}")
        return "\n".join(lines)


def _short(number: int) -> str:
    """``1234567`` as ``1.23M``."""
    for unit, size in (("T", 10**12), ("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if abs(number) >= size:
            return f"{number / size:.3g}{unit}"
    return str(number)


_current: ContextVar[PassRecord | None] = ContextVar("current_pass", default=None)


@contextmanager
def recording(record: PassRecord) -> Iterator[PassRecord]:
    """Rules that fire inside are counted in ``record``."""
    token = _current.set(record)
    try:
        yield record
    finally:
        _current.reset(token)


def fired(rule: str, count: int = 1) -> None:
    """Count a rule (or any event worth telling) for the pass that runs now."""
    record = _current.get()
    if record is not None:
        record.rules[rule] += count
