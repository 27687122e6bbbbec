"""Seeds of layers that draw random numbers."""

from __future__ import annotations

from kcompile.backend import config

STREAMS = 2**31
STEP = 0x2545F491
"""An odd number, so that the first 2**31 calls of a layer have different seeds."""


class SeedStream:
    """A seed for each call of a layer: a layer that is called twice in a model draws two different masks.

    Args:
        seed: of the first call; ``None`` draws it from NumPy's global generator.
    """

    def __init__(self, seed: int | None) -> None:
        self.start_at(config.draw_seed(seed))

    def start_at(self, first: int) -> None:
        """Begin with the seed ``first``: the layer draws what another one drew that began there."""
        self.first = first
        self._next = first

    def next(self) -> int:
        """The seed of this call, ``0 <= seed < 2**31``."""
        seed = self._next
        self._next = (seed + STEP) % STREAMS
        return seed
