"""Logs of one batch whose metric values stay on the device until somebody looks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any


class BatchLogs(dict[str, Any]):
    """``logs`` of the batch hooks: a dict that reads the loss and metrics when first asked for one.

    Its keys are those of tf.keras: the loss and the metrics. "batch" and "size", which Keras 2.3 puts beside them, are
    there when asked for by name; ``in``, ``keys()`` and ``len()`` read nothing.

    Args:
        batch: number of the batch within its epoch. size: samples in it.
        names: names of the loss and the metrics, in order.
        read: returns ``{name: float}`` for this batch (the loss of this batch, metrics so far: Keras 2.3).
        read_averages: returns the averages over the epoch so far, as the progress bar shows them.
    """

    def __init__(
        self,
        batch: int,
        size: int,
        names: Iterable[str] = (),
        read: Callable[[], Mapping[str, Any]] | None = None,
        read_averages: Callable[[], Mapping[str, Any]] | None = None,
    ):
        super().__init__()
        self._hidden = {"batch": batch, "size": size}
        self._names = tuple(names)
        self._read = read
        self._read_averages = read_averages

    def averages(self) -> Mapping[str, Any]:
        """Averages over the epoch so far; this batch's values when the loop gave no other source."""
        if self._read_averages is not None:
            return self._read_averages()
        return {name: self[name] for name in self._names if name in self}

    def _fill(self) -> None:
        if self._read is not None:
            read, self._read = self._read, None
            for name, value in read().items():
                if not super().__contains__(name):
                    super().__setitem__(name, value)

    def __missing__(self, key: str) -> Any:
        if key in self._hidden:
            return self._hidden[key]
        self._fill()
        if not super().__contains__(key):
            raise KeyError(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or key in self._hidden or (self._read is not None and key in self._names)

    def get(self, key: str, default: Any = None) -> Any:
        return self[key] if key in self else default  # noqa: SIM401

    def pop(self, key: str, *default: Any) -> Any:
        self._fill()
        return super().pop(key, *default)

    def keys(self) -> Any:
        return list(self)

    def __iter__(self) -> Iterator[str]:
        yield from super().__iter__()
        if self._read is not None:
            yield from (name for name in self._names if not super(BatchLogs, self).__contains__(name))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def items(self) -> Any:
        self._fill()
        return super().items()

    def values(self) -> Any:
        self._fill()
        return super().values()

    def copy(self) -> dict[str, Any]:
        return dict(self.items())

    def __or__(self, other: Any) -> Any:
        return self.copy() | other

    def __eq__(self, other: object) -> bool:
        self._fill()
        return super().__eq__(other)

    __hash__ = None  # a dict is not hashable

    def __repr__(self) -> str:
        return repr(self.copy())
