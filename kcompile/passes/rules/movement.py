"""Ops that move elements without computing: chains merge, opposites cancel."""

from __future__ import annotations

from collections.abc import Sequence

from kcompile.ir.core import Node, Value, apply
from kcompile.ir.dims import Dim
from kcompile.ir.ops.arrays.indexing import Gather, gather
from kcompile.ir.ops.arrays.slicing import Concat, Pad, Slice, Split, concat, pad
from kcompile.ir.ops.elementwise.base import Elementwise
from kcompile.ir.ops.shapes.axes import inverse
from kcompile.ir.ops.shapes.reshaping import Expand, Reshape, Transpose, expand, reshape, transpose
from kcompile.ir.ops.spatial.enlarging import Enlarge, EnlargeGrad
from kcompile.passes.machinery.rewrite import Rules, same_type

RULES = Rules()


# ---- reshape, transpose, expand


@RULES.on(Reshape, Expand)
def nothing_moved(node: Node) -> Value | None:
    """reshape(x, shape of x) -> x; the same for expand."""
    return node.inputs[0] if same_type(node.inputs[0], node) else None


@RULES.on(Reshape)
def reshape_of_reshape(node: Node) -> Value | None:
    """reshape(reshape(x)) -> reshape(x)."""
    (x,) = node.inputs
    return reshape(x.node.inputs[0], node.outputs[0].shape) if isinstance(x.op, Reshape) else None


@RULES.on(Enlarge, EnlargeGrad)
def nearest_of_nearest(node: Node) -> Value | None:
    """enlarge(enlarge(x)) -> enlarge(x) by the products of the factors, where elements are repeated."""
    (x,) = node.inputs
    op, inner = node.op, x.op
    assert isinstance(op, (Enlarge, EnlargeGrad))
    if type(inner) is not type(op) or op.mode != "nearest" or inner.mode != "nearest":
        return None
    factors = tuple(a * b for a, b in zip(op.factors, inner.factors, strict=True))
    return apply(type(op)(factors, "nearest"), *x.node.inputs)


@RULES.on(Transpose)
def transpose_of_transpose(node: Node) -> Value | None:
    """transpose(transpose(x)) -> transpose(x), or x."""
    (x,) = node.inputs
    order = permutation_of(node)
    if isinstance(x.op, Transpose):
        inner = permutation_of(x.node)
        return transpose(x.node.inputs[0], [inner[axis] for axis in order])
    return x if order == tuple(range(len(order))) else None


@RULES.on(Transpose)
def transposes_across_reshape(node: Node) -> Value | None:
    """transpose(reshape(transpose(x))) -> reshape(x) where the transposes cancel: sizes of a merged batch, say."""
    (x,) = node.inputs
    if not isinstance(x.op, Reshape) or not isinstance(x.node.inputs[0].op, Transpose):
        return None
    inner = x.node.inputs[0].node
    found = x.op.permuted(x.node, permutation_of(node))
    if found is None or found[1][0] != inverse(permutation_of(inner)):
        return None
    return reshape(inner.inputs[0], node.outputs[0].shape)


@RULES.on(Transpose)
def transpose_as_reshape(node: Node) -> Value | None:
    """transpose(x) -> reshape(x) where only axes of size 1 change places."""
    (x,) = node.inputs
    long_axes = [axis for axis in permutation_of(node) if x.shape[axis] != 1]
    return reshape(x, node.outputs[0].shape) if long_axes == sorted(long_axes) else None


@RULES.on(Transpose)
def transpose_of_gather(node: Node) -> Value | None:
    """transpose(gather(table, i)) -> gather(table, transpose(i)): the places of rows move instead of the rows."""
    (rows,) = node.inputs
    order = permutation_of(node)
    if not isinstance(rows.op, Gather) or rows.op.axis != 0 or rows.node.inputs[0].rank != 2:
        return None
    table, places = rows.node.inputs
    return gather(table, transpose(places, order[:-1])) if order[-1] == places.rank else None


def permutation_of(node: Node) -> tuple[int, ...]:
    """The permutation of a transpose."""
    assert isinstance(node.op, Transpose)
    return node.op.permutation


