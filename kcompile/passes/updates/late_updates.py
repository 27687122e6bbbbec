"""Updates in place: those of large tables, taken out of a step into a program that runs when the step is kept.

A step writes new values beside the old ones, so that it can be undone. But memory that is written is first read, which
makes that a third of the traffic of an update that goes through all rows of a table. Where the gradient is a few rows
(``sparse_updates``), the update can wait until the loss is known to be a number, and then write over what it reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kcompile.ir.core import (
    Constant,
    Graph,
    Leaf,
    Node,
    Value,
    Variable,
    constant,
    input_value,
    make_node,
    scope_of,
    toposort,
)
from kcompile.ir.ops.arrays.sorted_rows import AddSortedRows
from kcompile.ir.ops.arrays.variable_part import VariablePart

DONE = "done"
"""The output of the later program: 1, as soon as it has run."""


@dataclass(frozen=True)
class Divided:
    """A step in two: ``first`` gives, after the outputs of the step, what ``later`` takes as its inputs."""

    first: Graph
    later: Graph


def divide(graph: Graph) -> Divided | None:
    """Take the updates in parts of tables with sparse gradients out of ``graph``.

    ``None``: there are none, or one could read what another has overwritten.
    """
    parts = _parts_of_tables(graph)
    later = _later_nodes(graph, parts)
    if not later or not _in_order(parts, later):
        return None
    members = set(later)
    needed = [*(x for node in later for x in node.inputs), *parts.values()]
    handed = dict.fromkeys(x for x in needed if x.node not in members and not isinstance(x.op, (Variable, Constant)))
    if not all(value.type.is_static for value in handed):
        return None
    names = {value: f"handed_over_{number}" for number, value in enumerate(handed)}
    outputs = {**graph.outputs, **{name: value for value, name in names.items()}}
    rest = {variable: value for variable, value in graph.updates.items() if variable not in parts}
    inputs = {value: input_value(name, value.dtype, value.shape) for value, name in names.items()}
    new: dict[Value, Value] = dict(inputs)
    for node in later:
        with scope_of(node):
            made = make_node(node.op, *(new.get(x, x) for x in node.inputs))
        new.update(zip(node.outputs, made.outputs, strict=True))
    updates = {variable: new.get(value, value) for variable, value in parts.items()}
    return Divided(
        Graph(graph.inputs, outputs, rest, graph.name),
        Graph(inputs.values(), {DONE: constant(1, "int64")}, updates, f"{graph.name}_updates"),
    )


def _parts_of_tables(graph: Graph) -> dict[Variable, Value]:
    """The updates of the parts of variables that take a sparse gradient."""
    sparse: set[Node] = set()
    for node in graph.nodes():
        if isinstance(node.op, AddSortedRows) or any(x.node in sparse for x in node.inputs):
            sparse.add(node)
    updates = [(v, value) for v, value in graph.updates.items() if isinstance(v, VariablePart)]
    tables = {variable.whole for variable, value in updates if value.node in sparse}
    return {variable: value for variable, value in updates if variable.whole in tables}


def _later_nodes(graph: Graph, parts: Mapping[Variable, Value]) -> list[Node]:
    """The nodes that depend on parts and serve their updates only, in execution order."""
    tables = {variable.whole for variable in parts if isinstance(variable, VariablePart)}
    waiting = set(parts.values())
    early = set(toposort([x for x in graph.results if x not in waiting]))
    later: dict[Node, None] = {}
    for node in graph.nodes():
        if node in early or isinstance(node.op, Leaf):
            continue
        if any(x.node in later or (isinstance(x.op, VariablePart) and x.op.whole in tables) for x in node.inputs):
            later[node] = None
    return list(later)


def _in_order(parts: Mapping[Variable, Value], later: list[Node]) -> bool:
    """Whether all that reads a part does so before it is overwritten, whatever the order of independent nodes."""
    writers = {(v.whole, v.start, v.type): x.node for v, x in parts.items() if isinstance(v, VariablePart)}
    tables = {whole for whole, _, _ in writers}
    before: dict[Node, set[Node]] = {}
    for node in later:
        for op in (value.op for value in node.inputs):
            if op in tables:
                return False
            if not isinstance(op, VariablePart) or op.whole not in tables:
                continue
            writer = writers.get((op.whole, op.start, op.type))
            if writer is None or not node.op.in_place:
                return False
            if writer not in before:
                before[writer] = set(toposort(writer.outputs))
            if node not in before[writer]:
                return False
    return True


__all__ = ["DONE", "Divided", "divide"]
