"""What the cells of recurrent layers share: weights, dropout masks, and the way over all steps at once."""

from __future__ import annotations

from typing import Any

from kcompile import activations
from kcompile import backend as K
from kcompile.backend import random
from kcompile.common.checks import check_flag, check_fraction, check_int, check_positive_int
from kcompile.common.errors import ShapeError, warn
from kcompile.common.nest import flatten, is_nested
from kcompile.engine.layer import Shape
from kcompile.ir.ops.recurrent.activations import ACTIVATIONS
from kcompile.layers.base.types import BatchSize, Phase
from kcompile.layers.base.weight_options import WeightOptions
from kcompile.layers.recurrent.states import batch_of, zero_state
from kcompile.objects.lookup import Identifier
from kcompile.symbolic.seeds import SeedStream
from kcompile.symbolic.tensor import Tensor

OverTime = tuple[Tensor, list[Tensor]]
"""The outputs of all steps ``(time, batch, units)``, each at the place of its input, and the last states."""

OP_NAMES = {getattr(activations, name): name for name in ACTIVATIONS if hasattr(activations, name)} | {
    K.tanh: "tanh", K.sigmoid: "sigmoid", K.relu: "relu", K.hard_sigmoid: "hard_sigmoid", K.elu: "elu",
}  # fmt: skip
"""What the ops of recurrence call these functions."""


class DropoutRNNCellMixin:
    """Dropout masks of a cell: drawn once for each sequence, and the same at each of its steps.

    Source: Gal and Ghahramani (2016).
    """

    dropout: float
    recurrent_dropout: float
    _seeds: SeedStream | None = None
    _input_masks: Any = None
    _state_masks: Any = None

    @property
    def differs_by_phase(self) -> bool:
        """Whether training drops anything."""
        return self.dropout > 0 or self.recurrent_dropout > 0

    def reset_dropout_mask(self) -> None:
        """Draw new masks for the next inputs."""
        self._input_masks = None

    def reset_recurrent_dropout_mask(self) -> None:
        """Draw new masks for the next states."""
        self._state_masks = None

    def get_dropout_mask_for_cell(self, inputs: Tensor, training: Phase, count: int = 1) -> Any:
        """A mask in the shape of ``inputs``, a list of masks if ``count`` > 1; ``None`` without dropout."""
        if self.dropout > 0 and self._input_masks is None and not is_off(training):
            self._input_masks = self._draw(inputs, self.dropout, training, count)
        return self._input_masks

    def get_recurrent_dropout_mask_for_cell(self, inputs: Tensor, training: Phase, count: int = 1) -> Any:
        """As :meth:`get_dropout_mask_for_cell`, with the rate ``recurrent_dropout``."""
        if self.recurrent_dropout > 0 and self._state_masks is None and not is_off(training):
            self._state_masks = self._draw(inputs, self.recurrent_dropout, training, count)
        return self._state_masks

    def _draw(self, like: Tensor, rate: float, training: Phase, count: int) -> Any:
        ones, seeds = K.ones_like(like), self._seeds or SeedStream(None)
        self._seeds = seeds
        with random.at_step(None):  # also inside of a loop, all steps share the mask
            masks = [
                K.in_train_phase(K.dropout(ones, rate, seed=seeds.next()), ones, training=training)
                for _ in range(count)
            ]
        return masks if count > 1 else masks[0]


class RecurrentCell(DropoutRNNCellMixin, WeightOptions):
    """What our cells share: kernels for ``gates`` gates, a bias, dropout."""

    gates: int
    _weights = ("kernel", "recurrent", "bias")

    @property
    def _owner(self) -> str:
        """How messages name the cell: as its layer, which most users write."""
        return type(self).__name__.removesuffix("Cell")

    def _set_options(
        self,
        units: int,
        activation: Identifier,
        use_bias: bool,
        dropout: float,
        recurrent_dropout: float,
        seed: int | None,
    ) -> None:
        owner = self._owner
        self.units = check_positive_int(owner, "units", units)
        self.activation = activations.get(activation)
        self.use_bias = check_flag(owner, "use_bias", use_bias)
        self.dropout = check_fraction(owner, "dropout", dropout)
        self.recurrent_dropout = check_fraction(owner, "recurrent_dropout", recurrent_dropout)
        self.seed = None if seed is None else check_int(owner, "seed", seed)
        self._seeds = SeedStream(self.seed)
        self.output_size = self.units

    def _set_implementation(self, implementation: int) -> int:
        owner = self._owner
        number = check_int(owner, "implementation", implementation, 0, 2)
        if number == 0:
            warn(f"{owner}: implementation=0 of older versions of Keras is now implementation=1", UserWarning)
        return number or 1

    def build(self, input_shape: Shape) -> None:
        features = input_shape[-1]
        if features is None:
            raise ShapeError(
                f"layer {self.name!r} ({self._owner}) needs to know the number of features of its input, got "
                f"{tuple(input_shape)}; give it in Input(shape=...)"
            )
        size = self.gates * self.units
        self.kernel = self._add_weight_of("kernel", (features, size))
        self.recurrent_kernel = self._add_weight_of("recurrent", (self.units, size), "recurrent_kernel")
        self.bias = self._add_bias(size) if self.use_bias else None
        self.built = True

    def _add_bias(self, size: int) -> Any:
        return self._add_weight_of("bias", (size,))

    def get_initial_state(
        self, inputs: Tensor | None = None, batch_size: BatchSize | None = None, dtype: str | None = None
    ) -> Any:
        """Zeros for that input, or that batch size."""
        size = batch_of(inputs, batch_size)
        states = [zero_state(size, (units,), dtype or K.floatx()) for units in flatten(self.state_size)]
        return states if is_nested(self.state_size) else states[0]

    def _project(self, x: Tensor, masks: Tensor | list[Tensor] | None) -> Tensor:
        """``x @ kernel + bias`` for the inputs of one step or of all; with masks, a single one or one for each gate."""
        bias = self._input_bias()
        if not isinstance(masks, list):
            y = K.dot(x if masks is None else x * masks, self.kernel)
            return y if bias is None else y + bias
        parts = [K.dot(x * mask, kernel) for mask, kernel in zip(masks, self._by_gate(self.kernel), strict=True)]
        y = K.concatenate(parts)
        return y if bias is None else y + bias

    def _input_bias(self) -> Any:
        return self.bias

    def _by_gate(self, x: Tensor) -> list[Tensor]:
        """The parts of the last axis that belong to each gate."""
        return [x[..., i * self.units : (i + 1) * self.units] for i in range(self.gates)]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self.own_config()}

    def own_config(self) -> dict[str, Any]:
        """The arguments of the cell, which are also those of its layer."""
        config = {
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            **self._weight_config(*self._weights),
            "dropout": self.dropout,
            "recurrent_dropout": self.recurrent_dropout,
        }
        return config if self.seed is None else {**config, "seed": self.seed}


def is_off(training: Phase) -> bool:
    """Whether the learning phase is known to be inference."""
    return training is not None and not isinstance(training, Tensor) and not training
