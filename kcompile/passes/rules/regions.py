"""What a region may know of its operands: their values, and which are the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kcompile.ir.core import Constant, Graph, Node, Value, make_node, scope_of
from kcompile.ir.ops.loops.control import Cond
from kcompile.ir.ops.loops.scan import Scan
from kcompile.passes.machinery.rewrite import Rules

RULES = Rules()


@RULES.on(Scan)
def operands_of_a_loop(node: Node) -> tuple[Value, ...] | None:
    """scan(x, x, 1) -> scan(x): constants go into the body, and so does it that two operands are the same."""
    op = node.op
    assert isinstance(op, Scan)
    own = op.states + op.sequences
    kept, new = _kept(node.inputs, op.body.inputs, op.states, own)
    if len(kept) == len(node.inputs):
        return None
    sequences = sum(op.states <= i < own for i in kept)
    body = _region(op.body, [op.body.inputs[i] for i in kept], new)
    return make_node(Scan(body, op.states, sequences, op.reverse), *(node.inputs[i] for i in kept)).outputs


@RULES.on(Cond)
def operands_of_branches(node: Node) -> tuple[Value, ...] | None:
    """cond(p, x, x, 1) -> cond(p, x): the same for both branches."""
    op = node.op
    assert isinstance(op, Cond)
    predicate, *operands = node.inputs
    found = [_kept(operands, region.inputs, 0, 0) for region in op.regions]
    kept = found[0][0]
    if len(kept) == len(operands):
        return None
    pairs = zip(op.regions, found, strict=True)
    regions = (_region(region, [region.inputs[i] for i in kept], new) for region, (_, new) in pairs)
    return make_node(Cond(*regions), predicate, *(operands[i] for i in kept)).outputs


def _kept(
    operands: Sequence[Value], inputs: Sequence[Value], first: int, end: int
) -> tuple[list[int], dict[Value, Value]]:
    """The operands that a region still takes, and what it has instead of the others.

    From ``first`` on they may be the same; those before ``end`` are other values inside than outside.
    """
    kept, new = list(range(first)), {value: value for value in inputs}
    seen: dict[tuple[Value, bool], Value] = {}
    for i in range(first, len(operands)):
        inside = i >= end
        if inside and isinstance(operands[i].op, Constant):
            new[inputs[i]] = operands[i]
        elif (operands[i], inside) in seen:
            new[inputs[i]] = seen[operands[i], inside]
        else:
            seen[operands[i], inside] = inputs[i]
            kept.append(i)
    return kept, new


def _region(region: Graph, inputs: Sequence[Value], new: Mapping[Value, Value]) -> Graph:
    """``region`` with some of its inputs replaced."""
    made = dict(new)
    for node in region.nodes():
        if node.outputs[0] not in made:
            operands = tuple(made[value] for value in node.inputs)
            with scope_of(node):
                result = node if operands == node.inputs else make_node(node.op, *operands)
            made.update(zip(node.outputs, result.outputs, strict=True))
    return Graph(inputs, {name: made[value] for name, value in region.outputs.items()}, name=region.name)
