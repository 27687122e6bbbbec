"""Updates of layers that take place before a step computes: what they change is read as changed by all of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from kcompile import ir
from kcompile.engine.layer_base import LayerBase
from kcompile.ir.core import toposort
from kcompile.ir.substitution import substitute


def updated_first(layers: Collection[LayerBase]) -> set[ir.Variable]:
    """The variables of layers that are updated before a step computes."""
    return {pair[0].variable for layer in layers if layer.updates_first for pair, _ in layer.call_notes.updates}


def with_first_updates(
    graph: ir.Graph, before: Mapping[ir.Variable, ir.Value], first: Collection[ir.Variable]
) -> ir.Graph:
    """``graph`` as it is after the updates of ``first``.

    Args:
        graph: a step, in which variables stand for what they are before.
        before: what layers alone update; where an optimizer updates one of ``first`` too, it goes on from there.
        first: variables.
    """
    new = {variable: before[variable] for variable in first if variable in before}
    if not new:
        return graph
    trained = {variable: value for variable, value in graph.updates.items() if value is not new.get(variable)}
    values = [*graph.outputs.values(), *trained.values()]
    read = {
        node.outputs[0]: new[node.op]
        for node in toposort(values)
        if isinstance(node.op, ir.Variable) and node.op in new
    }
    later = substitute(values, read)
    outputs = dict(zip(graph.outputs, later, strict=False))
    updates = {**graph.updates, **dict(zip(trained, later[len(outputs) :], strict=True))}
    return ir.Graph(graph.inputs, outputs, updates, graph.name)
