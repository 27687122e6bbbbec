"""What stands between recurrent operators: results of both directions side by side, and changes between two orders."""

from __future__ import annotations

from kcompile.ir.core import Node, Permutation, Value, apply
from kcompile.ir.ops.arrays.reduction import reduce_sum
from kcompile.ir.ops.arrays.slicing import Concat, Split
from kcompile.ir.ops.elementwise.arithmetic import Add
from kcompile.ir.ops.elementwise.base import Elementwise
from kcompile.ir.ops.shapes.axes import inverse
from kcompile.ir.ops.shapes.reshaping import Reshape, Transpose, reshape, transpose
from kcompile.ir.ops.spatial.normalization_base import Normalization
from kcompile.passes.machinery.rewrite import Rules
from kcompile.passes.rules.movement import permutation_of

RULES = Rules()

MOST_STEPS = 8
"""So many ops between two transposes are moved to the order on the other side of them."""


@RULES.on(Concat)
def concat_of_directions(node: Node) -> Value | None:
    """concat of all parts of a split, each without the axis of the split -> one transpose and one reshape."""
    assert isinstance(node.op, Concat)
    found = _directions(node)
    if found is None:
        return None
    x, split_axis, order = found
    axis = node.op.axis
    return reshape(transpose(x, [*order[:axis], split_axis, *order[axis:]]), node.outputs[0].shape)


@RULES.on(Add)
def sum_of_directions(node: Node) -> Value | None:
    """The sum of both parts of a split -> a sum over the axis of the split."""
    found = _directions(node)
    if found is None:
        return None
    x, split_axis, order = found
    return reshape(transpose(reduce_sum(x, split_axis, keepdims=True), [split_axis, *order]), node.outputs[0].shape)


def _directions(node: Node) -> tuple[Value, int, tuple[int, ...]] | None:
    """If the operands are all parts of a split: what is split, along which axis, and the axes of each operand in it."""
    parts = [_direction(value) for value in node.inputs]
    first = parts[0]
    if first is None or any(part is None or part[1:] != first[1:] for part in parts):
        return None
    _, source, order = first
    assert isinstance(source.op, Split)
    in_order = tuple(part[0] for part in parts if part is not None) == source.outputs
    return (source.inputs[0], source.op.axis, order) if in_order else None


def _direction(value: Value) -> tuple[Value, Node, tuple[int, ...]] | None:
    """The part of a split of which ``value`` is made by dropping the axis of the split, and then perhaps transposing.

    With it come the split and, for each axis of ``value``, that of the part.
    """
    order = tuple(range(value.rank))
    if isinstance(value.op, Transpose):
        order, value = permutation_of(value.node), value.node.inputs[0]
    part = value.node.inputs[0] if isinstance(value.op, Reshape) else value
    if not isinstance(part.op, Split):
        return None
    kept = [axis for axis in range(part.rank) if axis != part.op.axis]
    if part.shape[part.op.axis] != 1 or value.shape != tuple(part.shape[axis] for axis in kept):
        return None
    return part, part.node, tuple(kept[axis] for axis in order)


@RULES.on(Transpose)
def transpose_before_joining(node: Node) -> Value | None:
    """transpose(reshape(transpose(x))) -> reshape(transpose(x)), where the reshape joins the last two axes."""
    (joined,) = node.inputs
    order = permutation_of(node)
    if not isinstance(joined.op, Reshape) or order[-1] != joined.rank - 1:
        return None
    (x,) = joined.node.inputs
    if not isinstance(x.op, Transpose) or x.shape[:-2] != joined.shape[:-1]:
        return None
    return reshape(transpose(x, [*order[:-1], x.rank - 2, x.rank - 1]), node.outputs[0].shape)


@RULES.on(Transpose)
def transpose_between_transposes(node: Node) -> Value | None:
    """transpose(f(transpose(x))) -> f(x), where the transposes cancel: layers keep to the order of the recurrence."""
    (x,) = node.inputs
    return None if isinstance(x.op, Transpose) else _transposed_back(x, permutation_of(node), MOST_STEPS)


def _transposed_back(value: Value, order: Permutation, steps: int) -> Value | None:
    """``transpose(value, order)``, if all of which ``value`` was made in so many steps has been transposed before."""
    if isinstance(value.op, Transpose):
        return value.node.inputs[0] if permutation_of(value.node) == inverse(order) else None
    if not isinstance(value.op, (Elementwise, Normalization)) or len(value.node.outputs) > 1 or not steps:
        return None
    found = value.op.permuted(value.node, order)
    if found is None:
        return None
    operands = []
    for operand, wanted in zip(value.node.inputs, found[1], strict=True):
        stays = (
            wanted is None or list(wanted[len(wanted) - operand.rank :]) == list(range(len(wanted)))[-operand.rank :]
        )
        whole = operand.rank == len(order)
        known = _transposed_back(operand, wanted, steps - 1) if whole and wanted is not None else operand
        if known is None or not (whole or stays):
            return None
        operands.append(known)
    return apply(found[0], *operands)
