"""Where a step that gave no numbers lost them: the operation that makes infinities or NaN of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kcompile import ir, losses
from kcompile.ir.ops.arrays import reduction
from kcompile.ir.ops.elementwise import arithmetic
from kcompile.ir.ops.elementwise import functions as elementwise
from kcompile.ir.ops.spatial import normalization, normalization_base
from kcompile.runtime.executable import Executable
from kcompile.symbolic.tensor import Array

if TYPE_CHECKING:
    from kcompile.training.compilation import OutputPlan
    from kcompile.training.step import Step

DIVISION = "keep divisors away from 0, for example with K.maximum(x, K.epsilon())"
ROOT = "keep what roots are taken of above 0, for example with K.sqrt(x + K.epsilon())"
LOGARITHM = "keep what logarithms are taken of above 0, for example with K.log(x + K.epsilon())"
OVERFLOW = "lower the learning rate, set clipnorm, or scale the data"

UNKNOWN = (
    "inputs, targets and weights are finite, so a number in between grew too large, or a division, root or logarithm "
    "had no value: look for these in losses and layers of your own, or lower the learning rate"
)
"""What is said when the step, run again piece by piece, gives numbers."""


def cause(plans: Sequence[OutputPlan], step: Step, batch: Sequence[Array]) -> str | None:
    """What happens in the step, and what helps; ``None`` if it does not happen again.

    The step is run once more, unoptimized, with a flag for each intermediate tensor, and from the loss (or else from
    the first update that is no number) the way goes back to an operation all of whose operands are numbers.

    Args:
        plans: those of the model's outputs. step: what was run, on the state that it was run on. batch: its arrays.
    """
    graph = step.graph
    nodes = [node for node in graph.nodes() if node.inputs]
    values = [value for node in nodes for value in node.outputs if value.type.is_float]
    flags = _run(graph, [reduction.reduce_sum(elementwise.mul(value, 0.0)) for value in values], batch)
    bad = {value for value, flag in zip(values, flags, strict=True) if not np.isfinite(flag)}
    order = {node: i for i, node in enumerate(nodes)}
    lost = next((value for value in (*graph.outputs.values(), *graph.updates.values()) if value in bad), None)
    if lost is None:
        return None
    while found := [value for value in lost.node.inputs if value in bad]:
        lost = min(found, key=lambda value: order[value.node])
    *operands, result = _run(graph, [*lost.node.inputs, lost], batch)
    what, advice = _trouble(lost.node, operands, result)
    forward = set(ir.toposort([next(iter(graph.outputs.values()))]))
    if advice is DIVISION and _is_sum_of_row(plans, lost.node):
        advice = "a row of predictions sums to 0; end with activation='softmax', whose rows sum to 1"
    return f"{_place(lost.node, lost.node not in forward)} {what}: {advice}"


def _is_sum_of_row(plans: Sequence[OutputPlan], node: ir.Node) -> bool:
    """Whether this is the division by which categorical_crossentropy makes probabilities of predictions."""
    function = losses.categorical_crossentropy
    scopes = [f"loss/{p.name}" for p in plans if losses.function_of(p.loss) is function]
    return node.scope in scopes and isinstance(node.inputs[-1].op, reduction.ReduceSum)


def _run(graph: ir.Graph, values: Sequence[ir.Value], batch: Sequence[Array]) -> list[Array]:
    outputs = {f"value_{i}": value for i, value in enumerate(values)}
    return Executable(ir.Graph(graph.inputs, outputs, {}, "blame"), ())(*batch)


def _place(node: ir.Node, backward: bool) -> str:
    """Where an operation stands, from its scope."""
    scope = node.scope
    kind, _, rest = scope.partition("/")
    if kind == "loss" and rest:
        place = f"the loss of output {rest.partition('/')[0]!r}"
    elif kind == "optimizer":
        return "the optimizer's update"
    else:
        place = f"layer {scope!r}" if scope else "the model"
    return f"the gradient of {place}" if backward else place


def _trouble(node: ir.Node, operands: Sequence[Array], result: Array) -> tuple[str, str]:
    """What an operation does that makes no number of numbers, and what helps."""
    bad = ~np.isfinite(result)
    op = node.op
    if isinstance(op, (arithmetic.Div, elementwise.Mod, elementwise.Reciprocal)):
        divisor = _at(operands[-1], bad)
        if (np.abs(divisor) < np.finfo(np.float32).tiny).any():  # smaller numbers count as 0
            if isinstance(node.inputs[-1].op, elementwise.Sqrt):
                return "takes the derivative of a square root at 0, which is infinite", ROOT
            above = _at(operands[0], bad) if len(operands) > 1 else np.ones_like(divisor)
            return f"divides {'0 ' if (above == 0).any() else ''}by 0", DIVISION
    if isinstance(op, elementwise.Log) and (_at(operands[0], bad) < np.finfo(np.float32).tiny).any():
        negative = (_at(operands[0], bad) < 0).any()
        return f"takes the logarithm of {'a negative number' if negative else '0'}", LOGARITHM
    if isinstance(op, elementwise.Sqrt):
        return "takes the square root of a negative number", ROOT
    if isinstance(op, elementwise.Pow):
        base, exponent = (_at(x, bad) for x in operands)
        if ((base == 0) & (exponent < 0)).any():
            return "raises 0 to a negative power", DIVISION
        if (base < 0).any():
            return "raises a negative number to a fractional power", ROOT
    if isinstance(op, normalization_base.Normalization):
        below = _variance(op, operands) + op.epsilon
        if (below < 0).any():
            return "takes the square root of a negative number", "its variance is negative: look at its weights"
        if (below < np.finfo(np.float32).tiny).any():
            return "divides by a variance of 0", "give it an epsilon above 0"
    if isinstance(op, (elementwise.Asin, elementwise.Acos)):
        return f"takes the {type(op).__name__.lower()} of a number outside -1..1", "clip its argument with K.clip"
    if op.regions:
        return "makes infinities or NaN of numbers in a loop", f"look at its steps, or {OVERFLOW}"
    return "overflows", OVERFLOW


def _variance(op: normalization_base.Normalization, operands: Sequence[Array]) -> Array:
    """What a normalization divides by the root of: its last operand, or in training what it computes."""
    if isinstance(op, normalization.BatchNormTraining):
        return np.asarray(operands[0].var(op.others(operands[0].ndim)))
    return operands[-1]


def _at(x: Array, where: Array) -> Array:
    """The elements of an operand from which the marked elements of the result come."""
    return np.broadcast_to(x, where.shape)[where] if np.ndim(where) else np.asarray(x)
