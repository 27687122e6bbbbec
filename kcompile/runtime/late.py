"""The part of a step that runs when the step is kept, and writes over what it reads."""

from __future__ import annotations

from typing import Any

import numpy as np

from kcompile.ir.core import Graph, Variable
from kcompile.ir.ops.arrays.variable_part import VariablePart
from kcompile.ir.target import Target
from kcompile.runtime import session as runtime
from kcompile.runtime.storage import Buffer, Storage, aligned_empty, storage_of

MAX_BINDINGS = 8


class LateUpdates:
    """Runs the updates that :func:`kcompile.passes.updates.late_updates.divide` took out of a step.

    Args:
        graph: the later program.
        target: for whom it is lowered.

    Attributes:
        operands: the memory in which the step leaves what the updates take.
        updated: the storages that they write.
    """

    def __init__(self, graph: Graph, target: Target) -> None:
        from kcompile.passes.onnx.emit import emit

        emitted = emit(graph, target)
        self._session = runtime.Session(emitted.model, target.provider, weights=emitted.weights)
        self.operands = [aligned_empty(value.type.static_shape, value.dtype) for value in graph.inputs]
        self._inputs = dict(zip(emitted.inputs, self.operands, strict=True))
        self._state = [(name, *place_of(variable)) for variable, name in emitted.state_inputs.items()]
        self._updates = [(name, *place_of(variable)) for variable, name in emitted.state_outputs.items()]
        self._read = set(self._session.input_names)
        self.updated = list({id(storage): storage for _, storage, _ in self._updates}.values())
        self.storages = list({id(storage): storage for _, storage, _ in (*self._state, *self._updates)}.values())
        self._done = np.zeros((), np.int64)
        (self._done_name,) = emitted.outputs
        self._bindings: dict[tuple[int, ...], tuple[Any, list[Buffer]]] = {}
        self._waiting = False

    def wait(self) -> None:
        """The operands are there: the updates can be made."""
        self._done[...] = 0
        self._waiting = True

    def make(self) -> None:
        """Make the updates that wait, in place; also if Ctrl-C came in between, and this is called again."""
        if not self._waiting:
            return
        if not self._done:
            self._run(aside=False)
        for storage in self.updated:
            storage.rewritten()
        self._waiting = False

    def make_aside(self) -> None:
        """Write what the updates would make to the spare buffers, and forget them."""
        self._run(aside=True)
        self._waiting = False

    def _run(self, aside: bool) -> None:
        self._session.run_binding(self._binding(aside))

    def _binding(self, aside: bool) -> Any:
        """What a run reads and writes, for one arrangement of the buffers."""
        if self._session.reopen():
            self._bindings.clear()
        key = (aside, *(id(storage.current) for storage in self.storages))
        if key not in self._bindings:
            if len(self._bindings) >= MAX_BINDINGS:
                self._bindings.clear()
            binding, kept = self._session.binding(), []
            for name, array in self._inputs.items():
                if name in self._read:
                    runtime.bind_array(binding, name, array)
            for name, storage, rows in self._state:
                kept.append(storage.current)
                if name in self._read:
                    runtime.bind_input(binding, name, storage.current.part(rows))
            for name, storage, rows in self._updates:
                kept.append(storage.spare_buffer() if aside else storage.current)
                runtime.bind_output(binding, name, kept[-1].part(rows))
            runtime.bind_output(binding, self._done_name, Buffer(self._done))
            self._bindings[key] = (binding, kept)
        return self._bindings[key][0]


def place_of(variable: Variable) -> tuple[Storage, slice | None]:
    """Where a variable lives: its storage, or rows of that of another."""
    if isinstance(variable, VariablePart):
        assert variable.whole is not None
        return storage_of(variable.whole), variable.rows
    return storage_of(variable), None
