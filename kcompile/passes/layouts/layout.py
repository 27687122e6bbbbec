"""Data layout: channels-last spatial ops run channels-first, which is what ONNX and its kernels know.

Each channels-last op is replaced by its channels-first twin. The transposes that this takes are not put
around the op: the walk keeps results in the permuted order, and asks each following op (:meth:`Op.permuted`)
whether it can work in that order too. So transposes remain where a model's layout really changes: usually one
at the input, and one before a Flatten. Weights keep their order.
"""

from __future__ import annotations

from collections.abc import Sequence

from kcompile.ir import costs
from kcompile.ir.core import (
    Constant,
    Graph,
    Node,
    Op,
    Permutation,
    Value,
    apply,
    constant,
    constant_of,
    make_node,
    scope_of,
)
from kcompile.ir.dims import Dim
from kcompile.ir.ops.arrays.reduction import ArgReduction, Reduction
from kcompile.ir.ops.elementwise.base import Elementwise
from kcompile.ir.ops.products.softmax import LogSoftmax, Softmax
from kcompile.ir.ops.shapes.axes import inverse
from kcompile.ir.ops.shapes.reshaping import Reshape, reshape, transpose
from kcompile.ir.ops.spatial.enlarging import Enlarge
from kcompile.ir.ops.spatial.spatial import SpatialOp, to_channels_first
from kcompile.passes.machinery.flops import elements
from kcompile.passes.machinery.report import fired
from kcompile.passes.machinery.rewrite import count_uses, in_regions

MOST_STEPS = 20
"""So far back is looked for something that can be had in another order at no cost."""


def layout(graph: Graph) -> Graph:
    """Run channels-last spatial ops channels-first, with as few transposes as possible."""
    graph = in_regions(graph, layout)
    if not any(_is_channels_last(node.op) for node in graph.nodes()):
        return graph
    return _Walk(graph).run()


def _is_channels_last(op: Op) -> bool:
    return isinstance(op, SpatialOp) and op.data_format == "channels_last"


