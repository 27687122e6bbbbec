"""Choice: the learning phase, ``select``, and ``cond``, which runs one of two branches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from kcompile.ir.core import (
    Array,
    Builder,
    Gradients,
    Graph,
    Leaf,
    Node,
    Op,
    Operand,
    Value,
    apply,
    apply_multi,
    as_value,
)
from kcompile.ir.errors import IRError
from kcompile.ir.ops.elementwise.base import Elementwise, broadcastable
from kcompile.ir.ops.elementwise.functions import where, zeros_like
from kcompile.ir.ops.loops.regions import (
    Differentiate,
    RegionOp,
    close_region,
    listed_types,
    needed_by,
    region_input,
    region_types,
    run_region,
    zeros_of,
)
from kcompile.ir.ops.loops.scan import scan
from kcompile.ir.rebuilding import inline
from kcompile.ir.types import TensorType, broadcast_shapes

__all__ = ["Cond", "LearningPhase", "Select", "cond", "learning_phase", "scan", "select"]


# ---- the learning phase


@dataclass(frozen=True)
class LearningPhase(Leaf):
    """Whether the graph trains (a bool scalar). The pass ``specialize`` replaces it with a constant."""

    def infer(self, *types: TensorType) -> TensorType:
        return TensorType("bool", ())

    def evaluate(self, *arrays: Array) -> NoReturn:
        raise IRError("the learning phase is open; specialize the graph for training or inference first")

    def lower(self, b: Builder, node: Node, *names: str) -> NoReturn:
        self.evaluate()


_LEARNING_PHASE = apply(LearningPhase())


def learning_phase() -> Value:
    """The one value that tells training from inference."""
    return _LEARNING_PHASE


# ---- select


@dataclass(frozen=True)
class Select(Elementwise):
    """``x`` if the scalar ``condition`` holds, else ``y``; shapes broadcast."""

    half = True

    onnx, compute = "Where", np.where

    def infer(self, condition: TensorType, x: TensorType, y: TensorType) -> TensorType:  # type: ignore[override]
        if condition != TensorType("bool", ()) or x.dtype != y.dtype:
            raise IRError("needs a bool scalar and two operands of one element type")
        return x.with_shape(broadcast_shapes(x.shape, y.shape))

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        condition, (g,) = inputs[0], grads
        if g is None:
            return [None, None, None]
        return [None, select(condition, g, zeros_like(g)), select(condition, zeros_like(g), g)]

    def batched(self, inputs: Sequence[Value], stacked: Sequence[bool]) -> tuple[Value, ...]:
        if not stacked[0]:
            return super().batched(inputs, stacked)
        return (where(*broadcastable(inputs, stacked)),)  # whose condition may differ from element to element


def select(condition: Value, x: Operand, y: Operand) -> Value:
    """``x`` if the bool scalar ``condition`` holds, else ``y``.

    Both are computed, unless the condition has become a constant by then, as the learning phase does.
    """
    like = x if isinstance(x, Value) else y
    if not isinstance(like, Value):
        raise TypeError("select needs at least one IR value among its branches")
    x, y = as_value(x, like), as_value(y, like)
    return x if x is y else apply(Select(), condition, x, y)


# ---- cond


@dataclass(frozen=True)
class Cond(RegionOp):
    """Runs ``then`` or ``otherwise`` on the operands that follow the predicate, a bool scalar."""

    then: Graph
    otherwise: Graph

    @property
    def regions(self) -> tuple[Graph, ...]:
        return self.then, self.otherwise

    def infer(self, predicate: TensorType, *operands: TensorType) -> tuple[TensorType, ...]:  # type: ignore[override]
        if predicate != TensorType("bool", ()):
            raise IRError(f"needs a bool scalar as predicate, got {predicate}")
        then, otherwise = (region_types(region, operands) for region in self.regions)
        if len(then) != len(otherwise) or not all(map(TensorType.may_be, then, otherwise)):
            given = f"{listed_types(then)} and {listed_types(otherwise)}"
            raise IRError(f"the branches give {given}; they must give the same")
        return then

    def evaluate(self, *arrays: Array) -> tuple[Array, ...]:
        return run_region(self.then if arrays[0] else self.otherwise, arrays[1:])

    def lower(self, b: Builder, node: Node, *names: str) -> tuple[str, ...]:
        then, otherwise = (b.subgraph(region, names[1:]) for region in self.regions)
        return b.multi("If", names[0], outputs=len(node.outputs), then_branch=then, else_branch=otherwise)

    def region_vjp(
        self,
        differentiate: Differentiate,
        inputs: Sequence[Value],
        outputs: Sequence[Value],
        grads: Gradients,
    ) -> Gradients:
        predicate, *operands = inputs
        seeds = [g for g in grads if g is not None]
        smooth = [i for i, value in enumerate(operands) if value.type.is_float]

        def backward(region: Graph) -> Callable[..., list[Value | None]]:
            def branch(*arguments: Value) -> list[Value | None]:
                primal, upstream = arguments[: len(operands)], arguments[len(operands) :]
                results = inline(region, primal)
                reached = [value for value, g in zip(results, grads, strict=True) if g is not None]
                return differentiate(reached, [primal[i] for i in smooth], upstream)

            return branch

        found = _cond(predicate, backward(self.then), backward(self.otherwise), [*operands, *seeds])
        result: list[Value | None] = [None] * len(inputs)
        for i, g in zip(smooth, found, strict=True):
            result[1 + i] = g
        return result

    def pruned(self, used: Sequence[bool]) -> tuple[Op, list[int], list[int]]:
        outputs = [i for i, wanted in enumerate(used) if wanted]
        results = [[list(region.outputs.values())[i] for i in outputs] for region in self.regions]
        needed = [needed_by(values) for values in results]
        operands = [
            i
            for i in range(len(self.then.inputs))
            if any(region.inputs[i] in nodes for region, nodes in zip(self.regions, needed, strict=True))
        ]
        then, otherwise = (
            Graph([region.inputs[i] for i in operands], values, name=region.name)
            for region, values in zip(self.regions, results, strict=True)
        )
        return Cond(then, otherwise), [0, *(1 + i for i in operands)], outputs


def cond(
    predicate: Value,
    then_fn: Callable[..., Sequence[Value]],
    else_fn: Callable[..., Sequence[Value]],
    operands: Sequence[Value] = (),
) -> tuple[Value, ...]:
    """``then_fn(*operands)`` if the bool scalar ``predicate`` holds, else ``else_fn(*operands)``.

    Only the branch taken is computed, as far as it depends on ``operands``.

    Raises:
        IRError: the branches give different types.
    """
    results = _cond(predicate, then_fn, else_fn, operands)
    return tuple(value for value in results if value is not None)


def _cond(
    predicate: Value,
    then_fn: Callable[..., Sequence[Value | None]],
    else_fn: Callable[..., Sequence[Value | None]],
    operands: Sequence[Value],
) -> list[Value | None]:
    """As :func:`cond`; where one branch gives ``None`` it means zero, where both do so is the result."""
    inputs = [region_input(f"operand_{i}", value.type) for i, value in enumerate(operands)]
    pairs = [list(then_fn(*inputs)), list(else_fn(*inputs))]
    if len(pairs[0]) != len(pairs[1]):
        counts = f"{len(pairs[0])} and {len(pairs[1])}"
        raise IRError(f"cond: the branches give {counts} results; they must give as many")
    then, otherwise = [], []
    for x, y in zip(*pairs, strict=True):
        known = x if x is not None else y
        if known is not None:
            then.append(zeros_of(known.type) if x is None else x)
            otherwise.append(zeros_of(known.type) if y is None else y)
    if not then:
        return [None] * len(pairs[0])
    captured, (then, otherwise) = close_region(inputs, then, otherwise)
    inner = [*inputs, *captured.values()]
    op = Cond(Graph(inner, then, name="then"), Graph(inner, otherwise, name="else"))
    results = iter(apply_multi(op, predicate, *operands, *captured))
    return [None if x is None and y is None else next(results) for x, y in zip(*pairs, strict=True)]
