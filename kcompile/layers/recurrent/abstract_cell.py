"""AbstractRNNCell: a base for cells that users write."""

from __future__ import annotations

from typing import Any

from kcompile import backend as K
from kcompile.common.nest import flatten, is_nested, pack
from kcompile.engine.layer import Layer
from kcompile.layers.base.types import BatchSize
from kcompile.layers.recurrent.states import batch_of, state_shapes, zero_state
from kcompile.symbolic.tensor import Tensor

__all__ = ["AbstractRNNCell"]


class AbstractRNNCell(Layer):
    """What a cell must define, for those who want to derive theirs from it; :class:`RNN` takes any object as a cell.

    A subclass defines ``call(inputs, states)``, which returns the output and the next states of one time step, and
    ``state_size``: a size, or a list with one for each state. ``output_size`` is that of the first state by default.

    Source: tf.keras 2.
    """

    def call(self, inputs: Any, states: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define call(inputs, states)")

    @property
    def state_size(self) -> Any:
        """The size of the state, or of each one."""
        raise NotImplementedError(f"{type(self).__name__} must define state_size")

    @property
    def output_size(self) -> Any:
        """The size of the output."""
        return flatten(self.state_size)[0]

    def get_initial_state(
        self, inputs: Tensor | None = None, batch_size: BatchSize | None = None, dtype: str | None = None
    ) -> Any:
        """Zeros for that input, or that batch size."""
        size = batch_of(inputs, batch_size)
        zeros = [zero_state(size, shape, dtype or K.floatx()) for shape in state_shapes(self)]
        return pack(self.state_size, zeros) if is_nested(self.state_size) else zeros[0]
