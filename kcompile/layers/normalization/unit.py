"""Normalization to length 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcompile import backend as K
from kcompile.engine.layer import Layer, Shape
from kcompile.layers.normalization.rows import axes_of, check_axes
from kcompile.symbolic.tensor import as_float

__all__ = ["UnitNormalization"]


class UnitNormalization(Layer):
    """Scales each sample to length 1 (the root of the sum of squares) over ``axis``; what is almost zero stays so.

    Args:
        axis: the axis, or axes, over which the squares are summed.

    Raises:
        ValueError: an axis that is no integer, or (when called) that the input lacks.
    """

    _takes_one_tensor = True

    def __init__(self, axis: int | Sequence[int] = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = check_axes(type(self).__name__, axis)
        self.supports_masking = True

    def build(self, input_shape: Sequence[int | None]) -> None:
        axes_of(f"layer {self.name!r} ({type(self).__name__})", self.axis, input_shape)
        self.built = True

    def call(self, inputs: Any) -> Any:
        x = as_float(inputs)
        square = K.sum(K.square(x), axis=axes_of(self.name, self.axis, x.shape), keepdims=True)
        return x / K.sqrt(K.maximum(square, 1e-12))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}
