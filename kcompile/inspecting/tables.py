"""Aligned columns of text."""

from __future__ import annotations

from collections.abc import Sequence


def table(rows: Sequence[Sequence[object]], indent: str = "  ") -> str:
    """Rows of cells as lines; numbers have thousands separators, and columns with numbers are aligned to the right.

    Rows may be of different lengths. Characters that are not printable (names come from files) are escaped.
    """
    cells = [[f"{cell:,}" if isinstance(cell, int) else _printable(str(cell)) for cell in row] for row in rows]
    count = max((len(row) for row in cells), default=0)
    widths = [max((len(row[i]) for row in cells if i < len(row)), default=0) for i in range(count)]
    numeric = {i for row in rows for i, cell in enumerate(row) if isinstance(cell, int)}
    lines = []
    for row in cells:
        aligned = [text.rjust(widths[i]) if i in numeric else text.ljust(widths[i]) for i, text in enumerate(row)]
        lines.append((indent + "  ".join(aligned)).rstrip())
    return "\n".join(lines)


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def section(title: str) -> str:
    """A heading."""
    return f"\n== {title}"
