"""Reverse-mode differentiation: gradients as ordinary values of the same language."""

from __future__ import annotations

from collections.abc import Sequence

from kcompile.ir.core import Value, constant, scope_of, toposort
from kcompile.ir.errors import IRError
from kcompile.ir.ops.arrays.reduction import reduce_sum
from kcompile.ir.ops.arrays.shaping import expand, reshape
from kcompile.ir.ops.elementwise.functions import add
from kcompile.ir.ops.loops.regions import RegionOp
from kcompile.ir.types import TensorType


def gradients(
    outputs: Sequence[Value], wrt: Sequence[Value], output_gradients: Sequence[Value] | None = None
) -> list[Value | None]:
    """The gradients of the sum of all elements of ``outputs`` with respect to each of ``wrt``.

    Only nodes that lie between ``wrt`` and ``outputs`` are visited. The results are ordinary values, so that
    they can be differentiated again.

    Args:
        outputs: floating point values of any rank.
        wrt: values of any rank, leaves or intermediate ones.
        output_gradients: the gradient of each output (default: ones).

    Returns:
        for each of ``wrt`` a value of its type, or ``None`` if no output depends on it smoothly.

    Raises:
        IRError: an output is not floating point.
    """
    nodes = toposort(outputs)
    reached = set(wrt)
    active = set()
    for node in nodes:
        if any(value in reached for value in node.inputs):
            active.add(node)
            reached.update(node.outputs)
    collected: dict[Value, list[Value]] = {}
    for index, output in enumerate(outputs):
        if not output.type.is_float:
            raise IRError(f"cannot differentiate {output}: not a floating point value")
        seed = output_gradients[index] if output_gradients is not None else constant(1, output.dtype)
        with scope_of(output.node):
            collected.setdefault(output, []).append(fit(seed, output.type))
    wanted = set(wrt)
    totals: dict[Value, Value | None] = {}

    def total(value: Value) -> Value | None:
        if value not in totals:
            parts = collected.pop(value, [])
            result: Value | None = parts[0] if parts else None
            for part in parts[1:]:
                assert result is not None
                result = add(result, part)
            totals[value] = result
        return totals[value]

    for node in reversed(nodes):
        if node not in active:
            continue
        with scope_of(node):
            grads = [total(value) for value in node.outputs]
            if all(g is None for g in grads):
                continue
            if isinstance(node.op, RegionOp):
                parts = node.op.region_vjp(gradients, node.inputs, node.outputs, grads)
            else:
                parts = node.op.vjp(node.inputs, node.outputs, grads)
            for value, g in zip(node.inputs, parts, strict=True):
                if g is not None and value in reached:
                    collected.setdefault(value, []).append(fit(g, value.type))
    return [total(value) if value in wanted else None for value in wrt]


def fit(g: Value, type: TensorType) -> Value:
    """Undo broadcasting: sum ``g`` over the axes along which a value of ``type`` was repeated.

    A gradient of smaller shape is expanded. This is the one place where broadcasting is undone.
    """
    if g.shape == type.shape:
        return g
    extra = max(0, g.rank - type.rank)
    axes = list(range(extra))
    for axis, dim in enumerate(type.shape, start=extra - max(0, type.rank - g.rank)):
        if 0 <= axis < g.rank and dim == 1 and g.shape[axis] != 1:
            axes.append(axis)
    if axes:
        g = reduce_sum(g, axes, keepdims=True)
        if extra:
            g = reshape(g, g.shape[extra:])
    repeated = g.rank != type.rank or any(a == 1 and b != 1 for a, b in zip(g.shape, type.shape, strict=True))
    return expand(g, type.shape) if repeated else g
