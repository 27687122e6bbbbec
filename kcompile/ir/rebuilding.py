"""Graphs made anew: rewritten node by node, put in place of a call, or with their symbolic sizes replaced."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kcompile.ir.core import Graph, Input, Leaf, Node, Op, Value, apply, make_node, scope_of
from kcompile.ir.dims import Dim, SymbolicDim, substitute
from kcompile.ir.errors import IRError
from kcompile.ir.types import TensorType

Rule = Callable[[Node, tuple[Value, ...]], "Value | tuple[Value, ...] | None"]


def rebuild(graph: Graph, rule: Rule, replace: Mapping[Value, Value] | None = None) -> Graph:
    """Walk ``graph`` in execution order and give ``rule`` each node with its already rewritten inputs.

    The rule returns the replacement (one value, or a tuple for several results) or ``None`` to keep the op.
    Nodes whose inputs did not change are kept as they are, so that an idle pass returns the same values.
    ``replace`` gives values to use instead of the named ones from the start.
    """
    new: dict[Value, Value] = dict(replace or {})
    for node in graph.nodes():
        if node.outputs and all(output in new for output in node.outputs):
            continue
        inputs = tuple(new[value] for value in node.inputs)
        with scope_of(node):
            result = rule(node, inputs)
            if result is None:
                kept = inputs == node.inputs
                result = node.outputs if kept else make_node(node.op, *inputs).outputs
        outputs = result if isinstance(result, tuple) else (result,)
        new.update(zip(node.outputs, outputs, strict=True))
    results = [new[value] for value in graph.results]
    if all(a is b for a, b in zip(results, graph.results, strict=True)) and not replace:
        return graph
    return graph.with_results(results, [new.get(value, value) for value in graph.inputs])


def inline(graph: Graph, arguments: Sequence[Value]) -> tuple[Value, ...]:
    """The outputs of ``graph`` with its inputs replaced by ``arguments``."""
    if len(arguments) != len(graph.inputs):
        raise IRError(f"graph {graph.name!r} takes {len(graph.inputs)} inputs, got {len(arguments)}")
    new = dict(zip(graph.inputs, arguments, strict=True))
    for node in graph.nodes():
        if node.outputs[0] not in new:
            inputs = tuple(new[value] for value in node.inputs)
            made = node if inputs == node.inputs else make_node(node.op, *inputs)
            new.update(zip(node.outputs, made.outputs, strict=True))
    return tuple(new[value] for value in graph.outputs.values())


def bind(op: Op, sizes: Mapping[str, Dim]) -> Op:
    """``op`` with the named sizes among its attributes (and in its regions) replaced."""
    changes = {}
    for field in dataclasses.fields(op):
        old = getattr(op, field.name)
        if isinstance(old, (SymbolicDim, tuple, TensorType, Graph)):
            new = _bind(old, sizes)
            if new is not old and new != old:
                changes[field.name] = new
    return dataclasses.replace(op, **changes) if changes else op


def _bind(item: Any, sizes: Mapping[str, Dim]) -> Any:
    match item:
        case SymbolicDim():
            return substitute(item, sizes)
        case TensorType():
            return item.substitute(sizes)
        case Graph():
            return bind_graph(item, sizes)
        case tuple():
            return tuple(_bind(part, sizes) for part in item)
    return item


def bind_graph(graph: Graph, sizes: Mapping[str, Dim]) -> Graph:
    """``graph`` with named sizes replaced, in the types of its inputs and in all attributes.

    Inputs whose type changes are replaced by new ones of the same label.
    """
    replace = {}
    for value in graph.inputs:
        new_type = value.type.substitute(sizes)
        if new_type != value.type:
            assert isinstance(value.op, Input)
            replace[value] = apply(Input(value.op.label, new_type))

    def rule(node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...] | None:
        if isinstance(node.op, Leaf):
            return None
        op = bind(node.op, sizes)
        return None if op is node.op else make_node(op, *inputs).outputs

    return rebuild(graph, rule, replace)
