"""Identity: a layer that changes nothing."""

from __future__ import annotations

from typing import Any

from kcompile.engine.layer import Layer
from kcompile.symbolic.tensor import Tensor

__all__ = ["Identity"]

Shape = tuple[int | None, ...]


class Identity(Layer):
    """The input itself; it takes the place of a layer that is left out."""

    _takes_one_tensor = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Tensor) -> Tensor:
        return inputs

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return super().get_config()
