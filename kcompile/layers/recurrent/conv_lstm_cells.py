"""The cells of convolutional LSTMs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kcompile import activations, ir
from kcompile import backend as K
from kcompile.backend.rnn import where_valid
from kcompile.common.checks import check_flag, check_fraction, check_int
from kcompile.common.errors import KCompileError
from kcompile.common.nest import flatten
from kcompile.engine.layer import Shape
from kcompile.ir.core import Array
from kcompile.ir.ops.arrays import shaping
from kcompile.ir.ops.loops.control import scan
from kcompile.layers.base.types import BatchSize, Ints, Phase
from kcompile.layers.convolutional.convolution import Conv
from kcompile.layers.recurrent.cell_base import DropoutRNNCellMixin, OverTime
from kcompile.objects.lookup import Identifier
from kcompile.symbolic.seeds import SeedStream
from kcompile.symbolic.tensor import Tensor, TensorLike

__all__ = ["ConvLSTM1DCell", "ConvLSTM2DCell", "ConvLSTM3DCell"]


class ConvLSTMCell(DropoutRNNCellMixin, Conv):
    """See :class:`ConvLSTM2DCell`. Subclasses set ``rank``."""

    gates = 4

    def __init__(
        self,
        filters: int,
        kernel_size: Ints,
        strides: Ints = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Ints = 1,
        activation: Identifier = "tanh",
        recurrent_activation: Identifier = "hard_sigmoid",
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
        *,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            filters, kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias,
            kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, None, kernel_constraint,
            bias_constraint, **kwargs,
        )  # fmt: skip
        owner = type(self).__name__
        self.recurrent_activation = activations.get(recurrent_activation)
        self._set_weight_options("recurrent", recurrent_initializer, recurrent_regularizer, recurrent_constraint)
        self.unit_forget_bias = check_flag(owner, "unit_forget_bias", unit_forget_bias)
        self.dropout = check_fraction(owner, "dropout", dropout)
        self.recurrent_dropout = check_fraction(owner, "recurrent_dropout", recurrent_dropout)
        self.seed = None if seed is None else check_int(owner, "seed", seed)
        self._seeds = SeedStream(self.seed)
        self.state_size = (self.filters, self.filters)

    @property
    def _paddings(self) -> tuple[str, ...]:
        return ("valid", "same")

    def build(self, input_shape: Shape) -> None:
        channels = self._known_channels(input_shape)
        self._check_input(input_shape)
        size = self.gates * self.filters
        self.kernel = self._add_weight_of("kernel", (*self.kernel_size, channels, size))
        self.recurrent_kernel = self._add_weight_of(
            "recurrent", (*self.kernel_size, self.filters, size), "recurrent_kernel"
        )
        self.bias = None
        if self.use_bias:
            self.bias = self._add_weight_of(
                "bias", (size,), initializer=self._forgetting() if self.unit_forget_bias else None
            )
        self.built = True

    def _forgetting(self) -> Callable[..., Any]:
        """The initializer of the bias with ones for the forget gate."""

        def initializer(shape: Sequence[int], dtype: str | None = None) -> Array:
            first, rest = (self.bias_initializer((n * self.filters,), dtype=dtype) for n in (1, 2))
            return np.concatenate([np.asarray(first), np.ones(self.filters, dtype), np.asarray(rest)])

        return initializer

    def get_initial_state(
        self, inputs: Tensor | None = None, batch_size: BatchSize | None = None, dtype: str | None = None
    ) -> list[Tensor]:
        """Zeros for the inputs of one step."""
        if inputs is None:
            raise KCompileError(f"{self._label}: states have the size of images, so they need inputs, not a batch size")
        return [zero_image(self, inputs, dtype or inputs.dtype) for _ in self.state_size]

    # -- one step

    def call(  # type: ignore[override]  # a cell is called as cells are, not as a convolution
        self, inputs: Tensor, states: Sequence[Tensor], training: Phase = None
    ) -> tuple[Tensor, list[Tensor]]:
        h, c = flatten(states)
        dropped, kept = self._masks_of(inputs, h, training)
        h, c = self._advance(self._projected(inputs, dropped), h, c, kept, self.data_format)
        return h, [h, c]

    def _masks_of(self, x: Tensor, h: Tensor, training: Phase) -> list[Tensor | None]:
        """The masks of input and state, those of all gates side by side on the channel axis."""
        masks = (
            self.get_dropout_mask_for_cell(x, training, self.gates),
            self.get_recurrent_dropout_mask_for_cell(h, training, self.gates),
        )
        return [None if parts is None else K.concatenate(parts, axis=self._channel_axis) for parts in masks]

    def input_conv(self, x: Tensor, w: Tensor, b: TensorLike | None = None, padding: str = "valid") -> Tensor:
        """The convolution of the input with ``w``, plus ``b``."""
        return K.conv(x, w, self.strides, padding, self.data_format, self.dilation_rate, bias=b)

    def recurrent_conv(self, x: Tensor, w: Tensor) -> Tensor:
        """The convolution of a state with ``w``, which keeps its size."""
        return K.conv(x, w, 1, "same", self.data_format)

    def _projected(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """What the input adds to all gates; with a mask, each gate sees it under its own part."""
        if mask is None:
            return self.input_conv(x, self.kernel, self.bias, self.padding)
        apart = K.concatenate([x] * self.gates, axis=self._channel_axis) * mask
        return K.conv(
            apart, self.kernel, self.strides, self.padding, self.data_format, self.dilation_rate, self.gates, self.bias
        )

    def _advance(self, z: Tensor, h: Tensor, c: Tensor, mask: Tensor | None, data_format: str) -> tuple[Tensor, Tensor]:
        """The next states, from what the input adds to all gates."""
        axis = 1 if data_format == "channels_first" else self.rank + 1
        if mask is None:
            z = z + K.conv(h, self.recurrent_kernel, 1, "same", data_format)
        else:
            apart = K.concatenate([h] * self.gates, axis=axis) * mask
            z = z + K.conv(apart, self.recurrent_kernel, 1, "same", data_format, groups=self.gates)
        parts = [slice(i * self.filters, (i + 1) * self.filters) for i in range(self.gates)]
        before = (slice(None),) * axis
        z_i, z_f, z_c, z_o = (z[(*before, part)] for part in parts)
        c = self.recurrent_activation(z_f) * c + self.recurrent_activation(z_i) * self.activation(z_c)
        return self.recurrent_activation(z_o) * self.activation(c), c

    # -- all steps

    def over_time(
        self,
        x: Tensor,
        states: Sequence[Tensor],
        valid: ir.Value | None,
        training: Phase,
        backwards: bool,
        unroll: bool,
    ) -> OverTime:
        """All steps: one convolution of all inputs, then a loop over what is left, channels first as ONNX has it."""
        dropped, kept = self._masks_of(x[0], states[0], training)
        steps, batch = x.value.shape[:2]
        if dropped is not None:
            dropped = _merged(Tensor(shaping.expand(dropped.value, (steps, *dropped.value.shape))))
        z = self._projected(_merged(x), dropped)
        if self.data_format == "channels_last":
            z, *states = (_channels_first(value) for value in (z, *states))
            kept = None if kept is None else _channels_first(kept)
        z = Tensor(shaping.reshape(z.value, (steps, batch, *z.value.shape[1:])))

        def body(h: ir.Value, c: ir.Value, now: ir.Value, *ok: ir.Value) -> tuple[list[ir.Value], list[ir.Value]]:
            new = [y.value for y in self._advance(Tensor(now), Tensor(h), Tensor(c), kept, "channels_first")]
            if ok:
                new = [where_valid(ok[0], y, old) for y, old in zip(new, (h, c), strict=True)]
            return new, new[:1]

        xs = [z.value] if valid is None else [z.value, valid]
        with ir.scope(self.name):
            after, (ys,) = scan(body, [state.value for state in states], xs, reverse=backwards)
        results = [Tensor(ys), *(Tensor(state) for state in after)]
        if self.data_format == "channels_last":
            results = [_channels_last(results[0], leading=2), *(_channels_last(state) for state in results[1:])]
        return results[0], results[1:]

    # -- configuration

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), **self.own_config()}
        del config["activity_regularizer"]
        return config

    def own_config(self) -> dict[str, Any]:
        """The arguments of the cell, which are also those of its layer."""
        config = {
            "filters": self.filters,
            **self._window_config(),
            "recurrent_activation": activations.serialize(self.recurrent_activation),
            **self._weight_config("kernel", "recurrent", "bias"),
            "unit_forget_bias": self.unit_forget_bias,
            "dropout": self.dropout,
            "recurrent_dropout": self.recurrent_dropout,
        }
        return config if self.seed is None else {**config, "seed": self.seed}


class ConvLSTM1DCell(ConvLSTMCell):
    """As :class:`ConvLSTM2DCell`, over one axis."""

    rank = 1


class ConvLSTM2DCell(ConvLSTMCell):
    """An LSTM whose products are convolutions; states are images.

    ``i, f, o = recurrent_activation(x * kernel + h * recurrent_kernel + bias)`` for their parts of the weights, where
    ``*`` is convolution, ``c = f c + i activation(x * kernel + h * recurrent_kernel + bias)``, ``h = o activation(c)``.
    Gates are in the order i, f, c, o. Strides, padding and dilation are those of the input's convolution; the state's
    keeps the size.

    Source: Shi et al. (2015), without connections from c to the gates.

    Args:
        filters: channels of output and states.
        kernel_size, strides, padding, data_format, dilation_rate: as of Conv2D; padding is ``valid`` or ``same``.
        activation, recurrent_activation: names or functions, of the new state and of the gates.
        use_bias: whether a bias is added.
        kernel_initializer, recurrent_initializer, bias_initializer: initial values.
        unit_forget_bias: whether the bias of the forget gate starts at one.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: losses on the weights.
        kernel_constraint, recurrent_constraint, bias_constraint: applied after each update.
        dropout, recurrent_dropout: which part of input and state training drops, with a mask for each gate.
        seed: of the dropout masks.

    Raises:
        ValueError: an argument out of range, or (when built) an input that does not fit.
    """

    rank = 2


class ConvLSTM3DCell(ConvLSTMCell):
    """As :class:`ConvLSTM2DCell`, over three axes."""

    rank = 3


# ---- helpers


def zero_image(cell: Any, image: Tensor, dtype: str) -> Tensor:
    """Zeros of the shape that a cell's convolution makes of an input of one step."""
    channels = image.shape[1 if cell.data_format == "channels_first" else -1]
    kernel = K.constant(0, shape=(*cell.kernel_size, channels, cell.filters))
    y = K.conv(image, kernel, cell.strides, cell.padding, cell.data_format, cell.dilation_rate)
    return Tensor(shaping.expand(ir.constant(0, dtype), y.value.shape))


def _merged(x: Tensor) -> Tensor:
    """``(time, batch, ...)`` as ``(time * batch, ...)``."""
    steps, batch, *rest = x.value.shape
    return Tensor(shaping.reshape(x.value, (steps * batch, *rest)))


def _channels_first(x: Tensor) -> Tensor:
    return K.permute_dimensions(x, (0, x.ndim - 1, *range(1, x.ndim - 1)))


def _channels_last(x: Tensor, leading: int = 1) -> Tensor:
    return K.permute_dimensions(x, (*range(leading), *range(leading + 1, x.ndim), leading))
