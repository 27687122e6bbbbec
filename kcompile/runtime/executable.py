"""A compiled graph: a callable on arrays that keeps its state on the device."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kcompile.common.errors import KCompileError
from kcompile.ir import costs
from kcompile.ir.core import Graph
from kcompile.ir.dims import SymbolicDim
from kcompile.ir.interpret import interpret
from kcompile.ir.target import Target
from kcompile.runtime import session as runtime
from kcompile.runtime.devices import resolve_device
from kcompile.runtime.guards import together
from kcompile.runtime.late import LateUpdates, place_of
from kcompile.runtime.onnx_files import write_model
from kcompile.runtime.storage import Buffer, aligned_empty, storage_of

if TYPE_CHECKING:
    from kcompile.passes.machinery.report import Report
    from kcompile.passes.onnx.emit import Emitted
    from kcompile.passes.pipelines import Pipeline

Array = NDArray[Any]
MAX_BINDINGS = 8


class Executable:
    """Runs a graph with ONNX Runtime.

    Variables that are not frozen are read from, and written to, their storage: ``run`` computes into the spare
    buffers, ``commit`` makes that the new state; calling does both. Large variables are updated by ``commit`` itself,
    in place, where nothing else needs their new values (:mod:`kcompile.passes.updates.late_updates`).

    Args:
        graph: the program.
        pipeline: the passes to run on it (default: :data:`kcompile.passes.pipelines.INFERENCE`).
        frozen: whether variables that the graph does not update become constants (with their present values).
        device: ``cpu``, ``cuda``, ``auto``; default: as configured.
        dump_after: print the IR after these passes (a name, or ``all``).
        report: what earlier passes did, to go on with.
        keep_portable: whether to keep :attr:`portable`, with which the program can be written (:mod:`pickle`).
        native: whether the passes for this machine follow.

    Attributes:
        graph: the optimized graph.
        portable: the same before the passes for this machine alone, if it is to be kept.
        device: where it runs.
        exclusive: what to hold while it runs and commits.
    """

    def __init__(
        self,
        graph: Graph,
        pipeline: Pipeline | None = None,
        frozen: bool = False,
        device: str | None = None,
        dump_after: str | None = None,
        report: Report | None = None,
        native: bool = True,
        keep_portable: bool = False,
    ) -> None:
        from kcompile.passes.algebra.specialize import freeze
        from kcompile.passes.machinery.report import Report
        from kcompile.passes.onnx.emit import emit
        from kcompile.passes.onnx.opsets import NATIVE
        from kcompile.passes.pipelines import INFERENCE, native_passes, run_pipeline
        from kcompile.passes.updates.late_updates import divide

        self.device = resolve_device(device)
        self._report = report or Report()
        if frozen:
            fixed = {v: storage_of(v) for v in graph.variables() if v not in graph.updates}
            with together(fixed.values()):  # of one moment
                graph = freeze(graph, {v: storage.read() for v, storage in fixed.items()})
        block = runtime.channel_block() if self.device == "cpu" and _has_convolution(graph) else 0
        target = Target(self.device, NATIVE[self.device], portable=False, block=block)
        portable = INFERENCE if pipeline is None else pipeline
        passes = (*portable, *(native_passes(target) if native else ()))

        self.portable: Graph | None = None

        def keep(number: int, made: Graph) -> None:
            if number == len(portable) and keep_portable:
                self.portable = made

        self.graph = run_pipeline(graph, passes, dump_after, self._report, on_pass=keep)
        divided = divide(self.graph) if self.device == "cpu" else None
        emitted = emit(divided.first if divided else self.graph, target)
        self._target = target
        self._emitted = None if divided else emitted
        self._late = LateUpdates(divided.later, target) if divided else None
        little = has_little_work(self.graph)
        self._session = runtime.Session(
            emitted.model,
            self.device,
            weights=emitted.weights,
            threads=1 if little and not divided else 0,
            # One block for all that a run computes saves calls, but takes up to twice the memory.
            one_block=little or not all(value.type.is_static for value in self.graph.inputs),
        )
        self.inputs = emitted.inputs
        self.outputs = emitted.outputs[: len(self.graph.outputs)]
        self._handed = emitted.outputs[len(self.graph.outputs) :]
        self._types = [value.type for value in graph.inputs]
        self._state = [(name, *place_of(variable)) for variable, name in emitted.state_inputs.items()]
        self._updates = [(name, *place_of(variable)) for variable, name in emitted.state_outputs.items()]
        self._updated = list({id(s): s for _, s, _ in self._updates}.values())
        self._read = set(self._session.input_names)
        self._aborts_if_empty = _aborts_if_empty(self.graph)
        own = [storage for _, storage, _ in (*self._state, *self._updates)]
        late = self._late.storages if self._late else []
        self._storages = list({id(storage): storage for storage in (*own, *late)}.values())
        self.exclusive = together(self._storages)
        with self.exclusive:
            for storage in self._storages:
                storage.move(self.device)
        self._only: tuple[np.dtype[Any], tuple[Any, ...]] | None = None
        if len(self._types) == 1 and self._types[0].rank and not self._storages:
            (only,) = self._types
            if isinstance(only.shape[0], SymbolicDim):
                self._only = np.dtype(only.dtype), only.shape[1:]
        self._bindings: dict[tuple[int, ...], tuple[Any, list[Buffer]]] = {}
        self._static = [
            aligned_empty(value.type.static_shape, value.dtype) if value.type.is_static else None
            for value in self.graph.outputs.values()
        ]
        self._dynamic = [name for name, array in zip(self.outputs, self._static, strict=True) if array is None]
        self._all_static = all(array is not None for array in self._static)

    # -- running

    def fits(self, feed: Any) -> bool:
        """Whether :meth:`run` takes ``feed`` as it is, for the only input, and keeps no state.

        ``False`` does not say that ``feed`` is wrong.
        """
        if self._only is None or type(feed) is not np.ndarray:
            return False
        dtype, sizes = self._only
        return feed.dtype is dtype and feed.shape[1:] == sizes and feed.ndim > 0 and feed.flags.c_contiguous

    def __call__(self, *feeds: Any) -> list[Array]:
        """Run on one array per input and keep the new state; returns fresh arrays."""
        arrays = [self._check(i, feed) for i, feed in enumerate(feeds)]
        if not self._storages:
            return self.run(arrays)
        with self.exclusive:
            results = self.run(arrays)
            self.commit()
            pairs = zip(results, self._static, strict=True)
            return [result.copy() if static is not None else result for result, static in pairs]

    def run(self, feeds: Sequence[Array]) -> list[Array]:
        """Run on C-contiguous arrays of the right types, without keeping the new state.

        Outputs whose shape is known are valid until the next run. Where there is state, and other threads, the caller
        holds :attr:`exclusive` until it has committed.
        """
        if self._aborts_if_empty and not all(feed.size for feed in feeds):
            return self._interpreted(feeds)
        if not self._storages:
            return self._session.run(dict(zip(self.inputs, feeds, strict=True)), self.outputs)
        if self._session.reopen():
            self._bindings.clear()
        key = tuple([id(storage.current) for storage in self._storages])
        cached = self._bindings.get(key)
        if cached is None:
            cached = self._bind(key)
        binding = cached[0]
        for name, feed in zip(self.inputs, feeds, strict=True):
            if name in self._read:
                runtime.bind_array(binding, name, feed)
        for name in self._dynamic:
            binding.bind_output(name, "cpu")  # the allocation of an earlier run may have another shape
        self._session.run_binding(binding)
        if self._late is not None:
            self._late.wait()
        if self._all_static:
            return self._static  # type: ignore[return-value]
        return [value.numpy() for value in binding.get_outputs()[: len(self.outputs)]]

    def _interpreted(self, feeds: Sequence[Array]) -> list[Array]:
        """The outputs for empty arrays, which no kernel sees."""
        if self._updates:
            raise KCompileError(f"{self.graph.name!r} needs at least one sample, and one time step, to go on from")
        state = {variable: storage_of(variable).read() for variable in self.graph.variables()}
        found = interpret(self.graph, dict(zip(self.inputs, feeds, strict=True)), state).outputs
        return [found[name] for name in self.graph.outputs]

    def commit(self) -> None:
        """Keep the state that the last run computed: all of it, also if Ctrl-C comes in between."""
        new = [storage.spare_buffer() for storage in self._updated]
        interrupted: KeyboardInterrupt | None = None
        while True:
            try:
                if self._late is not None:
                    self._late.make()  # first: it reads what is current
                for storage, buffer in zip(self._updated, new, strict=True):
                    storage.keep(buffer)
                break
            except KeyboardInterrupt as error:  # perhaps before a storage could act: once more for all
                interrupted = error
        if interrupted is not None:
            raise interrupted

    def refuse(self) -> None:
        """Do not keep the state that the last run computed: all of it is in the spare buffers, for who asks why."""
        if self._late is not None:
            self._late.make_aside()

    def _bind(self, key: tuple[int, ...]) -> tuple[Any, list[Buffer]]:
        """Bind state and outputs for one arrangement of the buffers."""
        if len(self._bindings) >= MAX_BINDINGS:
            self._bindings.clear()
        binding = self._session.binding()
        kept: list[Buffer] = []
        for name, array in zip(self.outputs, self._static, strict=True):
            if array is None:
                binding.bind_output(name, "cpu")
            else:
                binding.bind_output(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        if self._late is not None:
            for name, array in zip(self._handed, self._late.operands, strict=True):
                binding.bind_output(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        for name, storage, rows in self._state:
            kept.append(storage.current)
            if name in self._read:
                runtime.bind_input(binding, name, storage.current.part(rows))
        for name, storage, rows in self._updates:
            spare = storage.spare_buffer()
            kept.append(spare)
            runtime.bind_output(binding, name, spare.part(rows))
        self._bindings[key] = (binding, kept)
        return self._bindings[key]

    def _check(self, position: int, feed: Any) -> Array:
        """The feed as a C-contiguous native array of the input's type.

        Raises:
            KCompileError: wrong number of axes or wrong size of one.
        """
        if position >= len(self._types):
            raise KCompileError(f"{self.graph.name!r} takes {len(self._types)} inputs, got more")
        type = self._types[position]
        array = np.ascontiguousarray(np.asarray(feed), dtype=type.dtype).reshape(np.shape(feed))
        fits = array.ndim == type.rank and all(
            isinstance(dim, SymbolicDim) or dim == size for dim, size in zip(type.shape, array.shape, strict=True)
        )
        if not fits:
            raise KCompileError(
                f"input {self.inputs[position]!r} of {self.graph.name!r} has shape {array.shape}; "
                f"expected ({', '.join(str(dim) for dim in type.shape)})"
            )
        return array

    # -- looking at it

    @property
    def model(self) -> Any:
        """The whole program as an ONNX model (``ModelProto``)."""
        return self._whole.model

    @property
    def _weights(self) -> dict[str, Array]:
        return self._whole.weights

    @functools.cached_property
    def _whole(self) -> Emitted:
        from kcompile.passes.onnx.emit import emit

        return self._emitted or emit(self.graph, self._target)

    def report(self) -> Report:
        """What each pass did: time, nodes, rules, savings."""
        return self._report

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the compiled ONNX model (which may use ONNX Runtime's own operators); see export for portable files.

        Above 1.5 GB the weights go to a file beside it.

        Raises:
            OSError: the path cannot be written; a file that was there is kept.
        """
        write_model(self.model, self._weights, Path(path))

    def end_profiling(self) -> Path:
        """Stop the profile that the option ``profile`` started; the file (a Chrome trace) that was written."""
        return self._session.end_profiling()


def has_little_work(graph: Graph) -> bool:
    """Whether a run of ``graph`` is too short to be shared out; not if there are symbolic sizes or loops: who knows."""
    from kcompile.passes.machinery.flops import work_of_graph

    if not all(value.type.is_static for value in graph.inputs) or any(node.op.regions for node in graph.nodes()):
        return False
    work = work_of_graph(graph)
    return work.flops + costs.FLOPS_PER_BYTE * work.bytes < costs.LITTLE_WORK


def _has_convolution(graph: Graph) -> bool:
    return any(
        node.op.convolves or any(_has_convolution(region) for region in node.op.regions) for node in graph.nodes()
    )


def _aborts_if_empty(graph: Graph) -> bool:
    """Whether ONNX Runtime ends the process on empty arrays."""
    return any(node.op.aborts_if_empty or any(map(_aborts_if_empty, node.op.regions)) for node in graph.nodes())
