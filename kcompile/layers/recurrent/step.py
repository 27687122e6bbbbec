"""Recurrent: the base of layers that make their own cell, and of layers that define a step, as before Keras 2.1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kcompile import backend as K
from kcompile import regularizers
from kcompile.common.checks import check_int
from kcompile.common.errors import DataTypeError, KCompileError
from kcompile.common.nest import flatten
from kcompile.engine.layer import Layer
from kcompile.layers.base.types import Mask, Phase
from kcompile.layers.recurrent.base import RNN
from kcompile.objects.legacy_arguments import understands_keras_1
from kcompile.objects.lookup import Identifier
from kcompile.symbolic.tensor import Tensor

__all__ = ["Recurrent"]


class Recurrent(RNN):
    """The base of SimpleRNN, GRU and LSTM, and of layers that define a method ``step``, as those of Keras before 2.1.

    A subclass sets ``units``, makes its weights in ``build``, which may set ``states`` to a list of ``None``, one for
    each state of size ``units`` (by default there is one), and defines ``step(inputs, states)``, which returns the
    output and the next states. It may define ``preprocess_input(inputs, training)``, for all steps at once, and
    ``get_constants(inputs, training)``, which follow the states in ``step``.

    Args:
        return_sequences, return_state, go_backwards, stateful, unroll: see :class:`RNN`.
        implementation: kept for the subclass.
        cell: the cell of a layer that makes one.
        activity_regularizer: a loss on the output.
    """

    _ndim = 3
    _cell: type[Layer]
    """Makes the cell, in classes that have one."""

    @understands_keras_1
    def __init__(
        self,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        implementation: int = 0,
        *,
        cell: Any = None,
        activity_regularizer: Identifier = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            _Steps(self) if cell is None else cell, return_sequences, return_state, go_backwards, stateful, unroll,
            **kwargs,
        )  # fmt: skip
        self.activity_regularizer = regularizers.get(activity_regularizer)
        if cell is not None and implementation:
            raise DataTypeError(f"{type(self).__name__} has no choice of implementation, got {implementation!r}")
        if cell is None:
            self.implementation = check_int(type(self).__name__, "implementation", implementation, 0, 2)
        else:
            cell.name = self.name  # weights are called lstm_1/kernel

    def __getattr__(self, name: str) -> Any:
        """What the cell knows (``units``, ``activation``, ``kernel``...) is known to the layer too, as in Keras."""
        cell = self.__dict__.get("cell")
        if cell is not None and not name.startswith("_") and name in vars(cell):
            return getattr(cell, name)
        return super().__getattr__(name)

    # -- what layers without a cell define

    def step(self, inputs: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """The output and the next states of one time step."""
        raise NotImplementedError(f"layer {self.name!r} ({type(self).__name__}) has neither a cell nor a method step")

    def preprocess_input(self, inputs: Tensor, training: Phase = None) -> Tensor:
        """What ``step`` gets the slices of, for the whole input ``(batch, time, features)``."""
        return inputs

    def get_constants(self, inputs: Tensor, training: Phase = None) -> list[Any]:
        """What ``step`` gets after the states."""
        return []

    # -- their way through RNN

    @property
    def states(self) -> list[Any]:
        return super().states

    @states.setter
    def states(self, states: Sequence[Any]) -> None:
        if not isinstance(self.cell, _Steps) or self._states is not None:
            raise KCompileError(f"layer {self.name!r} makes its own states; use reset_states(states) to set them")
        self.cell.count = len(states)

    def reset_states(self, states: Any = None) -> None:
        if isinstance(self.cell, _Steps) and self.stateful and self._states is None:
            spec = flatten(self.input_spec)[0]
            self._states = self._make_states(spec.shape[0] if spec is not None and spec.shape else None)
        super().reset_states(states)

    def build_for_shapes(self, shapes: list[Any], nested: bool, further: Mapping[str, Any] | None = None) -> None:
        super().build_for_shapes(shapes, nested, further)
        if self.stateful and self._states is None:
            self._states = self._make_states(shapes[0][0])

    def _run(self, x: Any, states: Any, mask: Mask, training: Phase, constants: Sequence[Any]) -> tuple[Any, Any, Any]:
        if not isinstance(self.cell, _Steps):
            return super()._run(x, states, mask, training, constants)
        return K.rnn(
            self.step, self.preprocess_input(x, training=training), states, go_backwards=self.go_backwards, mask=mask,
            constants=self.get_constants(x, training=training), unroll=self.unroll,
        )  # fmt: skip

    def get_config(self) -> dict[str, Any]:
        own = {"implementation": self.implementation} if isinstance(self.cell, _Steps) else self.cell.own_config()
        activity = regularizers.serialize(self.activity_regularizer)
        return {**self._base_config(), **own, "activity_regularizer": activity}


class _Steps:
    """Stands for the cell of a layer that defines its steps itself."""

    differs_by_phase = False

    def __init__(self, layer: Recurrent) -> None:
        self._layer = layer
        self.count = 1

    @property
    def state_size(self) -> list[int | None]:
        units = vars(self._layer).get("units")
        return [units] * self.count

    def call(self, inputs: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        return self._layer.step(inputs, states)
