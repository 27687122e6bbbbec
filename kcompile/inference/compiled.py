"""``kcompile.compile``: a model frozen for inference."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kcompile.common.errors import DataError, DataTypeError, KCompileError, listed
from kcompile.common.html import html_table
from kcompile.common.tracebacks import short_traceback
from kcompile.engine.forms import arranged
from kcompile.engine.inference_graph import predict_graph, require_built
from kcompile.engine.network import Network
from kcompile.ir import Graph, Variable, apply
from kcompile.ir.substitution import substitute
from kcompile.runtime.executable import Executable
from kcompile.runtime.storage import Storage, attach, storage_of

if TYPE_CHECKING:
    from kcompile.passes.machinery.report import Report

Array = NDArray[Any]


class CompiledModel:
    """A model with the weights that it had when it was compiled, as constants of an optimized graph.

    Call it on one array per input. Later training of the model does not change it. Stateful layers have states of its
    own in it, zeros at first, which each call hands on to the next one.

    Attributes:
        graph: the optimized IR.
        device: where it runs, ``cpu`` or ``cuda``.
        input_names, output_names: as in the model.
    """

    def __init__(self, model: Network, device: str | None = None) -> None:
        graph, self._states = with_own_states(predict_graph(model, counting=True))
        self._executable = Executable(graph, frozen=True, device=device, keep_portable=True)
        self._form, self._many = model.form_of_outputs
        self.device = self._executable.device
        self.input_names = list(model.input_names)
        self.output_names = list(model.output_names)

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in vars(self).items() if name != "_executable"}
        return {**state, "_states": [], "graph": self._executable.portable}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        graph = vars(self).pop("graph")
        self._states = [storage_of(variable) for variable in graph.updates if variable.role == "state"]
        self._executable = Executable(graph, frozen=True, device=self.device, keep_portable=True)

    @property
    def graph(self) -> Graph:
        """The optimized graph."""
        return self._executable.graph

    def report(self) -> Report:
        """What each pass did: time, nodes, rules, savings."""
        return self._executable.report()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the compiled ONNX model, which may use ONNX Runtime's own operators.

        Raises:
            OSError: the path cannot be written; a file that was there is kept.
        """
        self._executable.save(path)

    def _repr_html_(self) -> str:
        outputs = self.graph.outputs.values()
        ends = [("input", self.input_names, self.graph.inputs), ("output", self.output_names, outputs)]
        rows = [
            [kind, name, f"{value.dtype}({', '.join(map(str, value.shape))})"]
            for kind, names, values in ends
            for name, value in zip(names, values, strict=True)
        ]
        return html_table(repr(self)[1:-1], ["", "name", "type"], rows)

    @short_traceback
    def __call__(self, *inputs: Any) -> Any:
        """The outputs for a batch: one array per input (or one list or dictionary of them).

        Returns:
            an array, or a list of arrays if the model was made with a list of outputs.

        Raises:
            ValueError: another number of inputs, or arrays that do not fit.
        """
        if len(inputs) == 1 and self._executable.fits(inputs[0]):
            return self._arranged(self._executable.run(inputs))
        return self._arranged(self._executable(*self._feeds(inputs)))

    def predict(self, x: Any, batch_size: int | None = None) -> Any:
        """As calling, in batches of ``batch_size`` samples (default: all at once).

        Raises:
            ValueError: as calling, or a batch size below 1.
        """
        if batch_size is not None and batch_size < 1:
            raise KCompileError(f"predict: batch_size must be at least 1, got {batch_size}")
        feeds = self._feeds((x,))
        samples = len(feeds[0])
        if batch_size is None or samples <= batch_size:
            return self._arranged(self._executable(*feeds))
        batches = [
            self._executable(*(feed[start : start + batch_size] for feed in feeds))
            for start in range(0, samples, batch_size)
        ]
        return self._arranged([np.concatenate(parts) for parts in zip(*batches, strict=True)])

    def reset_states(self) -> None:
        """Set the states of stateful layers to zero."""
        for storage in self._states:
            storage.write(np.zeros(storage.shape))

    def _feeds(self, inputs: Sequence[Any]) -> list[Any]:
        """One array per input, all with the same number of samples.

        Raises:
            KCompileError: there are more or fewer inputs, or their samples differ in number.
        """
        names = self.input_names
        if len(inputs) == 1 and isinstance(inputs[0], Mapping):
            given = inputs[0]
            if set(given) != set(names):
                raise KCompileError(f"the model's inputs are {listed(names)}, got arrays for {listed(given)}")
            inputs = [given[name] for name in names]
        elif len(inputs) == 1 and isinstance(inputs[0], (list, tuple)) and _is_list_of_arrays(inputs[0], len(names)):
            inputs = inputs[0]
        if len(inputs) != len(names):
            raise KCompileError(f"the model takes {len(names)} inputs ({listed(names)}), got {len(inputs)}")
        arrays = [np.asarray(x) for x in inputs]
        samples = {name: array.shape[:1] for name, array in zip(names, arrays, strict=True)}
        if () in samples.values() or len(set(samples.values())) > 1:  # a single sample would be broadcast
            shapes = ", ".join(f"{name!r} has shape {array.shape}" for name, array in zip(names, arrays, strict=True))
            raise DataError(f"inputs need as many samples each, on their first axis; {shapes}")
        return arrays

    def _arranged(self, outputs: list[Array]) -> Any:
        return arranged(self._form, outputs, self._many)

    def __repr__(self) -> str:
        return f"<CompiledModel {listed(self.input_names)} -> {listed(self.output_names)} on {self.device}>"


def with_own_states(graph: Graph) -> tuple[Graph, list[Storage]]:
    """``graph`` with fresh variables in the place of its states, and what holds these: zeros."""
    new = {old: Variable(old.label, old.type, old.role) for old in graph.updates if old.role == "state"}
    if not new:
        return graph, []
    storages = [Storage(np.zeros(v.type.static_shape), v.type.dtype) for v in new.values()]
    for variable, storage in zip(new.values(), storages, strict=True):
        attach(variable, storage)
    leaves = {v: apply(v) for v in new.values()}
    replace = {n.outputs[0]: leaves[new[n.op]] for n in graph.nodes() if n.op in new}
    results = substitute(graph.results, replace)
    count = len(graph.outputs)
    updates = {new.get(old, old): value for old, value in zip(graph.updates, results[count:], strict=True)}
    return Graph(graph.inputs, dict(zip(graph.outputs, results, strict=False)), updates, graph.name), storages


def compile(model: Network, device: str | None = None) -> CompiledModel:
    """Freeze a model's weights and compile it for inference.

    Args:
        model: a built model.
        device: ``cpu``, ``cuda`` or ``auto``; default: as set by :func:`kcompile.configure`.

    Raises:
        TypeError: not a model.
        ValueError: the model is not built, or the device cannot be used.
    """
    if not isinstance(model, Network):
        raise DataTypeError(f"kcompile.compile takes a model, got {type(model).__name__}: {model!r}")
    require_built(model)
    return CompiledModel(model, device)


def _is_list_of_arrays(x: Sequence[Any], count: int) -> bool:
    """Whether ``x`` lists the inputs; for one input it may also be that input, as nested lists of numbers."""
    return count > 1 or (len(x) == 1 and isinstance(x[0], np.ndarray))
