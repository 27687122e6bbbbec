"""StackedRNNCells: several cells as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kcompile import ir
from kcompile.common.checks import check_flag
from kcompile.common.errors import DataTypeError, shown
from kcompile.common.nest import flatten, is_nested, map_structure, pack
from kcompile.engine.layer import Layer
from kcompile.layers.base.types import BatchSize, Phase
from kcompile.layers.recurrent.cell_base import OverTime
from kcompile.layers.recurrent.states import (
    batch_of,
    check_cell,
    differs_by_phase,
    first_states,
    output_form,
    runs_over_time,
    size_as_shape,
    taken_by,
)
from kcompile.objects.configs import layer_from_config
from kcompile.objects.making import serialize_keras_object
from kcompile.symbolic.tensor import Tensor

__all__ = ["StackedRNNCells"]


class StackedRNNCells(Layer):
    """Cells of which each takes the output of the one before, as a single cell.

    Args:
        cells: the cells; see :class:`RNN`.
        reverse_state_order: states are listed from the last cell to the first, as before Keras 2.2.

    Raises:
        TypeError: ``cells`` is no list of cells.
    """

    def __init__(self, cells: Sequence[Any], *, reverse_state_order: bool = False, **kwargs: Any) -> None:
        if not isinstance(cells, (list, tuple)) or not cells:
            raise DataTypeError(f"StackedRNNCells: cells must be a list of cells, got {shown(cells)}")
        for cell in cells:
            check_cell("StackedRNNCells", cell)
        super().__init__(**kwargs)
        self.cells = list(cells)
        self.reverse_state_order = check_flag("StackedRNNCells", "reverse_state_order", reverse_state_order)

    @property
    def _in_state_order(self) -> list[Any]:
        return self.cells[::-1] if self.reverse_state_order else self.cells

    @property
    def state_size(self) -> tuple[Any, ...]:
        """That of each cell."""
        return tuple(cell.state_size for cell in self._in_state_order)

    @property
    def output_size(self) -> Any:
        """That of the last cell."""
        return output_form(self.cells[-1])

    @property
    def differs_by_phase(self) -> bool:
        """Whether one of the cells does."""
        return any(map(differs_by_phase, self.cells))

    @property
    def output_state(self) -> int:
        """Which of all states is the output, in cells whose first state is their output."""
        order = self._in_state_order
        return sum(len(flatten(cell.state_size)) for cell in order[: order.index(self.cells[-1])])

    def build(self, input_shape: Any) -> None:
        batch = flatten(input_shape)[0]
        for cell in self.cells:
            if isinstance(cell, Layer) and not cell.built:
                cell.build_for_shapes([input_shape], nested=False)
            input_shape = map_structure(lambda size: (batch, *size_as_shape(size)), output_form(cell))
        self.built = True

    def get_initial_state(
        self, inputs: Tensor | None = None, batch_size: BatchSize | None = None, dtype: str | None = None
    ) -> Any:
        """The states of all cells before the first step."""
        size = batch_of(inputs, batch_size)
        return tuple(_first_states(cell, size, dtype or self.dtype) for cell in self._in_state_order)

    def call(self, inputs: Any, states: Any, constants: Any = None, training: Phase = None) -> tuple[Any, list[Tensor]]:
        own = pack(self.state_size, flatten(states))
        own = own[::-1] if self.reverse_state_order else own
        y, after = inputs, []
        for cell, before in zip(self.cells, own, strict=True):
            call = cell if callable(cell) and not isinstance(cell, Layer) else cell.call
            arguments = taken_by(call, {"training": training, "constants": constants})
            with ir.scope(getattr(cell, "name", "cell")):
                y, new = call(y, list(before) if is_nested(before) else [before], **arguments)
            after.append(flatten(new))
        return y, flatten(after[::-1] if self.reverse_state_order else after)

    def over_time(
        self,
        x: Tensor,
        states: Sequence[Tensor],
        valid: ir.Value | None,
        training: Phase,
        backwards: bool,
        unroll: bool,
    ) -> OverTime | None:
        """All steps of the first cell, then all of the next; ``None`` if one of the cells has no such way."""
        if not all(runs_over_time(cell) for cell in self.cells):
            return None
        own = [flatten(part) for part in pack(self.state_size, states)]
        after: list[list[Tensor]] = []
        for cell, before in zip(self.cells, own[::-1] if self.reverse_state_order else own, strict=True):
            found = cell.over_time(x, before, valid, training, backwards, unroll)
            if found is None:
                return None
            x, new = found
            after.append(new)
        return x, flatten(after[::-1] if self.reverse_state_order else after)

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "cells": [serialize_keras_object(cell) for cell in self.cells]}
        return {**config, "reverse_state_order": True} if self.reverse_state_order else config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
        """New cells from their configurations; classes that Keras does not know are custom objects."""
        return cls(**{**config, "cells": [layer_from_config(cell, custom_objects) for cell in config["cells"]]})


def _first_states(cell: Any, size: BatchSize, dtype: str) -> Any:
    found = first_states(cell, size, dtype)
    return found if is_nested(cell.state_size) else found[0]