class _Walk:
    """Rebuilds a graph; a value is known in its own order (``plain``), in a permuted one, or in both."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.uses = count_uses(graph)
        self.plain: dict[Value, Value] = {value: value for value in graph.inputs}
        self.permuted: dict[Value, tuple[Permutation, Value]] = {}
        self.asked: dict[tuple[Value, Permutation], Value] = {}
        self.depth = 0

    def run(self) -> Graph:
        for node in self.graph.nodes():
            if node.outputs[0] not in self.plain:
                with scope_of(node):
                    self.visit(node)
        return self.graph.with_results([self.in_order(value) for value in self.graph.results])

    def visit(self, node: Node) -> None:
        if isinstance(node.op, (Reduction, ArgReduction)) and node.inputs[0] in self.permuted:
            self.reduce(node, node.op)
            return
        for permutation in self.candidates(node):
            found = node.op.permuted(node, permutation)
            if found is None:
                continue
            op, wanted = found
            if _is_channels_last(node.op):
                fired(f"{node.op.name} channels first")
            elif self.cost(node, wanted) > self.cost(node, [None] * len(wanted)):
                continue
            operands = [self.in_permuted_order(*pair) for pair in zip(node.inputs, wanted, strict=True)]
            for old, new in zip(node.outputs, make_node(op, *operands).outputs, strict=True):
                # Of several results, those with fewer axes are vectors per channel, and stay.
                if old.rank == len(permutation) and permutation != tuple(range(old.rank)):
                    self.permuted[old] = permutation, new
                else:
                    self.plain[old] = new
            return
        inputs = tuple(self.in_order(value) for value in node.inputs)
        outputs = node.outputs if inputs == node.inputs else make_node(node.op, *inputs).outputs
        self.plain.update(zip(node.outputs, outputs, strict=True))

    def reduce(self, node: Node, op: Reduction | ArgReduction) -> None:
        """A reduction works in any order; what is left of the order of its operand is that of the result."""
        permutation, x = self.permuted[node.inputs[0]]
        output = node.outputs[0]
        if isinstance(op, Reduction):
            axes = op.axes
            reduced = apply(type(op)(tuple(sorted(map(permutation.index, axes))), op.keepdims), x)
        else:
            axes = (op.axis,)
            reduced = apply(type(op)(permutation.index(op.axis), op.keepdims), x)
        order = permutation
        if not op.keepdims:
            kept = [axis for axis in range(len(permutation)) if axis not in axes]
            order = tuple(kept.index(axis) for axis in permutation if axis in kept)
        if order == tuple(range(output.rank)):
            self.plain[output] = reduced
        else:
            self.permuted[output] = order, reduced

    def candidates(self, node: Node) -> list[Permutation]:
        """The orders in which the results of ``node`` are worth having."""
        op, output = node.op, node.outputs[0]
        if isinstance(op, SpatialOp):
            if not _is_channels_last(op):
                return []
            return [to_channels_first(output.rank) if op.activation_output else tuple(range(output.rank))]
        if isinstance(op, (Softmax, LogSoftmax)) and op.axis == output.rank - 1:
            return []  # along the last axis it is fastest
        found = dict.fromkeys(order for value in node.inputs if (order := self.order_after(node, value)) is not None)
        return list(found)

    def order_after(self, node: Node, value: Value) -> Permutation | None:
        """The order of the results of ``node`` that goes with the permuted order of its operand ``value``."""
        if value not in self.permuted:
            return None
        permutation, _ = self.permuted[value]
        if isinstance(node.op, Reshape):
            # The reshape back says which order of the result makes this order of the operand.
            back = make_node(Reshape(value.shape), node.outputs[0])
            found = back.op.permuted(back, permutation)
            return _with_ones_in_place(found[1][0] or (), node.outputs[0].shape) if found is not None else None
        return permutation if node.outputs[0].rank == len(permutation) else None

    # -- values in an order

    def in_order(self, value: Value) -> Value:
        """``value`` in its own order."""
        if value not in self.plain:
            permutation, new = self.permuted[value]
            with scope_of(value.node):
                self.plain[value] = transpose(new, inverse(permutation))
        return self.plain[value]

    def in_permuted_order(self, value: Value, permutation: Permutation | None) -> Value:
        """``value``, with leading axes of size 1 if it has fewer axes, in the order of ``permutation``."""
        if permutation is None or permutation == tuple(range(value.rank)):
            return self.in_order(value)
        if value in self.permuted and self.permuted[value][0] == permutation:
            return self.permuted[value][1]
        key = value, permutation
        if key not in self.asked:
            self.asked[key] = self.make_permuted(value, permutation)
        return self.asked[key]

    def make_permuted(self, value: Value, permutation: Permutation) -> Value:
        array = constant_of(value)
        if array is not None:
            lifted = array.reshape((1,) * (len(permutation) - array.ndim) + array.shape)
            return constant(lifted.transpose(permutation))
        if self.moves_for_free(value, permutation) or (self.depth < MOST_STEPS and self.prepares(value, permutation)):
            found = value.op.permuted(value.node, permutation)
            assert found is not None
            op, wanted = found
            self.depth += 1
            operands = [self.in_permuted_order(*pair) for pair in zip(value.node.inputs, wanted, strict=True)]
            self.depth -= 1
            return make_node(op, *operands).outputs[0]
        plain = self.in_order(value)
        shape = (1,) * (len(permutation) - plain.rank) + plain.shape
        if _only_moves_ones(plain, permutation):
            return reshape(plain, [shape[axis] for axis in permutation])
        return transpose(reshape(plain, shape), permutation)

    def moves_for_free(self, value: Value, permutation: Permutation, depth: int = 0) -> bool:
        """Whether ``value`` is made of constants and random numbers alone, which can be had in any order."""
        if isinstance(value.op, Constant):
            return True
        if self.uses.get(value, 0) != 1 or value in self.permuted or value.rank != len(permutation):
            return False
        if depth > MOST_STEPS:
            return False
        found = value.op.permuted(value.node, permutation) if len(value.node.outputs) == 1 else None
        if found is None:
            return False
        return all(
            order is None or self.moves_for_free(operand, order, depth + 1)
            for operand, order in zip(value.node.inputs, found[1], strict=True)
        )

    def prepares(self, value: Value, permutation: Permutation) -> bool:
        """Whether ``value`` is one tensor, scaled or shifted by constants, or enlarged.

        That can be done behind the transpose as well, where the folding into weights finds it, or fewer elements
        are moved.
        """
        if self.uses.get(value, 0) != 1 or value in self.permuted:
            return False
        if isinstance(value.op, Enlarge):
            return value.op.permuted(value.node, permutation) is not None
        if not isinstance(value.op, Elementwise):
            return False
        tensors = [x for x in value.node.inputs if x.rank > 0 and not isinstance(x.op, Constant)]
        return value.rank == len(permutation) and len(tensors) == 1 and tensors[0].shape == value.shape

    def cost(self, node: Node, wanted: Sequence[Permutation | None]) -> int:
        """How many elements must be transposed to have the operands of ``node`` in these orders."""
        total = 0
        for value, permutation in zip(node.inputs, wanted, strict=True):
            if permutation is None or permutation == tuple(range(value.rank)):
                free = value not in self.permuted or value in self.plain
            elif value in self.permuted and self.permuted[value][0] == permutation:
                free = True
            else:
                free = (value, permutation) in self.asked or self.moves_for_free(value, permutation)
                free = free or _only_moves_ones(value, permutation)
            total += 0 if free else elements(value, {}, costs.USUAL_SIZE)
        return total


def _with_ones_in_place(permutation: Permutation, shape: Sequence[Dim]) -> Permutation:
    """An order that starts with new axes of size 1, with each of them put behind the axis before it.

    Where these axes are does not matter to a reshape, but to what comes after it (an expand).
    """
    rest = list(permutation)
    ones = []
    while rest and shape[rest[0]] == 1:
        ones.append(rest.pop(0))
    for axis in sorted(ones):
        rest.insert(rest.index(axis - 1) + 1 if axis - 1 in rest else 0, axis)
    return tuple(rest)


def _only_moves_ones(value: Value, permutation: Permutation) -> bool:
    """Whether the transpose is a mere reshape: axes longer than 1 keep their order."""
    missing = len(permutation) - value.rank
    long_axes = [axis for axis in permutation if axis >= missing and value.shape[axis - missing] != 1]
    return long_axes == sorted(long_axes)
