"""Two recurrent operators that run over one sequence in opposite directions become one, which is bidirectional."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from kcompile.ir.core import (
    Graph,
    Node,
    Value,
    toposort,
)
from kcompile.ir.ops.arrays.slicing import concat, split
from kcompile.ir.ops.loops.regions import zeros_of
from kcompile.ir.ops.recurrent.operators import RecurrentOperator, recurrent_operator
from kcompile.ir.rebuilding import rebuild
from kcompile.passes.machinery.report import fired


def join_directions(graph: Graph) -> Graph:
    """Join pairs of operators of opposite directions on the same sequence."""
    while True:
        pair = _pair(graph)
        if pair is None:
            return graph
        fired("two directions in one operator")
        # One pair at a time: the sequence of the next may depend on the results of this one.
        graph = rebuild(graph, lambda node, inputs: None, _joined(*pair))


def _pair(graph: Graph) -> tuple[Node, Node] | None:
    """A forward operator, and a reverse one that differs in weights, states and activations only."""
    waiting: list[Node] = []
    for node in graph.nodes():
        if not isinstance(node.op, RecurrentOperator) or node.op.direction == "bidirectional":
            continue
        for other in waiting:
            if _joinable(node, other) and not _depends(node, other):
                return (node, other) if node.op.direction == "forward" else (other, node)
        waiting.append(node)
    return None


def _joinable(a: Node, b: Node) -> bool:
    assert isinstance(a.op, RecurrentOperator)
    assert isinstance(b.op, RecurrentOperator)
    alike = dataclasses.replace(
        a.op, direction=b.op.direction, activations=b.op.activations, with_states=b.op.with_states
    )
    if alike != b.op or a.op.direction == b.op.direction or a.inputs[2].type != b.inputs[2].type:
        return False
    return a.inputs[0] is b.inputs[0] and (not a.op.with_lengths or a.inputs[4] is b.inputs[4])


def _depends(node: Node, other: Node) -> bool:
    return other in toposort(node.inputs)


def _joined(forward: Node, backward: Node) -> dict[Value, Value]:
    """The results of one operator, for each result of the two."""
    first, second = forward.op, backward.op
    assert isinstance(first, RecurrentOperator)
    assert isinstance(second, RecurrentOperator)
    w, r, b = (concat([forward.inputs[i], backward.inputs[i]], 0) for i in (1, 2, 3))
    with_states = first.with_states or second.with_states
    states: list[Value] = []
    if with_states:
        given = [_states(node) for node in (forward, backward)]
        states = [concat(pair, 0) for pair in zip(*given, strict=True)]
    op = dataclasses.replace(
        first,
        direction="bidirectional",
        activations=first.activations + second.activations,
        with_states=with_states,
    )
    lengths = forward.inputs[4] if op.with_lengths else None
    results = recurrent_operator(op, forward.inputs[0], w, r, b, lengths, states)
    parts = [split(results[0], [1, 1], 1), *(split(state, [1, 1], 0) for state in results[1:])]
    old = zip(forward.outputs, backward.outputs, strict=True)
    return {x: part for pair, new in zip(old, parts, strict=True) for x, part in zip(pair, new, strict=True)}


def _states(node: Node) -> Sequence[Value]:
    op = node.op
    assert isinstance(op, RecurrentOperator)
    if op.with_states:
        return node.inputs[4 + op.with_lengths :]
    return [zeros_of(value.type) for value in node.outputs[1:]]