@RULES.on(Expand)
def expand_of_expand(node: Node) -> Value | None:
    """expand(expand(x)) -> expand(x); expand(reshape(x)) -> expand(x) where the reshape adds leading axes."""
    (x,) = node.inputs
    if isinstance(x.op, Expand) or (isinstance(x.op, Reshape) and _adds_leading_axes(x.node)):
        return expand(x.node.inputs[0], node.outputs[0].shape)
    return None


@RULES.on(Expand)
def expand_as_reshape(node: Node) -> Value | None:
    """expand(x) -> reshape(x) where it only adds leading axes of size 1."""
    return reshape(node.inputs[0], node.outputs[0].shape) if _adds_leading_axes(node) else None


def _adds_leading_axes(node: Node) -> bool:
    (x,), shape = node.inputs, node.outputs[0].shape
    return len(shape) >= x.rank and shape == (1,) * (len(shape) - x.rank) + x.shape


@RULES.on(Reshape)
def reshape_of_expand(node: Node) -> Value | None:
    """reshape(expand(x)) -> expand(reshape(x)) where only axes of size 1 come or go.

    Ops that follow then see the expand.
    """
    (x,) = node.inputs
    shape = node.outputs[0].shape
    if not isinstance(x.op, Expand) or [n for n in x.shape if n != 1] != [n for n in shape if n != 1]:
        return None
    (source,) = x.node.inputs
    lifted = (1,) * (x.rank - source.rank) + source.shape
    long_axes = iter([small for small, n in zip(lifted, x.shape, strict=True) if n != 1])
    return expand(reshape(source, [1 if n == 1 else next(long_axes) for n in shape]), shape)


@RULES.on(Elementwise)
def compute_before_expand(node: Node) -> Value | None:
    """f(expand(x), y) -> f(x, y), expanded afterwards if y does not have the shape already."""
    if not any(isinstance(x.op, Expand) for x in node.inputs):
        return None
    operands = [x.node.inputs[0] if isinstance(x.op, Expand) else x for x in node.inputs]
    return expand(apply(node.op, *operands), node.outputs[0].shape)


# ---- concat, split, slice, pad


@RULES.on(Concat)
def concat_of_parts(node: Node) -> Value | None:
    """concat(split(x)) -> x; concat(concat(x, y), z) -> concat(x, y, z); empty operands are dropped."""
    assert isinstance(node.op, Concat)
    axis, operands = node.op.axis, list(node.inputs)
    if len(operands) == 1:
        return operands[0]
    full = [x for x in operands if x.shape[axis] != 0] or operands[:1]
    if len(full) < len(operands):
        result = concat(full, axis)
        return result if same_type(result, node) else None
    match operands[0].op:
        case Split(axis=cut) if cut == axis and tuple(operands) == operands[0].node.outputs:
            return operands[0].node.inputs[0]
    flat = [y for x in operands for y in (x.node.inputs if x.op == node.op else (x,))]
    return concat(flat, axis) if len(flat) > len(operands) else None


@RULES.on(Concat)
def concat_of_transposes(node: Node) -> Value | None:
    """concat(transpose(x), transpose(y)) -> transpose(concat(x, y)) where both transpose alike."""
    assert isinstance(node.op, Concat)
    first = node.inputs[0].op
    if not isinstance(first, Transpose) or any(operand.op != first for operand in node.inputs):
        return None
    sources = [operand.node.inputs[0] for operand in node.inputs]
    return transpose(concat(sources, first.permutation[node.op.axis]), first.permutation)


@RULES.on(Split)
def split_of_concat(node: Node) -> tuple[Value, ...] | None:
    """split(concat(x, y)) -> x, y where it cuts at the joints; a split into one part is that part."""
    assert isinstance(node.op, Split)
    (x,) = node.inputs
    if len(node.outputs) == 1 and x.type == node.outputs[0].type:
        return (x,)
    if not isinstance(x.op, Concat) or x.op.axis != node.op.axis:
        return None
    parts = x.node.inputs
    return parts if [p.type for p in parts] == [o.type for o in node.outputs] else None


@RULES.on(Slice)
def slice_of_all(node: Node) -> Value | None:
    """A slice that takes all elements in order -> x; axes of which it takes all are left out."""
    assert isinstance(node.op, Slice)
    (x,) = node.inputs
    parts = _parts(node.op)
    cut = [part for part in parts if (part[1], part[2], part[3]) != (0, x.shape[part[0]], 1)]
    return _sliced(x, cut) if len(cut) < len(parts) else None


