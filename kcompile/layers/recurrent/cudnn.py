"""CuDNNGRU and CuDNNLSTM: GRU and LSTM with the weights that cuDNN has.

They have a bias for the input and one for the state, and the numbers of each gate's matrix lie in memory as those of
its transpose: Keras hands them to cuDNN as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kcompile import backend as K
from kcompile.engine.layer import Shape
from kcompile.ir.core import Array
from kcompile.layers.recurrent.arguments import takes_arguments_of
from kcompile.layers.recurrent.cells import GRUCell, LSTMCell
from kcompile.layers.recurrent.step import Recurrent
from kcompile.objects.registry import claim
from kcompile.symbolic.tensor import Tensor

__all__ = ["CuDNNGRU", "CuDNNLSTM"]

_FIXED = {
    "activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True, "dropout": 0.0, "recurrent_dropout": 0.0,
    "implementation": 2, "reset_after": True, "seed": None,
}  # fmt: skip
"""What these layers have no choice about."""

_AFTER = {
    "bias_regularizer": ["activity_regularizer"], "bias_constraint": ["return_sequences", "return_state", "stateful"],
}  # fmt: skip


class _CuDNNWeights:
    """A cell whose kernels cuDNN reads, and whose bias is a vector of two: of the input, and of the state.

    ``kernel`` and ``recurrent_kernel`` are what it computes with; the weights themselves are in cuDNN's order.
    """

    units: int
    gates: int
    kernel: Any
    recurrent_kernel: Any
    bias: Any
    _by_gate: Any

    def build(self, input_shape: Shape) -> None:
        super().build(input_shape)  # type: ignore[misc]  # of the cell that this is mixed into
        self.kernel, self.recurrent_kernel = self._by_rows(self.kernel), self._by_rows(self.recurrent_kernel)

    def _by_rows(self, kernel: Tensor) -> Tensor:
        rows = int(kernel.shape[0])
        return K.concatenate([K.transpose(K.reshape(part, (self.units, rows))) for part in self._by_gate(kernel)])

    def _input_bias(self) -> Any:
        return self.bias[: self.gates * self.units]

    def _recurrent_bias(self) -> Any:
        return self.bias[self.gates * self.units :]

    def own_config(self) -> dict[str, Any]:
        config = super().own_config()  # type: ignore[misc]  # of the cell that this is mixed into
        return {key: value for key, value in config.items() if key not in _FIXED}


class _CuDNNGRUCell(_CuDNNWeights, GRUCell):
    def _add_bias(self, size: int) -> Any:
        return self._add_weight_of("bias", (2 * size,))


class _CuDNNLSTMCell(_CuDNNWeights, LSTMCell):
    def _add_bias(self, size: int) -> Any:
        return self._add_weight_of(
            "bias", (2 * size,), initializer=self._forgetting() if self.unit_forget_bias else None
        )

    def _input_bias(self) -> Any:
        return super()._input_bias() + self._recurrent_bias()  # both are added to the same sums

    def _forgetting(self) -> Callable[..., Any]:
        def initializer(shape: Sequence[int], dtype: str | None = None) -> Array:
            first, rest = (self.bias_initializer((n * self.units,), dtype=dtype) for n in (5, 2))
            return np.concatenate([np.asarray(first), np.ones(self.units, dtype), np.asarray(rest)])

        return initializer


claim("layer", _CuDNNGRUCell, _CuDNNLSTMCell)


class CuDNNGRU(Recurrent):
    """:class:`GRU` with ``reset_after`` as cuDNN stores it: its bias is a vector ``(6 * units,)``.

    Runs on any device.

    Args:
        units: size of output and state.
        kernel_initializer, recurrent_initializer, bias_initializer: initial values.
        kernel_regularizer, recurrent_regularizer, bias_regularizer, activity_regularizer: losses.
        kernel_constraint, recurrent_constraint, bias_constraint: applied after each update.
        return_sequences, return_state, stateful: see :class:`RNN`; so for ``go_backwards`` and ``time_major``, by name.

    Raises:
        ValueError: ``units`` is not positive; on a call, see :class:`RNN`.
    """

    _state_names = ("h",)
    _cell = _CuDNNGRUCell

    @takes_arguments_of(GRUCell, _AFTER, fixed=_FIXED)
    def __init__(self, cell: _CuDNNGRUCell, **kwargs: Any) -> None:
        super().__init__(cell=cell, **kwargs)


class CuDNNLSTM(Recurrent):
    """:class:`LSTM` as cuDNN stores it: its bias is a vector ``(8 * units,)``.

    Runs on any device.

    Args:
        units: size of output and states.
        kernel_initializer, recurrent_initializer, bias_initializer: initial values.
        unit_forget_bias: whether the (second) bias of the forget gate starts at one.
        kernel_regularizer, recurrent_regularizer, bias_regularizer, activity_regularizer: losses.
        kernel_constraint, recurrent_constraint, bias_constraint: applied after each update.
        return_sequences, return_state, stateful: see :class:`RNN`; so for ``go_backwards`` and ``time_major``, by name.

    Raises:
        ValueError: ``units`` is not positive; on a call, see :class:`RNN`.
    """

    _state_names = ("h", "c")
    _cell = _CuDNNLSTMCell

    @takes_arguments_of(LSTMCell, _AFTER, fixed=_FIXED)
    def __init__(self, cell: _CuDNNLSTMCell, **kwargs: Any) -> None:
        super().__init__(cell=cell, **kwargs)
