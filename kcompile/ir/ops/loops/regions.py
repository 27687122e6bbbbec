"""What the ops that run sub-graphs (``cond``, ``scan``) share.

A region op runs closed sub-graphs. Whatever a branch or a loop body uses from outside becomes an operand of
the op, so that a region never refers to values, variables or inputs that it does not list. Work inside a body
that does not depend on its own inputs is thereby done once, outside.

Differentiating a region needs the reverse walk, which belongs to ``kcompile.passes`` and which ``ir`` must
not import. So the walk hands itself over: :meth:`RegionOp.region_vjp` takes it as an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kcompile.ir.core import (
    Array,
    Constant,
    Gradients,
    Graph,
    Input,
    Node,
    Op,
    Value,
    apply,
    constant,
    make_node,
    toposort,
)
from kcompile.ir.dims import Dim, Size, name_of
from kcompile.ir.errors import IRError
from kcompile.ir.interpret import interpret
from kcompile.ir.ops.shapes.reshaping import expand
from kcompile.ir.types import TensorType

Differentiate = Callable[[Sequence[Value], Sequence[Value], Sequence[Value]], "list[Value | None]"]
"""``passes.autodiff.gradients``: outputs, with respect to, gradients of the outputs."""


class RegionOp(Op, abstract=True):
    """An op that runs closed sub-graphs."""

    def region_vjp(
        self,
        differentiate: Differentiate,
        inputs: Sequence[Value],
        outputs: Sequence[Value],
        grads: Gradients,
    ) -> Gradients:
        """As :meth:`Op.vjp`, given the reverse walk with which to differentiate the regions."""
        raise NotImplementedError(type(self).__name__)

    def pruned(self, used: Sequence[bool]) -> tuple[Op, list[int], list[int]]:
        """The op without the results that are not ``used``, nor what only they need.

        Returns:
            the op, and the indices of the inputs and of the outputs that it keeps.
        """
        raise NotImplementedError(type(self).__name__)

    def flops(self, node: Node, size: Size) -> int:
        """None of its own."""
        return 0


def region_input(label: str, type: TensorType) -> Value:
    return apply(Input(label, type))


def close_region(inputs: Sequence[Value], *results: Sequence[Value]) -> tuple[dict[Value, Value], list[list[Value]]]:
    """Turn what ``results`` use from outside into further inputs.

    Returns:
        the new input for each value from outside, and the results in terms of inputs only.
    """
    new = {value: value for value in inputs}
    captured: dict[Value, Value] = {}
    inside = {value.node for value in inputs}

    def inner(value: Value) -> Value:
        if value in new or isinstance(value.op, Constant):
            return new.get(value, value)
        if value not in captured:
            captured[value] = region_input(f"captured_{len(captured)}", value.type)
        return captured[value]

    for node in toposort(value for group in results for value in group):
        if node not in inside and any(value.node in inside for value in node.inputs):
            inside.add(node)
            made = make_node(node.op, *map(inner, node.inputs))
            new.update(zip(node.outputs, made.outputs, strict=True))
    return captured, [[inner(value) for value in group] for group in results]


def region_types(region: Graph, operands: Sequence[TensorType]) -> tuple[TensorType, ...]:
    """The types that ``region`` gives for operands of these types."""
    if len(operands) != len(region.inputs):
        raise IRError(f"{region.name} takes {len(region.inputs)} values, got {len(operands)}")
    sizes: dict[str, Dim] = {}
    for value, type in zip(region.inputs, operands, strict=True):
        if not type.may_be(value.type):
            raise IRError(f"{region.name} takes {value.type} where it gets {type}")
        for dim, actual in zip(value.shape, type.shape, strict=True):
            name = name_of(dim)
            if name is not None:
                sizes.setdefault(name, actual)
    return tuple(value.type.substitute(sizes) for value in region.outputs.values())


def needed_by(results: Sequence[Value]) -> set[Value]:
    return {value for node in toposort(results) for value in node.outputs}


def run_region(region: Graph, arrays: Sequence[Array]) -> tuple[Array, ...]:
    labels = [value.op.label for value in region.inputs if isinstance(value.op, Input)]
    return tuple(interpret(region, dict(zip(labels, arrays, strict=True))).outputs.values())


def zeros_of(type: TensorType) -> Value:
    zero = constant(0, type.dtype)
    return zero if type.rank == 0 else expand(zero, type.shape)


def listed_types(types: Sequence[TensorType]) -> str:
    return ", ".join(map(str, types)) or "nothing"
