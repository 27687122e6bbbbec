"""One call that makes a program reproducible."""

from __future__ import annotations

from kcompile.backend.random import random_counter
from kcompile.common.checks import check_int
from kcompile.common.seeding import seed_generators


def set_random_seed(seed: int) -> None:
    """Seed Python's and NumPy's generators, and start the stream of ``K.random_*`` anew.

    Initial weights, the seeds of layers and of each model's shuffling come from NumPy's global generator, so that
    programs which call this first repeat bit for bit on the same machine (Keras 3 has a function of the same name).
    Models that shuffled before draw new seeds.

    Raises:
        TypeError: not an integer.
        ValueError: outside of 0 to 2**32 - 1.
    """
    seed_generators(check_int("set_random_seed", "seed", seed, minimum=0, maximum=2**32 - 1))
    random_counter().assign(0)