@RULES.on(Slice)
def slice_of_slice(node: Node) -> Value | None:
    """slice(slice(x)) -> slice(x)."""
    (x,) = node.inputs
    assert isinstance(node.op, Slice)
    if not isinstance(x.op, Slice):
        return None
    merged = {part[0]: part for part in _parts(x.op)}
    for axis, start, size, step in _parts(node.op):
        _, first, _, stride = merged.get(axis, (axis, 0, 0, 1))
        merged[axis] = axis, first + start * stride, size, step * stride
    return _sliced(x.node.inputs[0], sorted(merged.values()))


@RULES.on(Slice)
def slice_of_transposed_slice(node: Node) -> Value | None:
    """slice(transpose(slice(x))) -> transpose(slice(slice(x))): two reversals of time then meet, and cancel."""
    (moved,) = node.inputs
    assert isinstance(node.op, Slice)
    if not isinstance(moved.op, Transpose) or not isinstance(moved.node.inputs[0].op, Slice):
        return None
    order = permutation_of(moved.node)
    parts: list[SlicePart] = [(order[axis], start, size, step) for axis, start, size, step in _parts(node.op)]
    parts.sort(key=lambda part: part[0])
    return transpose(_sliced(moved.node.inputs[0], parts), order)


@RULES.on(Slice)
def slice_of_concat(node: Node) -> Value | None:
    """slice(concat(x, y)) -> slice(y) where all elements come from one operand."""
    (x,) = node.inputs
    assert isinstance(node.op, Slice)
    if not isinstance(x.op, Concat) or node.op.axes != (x.op.axis,):
        return None
    (axis, start, size, step), offset = _parts(node.op)[0], 0
    if not isinstance(start, int) or not isinstance(size, int) or size == 0:
        return None
    low, high = sorted((start, start + (size - 1) * step))
    for part in x.node.inputs:
        n = part.shape[axis]
        if not isinstance(n, int):
            return None
        if offset <= low and high < offset + n:
            result = _sliced(part, [(axis, start - offset, size, step)])
            return result if same_type(result, node) else None
        offset += n
    return None


SlicePart = tuple[int, Dim, Dim, int]


def _parts(op: Slice) -> list[SlicePart]:
    return list(zip(op.axes, op.starts, op.sizes, op.steps, strict=True))


def _sliced(x: Value, parts: Sequence[SlicePart]) -> Value:
    if not parts:
        return x
    axes, starts, sizes, steps = zip(*parts, strict=True)
    return apply(Slice(axes, starts, sizes, steps), x)


@RULES.on(Pad)
def pad_of_pad(node: Node) -> Value | None:
    """A pad by nothing -> x; pad(pad(x)) -> pad(x) where both add elements of one value."""
    (x,) = node.inputs
    outer = node.op
    assert isinstance(outer, Pad)
    if all(pair == (0, 0) for pair in outer.pads):
        return x
    if not isinstance(x.op, Pad) or outer.mode != "constant" or x.op.mode != "constant":
        return None
    if outer.value != x.op.value or not (_only_adds(outer) and _only_adds(x.op)):
        return None
    pairs = zip(outer.pads, x.op.pads, strict=True)
    return pad(x.node.inputs[0], [(a + c, b + d) for (a, b), (c, d) in pairs], "constant", outer.value)


@RULES.on(Pad)
def crop_of_pad(node: Node) -> Value | None:
    """pad(pad(x, p), -p) -> x: what the gradient of a pad does to a pad."""
    (x,) = node.inputs
    match node.op, x.op:
        case Pad(pads=outer, mode="constant"), Pad(pads=inner) if _opposite(inner, outer) and _only_adds(x.op):
            return x.node.inputs[0]
    return None


def _opposite(inner: Sequence[tuple[Dim, Dim]], outer: Sequence[tuple[Dim, Dim]]) -> bool:
    return all((a + c, b + d) == (0, 0) for (a, b), (c, d) in zip(inner, outer, strict=True))


def _only_adds(op: Pad) -> bool:
    return all(isinstance(amount, int) and amount >= 0 for pair in op.pads for amount in pair)
