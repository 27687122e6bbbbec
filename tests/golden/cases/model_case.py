"""What one row of a table of small models says."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.golden import data


@dataclass(frozen=True)
class ModelCase:
    """Layers applied to inputs, written once for the oracle and for kcompile.

    ``apply(layers, inputs)`` returns the outputs, one or a list. ``shapes`` includes the batch axis, one shape per
    input. ``masked`` is the probability that a step of the first input is all zeros, for a Masking layer; ``integers``
    the exclusive upper bound of the inputs if these are integers. With ``training``, training mode is recorded too;
    ``steps`` is the number of recorded steps of training; ``calls`` the number of predictions in a row of a stateful
    model, whose batch size is fixed.
    """

    name: str
    shapes: list[tuple[int, ...]]
    apply: Callable[[Any, Any], Any] = field(compare=False)
    masked: float = 0.0
    integers: int | None = None
    training: bool = False
    steps: int = 0
    calls: int = 0

    def inputs(self, call: int = 0) -> list[np.ndarray]:
        """The arrays of one call."""
        words = (self.name, "input") if call == 0 else (self.name, "input of call", call)
        if self.integers is not None:
            return [data.integers(shape, self.integers, *words, i) for i, shape in enumerate(self.shapes)]
        arrays = [data.normal(shape, *words, i) for i, shape in enumerate(self.shapes)]
        if self.masked:
            steps = arrays[0].shape[:-1]
            arrays[0][data.generator(*words, "mask").uniform(size=steps) < self.masked] = 0
        return arrays

    def build(self, keras: Any, dtype: str | None = None) -> tuple[Any, list[Any], list[Any]]:
        """The model, its inputs and its outputs; the layers are called on symbolic inputs."""
        kind = "int32" if self.integers is not None else dtype
        if self.calls:
            inputs = [keras.layers.Input(batch_shape=shape, dtype=kind) for shape in self.shapes]
        else:
            inputs = [keras.layers.Input(shape=shape[1:], dtype=kind) for shape in self.shapes]
        outputs = self.apply(keras.layers, inputs if len(inputs) > 1 else inputs[0])
        outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
        return keras.models.Model(inputs, outputs), inputs, outputs
