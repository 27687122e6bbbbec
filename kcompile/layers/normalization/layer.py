"""Layer normalization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcompile.common.checks import check_flag, check_number
from kcompile.engine.layer import Shape
from kcompile.ir.core import apply_multi
from kcompile.ir.ops.elementwise.functions import mul
from kcompile.ir.ops.spatial.row_normalization import LayerNorm
from kcompile.layers.base.weight_options import WeightOptions
from kcompile.layers.normalization.rows import Rows, axes_of, check_axes, sizes_of

__all__ = ["LayerNormalization"]
from kcompile.objects.lookup import Identifier


class LayerNormalization(WeightOptions):
    """Normalizes each sample to mean 0 and variance 1 over ``axis``, then scales and shifts; Ba, Kiros, Hinton (2016).

    Training and inference are the same. The weights have the sizes of the axes, in the order in which ``axis`` names
    them.

    Args:
        axis: the axis, or axes, over which mean and variance are taken.
        epsilon: added to the variance.
        center, scale: whether to add ``beta``, and to multiply by ``gamma``.
        beta_initializer, beta_regularizer, beta_constraint: of the offset.
        gamma_initializer, gamma_regularizer, gamma_constraint: of the factor.
        rms_scaling: to divide by the deviation and multiply by ``gamma`` only: the mean is not taken away, and nothing
            is added (Keras 3, which advises to use ``RMSNormalization`` instead).

    Raises:
        ValueError: an argument out of range, or (when called) an axis that the input lacks or whose size is unknown.
    """

    _takes_one_tensor = True

    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Identifier = "zeros",
        gamma_initializer: Identifier = "ones",
        beta_regularizer: Identifier = None,
        gamma_regularizer: Identifier = None,
        beta_constraint: Identifier = None,
        gamma_constraint: Identifier = None,
        *,
        rms_scaling: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        owner = type(self).__name__
        self.axis = check_axes(owner, axis)
        self.epsilon = check_number(owner, "epsilon", epsilon, minimum=0)
        self.center = check_flag(owner, "center", center)
        self.scale = check_flag(owner, "scale", scale)
        self.rms_scaling = check_flag(owner, "rms_scaling", rms_scaling)
        self._set_weight_options("beta", beta_initializer, beta_regularizer, beta_constraint)
        self._set_weight_options("gamma", gamma_initializer, gamma_regularizer, gamma_constraint)
        self.supports_masking = True

    def build(self, input_shape: Sequence[int | None]) -> None:
        where = f"layer {self.name!r} ({type(self).__name__})"
        axes = axes_of(where, self.axis, input_shape)
        self.gamma = self.beta = None
        if self.scale or self.rms_scaling:
            self.gamma = self._add_weight_of("gamma", sizes_of(where, axes, input_shape))
        if self.center and not self.rms_scaling:
            self.beta = self._add_weight_of("beta", sizes_of(where, axes, input_shape))
        self.built = True

    def call(self, inputs: Any) -> Any:
        rows = Rows(inputs, axes_of(self.name, self.axis, inputs.shape))
        gamma, beta = rows.parameter(self.gamma, 1.0), rows.parameter(self.beta, 0.0)
        y, _, inverse = apply_multi(LayerNorm(rows.first, self.epsilon), rows.x, gamma, beta)
        return rows.back(mul(mul(rows.x, inverse), gamma) if self.rms_scaling else y)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "axis": self.axis,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            **({"rms_scaling": True} if self.rms_scaling else {}),
            **self._weight_config("beta", "gamma"),
        }
