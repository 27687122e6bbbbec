"""Values with leaves replaced by what they stand for, each value once."""

from __future__ import annotations

from collections.abc import Sequence

from kcompile import ir


class Resolver:
    """Replaces values, and remembers what became of all that depends on them.

    Unlike :func:`kcompile.symbolic.functions.substitute` it can be asked again and again: what is known is not walked
    through a second time. A value must be defined before anything that depends on it is resolved.
    """

    def __init__(self) -> None:
        self._known: dict[ir.Value, ir.Value] = {}

    def define(self, value: ir.Value, replacement: ir.Value) -> None:
        """From now on ``replacement`` stands in the place of ``value``."""
        self._known[value] = replacement

    def resolved(self, values: Sequence[ir.Value]) -> list[ir.Value]:
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
                with ir.scope_of(node):
                    made = ir.make_node(node.op, *inputs).outputs
            for old, new in zip(node.outputs, made, strict=True):
                known.setdefault(old, new)
        return [known[value] for value in values]
