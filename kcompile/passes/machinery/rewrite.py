"""The engine of the local passes: rules indexed by op, applied until none fires."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from kcompile.ir.core import (
    Array,
    Graph,
    Leaf,
    Node,
    Op,
    Value,
    constant_of,
    make_node,
)
from kcompile.ir.errors import IRError
from kcompile.ir.rebuilding import rebuild
from kcompile.passes.machinery.report import fired

Replacement = Value | tuple[Value, ...] | None
LocalRule = Callable[[Node], Replacement]
"""Gives what to use instead of the results of a node (whose inputs are rewritten already), or ``None``."""

LOCAL_LIMIT = 16
"""So often may the replacement of a node be replaced at once; the rest waits for the next round."""

ROUNDS = 10


class Rules:
    """A set of local rules, indexed by the classes of ops for which they are meant."""

    def __init__(self, *parts: Rules) -> None:
        self._rules: list[tuple[type[Op], LocalRule]] = [rule for part in parts for rule in part._rules]
        self._by_class: dict[type[Op], tuple[LocalRule, ...]] = {}

    def on(self, *classes: type[Op]) -> Callable[[LocalRule], LocalRule]:
        """Register a rule for ops of these classes and their subclasses."""

        def register(rule: LocalRule) -> LocalRule:
            self._rules.extend((cls, rule) for cls in classes)
            return rule

        return register

    def of(self, op: Op) -> tuple[LocalRule, ...]:
        """The rules for ``op``, in the order of registration."""
        cls = type(op)
        if cls not in self._by_class:
            found = dict.fromkeys(rule for base, rule in self._rules if issubclass(cls, base))
            self._by_class[cls] = tuple(found)
        return self._by_class[cls]


def rewrite(graph: Graph, rules: Rules, rounds: int = ROUNDS) -> Graph:
    """Apply ``rules`` everywhere, regions included, until none fires (or ``rounds`` walks are done)."""

    def rule(node: Node, inputs: tuple[Value, ...]) -> Replacement:
        made = node if inputs == node.inputs else make_node(node.op, *inputs)
        if node.op.regions:
            op = map_regions(node.op, lambda region: rewrite(region, rules, rounds))
            made = made if op is node.op else make_node(op, *inputs)
        return _replace(made, rules)

    for _ in range(rounds):
        before, graph = graph, rebuild(graph, rule)
        if graph is before:
            break
    return graph


def _replace(node: Node, rules: Rules) -> Replacement:
    outputs = node.outputs
    for _ in range(LOCAL_LIMIT):
        for rule in rules.of(node.op):
            result = rule(node)
            if result is not None:
                break
        else:
            break
        fired(getattr(rule, "__name__", "rule"))
        replaced, outputs = outputs, result if isinstance(result, tuple) else (result,)
        _check_types(rule, replaced, outputs)
        node = outputs[0].node
        if len(outputs) != 1 or len(node.outputs) != 1 or isinstance(node.op, Leaf):
            break
    return outputs


def _check_types(rule: LocalRule, old: tuple[Value, ...], new: tuple[Value, ...]) -> None:
    """A rule that changes a type is a defect of the compiler: say which one."""
    for before, after in zip(old, new, strict=True):
        if not after.type.may_be(before.type):
            name = getattr(rule, "__name__", rule)
            raise IRError(f"rule {name} replaced {before} by {after}; this is a defect of kcompile")


# ---- regions


def map_regions(op: Op, function: Callable[[Graph], Graph]) -> Op:
    """``op`` with each of its regions replaced; ``op`` itself if none changed."""
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(op):
        old = getattr(op, field.name)
        if isinstance(old, Graph):
            new = function(old)
            if new is not old:
                changes[field.name] = new
    return dataclasses.replace(op, **changes) if changes else op


def has_regions(graph: Graph) -> bool:
    """Whether an op of ``graph`` runs a sub-graph."""
    return any(node.op.regions for node in graph.nodes())


def in_regions(graph: Graph, function: Callable[[Graph], Graph]) -> Graph:
    """``graph`` with ``function`` applied to the regions of its ops (not to ``graph`` itself)."""
    if not has_regions(graph):
        return graph

    def rule(node: Node, inputs: tuple[Value, ...]) -> Replacement:
        if not node.op.regions:
            return None
        op = map_regions(node.op, function)
        return None if op is node.op else make_node(op, *inputs).outputs

    return rebuild(graph, rule)


# ---- questions that rules ask

UNIFORM_LIMIT = 4096


def uniform_of(value: Value) -> Any:
    """The Python number of which all elements of a (small) constant consist, else ``None``."""
    array = constant_of(value)
    if array is None or not 0 < array.size <= UNIFORM_LIMIT:
        return None
    first = array.reshape(-1)[0]
    return first.item() if array.size == 1 or (array == first).all() else None


def is_number(value: Value, *numbers: float) -> bool:
    """Whether ``value`` is a constant all of whose elements are one of ``numbers``."""
    return uniform_of(value) in numbers


def same_type(value: Value, node: Node) -> bool:
    """Whether ``value`` can stand for the only result of ``node`` as it is."""
    return value.type == node.outputs[0].type


def count_uses(graph: Graph) -> dict[Value, int]:
    """How many operands and results of ``graph`` each value is."""
    uses: dict[Value, int] = {}
    for value in _operands(graph):
        uses[value] = uses.get(value, 0) + 1
    return uses


def _operands(graph: Graph) -> Iterable[Value]:
    for node in graph.nodes():
        yield from node.inputs
    yield from graph.results


def exactly(number: float, dtype: str) -> Array | None:
    """``number`` as a scalar of ``dtype``, if it is exactly that, and an ordinary (normal, non-zero) one."""
    with np.errstate(all="ignore"):
        array = np.asarray(number).astype(dtype)
    if np.dtype(dtype).kind != "f":
        return array if array == number else None
    normal = np.isfinite(array) and abs(array) >= np.finfo(dtype).tiny
    return array if normal and float(array) == number else None
