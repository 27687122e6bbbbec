"""Rows of a variable that are read and updated by themselves."""

from __future__ import annotations

from dataclasses import dataclass

from kcompile.ir.core import Variable
from kcompile.ir.errors import IRError


@dataclass(frozen=True, eq=False)
class VariablePart(Variable):
    """The rows from ``start`` on of another variable, ``whole``; how many, the type says.

    It is no state of its own but a window on that of ``whole``. A graph that updates a part updates all parts
    of ``whole``, each row once, and not ``whole`` itself.
    """

    whole: Variable | None = None
    start: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        whole = self.whole
        if whole is None or not whole.type.is_static or not whole.type.rank:
            raise IRError(f"part {self.label!r} needs the variable of known sizes of which it is a part")
        rows, *rest = whole.type.static_shape
        wanted, *others = self.type.static_shape
        if self.type.dtype != whole.type.dtype or others != rest or not 0 <= self.start <= rows - wanted:
            raise IRError(f"part {self.label!r} of type {self.type} does not lie in {whole.type} from row {self.start}")

    @property
    def rows(self) -> slice:
        """Where in ``whole``."""
        return slice(self.start, self.start + self.type.static_shape[0])


def part_of(variable: Variable, start: int, stop: int) -> VariablePart:
    """The rows ``start`` to ``stop`` (exclusive) of ``variable``.

    Raises:
        IRError: there are no such rows.
    """
    rest = variable.type.shape[1:]
    type = variable.type.with_shape((stop - start, *rest))
    return VariablePart(f"{variable.label}[{start}:{stop}]", type, variable.role, variable, start)
