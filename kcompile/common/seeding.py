"""Python's and NumPy's generators of random numbers, and how often a program seeded them."""

from __future__ import annotations

import random

import numpy as np

_seedings = 0


def seedings() -> int:
    """How often :func:`seed_generators` was called."""
    return _seedings


def seed_generators(seed: int) -> None:
    """Seed both."""
    global _seedings
    _seedings += 1
    random.seed(seed)
    np.random.seed(seed)
