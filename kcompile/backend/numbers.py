"""What K asks about arguments that are numbers, or tensors."""

from __future__ import annotations

import math
from typing import Any


def finite(*numbers: Any) -> bool:
    """Whether all are ordinary Python numbers: no tensors, neither infinite nor NaN."""
    return all(isinstance(number, (int, float)) and math.isfinite(number) for number in numbers)
