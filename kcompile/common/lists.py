"""One or several: what Keras hands around is a thing or a list of things."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from kcompile.common.errors import KCompileError, listed, unknown_name

T = TypeVar("T")


def as_list(x: Any) -> list[Any]:
    """``x`` as a list: itself if it is one, ``[x]``, or ``[]`` for ``None``."""
    if x is None:
        return []
    return list(x) if isinstance(x, (list, tuple)) else [x]


def one_or_list(items: Sequence[Any]) -> Any:
    """The only item, or a list of several."""
    return items[0] if len(items) == 1 else list(items)


def unique(items: Iterable[T]) -> list[T]:
    """Without repetitions, in order of first occurrence."""
    return list(dict.fromkeys(items))


def is_shape_list(shape: Any) -> bool:
    """Whether ``shape`` is a list of shapes."""
    return isinstance(shape, (list, tuple)) and bool(shape) and isinstance(shape[0], (list, tuple))


def shapes_agree(shape: Sequence[int | None], other: Sequence[int | None]) -> bool:
    """Whether two shapes have as many axes and no two known sizes that differ; ``None`` is any size."""
    if len(shape) != len(other):
        return False
    return all(a is None or b is None or a == b for a, b in zip(shape, other, strict=True))


def per_output(value: Any, names: Sequence[str], argument: str, default: Any = None) -> list[Any]:
    """One entry for each output, from a single value, a list or a dictionary."""
    if isinstance(value, dict):
        for key in value:
            if key not in names:
                raise unknown_name(f"output in {argument}:", key, names)
        return [value.get(name, default) for name in names]
    if isinstance(value, (list, tuple)):
        if len(value) != len(names):
            raise KCompileError(
                f"{argument} has {len(value)} entries for {len(names)} outputs ({listed(names)}); "
                "give one per output (None for none), or a dictionary"
            )
        return list(value)
    return [value] * len(names)
