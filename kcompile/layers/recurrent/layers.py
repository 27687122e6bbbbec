"""SimpleRNN, GRU and LSTM."""

from __future__ import annotations

from typing import Any

from kcompile.layers.recurrent.arguments import RUN, takes_arguments_of
from kcompile.layers.recurrent.cells import GRUCell, LSTMCell, SimpleRNNCell
from kcompile.layers.recurrent.step import Recurrent
from kcompile.objects.legacy_arguments import understands_keras_1

__all__ = ["GRU", "LSTM", "SimpleRNN"]


class SimpleRNN(Recurrent):
    """The fully connected recurrent layer: ``h = activation(x @ kernel + h @ recurrent_kernel + bias)`` at each step.

    Shapes: ``(batch, time, features)`` to ``(batch, units)``, or ``(batch, time, units)`` with ``return_sequences``.

    Args:
        units: size of output and state.
        activation: name or function.
        use_bias: whether a bias is added.
        kernel_initializer, recurrent_initializer, bias_initializer: initial values.
        kernel_regularizer, recurrent_regularizer, bias_regularizer, activity_regularizer: losses.
        kernel_constraint, recurrent_constraint, bias_constraint: applied after each update.
        dropout, recurrent_dropout: which part of input and state training drops: one mask for each sequence.
        return_sequences, return_state, go_backwards, stateful, unroll: see :class:`RNN`.
        seed: of the dropout masks.
        kwargs: ``time_major``, ``zero_output_for_mask``, ``input_dim``, ``input_length``: see :class:`RNN`; and Keras
            1's names.

    Raises:
        ValueError: ``units`` is not positive, a rate is not in [0, 1); on a call, see :class:`RNN`.
    """

    _cell = SimpleRNNCell
    _state_names = ("h",)

    @understands_keras_1
    @takes_arguments_of(SimpleRNNCell, after={"bias_regularizer": ["activity_regularizer"], "recurrent_dropout": RUN})
    def __init__(self, cell: SimpleRNNCell, **kwargs: Any) -> None:
        super().__init__(cell=cell, **kwargs)


class GRU(Recurrent):
    """The gated recurrent unit over time; see :class:`GRUCell` for what it computes.

    Shapes: ``(batch, time, features)`` to ``(batch, units)``, or ``(batch, time, units)`` with ``return_sequences``.

    Args:
        units: size of output and state.
        activation, recurrent_activation: names or functions, of the new state and of the gates. Gates have ``sigmoid``
            by default, as in Keras 2.3 (``hard_sigmoid`` before).
        use_bias: whether a bias is added.
        kernel_initializer, recurrent_initializer, bias_initializer: initial values.
        kernel_regularizer, recurrent_regularizer, bias_regularizer, activity_regularizer: losses.
        kernel_constraint, recurrent_constraint, bias_constraint: applied after each update.
        dropout, recurrent_dropout: which part of input and state training drops: one mask for each sequence.
        implementation: 1: one dropout mask for each gate, 2: one for all; see :class:`GRUCell`.
        return_sequences, return_state, go_backwards, stateful, unroll: see :class:`RNN`.
        reset_after: whether the reset gate comes after the product with the recurrent kernel. False by default as in
            Keras 2.3; tf.keras and Keras 3 have True, under which files of theirs are read.
        seed: of the dropout masks.
        kwargs: ``time_major``, ``zero_output_for_mask``, ``input_dim``, ``input_length``: see :class:`RNN`; and Keras
            1's names.

    Raises:
        ValueError: ``units`` is not positive, a rate is not in [0, 1); on a call, see :class:`RNN`.
    """

    _cell = GRUCell
    _state_names = ("h",)

    @understands_keras_1
    @takes_arguments_of(GRUCell, after={"bias_regularizer": ["activity_regularizer"], "implementation": RUN})
    def __init__(self, cell: GRUCell, **kwargs: Any) -> None:
        super().__init__(cell=cell, **kwargs)


class LSTM(Recurrent):
    """Long short-term memory over time; see :class:`LSTMCell` for what it computes.

    Shapes: ``(batch, time, features)`` to ``(batch, units)``, or ``(batch, time, units)`` with ``return_sequences``.

    Args:
        units: size of output and states (h and c).
        activation, recurrent_activation: names or functions, of the cell's input and output and of the gates. Gates
            have ``sigmoid`` by default, as in Keras 2.3 (``hard_sigmoid`` before).
        use_bias: whether a bias is added.
        kernel_initializer, recurrent_initializer, bias_initializer: initial values.
        unit_forget_bias: whether the bias of the forget gate starts at one.
        kernel_regularizer, recurrent_regularizer, bias_regularizer, activity_regularizer: losses.
        kernel_constraint, recurrent_constraint, bias_constraint: applied after each update.
        dropout, recurrent_dropout: which part of input and state training drops: one mask for each sequence.
        implementation: 1: one dropout mask for each gate, 2: one for all; see :class:`LSTMCell`.
        return_sequences, return_state, go_backwards, stateful, unroll: see :class:`RNN`.
        seed: of the dropout masks.
        kwargs: ``time_major``, ``zero_output_for_mask``, ``input_dim``, ``input_length``: see :class:`RNN`; and Keras
            1's names.

    Raises:
        ValueError: ``units`` is not positive, a rate is not in [0, 1); on a call, see :class:`RNN`.
    """

    _cell = LSTMCell
    _state_names = ("h", "c")

    @understands_keras_1
    @takes_arguments_of(LSTMCell, after={"bias_regularizer": ["activity_regularizer"], "implementation": RUN})
    def __init__(self, cell: LSTMCell, **kwargs: Any) -> None:
        super().__init__(cell=cell, **kwargs)
