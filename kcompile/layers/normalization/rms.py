"""Normalization by the root mean square."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcompile.common.checks import check_number
from kcompile.engine.layer import Layer, Shape
from kcompile.ir.core import apply_multi
from kcompile.ir.ops.spatial.row_normalization import RmsNorm
from kcompile.layers.normalization.rows import Rows, axes_of, check_axes, sizes_of

__all__ = ["RMSNormalization"]


class RMSNormalization(Layer):
    """Divides by the root of the mean square over ``axis``, then multiplies by ``scale``; Zhang and Sennrich (2019).

    The weight ``scale`` has the sizes of the axes, in the order of the input, and belongs to them, also where they are
    not the last ones (which Keras 3 does not compute).

    Args:
        axis: the axis, or axes, over which the mean is taken.
        epsilon: added to the mean square.

    Raises:
        ValueError: an argument out of range, or (when called) an axis that the input lacks or whose size is unknown.
    """

    _takes_one_tensor = True

    def __init__(self, axis: int | Sequence[int] = -1, epsilon: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        owner = type(self).__name__
        self.axis = check_axes(owner, axis)
        self.epsilon = check_number(owner, "epsilon", epsilon, minimum=0)
        self.supports_masking = True

    def build(self, input_shape: Sequence[int | None]) -> None:
        where = f"layer {self.name!r} ({type(self).__name__})"
        sizes = sizes_of(where, sorted(axes_of(where, self.axis, input_shape)), input_shape)
        self.scale = self.add_weight(name="scale", shape=sizes, initializer="ones")
        self.built = True

    def call(self, inputs: Any) -> Any:
        rows = Rows(inputs, axes_of(self.name, self.axis, inputs.shape))
        y, _ = apply_multi(RmsNorm(rows.first, self.epsilon), rows.x, rows.parameter(self.scale, 1.0))
        return rows.back(y)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis, "epsilon": self.epsilon}
