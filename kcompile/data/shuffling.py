"""The order in which fit draws samples: a generator of the model's own, so that files can hold where it stands."""

from __future__ import annotations

from typing import Any

import numpy as np

from kcompile.common.seeding import seedings


class Shuffling:
    """Draws one permutation for each pass over the data.

    It is seeded by NumPy's global generator when ``fit`` first shuffles after ``compile``, and anew after
    ``keras.utils.set_random_seed``. Each permutation depends on the seed and on how many were drawn before only.

    Args:
        seed: drawn from NumPy's global generator if it is ``None``. count: how many permutations were drawn.
    """

    def __init__(self, seed: int | None = None, count: int = 0) -> None:
        self.seed = seed
        self.count = count
        self._seedings = seedings()

    @property
    def current(self) -> bool:
        """Whether the program was not seeded since."""
        return self._seedings == seedings()

    def permutation(self, n: int) -> np.ndarray[Any, Any]:
        """The next order of ``n`` things."""
        if self.seed is None:  # not before: a call of fit that is refused draws nothing
            self.seed = int(np.random.randint(0, 2**31 - 1))
        # RandomState: its stream is the same in every release of NumPy.
        order = np.random.RandomState([self.seed, self.count]).permutation(n)
        self.count = (self.count + 1) % 2**32
        return order
