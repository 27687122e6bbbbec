"""Updates of many small variables run as one: a call of a kernel costs more than the few numbers it makes.

The elementwise chains that compute new weights and optimizer slots (or moving statistics) are the same for
every variable. Those of small variables are run once, on concatenated vectors, and the results are cut apart.
The state itself stays separate.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from kcompile.ir import costs
from kcompile.ir.core import Graph, Node, Op, Value, Variable, apply, constant_of, scope
from kcompile.ir.ops.arrays.shaping import concat, reshape, split
from kcompile.ir.ops.elementwise.base import Elementwise
from kcompile.passes.machinery.report import fired

Operand = int | Value
"""In a chain: the number of a step, or a scalar that all variables share."""


@dataclass
class Chain:
    """The updates of one variable and its slots, as a program over leaves of the variable's shape.

    ``steps`` holds ``None`` for a leaf and ``(op, operands)`` for a computation; two chains with equal steps
    and results compute the same thing from different leaves.
    """

    shape: tuple[int, ...]
    steps: list[tuple[Op, tuple[Operand, ...]] | None] = field(default_factory=list)
    leaves: list[Value] = field(default_factory=list)
    updated: list[Variable] = field(default_factory=list)
    results: list[int] = field(default_factory=list)

    @property
    def key(self) -> Hashable:
        steps: list[Hashable] = [
            None if step is None else (step[0], tuple(_identity(operand) for operand in step[1])) for step in self.steps
        ]
        return tuple(steps), tuple(leaf.dtype for leaf in self.leaves), tuple(self.results)

    @property
    def computations(self) -> int:
        return len(self.steps) - len(self.leaves)

    @property
    def gain(self) -> float:
        """Microseconds saved by computing this chain as part of another's."""
        parts = len(self.leaves) + len(self.results)
        reshaped = costs.CALL if len(self.shape) != 1 else 0
        part = costs.PART + reshaped + costs.CACHED_COPY * math.prod(self.shape)
        return costs.CALL * self.computations - parts * part


def group_updates(graph: Graph) -> Graph:
    """Run the elementwise updates of small variables together, where they differ by shape only."""
    groups: dict[Hashable, list[Chain]] = defaultdict(list)
    for chain in update_chains(graph):
        if chain.gain > costs.CALL:
            groups[chain.key].append(chain)
    updates = dict(graph.updates)
    for chains in groups.values():
        overhead = costs.CALL * (chains[0].computations + len(chains[0].leaves) + len(chains[0].results))
        if sum(chain.gain for chain in chains) > overhead:
            with scope("grouped_updates"):
                updates.update(_run_together(chains))
            fired("updates run together", len(chains))
    return graph.with_results([*graph.outputs.values(), *updates.values()])


def _run_together(chains: Sequence[Chain]) -> dict[Variable, Value]:
    first = chains[0]
    sizes = [math.prod(chain.shape) for chain in chains]
    values: list[Value] = []
    leaves = iter(range(len(first.leaves)))
    for step in first.steps:
        if step is None:
            index = next(leaves)
            parts = zip(chains, sizes, strict=True)
            values.append(concat([reshape(chain.leaves[index], (size,)) for chain, size in parts], 0))
        else:
            op, operands = step
            values.append(apply(op, *(values[x] if isinstance(x, int) else x for x in operands)))
    updates: dict[Variable, Value] = {}
    for position, number in enumerate(first.results):
        for chain, part in zip(chains, split(values[number], sizes, 0), strict=True):
            updates[chain.updated[position]] = reshape(part, chain.shape)
    return updates


def _identity(operand: Operand) -> Hashable:
    """What makes two operands the same: equal constants are."""
    array = constant_of(operand) if isinstance(operand, Value) else None
    return operand if array is None else (array.dtype.name, array.tobytes())


# ---- finding chains


def update_chains(graph: Graph) -> list[Chain]:
    """The chain of each connected set of updates."""
    inner = _inner_nodes(graph)
    roots = {value: variable for variable, value in graph.updates.items() if value.node in inner}
    component = _components(inner)
    members: dict[Node, list[Variable]] = defaultdict(list)
    for value, variable in roots.items():
        members[component[value.node]].append(variable)
    return [_as_chain([(v, graph.updates[v]) for v in variables], inner) for variables in members.values()]


def _inner_nodes(graph: Graph) -> set[Node]:
    """Elementwise nodes of a known shape that serve updates only."""
    nodes = graph.nodes()
    users: dict[Value, list[Node]] = defaultdict(list)
    for node in nodes:
        for value in node.inputs:
            users[value].append(node)
    updated: dict[Value, int] = defaultdict(int)
    for value in graph.updates.values():
        updated[value] += 1
    returned = set(graph.outputs.values())
    inner: set[Node] = set()
    for node in reversed(nodes):
        value = node.outputs[0]
        if not _is_inner_kind(node) or value in returned or updated[value] > 1:
            continue
        if all(user in inner and user.outputs[0].shape == value.shape for user in users[value]):
            inner.add(node)
    return inner


def _is_inner_kind(node: Node) -> bool:
    """An elementwise op whose operands are scalars or have the shape of the result."""
    shape = node.outputs[0].shape
    if not isinstance(node.op, Elementwise) or not shape or not node.outputs[0].type.is_static:
        return False
    return all(value.rank == 0 or value.shape == shape for value in node.inputs)


def _components(inner: set[Node]) -> dict[Node, Node]:
    """A representative for each set of inner nodes that depend on one another."""
    parent = {node: node for node in inner}

    def find(node: Node) -> Node:
        while parent[node] is not node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for node in inner:
        for value in node.inputs:
            if value.node in inner:
                parent[find(value.node)] = find(node)
    return {node: find(node) for node in inner}


def _as_chain(roots: Sequence[tuple[Variable, Value]], inner: set[Node]) -> Chain:
    chain = Chain(roots[0][1].type.static_shape, updated=[variable for variable, _ in roots])
    numbers: dict[Value, int] = {}
    for _, root in roots:
        pending = [root]
        while pending:
            value = pending[-1]
            missing = [] if value in numbers or value.node not in inner else _unnumbered(value, numbers)
            if missing:
                pending += reversed(missing)
                continue
            pending.pop()
            if value in numbers:
                continue
            if value.node in inner:
                operands = tuple(x if x.rank == 0 else numbers[x] for x in value.node.inputs)
                chain.steps.append((value.op, operands))
            else:
                chain.leaves.append(value)
                chain.steps.append(None)
            numbers[value] = len(chain.steps) - 1
        chain.results.append(numbers[root])
    return chain


def _unnumbered(value: Value, numbers: dict[Value, int]) -> list[Value]:
    return [x for x in value.node.inputs if x.rank > 0 and x not in numbers]
