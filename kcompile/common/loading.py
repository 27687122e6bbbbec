"""Models that are made from a file: their weights come from there, so none are drawn, and there cannot be more of them.

A configuration of a hundred bytes can ask for a layer of a terabyte. While a file is loaded, every new weight counts
against what the file stores; where there are no weights to load, against the memory that is free.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from kcompile.common.limits import MEMORY_SHARE, MIB, UnsafeFileError, free_memory, size_text
from kcompile.ir.core import Array

SLACK_BYTES = 16 * MIB
"""What a model may need beyond the file: small weights that the file keeps in another form."""


class Loading:
    """What is known of a model while it is made from a file.

    Args:
        file: the file, for messages.
        weight_bytes: how much its weights take in memory; ``None``: it has none, so that they are drawn.
        seeds: for each layer name the seeds of layers of that name, in the order in which they are made.
    """

    def __init__(
        self,
        file: str,
        weight_bytes: int | None,
        seeds: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        self.file = file
        self._stored = weight_bytes
        self._asked = 0
        self._share = MEMORY_SHARE * free_memory()
        self._seeds = {name: list(values) for name, values in (seeds or {}).items()}

    def new_weight(self, label: str, shape: tuple[int, ...], dtype: str) -> Array | None:
        """Zeros, in the place of what an initializer would draw; ``None`` if it is to be drawn.

        Raises:
            UnsafeFileError: all weights together are more than the file can hold, or than memory can.
        """
        size = math.prod(shape) * np.dtype(dtype).itemsize
        self._asked += size
        if self._stored is None:
            if self._asked + 2 * size > self._share:  # initializers draw in float64
                raise UnsafeFileError(
                    f"{self.file}: the model needs more than {size_text(self._asked)} of weights (weight {label!r} "
                    f"has shape {shape}), for which there is not enough memory"
                )
            return None
        if self._asked > 2 * self._stored + SLACK_BYTES:
            raise UnsafeFileError(
                f"{self.file}: the model needs more than {size_text(self._asked)} of weights (weight {label!r} has "
                f"shape {shape}), but the file has {size_text(self._stored)}"
            )
        return np.zeros(shape, dtype)

    def restore_seeds(self, layer: Any) -> None:
        """Give a new layer, and those that it wraps, the random streams that they had when the file was written."""
        stream = getattr(layer, "_seeds", None)
        if stream is not None and self._seeds.get(layer.name):
            stream.start_at(self._seeds[layer.name].pop(0))
        if not hasattr(layer, "layers"):  # the layers of a model were made before it
            for inner in layer.layers_inside:
                self.restore_seeds(inner)


_current: ContextVar[Loading | None] = ContextVar("loading", default=None)


def current() -> Loading | None:
    """The file that is being loaded in this thread."""
    return _current.get()


@contextlib.contextmanager
def loading(pending: Loading) -> Iterator[None]:
    """Inside, models are made from a file."""
    token = _current.set(pending)
    try:
        yield
    finally:
        _current.reset(token)
