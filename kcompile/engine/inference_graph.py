"""The graph of a model that predicts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from kcompile import ir
from kcompile.common.errors import KCompileError
from kcompile.engine.network import Network
from kcompile.engine.notes import belongs
from kcompile.ir.substitution import substitute
from kcompile.runtime.random_state import new_counter
from kcompile.symbolic.functions import build_graph
from kcompile.symbolic.tensor import Tensor, as_tensor
from kcompile.symbolic.variable import Variable

Update = tuple[Variable, Tensor]


def predict_graph(model: Network, name: str = "predict", counting: bool = False) -> ir.Graph:
    """The inference graph: outputs by name from inputs by name. Stateful layers update their states.

    Args:
        model: a built model.
        name: that of the graph.
        counting: whether a model that draws random numbers in inference too (a ``Lambda`` that samples) advances the
            random counter of its own, so that each run draws new ones, the first the same in every process.
    """
    from kcompile.passes.algebra.simplify import simplify
    from kcompile.passes.algebra.specialize import specialize_inference

    states: dict[Variable, Tensor] = {}
    merge(states, state_updates(model))
    names = _free_names(model.output_names, model.input_names)
    counter = new_counter() if counting else None
    graph = build_graph(model.inputs, model.outputs, list(states.items()), name, names, model.input_names, counter)
    if counting:
        # Branches of the training phase fall away first, with the dropouts in them.
        return without_idle_counters(simplify(specialize_inference(graph)))
    kept = {variable: value for variable, value in graph.updates.items() if variable.role == "state"}
    return specialize_inference(ir.Graph(graph.inputs, graph.outputs, kept, graph.name))


def without_idle_counters(graph: ir.Graph) -> ir.Graph:
    """The graph with random counters standing still that only branches of the other learning phase read."""
    kept = {variable: value for variable, value in graph.updates.items() if variable.role != "rng"}
    rest = ir.Graph(graph.inputs, graph.outputs, kept, graph.name)
    if len(kept) == len(graph.updates):
        return graph
    read = set(rest.variables())
    kept = {variable: value for variable, value in graph.updates.items() if variable.role != "rng" or variable in read}
    return ir.Graph(graph.inputs, graph.outputs, kept, graph.name)


def _free_names(wanted: Sequence[str], taken: Sequence[str]) -> list[str]:
    """Output names that differ from all input names."""
    names: list[str] = []
    for name in wanted:
        while name in taken or name in names:
            name += "_output"
        names.append(name)
    return names


def state_updates(model: Network) -> list[Update]:
    """The next states of stateful layers, as functions of the inputs of ``model``."""
    return [(variable, value) for variable, value in model.state_updates if belongs(model, value)]


def merge(updates: dict[Variable, Tensor], pairs: Iterable[tuple[Variable, Any]]) -> None:
    """Add updates; a second update of a variable starts from the results of the first ones.

    Where a layer is called again, all that its first call updated is new to the second, and to the whole of it alike.
    """
    earlier: dict[ir.Value, ir.Value] = {}
    latest: dict[Variable, Tensor] = {}
    for variable, value in pairs:
        new = as_tensor(value)
        if variable in latest:  # the next call
            earlier |= {v.value: x.value for v, x in latest.items()}
            latest = {}
        if variable in updates:
            new = Tensor(substitute([new.value], {**earlier, variable.value: updates[variable].value})[0])
        updates[variable] = latest[variable] = new


def require_built(model: Network) -> None:
    """Raise unless the model has its graph.

    Raises:
        ValueError: it was neither given an input shape nor called.
    """
    if not model.has_layer_graph:
        raise KCompileError(
            f"model {model.name!r} is not built, so there is nothing to export; fit it, call it, or give the first "
            "layer an input_shape"
        )


def graph_name(name: str) -> str:
    """A name for the ONNX graph."""
    return "".join(c if c.isalnum() or c == "_" else "_" for c in name) or "model"
