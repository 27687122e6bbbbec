"""Move work out of loops: a ``scan`` keeps what each step needs from the step before, nothing else.

Three kinds of values do not have to be computed step by step:

- *invariant* ones depend on nothing that changes: they are computed once;
- *parallel* ones depend on slices of the sequences: they are computed for all steps at once, before the loop;
- what only leaves the loop, stacked or added up, can be computed after it from stacked values.

So the products with inputs, and the gradients of weights, become one large product each (Appleyard et al. 2016,
"Optimizing Performance of Recurrent Neural Networks on GPUs"). How an op works on all steps at once it knows
itself: :meth:`~kcompile.ir.core.Op.batched`, :meth:`~kcompile.ir.core.Op.summed`.
"""

from __future__ import annotations

from collections.abc import Mapping

from kcompile.ir.core import (
    Graph,
    Node,
    Value,
    make_node,
    scope_of,
)
from kcompile.ir.ops.arrays.reduction import reduce_sum
from kcompile.ir.ops.elementwise.functions import Neg, add, sub
from kcompile.ir.ops.loops.regions import region_input
from kcompile.ir.ops.loops.scan import Loop, Scan, State, close_scan
from kcompile.ir.ops.shapes.reshaping import Expand, Reshape, Transpose, expand
from kcompile.ir.rebuilding import rebuild
from kcompile.passes.loops.hoist_plan import Plan, operands_of, plan_of
from kcompile.passes.machinery.report import fired
from kcompile.passes.machinery.rewrite import count_uses, has_regions, in_regions, is_number


def hoist(graph: Graph) -> Graph:
    """Move out of loops what does not have to be computed step by step."""
    if not has_regions(graph):
        return graph
    graph = in_regions(graph, hoist)
    while True:  # what a later loop no longer reads need not be stacked by an earlier one
        before, graph = graph, _hoist(graph)
        if graph is before:
            return graph


def _hoist(graph: Graph) -> Graph:
    uses = count_uses(graph)

    def rule(node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...] | None:
        if not isinstance(node.op, Scan):
            return None
        op, kept_inputs, kept_outputs = node.op.pruned([value in uses for value in node.outputs])
        assert isinstance(op, Scan)
        plan = plan_of(op, [inputs[i] for i in kept_inputs])
        if not plan.moves:
            return None
        results = list(node.outputs)  # what nobody reads stays what it was
        for index, value in zip(kept_outputs, _carry_out(plan), strict=True):
            results[index] = value
        return tuple(results)

    return rebuild(graph, rule)


def _carry_out(plan: Plan) -> list[Value]:
    """The results of the loop that ``plan`` is about."""
    finals, after = _smaller_loop(plan)
    results = []
    for i, state in enumerate(plan.states):
        if i in plan.sums:
            total = plan.initial[i]
            for sign, term in plan.sums[i]:
                part = after.total(term)
                if _is_zero(total) and sign > 0:
                    total = expand(part, state.shape)
                else:
                    total = add(total, part) if sign > 0 else sub(total, part)
            results.append(total)
            fired("sum after the loop")
        else:
            results.append(plan.invariant[state] if state in plan.invariant else finals[state])
    return [*results, *(after.stacked(value) for value in plan.stacked)]


def _smaller_loop(plan: Plan) -> tuple[dict[Value, Value], _After]:
    """The loop around the nodes that stay; the last states, and what there is afterwards."""
    fired("hoist", plan.moves)
    new: dict[Value, Value] = dict(plan.invariant)
    states: list[State] = []
    loops: list[Loop] = []
    for state, initial in zip(plan.states, plan.initial, strict=True):
        if state in plan.serial_states:
            new[state] = region_input(f"state_{len(states)}", state.type)
            states.append(State(new[state], initial, new[state]))

    def inner(value: Value) -> Value:
        if value not in new:
            sequence = plan.parallel[value]
            new[value] = region_input(f"slice_{len(loops)}", value.type)
            loops.append(Loop(new[value], sequence))
        return new[value]

    for node in plan.nodes:
        with scope_of(node):
            new.update(zip(node.outputs, make_node(node.op, *map(inner, node.inputs)).outputs, strict=True))
    for carried, after in zip(states, plan.serial_states.values(), strict=True):
        carried.after = inner(after)
    collected = [inner(value) for value in plan.kept]
    if not states and not collected:
        return {}, _After(plan, {})
    if not loops:
        loops.append(Loop(region_input("slice_0", plan.slices[0].type), plan.parallel[plan.slices[0]]))
    finals, stacked = close_scan(states, loops, collected, plan.reverse, {})
    there = dict(zip(plan.kept, stacked, strict=True))
    return dict(zip(plan.serial_states, finals, strict=True)), _After(plan, there)


class _After:
    """Values of all steps, after the loop."""

    def __init__(self, plan: Plan, stacked: Mapping[Value, Value]) -> None:
        self.plan = plan
        self.known: dict[Value, Value] = {**plan.parallel, **stacked}

    def stacked(self, value: Value) -> Value:
        """The values that all steps compute for ``value``."""
        if value in self.plan.invariant:
            once = self.plan.invariant[value]
            return expand(once, (self.plan.length, *once.shape))
        if value not in self.known:
            operands, flags = self.operands(value.node)
            with scope_of(value.node):
                results = value.op.batched(operands, flags)
            assert results is not None
            self.known.update(zip(value.node.outputs, results, strict=True))
        return self.known[value]

    def total(self, value: Value) -> Value:
        """The sum over all steps."""
        with scope_of(value.node):
            if value not in self.plan.invariant and value not in self.known:
                if isinstance(value.op, (Reshape, Transpose, Neg)):
                    return make_node(value.op, self.total(value.node.inputs[0])).outputs[0]
                found = value.op.summed(*self.operands(value.node))
                if found is not None:
                    return found
            return reduce_sum(self.stacked(value), 0)

    def operands(self, node: Node) -> tuple[list[Value], list[bool]]:
        """The operands of ``node`` for all steps, and which of them are stacked."""
        changing = [value for value in node.inputs if value not in self.plan.invariant]
        return operands_of(self.plan, node, {value: self.stacked(value) for value in changing})


def _is_zero(value: Value) -> bool:
    """Whether ``value`` is 0 everywhere, as sums mostly start."""
    return is_number(value.node.inputs[0] if isinstance(value.op, Expand) else value, 0)
