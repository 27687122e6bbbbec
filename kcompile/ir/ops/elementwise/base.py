"""What elementwise ops share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from kcompile.ir.core import Array, Builder, Node, Op, Operand, Permutation, Value, apply, as_value
from kcompile.ir.dims import Size
from kcompile.ir.ops.shapes.batching import with_ones


class Elementwise(Op, abstract=True):
    """An op whose output element depends on the input elements at the same (broadcast) place."""

    onnx: ClassVar[str]
    compute: ClassVar[Callable[..., Any]]
    in_place = True
    element_cost: ClassVar[float] = 1.0
    """What an element takes, in elements moved."""

    def evaluate(self, *arrays: Array) -> Array:
        result: Array = type(self).compute(*arrays)
        return result

    def flops(self, node: Node, size: Size) -> int:
        return node.outputs[0].type.elements(size)

    def cost(self, node: Node, size: Size) -> float:
        return self.element_cost * node.outputs[0].type.elements(size)

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        return b.op(self.onnx, *names)

    def permuted(self, node: Node, permutation: Permutation) -> tuple[Op, tuple[Permutation | None, ...]]:
        return self, tuple(None if value.rank == 0 else permutation for value in node.inputs)

    def batched(self, inputs: Sequence[Value], stacked: Sequence[bool]) -> tuple[Value, ...]:
        return (apply(self, *broadcastable(inputs, stacked)),)


def broadcastable(inputs: Sequence[Value], stacked: Sequence[bool]) -> list[Value]:
    """The operands of :meth:`Op.batched`, so that they broadcast slice by slice."""
    rank = max(value.rank - flag for value, flag in zip(inputs, stacked, strict=True))
    return [with_ones(x, rank + 1) if flag else x for x, flag in zip(inputs, stacked, strict=True)]


# ---- functions that apply an op


def unary(op: Op) -> Callable[[Value], Value]:
    def function(x: Value) -> Value:
        return apply(op, x)

    function.__name__ = op.name
    function.__doc__ = type(op).__doc__ or f"{op.name}(x), elementwise."
    return function


def binary(op: Op) -> Callable[[Operand, Operand], Value]:
    def function(x: Operand, y: Operand) -> Value:
        if isinstance(x, Value):
            return apply(op, x, as_value(y, x))
        if isinstance(y, Value):
            return apply(op, as_value(x, y), y)
        raise TypeError(f"{op.name} needs at least one IR value, got {x!r} and {y!r}")

    function.__name__ = op.name
    function.__doc__ = type(op).__doc__ or f"{op.name}(x, y), elementwise; a number takes the other's type."
    return function
