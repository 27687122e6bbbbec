"""Values with leaves replaced by what they stand for, each value once."""

from __future__ import annotations

from collections.abc import Sequence

from kcompile.ir.core import Value, make_node, scope_of, toposort


def substitute(values: Sequence[Value], replace: dict[Value, Value]) -> list[Value]:
    """``values`` with other values in the place of some that they depend on."""
    new: dict[Value, Value] = dict(replace)
    for node in toposort(values):
        if all(output in new for output in node.outputs):
            continue
        inputs = tuple(new.get(value, value) for value in node.inputs)
        if inputs == node.inputs:
            made = node.outputs
        else:
            with scope_of(node):
                made = make_node(node.op, *inputs).outputs
        for old, value in zip(node.outputs, made, strict=True):
            new.setdefault(old, value)
    return [new[value] for value in values]


class Resolver:
    """Replaces values, and remembers what became of all that depends on them.

    Unlike :func:`substitute` it can be asked again and again: what is known is not walked
    through a second time. A value must be defined before anything that depends on it is resolved.
    """

    def __init__(self) -> None:
        self._known: dict[Value, Value] = {}

    def define(self, value: Value, replacement: Value) -> None:
        """From now on ``replacement`` stands in the place of ``value``."""
        self._known[value] = replacement

    def resolved(self, values: Sequence[Value]) -> list[Value]:
        """The values, with those defined replaced in all that they depend on."""
        known = self._known
        waiting = [value.node for value in values if value not in known]
        while waiting:
            node = waiting[-1]
            if all(output in known for output in node.outputs):
                waiting.pop()
                continue
            missing = [value.node for value in node.inputs if value not in known]
            if missing:
                waiting += missing
                continue
            waiting.pop()
            inputs = tuple(known[value] for value in node.inputs)
            made = node.outputs
            if inputs != node.inputs:
                with scope_of(node):
                    made = make_node(node.op, *inputs).outputs
            for old, new in zip(node.outputs, made, strict=True):
                known.setdefault(old, new)
        return [known[value] for value in values]
