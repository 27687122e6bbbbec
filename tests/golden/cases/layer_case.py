"""What one row of a layer table says."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class LayerCase:
    """One layer, its constructor's arguments, and the inputs it is called with.

    ``shapes`` includes the batch dimension, one shape per input. ``integers`` is the exclusive upper bound
    of the inputs if these are integers (Embedding). ``weights`` names the distribution of the weights:
    "normal", or "positive" where a variance is among them. ``inputs`` that are "far" lie around 20.
    """

    name: str
    layer: str
    arguments: dict[str, Any]
    shapes: list[tuple[int, ...]]
    integers: int | None = None
    weights: str = "normal"
    inputs: str = "normal"
