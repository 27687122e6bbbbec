"""Seeds of layers that draw random numbers."""

from __future__ import annotations

from kcompile.common import config
from kcompile.symbolic.trace import current_trace


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
        self._count = 0

    def next(self) -> int:
        """The seed of this call, ``0 <= seed < 2**31``; a step of a user's own counts its calls alone."""
        trace = current_trace()
        if trace is not None:
            return trace.seed(self)
        self._count += 1
        return config.seed_after(self.first, self._count - 1)
