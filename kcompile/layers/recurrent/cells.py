"""Cells: what recurrent layers compute at one time step.

Our own cells also know how to run over all steps at once (``over_time``): the input is projected by one large product,
and the recurrence that is left is one op, which becomes a single ONNX operator at inference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kcompile import activations, ir
from kcompile import backend as K
from kcompile.common.checks import check_flag
from kcompile.common.nest import flatten
from kcompile.ir.core import Array
from kcompile.layers.base.types import Phase
from kcompile.layers.recurrent.cell_base import OP_NAMES, OverTime, RecurrentCell, is_off
from kcompile.objects.lookup import Identifier
from kcompile.symbolic.tensor import Tensor

__all__ = ["GRUCell", "LSTMCell", "SimpleRNNCell"]


class SimpleRNNCell(RecurrentCell):
    """``h = activation(x @ kernel + h @ recurrent_kernel + bias)``.

    Shapes: ``(batch, features)`` and a state ``(batch, units)`` to ``(batch, units)``.

    Args:
        units: size of output and state.
        activation: name or function.
        use_bias: whether a bias is added.
        kernel_initializer, recurrent_initializer, bias_initializer: initial values.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: losses on the weights.
        kernel_constraint, recurrent_constraint, bias_constraint: applied after each update.
        dropout, recurrent_dropout: which part of input and state training drops, 0 to 1.
        seed: of the dropout masks.

    Raises:
        ValueError: ``units`` is not positive, or a rate is not in [0, 1).
    """

    gates = 1

    def __init__(
        self,
        units: int,
        activation: Identifier = "tanh",
        use_bias: bool = True,
        kernel_initializer: Identifier = "glorot_uniform",
        recurrent_initializer: Identifier = "orthogonal",
        bias_initializer: Identifier = "zeros",
        kernel_regularizer: Identifier = None,
        recurrent_regularizer: Identifier = None,
        bias_regularizer: Identifier = None,
        kernel_constraint: Identifier = None,
        recurrent_constraint: Identifier = None,
        bias_constraint: Identifier = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        *,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._set_options(units, activation, use_bias, dropout, recurrent_dropout, seed)
        self._set_weight_options("kernel", kernel_initializer, kernel_regularizer, kernel_constraint)
        self._set_weight_options("recurrent", recurrent_initializer, recurrent_regularizer, recurrent_constraint)
        self._set_weight_options("bias", bias_initializer, bias_regularizer, bias_constraint)
        self.state_size = self.units

    def call(self, inputs: Tensor, states: Sequence[Tensor], training: Phase = None) -> tuple[Tensor, list[Tensor]]:
        h = flatten(states)[0]
        x = self._project(inputs, self.get_dropout_mask_for_cell(inputs, training))
        kept = self.get_recurrent_dropout_mask_for_cell(h, training)
        h = self.activation(x + K.dot(h if kept is None else h * kept, self.recurrent_kernel))
        return h, [h]

    def over_time(
        self,
        x: Tensor,
        states: Sequence[Tensor],
        valid: ir.Value | None,
        training: Phase,
        backwards: bool,
        unroll: bool,
    ) -> OverTime | None:
        """All steps at once; ``None`` where that cannot be one op."""
        if self.activation not in OP_NAMES:
            return None
        (h,) = states
        projected = self._project(x, self.get_dropout_mask_for_cell(x[0], training))
        kept = self.get_recurrent_dropout_mask_for_cell(h, training)
        ys, last = ir.rnn(
            projected.value, self.recurrent_kernel.value, h.value, valid, None if kept is None else kept.value,
            activation=OP_NAMES[self.activation], reverse=backwards, unroll=unroll,
        )  # fmt: skip
        return Tensor(ys), [Tensor(last)]


class GRUCell(RecurrentCell):
    """A gated recurrent unit.

    ``z, r = recurrent_activation(x @ kernel + h @ recurrent_kernel + bias)`` for their parts of the weights, then
    ``hh = activation(x @ kernel + (r * h) @ recurrent_kernel + bias)`` and ``h = z * h + (1 - z) * hh``. With
    ``reset_after``, ``r`` multiplies ``h @ recurrent_kernel`` and its own bias instead. Gates are in the order z, r, h.

    Source: Cho et al. (2014), v1 of the paper with ``reset_after=False``, as cuDNN has it with ``True``.

    Args:
        units: size of output and state.
        activation, recurrent_activation: names or functions, of the new state and of the gates.
        use_bias: whether a bias is added; its shape is ``(3 * units,)``, with ``reset_after`` ``(2, 3 * units)``.
        kernel_initializer, recurrent_initializer, bias_initializer: initial values.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: losses on the weights.
        kernel_constraint, recurrent_constraint, bias_constraint: applied after each update.
        dropout, recurrent_dropout: which part of input and state training drops, 0 to 1.
        implementation: 1: one dropout mask for each gate, 2: one for all. As in tf.keras, ``recurrent_dropout`` always
            takes 1: one mask for all would scale the state that passes from step to step.
        reset_after: see above. False by default as in Keras 2.3 (True in tf.keras).
        seed: of the dropout masks.

    Raises:
        ValueError: ``units`` is not positive, or a rate is not in [0, 1).
    """

    gates = 3

    def __init__(
        self,
        units: int,
        activation: Identifier = "tanh",
        recurrent_activation: Identifier = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Identifier = "glorot_uniform",
        recurrent_initializer: Identifier = "orthogonal",
        bias_initializer: Identifier = "zeros",
        kernel_regularizer: Identifier = None,
        recurrent_regularizer: Identifier = None,
        bias_regularizer: Identifier = None,
        kernel_constraint: Identifier = None,
        recurrent_constraint: Identifier = None,
        bias_constraint: Identifier = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        implementation: int = 2,
        reset_after: bool = False,
        *,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._set_options(units, activation, use_bias, dropout, recurrent_dropout, seed)
        self.recurrent_activation = activations.get(recurrent_activation)
        self._set_weight_options("kernel", kernel_initializer, kernel_regularizer, kernel_constraint)
        self._set_weight_options("recurrent", recurrent_initializer, recurrent_regularizer, recurrent_constraint)
        self._set_weight_options("bias", bias_initializer, bias_regularizer, bias_constraint)
        self.implementation = 1 if self.recurrent_dropout else self._set_implementation(implementation)
        self.reset_after = check_flag("GRU", "reset_after", reset_after)
        self.state_size = self.units

    def _add_bias(self, size: int) -> Any:
        return self._add_weight_of("bias", (2, size) if self.reset_after else (size,))

    def _input_bias(self) -> Any:
        return self.bias[0] if self.bias is not None and self.reset_after else self.bias

    def _recurrent_bias(self) -> Any:
        return self.bias[1] if self.bias is not None and self.reset_after else None

    def _input_masks_of(self, x: Tensor, training: Phase) -> Any:
        return self.get_dropout_mask_for_cell(x, training, 3 if self.implementation == 1 else 1)

    def call(self, inputs: Tensor, states: Sequence[Tensor], training: Phase = None) -> tuple[Tensor, list[Tensor]]:
        h = flatten(states)[0]
        x_z, x_r, x_h = self._by_gate(self._project(inputs, self._input_masks_of(inputs, training)))
        masks = self.get_recurrent_dropout_mask_for_cell(h, training, 3)
        h_z, h_r, h_h = [h] * 3 if masks is None else [h * mask for mask in masks]
        kernel_z, kernel_r, kernel_h = self._by_gate(self.recurrent_kernel)
        bias = self._recurrent_bias()
        bias_z, bias_r, bias_h = (None,) * 3 if bias is None else self._by_gate(bias)
        z = self.recurrent_activation(x_z + _affine(h_z, kernel_z, bias_z))
        r = self.recurrent_activation(x_r + _affine(h_r, kernel_r, bias_r))
        inner = r * _affine(h_h, kernel_h, bias_h) if self.reset_after else K.dot(r * h_h, kernel_h)
        h = z * h + (1 - z) * self.activation(x_h + inner)
        return h, [h]

    def over_time(
        self,
        x: Tensor,
        states: Sequence[Tensor],
        valid: ir.Value | None,
        training: Phase,
        backwards: bool,
        unroll: bool,
    ) -> OverTime | None:
        """All steps at once; ``None`` where that cannot be one op: with a mask for each gate of the state."""
        names = [OP_NAMES.get(a) for a in (self.activation, self.recurrent_activation)]
        if names[0] is None or names[1] is None or (self.recurrent_dropout and not is_off(training)):
            return None
        (h,) = states
        projected, bias = self._project(x, self._input_masks_of(x[0], training)), self._recurrent_bias()
        ys, last = ir.gru(
            projected.value, self.recurrent_kernel.value, None if bias is None else bias.value, h.value, valid,
            activation=names[0], recurrent_activation=names[1], reset_after=self.reset_after, reverse=backwards,
            unroll=unroll,
        )  # fmt: skip
        return Tensor(ys), [Tensor(last)]

    def own_config(self) -> dict[str, Any]:
        return {
            **super().own_config(),
            "recurrent_activation": activations.serialize(self.recurrent_activation),
            "implementation": self.implementation,
            "reset_after": self.reset_after,
        }


class LSTMCell(RecurrentCell):
    """Long short-term memory.

    ``i, f, o = recurrent_activation(x @ kernel + h @ recurrent_kernel + bias)`` and
    ``g = activation(x @ kernel + h @ recurrent_kernel + bias)`` for their parts of the weights, then
    ``c = f * c + i * g`` and ``h = o * activation(c)``. Gates stand in the order i, f, c, o.

    Source: Hochreiter and Schmidhuber (1997), with the forget gate of Gers et al. (2000).

    Args:
        units: size of output and states.
        activation, recurrent_activation: names or functions, of the cell's input and output and of the gates.
        use_bias: whether a bias is added.
        kernel_initializer, recurrent_initializer, bias_initializer: initial values.
        unit_forget_bias: whether the bias of the forget gate starts at one; Jozefowicz et al. (2015).
        kernel_regularizer, recurrent_regularizer, bias_regularizer: losses on the weights.
        kernel_constraint, recurrent_constraint, bias_constraint: applied after each update.
        dropout, recurrent_dropout: which part of input and state training drops, 0 to 1.
        implementation: 1: one dropout mask for each gate, 2: one for all (Keras 2.3; tf.keras takes 1 wherever there is
            ``recurrent_dropout``).
        seed: of the dropout masks.

    Raises:
        ValueError: ``units`` is not positive, or a rate is not in [0, 1).
    """

    gates = 4

    def __init__(
        self,
        units: int,
        activation: Identifier = "tanh",
        recurrent_activation: Identifier = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Identifier = "glorot_uniform",
        recurrent_initializer: Identifier = "orthogonal",
        bias_initializer: Identifier = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: Identifier = None,
        recurrent_regularizer: Identifier = None,
        bias_regularizer: Identifier = None,
        kernel_constraint: Identifier = None,
        recurrent_constraint: Identifier = None,
        bias_constraint: Identifier = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        implementation: int = 2,
        *,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._set_options(units, activation, use_bias, dropout, recurrent_dropout, seed)
        self.recurrent_activation = activations.get(recurrent_activation)
        self._set_weight_options("kernel", kernel_initializer, kernel_regularizer, kernel_constraint)
        self._set_weight_options("recurrent", recurrent_initializer, recurrent_regularizer, recurrent_constraint)
        self._set_weight_options("bias", bias_initializer, bias_regularizer, bias_constraint)
        self.unit_forget_bias = check_flag("LSTM", "unit_forget_bias", unit_forget_bias)
        self.implementation = self._set_implementation(implementation)
        self.state_size = (self.units, self.units)

    def _add_bias(self, size: int) -> Any:
        return self._add_weight_of("bias", (size,), initializer=self._forgetting() if self.unit_forget_bias else None)

    def _forgetting(self) -> Callable[..., Any]:
        """The initializer of the bias with ones for the forget gate."""

        def initializer(shape: Sequence[int], dtype: str | None = None) -> Array:
            first, rest = (self.bias_initializer((n * self.units,), dtype=dtype) for n in (1, 2))
            return np.concatenate([np.asarray(first), np.ones(self.units, dtype), np.asarray(rest)])

        return initializer

    def _masks_of(self, x: Tensor, h: Tensor, training: Phase) -> tuple[Any, Any]:
        count = 4 if self.implementation == 1 else 1
        inputs = self.get_dropout_mask_for_cell(x, training, count)
        return inputs, self.get_recurrent_dropout_mask_for_cell(h, training, count)

    def call(self, inputs: Tensor, states: Sequence[Tensor], training: Phase = None) -> tuple[Tensor, list[Tensor]]:
        h, c = flatten(states)
        dropped, kept = self._masks_of(inputs, h, training)
        z = self._project(inputs, dropped)
        if isinstance(kept, list):
            kernels = self._by_gate(self.recurrent_kernel)
            z = z + K.concatenate([K.dot(h * mask, kernel) for mask, kernel in zip(kept, kernels, strict=True)])
        else:
            z = z + K.dot(h if kept is None else h * kept, self.recurrent_kernel)
        z_i, z_f, z_c, z_o = self._by_gate(z)
        c = self.recurrent_activation(z_f) * c + self.recurrent_activation(z_i) * self.activation(z_c)
        h = self.recurrent_activation(z_o) * self.activation(c)
        return h, [h, c]

    def over_time(
        self,
        x: Tensor,
        states: Sequence[Tensor],
        valid: ir.Value | None,
        training: Phase,
        backwards: bool,
        unroll: bool,
    ) -> OverTime | None:
        """All steps at once; ``None`` where that cannot be one op: with a mask for each gate of the state."""
        names = [OP_NAMES.get(a) for a in (self.activation, self.recurrent_activation)]
        for_each_gate = self.implementation == 1 and self.recurrent_dropout and not is_off(training)
        if names[0] is None or names[1] is None or for_each_gate:
            return None
        h, c = states
        dropped, kept = self._masks_of(x[0], h, training)
        ys, *last = ir.lstm(
            self._project(x, dropped).value, self.recurrent_kernel.value, h.value, c.value, valid,
            None if kept is None else kept.value, activation=names[0], recurrent_activation=names[1],
            reverse=backwards, unroll=unroll,
        )  # fmt: skip
        return Tensor(ys), [Tensor(state) for state in last]

    def own_config(self) -> dict[str, Any]:
        return {
            **super().own_config(),
            "recurrent_activation": activations.serialize(self.recurrent_activation),
            "unit_forget_bias": self.unit_forget_bias,
            "implementation": self.implementation,
        }


def _affine(x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    y = K.dot(x, kernel)
    return y if bias is None else y + bias
