"""Recurrence over images: Keras' module of this name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcompile import backend as K
from kcompile.common.errors import DataTypeError, KCompileError, ShapeError
from kcompile.common.lists import shapes_agree
from kcompile.common.nest import flatten
from kcompile.common.window_sizes import conv_output_length
from kcompile.engine.layer import Shape
from kcompile.layers.base.types import Shapes, each_shape
from kcompile.layers.recurrent.arguments import takes_arguments_of
from kcompile.layers.recurrent.base import RNN
from kcompile.layers.recurrent.conv_lstm_cells import (
    ConvLSTM1DCell,
    ConvLSTM2DCell,
    ConvLSTM3DCell,
    ConvLSTMCell,
    zero_image,
)
from kcompile.layers.recurrent.states import state_variables, taken_by
from kcompile.layers.recurrent.step import Recurrent
from kcompile.objects.legacy_arguments import understands_keras_1
from kcompile.symbolic.tensor import Tensor
from kcompile.symbolic.variable import Variable


class ConvRNN(RNN):
    """Runs a cell of images over time; see :class:`ConvRNN2D`."""

    rank: int

    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        **kwargs: Any,
    ) -> None:
        owner = type(self).__name__
        if isinstance(cell, (list, tuple)):
            raise DataTypeError(f"{owner} takes one cell, got a list; stack layers with return_sequences=True instead")
        super().__init__(
            cell=cell, return_sequences=return_sequences, return_state=return_state, go_backwards=go_backwards,
            stateful=stateful, unroll=unroll, **kwargs,
        )  # fmt: skip
        if self.unroll:
            raise DataTypeError(f"{owner} has no unroll=True: the images of all steps at once would be large; leave it")
        self._ndim = self.rank + 3

    # -- shapes

    def _state_shape(self, input_shape: Shapes) -> Shape:
        """The shape of a state, batch axis included, for sequences of that shape."""
        shape = each_shape(input_shape)[0]
        if len(shape) != self.rank + 3:
            raise ShapeError(
                f"layer {self.name!r} ({type(self).__name__}) takes inputs with {self.rank + 3} axes, got shape {shape}"
            )
        time = 0 if self.time_major else 1
        batch, *image = (size for axis, size in enumerate(shape) if axis != time)
        first = self.cell.data_format == "channels_first"
        spatial = tuple(
            conv_output_length(size, k, self.cell.padding, s, d)
            for size, k, s, d in zip(
                image[1:] if first else image[:-1],
                self.cell.kernel_size,
                self.cell.strides,
                self.cell.dilation_rate,
                strict=True,
            )
        )
        return (batch, self.cell.filters, *spatial) if first else (batch, *spatial, self.cell.filters)

    def build(self, input_shape: Shapes) -> None:
        self._known_state = self._state_shape(input_shape)
        super().build(input_shape)

    def compute_output_shape(self, input_shape: Shapes) -> Any:
        shape = each_shape(input_shape)[0]
        state = self._state_shape(shape)
        y = state
        if self.return_sequences:
            steps = self._steps(shape)
            y = (steps, *state) if self.time_major else (state[0], steps, *state[1:])
        return [y] + [state] * len(flatten(self.cell.state_size)) if self.return_state else y

    # -- states

    def get_initial_state(self, inputs: Any) -> list[Tensor]:
        """Zeros of the size that the cell makes of the images."""
        image = inputs[0] if self.time_major else inputs[:, 0]
        own = getattr(self.cell, "get_initial_state", None)
        if own is not None:
            return flatten(own(**taken_by(own, {"inputs": image, "dtype": image.dtype})))
        return [zero_image(self.cell, image, image.dtype) for _ in flatten(self.cell.state_size)]

    def _check_states(self, states: Sequence[Any]) -> None:
        if not states:
            return
        count, expected = len(flatten(self.cell.state_size)), self._known_state[1:]
        kind = f"layer {self.name!r} ({type(self).__name__})"
        if len(states) != count:
            raise ShapeError(f"{kind} has {count} states of shape {(None, *expected)}, got {len(states)} tensors")
        for i, state in enumerate(states):
            got = tuple(state.shape)
            if not shapes_agree((None, *expected), got):
                raise ShapeError(f"{kind}: initial state {i} has shape {got}; expected {(None, *expected)}")

    def _make_states(self, size: int | None) -> list[Variable]:
        shape = self._known_state
        if None in shape:
            raise KCompileError(
                f"layer {self.name!r} ({type(self).__name__}) is stateful and needs fixed sizes of batch and images, "
                f"got states of shape {shape}; give the first layer batch_input_shape=(batch, time, ...)"
            )
        zeros = [K.constant(0, shape=[int(n or 0) for n in shape]) for _ in flatten(self.cell.state_size)]
        return state_variables(self.name, self._state_names, zeros)


class ConvRNN2D(ConvRNN):
    """Runs a cell of images over time: ``(batch, time, rows, columns, channels)`` to images or sequences of images.

    Source: Keras 2.3.1.

    Args:
        cell: as for :class:`RNN`, of images: it has ``filters``, ``kernel_size``, ``strides``, ``padding``,
            ``dilation_rate`` and ``data_format``, from which the size of its states follows, and ``state_size`` is the
            number of channels of each.
        return_sequences, return_state, go_backwards, stateful: see :class:`RNN`.

    Raises:
        TypeError: several cells, or ``unroll=True``.
        ValueError: on a call, an input that does not fit.
    """

    rank = 2


class _ConvLSTM(ConvRNN, Recurrent):
    """What convolutional LSTMs share."""

    _state_names = ("h", "c")

    @understands_keras_1
    @takes_arguments_of(
        ConvLSTMCell,
        after={
            "bias_regularizer": ["activity_regularizer"],
            "bias_constraint": ["return_sequences", "go_backwards", "stateful"],
        },
        by_name=["return_state"],
    )
    def __init__(self, cell: ConvLSTMCell, **kwargs: Any) -> None:
        super().__init__(cell=cell, **kwargs)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
        """A new layer; ``implementation``, which Keras before 2.2 wrote, had no meaning here."""
        return super().from_config({k: v for k, v in config.items() if k != "implementation"}, custom_objects)


class ConvLSTM1D(_ConvLSTM):
    """As :class:`ConvLSTM2D`, over one axis: ``(batch, time, steps, channels)`` (tf.keras)."""

    rank = 1
    _cell = ConvLSTM1DCell


class ConvLSTM2D(_ConvLSTM):
    """An LSTM over images; see :class:`ConvLSTM2DCell` for what it computes.

    Shapes: ``(batch, time, rows, columns, channels)`` to ``(batch, new_rows, new_columns, filters)``, or to ``(batch,
    time, new_rows, new_columns, filters)`` with ``return_sequences``; with ``channels_first``, channels before rows.

    Source: Keras 2.3.1; ``return_state`` of tf.keras.

    Arguments as for :class:`ConvLSTM2DCell`, and:

    Args:
        activity_regularizer: a loss on the output.
        return_sequences, return_state, go_backwards, stateful: see :class:`RNN`.

    Raises:
        ValueError: an argument out of range; on a call, an input that does not fit.
        TypeError: ``unroll=True``.
    """

    rank = 2
    _cell = ConvLSTM2DCell


class ConvLSTM3D(_ConvLSTM):
    """As :class:`ConvLSTM2D`, over three axes: ``(batch, time, depth, rows, columns, channels)`` (tf.keras)."""

    rank = 3
    _cell = ConvLSTM3DCell


__all__ = [
    "ConvLSTM1D",
    "ConvLSTM1DCell",
    "ConvLSTM2D",
    "ConvLSTM2DCell",
    "ConvLSTM3D",
    "ConvLSTM3DCell",
    "ConvRNN2D",
]
