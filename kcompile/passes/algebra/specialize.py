"""Fix what is known before a graph runs: the learning phase, sizes, and variables that no longer change."""

from __future__ import annotations

from collections.abc import Mapping

from kcompile.ir.core import (
    Array,
    Graph,
    Node,
    Value,
    Variable,
    constant,
)
from kcompile.ir.errors import IRError
from kcompile.ir.ops.loops.control import LearningPhase
from kcompile.ir.rebuilding import (
    bind_graph,
    rebuild,
)
from kcompile.passes.machinery.report import fired
from kcompile.passes.machinery.rewrite import in_regions


def specialize(graph: Graph, training: bool | None = None, sizes: Mapping[str, int] | None = None) -> Graph:
    """Set the learning phase and named sizes.

    Args:
        graph: any graph.
        training: the learning phase; ``None`` leaves it open.
        sizes: integers for named sizes such as ``batch``; the types of inputs change accordingly.
    """
    if sizes:
        graph = bind_graph(graph, sizes)
    return graph if training is None else _set_phase(graph, training)


def specialize_training(graph: Graph) -> Graph:
    """The learning phase is training."""
    return specialize(graph, training=True)


def specialize_inference(graph: Graph) -> Graph:
    """The learning phase is inference."""
    return specialize(graph, training=False)


def _set_phase(graph: Graph, training: bool) -> Graph:
    def rule(node: Node, inputs: tuple[Value, ...]) -> Value | None:
        if not isinstance(node.op, LearningPhase):
            return None
        fired("learning phase")
        return constant(training)

    return rebuild(in_regions(graph, lambda region: _set_phase(region, training)), rule)


def freeze(graph: Graph, values: Mapping[Variable, Array]) -> Graph:
    """Make constants of variables, so that what depends on them can be folded.

    Args:
        graph: a graph that updates none of the variables.
        values: their arrays.

    Raises:
        IRError: a variable is updated by the graph, or its array has another shape or element type.
    """
    for variable, array in values.items():
        if variable in graph.updates:
            raise IRError(f"variable {variable.label!r} is updated by the graph; drop the update to freeze it")
        if array.dtype.name != variable.type.dtype or array.shape != variable.type.shape:
            found = f"{array.dtype.name}{list(array.shape)}"
            raise IRError(f"variable {variable.label!r} is {variable.type}, its value is {found}")

    def rule(node: Node, inputs: tuple[Value, ...]) -> Value | None:
        if not isinstance(node.op, Variable) or node.op not in values:
            return None
        fired("freeze")
        return constant(values[node.op])

    return rebuild(graph, rule)
