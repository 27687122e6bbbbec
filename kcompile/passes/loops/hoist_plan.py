"""Which nodes of a loop move out of it, before it or after it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from kcompile.ir import costs
from kcompile.ir.core import (
    Graph,
    Leaf,
    Node,
    Value,
    make_node,
    scope_of,
    toposort,
)
from kcompile.ir.dims import Dim, name_of
from kcompile.ir.ops.elementwise.functions import Add, Sub
from kcompile.ir.ops.loops.regions import region_input
from kcompile.ir.ops.loops.scan import Scan
from kcompile.ir.rebuilding import bind_graph
from kcompile.passes.machinery.flops import elements
from kcompile.passes.machinery.rewrite import count_uses

Terms = list[tuple[int, Value]]
"""What a step adds to a sum (sign 1) or takes from it (-1)."""


@dataclass
class Plan:
    """A loop taken apart. Unless said otherwise, values are those of its body.

    Attributes:
        states, initial: the states, and (outside) what they start with.
        slices: the slices of the sequences.
        stacked: what is to be stacked.
        invariant: what no step changes, with its value outside; constants are themselves.
        parallel: what depends on slices only, with its stacked value outside.
        sums: for the states that a step only adds to: the terms.
        nodes: what stays in the loop, in order of execution.
        serial_states: the states that stay, each with its next value.
        kept: what stays and is stacked, as it is or for what comes after the loop.
        moves: how many nodes leave; 0: the loop is as small as it can be.
    """

    states: Sequence[Value]
    initial: Sequence[Value]
    slices: Sequence[Value]
    stacked: Sequence[Value]
    length: Dim
    reverse: bool
    invariant: dict[Value, Value] = field(default_factory=dict)
    parallel: dict[Value, Value] = field(default_factory=dict)
    sums: dict[int, Terms] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    serial_states: dict[Value, Value] = field(default_factory=dict)
    kept: list[Value] = field(default_factory=list)
    moves: int = 0


def plan_of(op: Scan, operands: Sequence[Value]) -> Plan:
    """Take the loop apart. All its stacked results are wanted, and all its states needed."""
    body = _with_names_of(operands, op.body)
    first, end = op.states, op.states + op.sequences
    results = list(body.outputs.values())
    plan = Plan(
        states=body.inputs[:first],
        initial=operands[:first],
        slices=body.inputs[first:end],
        stacked=results[first:],
        length=operands[first].shape[0],
        reverse=op.reverse,
    )
    after = dict(zip(plan.states, results, strict=False))
    plan.invariant.update(zip(body.inputs[end:], operands[end:], strict=True))
    plan.invariant.update((s, x) for s, x in zip(plan.states, plan.initial, strict=True) if after[s] is s)
    plan.parallel.update(zip(plan.slices, operands[first:end], strict=True))
    _spread(plan, body)
    plan.sums = _sums(plan, body, after)
    while True:
        unsettled = _partition(plan, body, after)
        if not unsettled:
            break
        for i in unsettled:
            del plan.sums[i]
    count = sum(1 for node in body.nodes() if not isinstance(node.op, Leaf))
    plan.moves = count - len(plan.nodes) + (len(plan.states) - len(plan.serial_states))
    return plan


def _with_names_of(operands: Sequence[Value], body: Graph) -> Graph:
    """``body`` with sizes named as outside, where they have other names."""
    names: dict[str, Dim] = {}
    for value, operand in zip(body.inputs, operands, strict=False):
        shape = operand.shape[operand.rank - value.rank :]
        for dim, actual in zip(value.shape, shape, strict=True):
            name = name_of(dim)
            if name is not None and dim != actual:
                names.setdefault(name, actual)
    return bind_graph(body, names) if names else body


def _spread(plan: Plan, body: Graph) -> None:
    """Find all invariant values, and all parallel ones of which all steps can be computed at once."""
    inputs = {*body.inputs}
    for node in body.nodes():
        if node.outputs[0] in inputs:
            continue
        if isinstance(node.op, Leaf):
            plan.invariant.update((value, value) for value in node.outputs)
        elif all(value in plan.invariant for value in node.inputs):
            with scope_of(node):
                outside = make_node(node.op, *(plan.invariant[value] for value in node.inputs))
            plan.invariant.update(zip(node.outputs, outside.outputs, strict=True))
        elif all(value in plan.invariant or value in plan.parallel for value in node.inputs):
            with scope_of(node):
                stacked = node.op.batched(*operands_of(plan, node, plan.parallel))
            if stacked is not None:
                plan.parallel.update(zip(node.outputs, stacked, strict=True))


def operands_of(plan: Plan, node: Node, stacked: Mapping[Value, Value]) -> tuple[list[Value], list[bool]]:
    """The operands of ``node`` outside of the loop, and which of them are stacked."""
    flags = [value not in plan.invariant for value in node.inputs]
    pairs = zip(node.inputs, flags, strict=True)
    return [stacked[value] if flag else plan.invariant[value] for value, flag in pairs], flags


# ---- sums


def _sums(plan: Plan, body: Graph, after: Mapping[Value, Value]) -> dict[int, Terms]:
    """The states that each step adds something to, and whose running value nobody reads."""
    uses = count_uses(body)

    def terms(value: Value, state: Value) -> Terms | None:
        """What is added to ``state`` to make ``value``."""
        if uses.get(value) != 1 or value.type != state.type:
            return None
        if value is state:
            return []
        if not isinstance(value.op, (Add, Sub)):
            return None
        x, y = value.node.inputs
        found = terms(x, state)
        if found is not None:
            return [*found, (-1 if isinstance(value.op, Sub) else 1, y)]
        found = terms(y, state) if isinstance(value.op, Add) else None
        return None if found is None else [*found, (1, x)]

    found = {}
    for i, state in enumerate(plan.states):
        listed = None if state in plan.invariant else terms(after[state], state)
        if listed is not None:
            found[i] = listed
    return found


# ---- what stays


def _partition(plan: Plan, body: Graph, after: Mapping[Value, Value]) -> list[int]:
    """Decide what stays in the loop; returns the sums that are better made there, for another try."""
    serial = {s: after[s] for i, s in enumerate(plan.states) if s not in plan.invariant and i not in plan.sums}
    before = _before(plan, body)
    outside = {*plan.invariant, *before, *plan.slices}
    core = _needed([*serial.values()], outside)
    exits = [value for value in plan.stacked if value not in plan.invariant and value not in plan.parallel]
    terms = [term for i in plan.sums for _, term in plan.sums[i]]
    terms = [term for term in terms if term not in plan.invariant and term not in plan.parallel]
    late = [
        node
        for node in _needed([*exits, *terms], {*plan.invariant, *plan.parallel})
        if node not in core and not isinstance(node.op, Leaf)
    ]
    sunk = _sunk(plan, late, exits, terms)
    made_after = {value for node in sunk for value in node.outputs}
    unsettled = [i for i, listed in plan.sums.items() if any(_stays(t, plan, made_after) for _, t in listed)]
    if unsettled:
        return unsettled
    kept = dict.fromkeys(value for value in exits if value not in made_after)
    for node in sunk:
        kept.update((x, None) for x in node.inputs if _stays(x, plan, made_after))
    plan.kept = list(kept)
    plan.serial_states = serial
    plan.nodes = [node for node in _needed([*serial.values(), *kept], outside) if not isinstance(node.op, Leaf)]
    return []


def _stays(value: Value, plan: Plan, made_after: set[Value]) -> bool:
    return value not in plan.invariant and value not in plan.parallel and value not in made_after


def _before(plan: Plan, body: Graph) -> set[Value]:
    """The parallel values that are computed before the loop: what heavy ops make and need, and what is small.

    A cheap op is faster in the loop, on a slice that is in the cache, unless calling it takes longer than running
    it.
    """
    nodes = [node for node in body.nodes() if node.inputs and node.outputs[0] in plan.parallel]
    found: set[Value] = set()
    wanted: set[Node] = set()
    for node in reversed(nodes):
        if node.op.heavy or node in wanted:
            found.update(node.outputs)
            wanted.update(value.node for value in node.inputs)
    for node in nodes:
        changing = [value for value in node.inputs if value not in plan.invariant]
        size = sum(_size(value) for value in node.outputs)
        small = size <= costs.HOISTED and size <= sum(map(_size, changing))
        if small or (node.op.free and node.inputs[0] in found):
            found.update(node.outputs)
    return found


def _size(value: Value) -> int:
    return elements(value, {}, costs.USUAL_SIZE)


def _sunk(plan: Plan, late: Sequence[Node], exits: Sequence[Value], terms: Sequence[Value]) -> list[Node]:
    """Those of the nodes on which no step depends that are computed after the loop."""
    sinkable = _sinkable(plan, late, {*terms} - {*exits})
    sunk: set[Node] = set()
    for node in late:
        if node in sinkable and (node.op.heavy or any(x.node in sunk for x in node.inputs)):
            sunk.add(node)
    # What is stacked anyway may just as well be used after the loop.
    there = {*exits, *(x for node in sunk for x in node.inputs)}
    for node in late:
        changing = [x for x in node.inputs if x not in plan.invariant and x not in plan.parallel]
        if node in sinkable and all(x in there or x.node in sunk for x in changing):
            sunk.add(node)
    return [node for node in late if node in sunk]


def _sinkable(plan: Plan, late: Sequence[Node], terms: set[Value]) -> set[Node]:
    """The nodes that can run after the loop, as can all that need them; ``terms`` are only added up."""
    there = dict(plan.parallel)
    users: dict[Node, list[Node]] = {}
    for node in late:
        for value in (*node.inputs, *node.outputs):
            users.setdefault(value.node, []).append(node)
            if value not in plan.invariant and value not in there:
                there[value] = region_input("stacked", value.type.with_shape((plan.length, *value.shape)))
    found: set[Node] = set()
    for node in reversed(late):
        if all(user in found for user in users[node] if user is not node):
            operands, flags = operands_of(plan, node, there)
            able = node.op.batched(operands, flags) is not None
            if able or (node.outputs[0] in terms and node.op.summed(operands, flags) is not None):
                found.add(node)
    return found


def _needed(values: Iterable[Value], outside: set[Value]) -> list[Node]:
    """The nodes that must run for ``values``, given those from ``outside``."""
    wanted = {value.node for value in values if value not in outside}
    found = []
    for node in reversed(toposort(values)):
        if node in wanted and node.inputs:
            found.append(node)
            wanted.update(value.node for value in node.inputs if value not in outside)
    return found[::-1]
