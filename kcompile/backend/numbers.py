"""What K asks about arguments that are numbers, or tensors."""

from __future__ import annotations

import math
from typing import Any, TypeGuard


def finite(number: Any) -> TypeGuard[float]:
    """Whether it is an ordinary Python number: no tensor, neither infinite nor NaN."""
    return isinstance(number, (int, float)) and math.isfinite(number)
