"""Where a number of a batch stands in what the user gave: their arrays, files or batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kcompile.data.adapters import LazyRows

if TYPE_CHECKING:
    from kcompile.data.feeder import ArrayFeeder

Source = tuple[str, int]
"""What to call an array in messages, and its rank as the user gave it."""


class Origin:
    """The user's own arrays, row for row.

    Args:
        sources: what the arrays of a batch are called, in feeding order.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = sources

    def name(self, index: int, position: Sequence[int]) -> str:
        """What to call the number at ``position`` in array ``index`` of the batch: ``x[9, 0]``."""
        path, rank = self.sources[index]
        base, _, hint = path.rpartition(" (") if path.endswith(")") else (path, "", "")
        place = ", ".join(str(i) for i in (self.row(position[0]), *position[1:])[: max(rank, 1)])
        return f"{base}[{place}]" + (f" ({hint}" if hint else "") + self.where(index, position[0])

    def row(self, row: int) -> int:
        """The user's row of a row of the batch."""
        return row

    def where(self, index: int, row: int) -> str:
        """What else there is to say about the place."""
        return ""


class RowsOf(Origin):
    """The batch that a feeder handed out last."""

    def __init__(self, sources: Sequence[Source], feeder: ArrayFeeder) -> None:
        super().__init__(sources)
        self.feeder = feeder

    def row(self, row: int) -> int:
        return self.feeder.row(row)

    def where(self, index: int, row: int) -> str:
        array = self.feeder.arrays[index]
        return f" ({_in_file(array, self.row(row))})" if isinstance(array, LazyRows) else ""


class BatchOf(Origin):
    """A batch of a generator or Sequence, whose place among the others has a name."""

    def __init__(self, sources: Sequence[Source], place: str) -> None:
        super().__init__(sources)
        self.place = place

    def where(self, index: int, row: int) -> str:
        return f" in {self.place}"


def _in_file(rows: LazyRows, row: int) -> str:
    """The row of a data set on disk, with its file."""
    source, row = rows.source, rows.start + row
    if hasattr(source, "file"):
        return f"row {row} of {source.file.filename}: {source.name}"
    stored: Any = getattr(source, "data", None)
    where = getattr(stored, "where", type(source).__name__)
    return f"row {row + int(getattr(source, 'start', 0))} of {where}"
