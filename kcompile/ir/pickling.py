"""Graphs for ``pickle`` and ``copy.deepcopy``: as flat lists of nodes, so that no program is too deep.

A value is written with all that it depends on; in a graph, and among values that are written together, what is shared
stays shared. Ops are written by their fields, constants with their arrays.
"""

from __future__ import annotations

import copyreg
from collections.abc import Sequence
from typing import Any
from weakref import WeakValueDictionary

from kcompile.ir.core import Graph, Node, Op, Value, Variable, apply, make_node, scope, toposort

Flat = list[tuple[Op, list[tuple[int, int]], str]]


def flattened(values: Sequence[Value]) -> tuple[Flat, list[tuple[int, int]]]:
    """The nodes on which ``values`` depend, and where each value is among their results."""
    nodes = toposort(values)
    numbers: dict[Node, int] = {node: number for number, node in enumerate(nodes)}

    def places(items: Sequence[Value]) -> list[tuple[int, int]]:
        return [(numbers[value.node], value.index) for value in items]

    return [(node.op, places(node.inputs), node.scope) for node in nodes], places(values)


def restored(flat: Flat, places: Sequence[tuple[int, int]]) -> list[Value]:
    """The values of :func:`flattened`, made of new nodes."""
    made: list[Node] = []
    for op, inputs, name in flat:
        if isinstance(op, Variable):
            made.append(leaf_of(op).node)
            continue
        with scope(name):
            made.append(make_node(op, *(made[number].outputs[index] for number, index in inputs)))
    return [made[number].outputs[index] for number, index in places]


_leaves: WeakValueDictionary[Variable, Value] = WeakValueDictionary()


def leaf_of(variable: Variable) -> Value:
    """The value of a variable that was read back: one and the same for all that refer to it."""
    leaf = _leaves.get(variable)
    if leaf is None:
        leaf = _leaves[variable] = apply(variable)
    return leaf


def reduce_graph(graph: Graph) -> tuple[Any, ...]:
    """How a graph is pickled."""
    values = [*graph.inputs, *graph.results]
    flat, places = flattened(values)
    return graph_of, (flat, places, len(graph.inputs), list(graph.outputs), list(graph.updates), graph.name)


def graph_of(
    flat: Flat, places: Sequence[tuple[int, int]], inputs: int, outputs: list[str], updates: list[Any], name: str
) -> Graph:
    """The graph that :func:`reduce_graph` took apart."""
    values = restored(flat, places)
    results = values[inputs:]
    named = dict(zip(outputs, results, strict=False))
    return Graph(values[:inputs], named, dict(zip(updates, results[len(outputs) :], strict=True)), name)


copyreg.pickle(Graph, reduce_graph)
