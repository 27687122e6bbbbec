"""What became of one file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from kcompile.common.html import PrintedHtml

if TYPE_CHECKING:
    from kcompile.converting.parity import Parity
    from kcompile.export import ExportReport

OPERATORS_SHOWN = 12


@dataclass
class FileReport(PrintedHtml):
    """The conversion of one file.

    Attributes:
        source: the file.
        seconds: how long it took.
        exported: what was written; ``None`` if it failed.
        parity: the comparisons, if they were asked for.
        warnings: what was noticed on the way.
        error: why it failed.
        unchecked: why nothing was compared although that was asked for; no failure.
    """

    source: Path
    seconds: float = 0.0
    exported: ExportReport | None = None
    parity: list[Parity] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    error: str = ""
    unchecked: str = ""

    @property
    def passed(self) -> bool:
        """Whether the file was converted, and everything that was to be checked is equal."""
        return not self.error and all(item.passed for item in self.parity)

    def __str__(self) -> str:
        lines = [f"{self.source}: {'ok' if self.passed else 'FAILED'} ({self.seconds:.1f} s)"]
        if self.exported is not None:
            lines += self._exported(self.exported)
        lines += [f"  {item}" for item in self.parity]
        if self.unchecked:
            lines.append(f"  not checked: {self.unchecked}")
        lines += [f"  warning: {text}" for text in self.warnings]
        if self.error:
            lines.append(f"  error: {self.error}")
        return "\n".join(_printable(line) for line in lines)

    def _exported(self, found: ExportReport) -> list[str]:
        size = sum(path.stat().st_size for path in found.files)
        most = found.operators.most_common(OPERATORS_SHOWN)
        named = ", ".join(f"{name} {count}" for name, count in most)
        more = f", {len(found.operators) - len(most)} other kinds" if len(found.operators) > len(most) else ""
        total = found.operators.total()
        lines = [
            f"  -> {', '.join(map(str, found.files))} (opset {found.opset}, {size:,} bytes)",
            f"  {found.parameters:,} parameters, {total} {'operator' if total == 1 else 'operators'}: {named}{more}",
            *(f"  {note}" for note in found.notes),
        ]
        return lines + [f"  {line}" for line in str(found.int8).splitlines()] if found.int8 else lines


def _printable(line: str) -> str:
    """Names come from files; whatever could steer a terminal is escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
