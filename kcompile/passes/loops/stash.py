"""Let a loop read what another has computed: the gradient of a loop, above all, repeats its steps.

A gradient recomputes each step from the states that came in. Where that takes longer than storing a value and
reading it back, the first loop stacks the value, and the second has it as a sequence.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from kcompile.ir import costs
from kcompile.ir.core import (
    Graph,
    Leaf,
    Node,
    Value,
    make_node,
)
from kcompile.ir.ops.loops.regions import region_input
from kcompile.ir.ops.loops.scan import Scan
from kcompile.ir.rebuilding import rebuild
from kcompile.passes.machinery.flops import known
from kcompile.passes.machinery.report import fired
from kcompile.passes.machinery.rewrite import has_regions, in_regions

SIZES = known({})
"""Of one sample, one step: what is compared grows alike with symbolic sizes."""


def stash(graph: Graph) -> Graph:
    """Stack what a later loop over the same steps would compute again."""
    if not has_regions(graph):
        return graph
    graph = in_regions(graph, stash)
    while True:
        found = next(filter(None, map(_repetition, graph.nodes())), None)
        if found is None:
            return graph
        graph = _share(graph, *found)


def _repetition(later: Node) -> tuple[Node, Node, dict[Value, Value]] | None:
    """An earlier loop, ``later``, and the values that it should read, each with the earlier loop's own."""
    if not isinstance(later.op, Scan):
        return None
    for earlier in dict.fromkeys(value.node for value in later.inputs):
        if isinstance(earlier.op, Scan):
            wanted = _worth_reading(earlier.op, later.op, _same_values(earlier, later))
            if wanted:
                return earlier, later, wanted
    return None


def _same_values(earlier: Node, later: Node) -> dict[Value, Value]:
    """The values in the body of ``later`` that are values in the body of ``earlier``, in the same step."""
    source, target = _scan_of(earlier), _scan_of(later)
    results = list(source.body.outputs.values())
    slices = {earlier.inputs[i]: source.body.inputs[i] for i in range(source.states, source.states + source.sequences)}
    slices |= {earlier.outputs[i]: results[i] for i in range(source.states, len(results))}
    others = dict(zip(earlier.inputs, source.body.inputs, strict=True))
    shared = {x: others[x] for x in earlier.inputs[source.states + source.sequences :]}
    same: dict[Value, Value] = {}
    for i, (value, operand) in enumerate(zip(target.body.inputs, later.inputs, strict=True)):
        if i >= target.states:
            known = slices if i < target.states + target.sequences else shared
            if operand in known:
                same[value] = known[operand]
    computed = {(node.op, node.inputs): node for node in source.body.nodes() if node.inputs}
    for node in target.body.nodes():
        if isinstance(node.op, Leaf):
            same.update((value, value) for value in node.outputs if value not in target.body.inputs)
        elif all(value in same for value in node.inputs):
            twin = computed.get((node.op, tuple(same[value] for value in node.inputs)))
            if twin is not None:
                same.update(zip(node.outputs, twin.outputs, strict=True))
    return same


def _worth_reading(earlier: Scan, later: Scan, same: dict[Value, Value]) -> dict[Value, Value]:
    """Those of the values that both loops compute that are better read than computed again."""
    computed = [node for node in later.body.nodes() if node.inputs]
    shared = {value for node in computed for value in node.outputs if value in same}
    demanded = {value for value in later.body.outputs.values() if value in shared}
    for node in computed:
        if not all(value in shared for value in node.outputs):
            demanded.update(value for value in node.inputs if value in shared)
    there = list(earlier.body.outputs.values())[earlier.states :]
    wanted: dict[Value, Value] = {}
    cost: dict[Value, float] = {}  # of having a value, given those that are read
    for node in computed:
        own = node.op.cost(node, SIZES) + sum(cost.get(x, 0) for x in node.inputs)
        for value in node.outputs:
            cost[value] = own
            stored = value in shared and same[value] in there
            store = value.type.elements(SIZES) * (costs.READ if stored else costs.STORED)
            if value in demanded and own > store:
                wanted[value] = same[value]
                cost[value] = 0
    return wanted


def _share(graph: Graph, earlier: Node, later: Node, wanted: dict[Value, Value]) -> Graph:
    """``earlier`` stacks the values of ``wanted``, ``later`` reads them."""
    source, target = _scan_of(earlier), _scan_of(later)
    results = list(source.body.outputs.values())
    there = results[source.states :]
    added = [value for value in dict.fromkeys(wanted.values()) if value not in there]
    stacked: dict[Value, Value] = {}
    fired("stash", len(added))

    def rule(node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...] | None:
        if node is earlier:
            outputs = {f"stacked_{len(results) + i}": value for i, value in enumerate(added)}
            body = Graph(source.body.inputs, source.body.outputs | outputs, name=source.body.name)
            made = make_node(replace(source, body=body), *inputs).outputs
            stacked.update(zip([*there, *added], made[source.states :], strict=True))
            return made[: len(results)]
        if node is later:
            place = target.states + target.sequences
            body = _reading(target.body, place, wanted)
            op = replace(target, body=body, sequences=target.sequences + len(wanted))
            sequences = [stacked[value] for value in wanted.values()]
            return make_node(op, *inputs[:place], *sequences, *inputs[place:]).outputs
        return None

    return rebuild(graph, rule)


def _reading(body: Graph, place: int, wanted: Iterable[Value]) -> Graph:
    """``body`` with new inputs for the ``wanted`` values, from ``place`` on."""
    new: dict[Value, Value] = {value: value for value in body.inputs}
    for i, value in enumerate(wanted):
        new[value] = region_input(f"stashed_{len(body.inputs) + i}", value.type)
    slices = [new[value] for value in wanted]
    for node in body.nodes():
        if not all(value in new for value in node.outputs):
            made = make_node(node.op, *(new[value] for value in node.inputs))
            for value, replaced in zip(node.outputs, made.outputs, strict=True):
                new.setdefault(value, replaced)
    outputs = {name: new[value] for name, value in body.outputs.items()}
    return Graph([*body.inputs[:place], *slices, *body.inputs[place:]], outputs, name=body.name)


def _scan_of(node: Node) -> Scan:
    assert isinstance(node.op, Scan)
    return node.op
