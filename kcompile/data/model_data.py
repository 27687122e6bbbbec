"""The checked data of a model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kcompile.data.adapters import Array, LazyRows
from kcompile.data.feeder import ArrayFeeder
from kcompile.data.origins import Source


@dataclass(frozen=True)
class ModelData:
    """Checked data of one model: arrays in the order of its inputs and outputs.

    Attributes:
        x: one array per input. y: one array per output, ``[]`` when there are no targets (predict).
        weights: per output, weights ``(n,)`` or ``(n, time)``, or None where every sample counts 1.
        samples: number of samples.
        input_dtypes: dtype to deliver per input (an array of narrow integers may still be unconverted).
        sources: what ``arrays()`` are called in messages, each with the rank that the user gave it.
    """

    x: list[Array]
    y: list[Array]
    weights: list[np.ndarray | None]
    samples: int
    input_dtypes: tuple[str, ...]
    target_dtypes: tuple[str, ...] = ()
    form: Any = None
    """How a step of the user's own gets the arrays; see :mod:`kcompile.data.free_data`."""
    sources: tuple[Source, ...] = ()

    def arrays(self) -> list[Array]:
        """Everything to feed: x, then y, then the weights that exist."""
        return [*self.x, *self.y, *(weights for weights in self.weights if weights is not None)]

    def dtypes(self) -> list[str]:
        """Dtypes to deliver, in the order of ``arrays()``."""
        return [
            *self.input_dtypes,
            *self.target_dtypes,
            *(str(weights.dtype) for weights in self.weights if weights is not None),
        ]

    def rows(self, start: int, stop: int) -> ModelData:
        """Samples ``start..stop`` as views."""

        def cut(array: Any) -> Any:
            if array is None:
                return None
            return array.rows(start, stop) if isinstance(array, LazyRows) else array[start:stop]

        return replace(
            self,
            x=[cut(array) for array in self.x],
            y=[cut(array) for array in self.y],
            weights=[cut(array) for array in self.weights],
            samples=stop - start,
        )

    def feeder(self, batch_size: int, shuffle: bool | str = False, **options: Any) -> ArrayFeeder:
        """An ``ArrayFeeder`` over ``arrays()``; options as there."""
        return ArrayFeeder(self.arrays(), batch_size, shuffle, dtypes=self.dtypes(), **options)
