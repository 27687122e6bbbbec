"""Two small recurrences that do not depend on each other run as one, on operands stacked along an axis of groups.

So do the two directions of a bidirectional layer: each kernel call then does the work of two. For large states a call
takes little beside its work, and stacking the sequences takes more than is saved.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from kcompile.ir import costs
from kcompile.ir.core import (
    Graph,
    Node,
    Value,
    apply_multi,
    scope_of,
    toposort,
)
from kcompile.ir.ops.arrays.shaping import reverse, squeeze, stack
from kcompile.ir.ops.arrays.slicing import split
from kcompile.ir.ops.recurrent.base import Recurrence
from kcompile.ir.rebuilding import rebuild
from kcompile.passes.machinery.report import fired
from kcompile.passes.machinery.rewrite import in_regions


def merge_directions(graph: Graph) -> Graph:
    """Stack pairs of small independent recurrences of one kind, whatever their directions."""
    graph = in_regions(graph, merge_directions)
    while pair := _find_pair(graph):
        fired("recurrences merged")
        merged = _merged(*pair)
        graph = rebuild(
            graph, lambda node, inputs: None, dict(zip(pair[0].outputs + pair[1].outputs, merged, strict=True))
        )
    return graph


def _find_pair(graph: Graph) -> tuple[Node, Node] | None:
    """The first two nodes that can be merged."""
    seen: dict[tuple[object, ...], Node] = {}
    for node in graph.nodes():
        if not isinstance(node.op, Recurrence) or node.inputs[0].rank != 3 or not _is_small(node):
            continue
        key = replace(node.op, reverse=False), *(value.type for value in node.inputs)
        if key in seen and seen[key] not in toposort(node.inputs):
            return seen[key], node
        seen[key] = node
    return None


def _is_small(node: Node) -> bool:
    assert isinstance(node.op, Recurrence)
    state = node.op.operands(node.inputs).initial[0]
    return math.prod(dim if isinstance(dim, int) else costs.USUAL_SIZE for dim in state.shape) <= costs.MERGED_STATES


def _merged(first: Node, second: Node) -> list[Value]:
    """The results of both, by one recurrence in the direction of the first."""
    op = first.op
    assert isinstance(op, Recurrence)
    assert isinstance(second.op, Recurrence)
    turned = op.reverse != second.op.reverse
    operands = op.operands(range(len(first.inputs)))
    timed = {operands.projected, operands.mask}
    with scope_of(first):
        stacked = [
            stack([x, reverse(y, 0) if turned and index in timed else y], 1 if index in timed else 0)
            for index, (x, y) in enumerate(zip(first.inputs, second.inputs, strict=True))
        ]
        results = apply_multi(op, *stacked)
        parts = [_apart(value, 1 if value.rank == 4 else 0) for value in results]
        mine, other = [part[0] for part in parts], [part[1] for part in parts]
        return [*mine, *(reverse(x, 0) if turned and x.rank == 3 else x for x in other)]


def _apart(value: Value, axis: int) -> Sequence[Value]:
    return [squeeze(part, axis) for part in split(value, [1, 1], axis)]
