"""Keep images in the blocked order of the CPU's convolution kernels, from convolution to convolution.

ONNX Runtime's kernels on blocked tensors are up to twice as fast as those on plain ones, and it uses them by
itself only for constant filters. This pass, for the native CPU target alone, gives each convolution that
gains from it its blocked form, and lets the ops between them work on blocked tensors, so that few
conversions remain.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from kcompile.ir.core import (
    Graph,
    Node,
    Permutation,
    Value,
    apply,
    apply_multi,
    constant,
    constant_of,
)
from kcompile.ir.ops.arrays.indexing import gather
from kcompile.ir.ops.arrays.reduction import ReduceMean, ReduceSum, Reduction
from kcompile.ir.ops.arrays.shaping import reshape, transpose
from kcompile.ir.ops.arrays.slicing import Concat
from kcompile.ir.ops.blocked.blocked import (
    BlockedAveragePool,
    BlockedBatchNormGrad,
    BlockedConv,
    BlockedConvInputGrad,
    BlockedMaxPool,
    BlockedMean,
    FromBlocked,
    ToBlocked,
)
from kcompile.ir.ops.blocked.few import BlockedConvFew
from kcompile.ir.ops.blocked.windows import (
    batch_norm,
    blocked_max_grad,
    channel_sums,
    crop_channels,
    staged_max,
    weight_grad_by_windows,
)
from kcompile.ir.ops.elementwise.base import Elementwise
from kcompile.ir.ops.elementwise.functions import mul
from kcompile.ir.ops.shapes.reshaping import Transpose
from kcompile.ir.ops.spatial.convolution import (
    Conv,
    ConvInputGrad,
    ConvWeightGrad,
)
from kcompile.ir.ops.spatial.convolution_base import Convolution
from kcompile.ir.ops.spatial.depth_pooling import DepthOp
from kcompile.ir.ops.spatial.depth_windows import DepthWindows
from kcompile.ir.ops.spatial.enlarging import EnlargeGrad
from kcompile.ir.ops.spatial.normalization import BatchNormGrad, BatchNormTraining
from kcompile.ir.ops.spatial.pooling import (
    AveragePool,
    MaxPool,
    MaxPoolGrad,
)
from kcompile.ir.ops.spatial.pooling_base import Pooling
from kcompile.ir.ops.spatial.spatial import to_channels_first, to_channels_last
from kcompile.ir.ops.spatial.window_maxima import compares_images
from kcompile.ir.rebuilding import rebuild
from kcompile.passes.blocking import groups as grouped
from kcompile.passes.blocking.convolutions import Kernels, channels_of
from kcompile.passes.blocking.weight_gradients import (
    EXCHANGED,
    TILES,
    WINDOWS,
    by_exchanged_tiles,
    by_tiles,
    cheapest_way,
    is_product_of_pixels,
    product_of_pixels,
)
from kcompile.passes.machinery.report import fired
from kcompile.passes.machinery.rewrite import in_regions

PASS_ON = (Elementwise, Concat, BatchNormTraining, BatchNormGrad, MaxPoolGrad, DepthWindows, DepthOp)
"""Ops that work on blocked tensors as well, if that is what their results are wanted for."""

TO_CHANNELS_FIRST, TO_CHANNELS_LAST = to_channels_first(4), to_channels_last(4)


def blocked(graph: Graph, block: int) -> Graph:
    """Convolutions, and what lies between them, on tensors whose channels are blocked by ``block``."""
    if not block:
        return graph
    graph = in_regions(graph, lambda region: blocked(region, block))
    graph = grouped.repeat_channels(graph, block)
    return rebuild(graph, _Walk(graph, block).rule)


class _Walk:
    """Decides for each node of ``graph`` whether it works on blocked tensors.

    A value that was computed blocked appears as ``FromBlocked`` of it; who can use the blocked tensor takes
    it from there, and the conversion vanishes if nobody else needs it.
    """

    def __init__(self, graph: Graph, block: int) -> None:
        self.block = block
        self.kernels = Kernels(block)
        self.users: dict[Value, list[Node]] = {}
        nodes = graph.nodes()
        for node in nodes:
            for value in node.inputs:
                self.users.setdefault(value, []).append(node)
        self.wanted: set[Value] = set()
        self.converted: set[Value] = set()
        self.needed_plain: set[Value] = set(graph.results)
        self.taken_plain: set[Value] = set(graph.results)
        for node in reversed(nodes):
            wants = self._wants(node)
            self.wanted.update(wants)
            if isinstance(node.op, Convolution):
                self.converted.update(wants)
            if not self._takes_either(node):
                plain = [value for value in node.inputs if value not in wants]
                self.needed_plain.update(plain)
                if not isinstance(node.op, PASS_ON):
                    self.taken_plain.update(plain)
            elif isinstance(node.op, ConvWeightGrad) and self._by_windows(node):
                self.needed_plain.add(node.inputs[0])

    def _by_windows(self, node: Node) -> bool:
        return self.kernels.convolves(node) and cheapest_way(node, self.block) == WINDOWS

    def as_plain(self, result: Value, plain: Value) -> Value:
        """The blocked ``result`` seen as the value ``plain`` of the graph before."""
        channels = None if self.kernels.whole(plain.type) else channels_of(plain.type)
        return apply(FromBlocked(self.block, channels=channels), result)

    def _wants(self, node: Node) -> Sequence[Value]:
        """The inputs that ``node`` takes blocked, if it gains from that or its users do."""
        match node.op:
            case Convolution() if grouped.takes_groups(node, self.kernels):
                return [value for value in grouped.wanted_blocked(node) if self.kernels.fits(value.type)]
            case Conv() | ConvInputGrad():
                gains = self.kernels.gains(node) or (node.outputs[0] in self.wanted and self.kernels.pays(node))
                return [node.inputs[0]] if gains and self.kernels.fits(node.inputs[0].type) else []
            case ConvWeightGrad():
                if not self.kernels.convolves(node):
                    return []
                wanted = {TILES: node.inputs[1:], EXCHANGED: node.inputs[:1]}.get(cheapest_way(node, self.block), ())
                return [value for value in wanted if self.kernels.fits(value.type)]
            case Transpose(permutation=permutation) if permutation == TO_CHANNELS_LAST:
                return node.inputs if self.kernels.fits(node.inputs[0].type) else []
            case DepthWindows() | DepthOp():
                if node.outputs[0] in self.wanted and self._moves_blocks(node):
                    return node.inputs
            case Elementwise() | MaxPool() | AveragePool() | Concat(axis=1):
                if node.outputs[0] in self.wanted and self._keeps_padding(node):
                    return [value for value in node.inputs if value.shape[1:2] == node.outputs[0].shape[1:2]]
            case BatchNormTraining(axis=1):
                if node.outputs[0] in self.wanted and self._computes_blocked(node.inputs[0].node):
                    return node.inputs[:1]
            case BatchNormGrad(axis=1):
                if node.outputs[0] in self.wanted and self._computes_blocked(node.inputs[1].node):
                    return node.inputs[:2]
            case EnlargeGrad(mode="nearest", factors=(1, 1, _, _)):
                if node.outputs[0] in self.wanted and self.kernels.fits(node.inputs[0].type):
                    return node.inputs
            case MaxPoolGrad():
                if node.outputs[0] in self.wanted and compares_images(node.op, node.inputs[1].type):
                    return node.inputs
        return []

    def _takes_either(self, node: Node) -> bool:
        """Whether ``node`` works on blocked and plain tensors alike."""
        match node.op:
            case ReduceSum() | ReduceMean():
                return node.op.axes in ((0, 2, 3), (2, 3))
            case ConvWeightGrad():
                return self.kernels.convolves(node) or grouped.takes_groups(node, self.kernels)
            case MaxPool() | AveragePool() | EnlargeGrad(mode="nearest", factors=(1, 1, _, _)):
                return True
        return isinstance(node.op, PASS_ON) and node.outputs[0] not in self.needed_plain

    def _computes_blocked(self, node: Node) -> bool:
        """Whether ``node`` is a convolution whose result is blocked if that is wanted."""
        if not isinstance(node.op, Conv) or self.kernels.gives_few(node):
            return False
        return self.kernels.pays(node) or self.kernels.gains(node) or grouped.takes_groups(node, self.kernels)

    def _keeps_padding(self, node: Node) -> bool:
        """Whether zeros that fill up the last block of the inputs are zeros in the result too."""
        if all(self.kernels.whole(value.type) for value in node.inputs if value.rank):
            return True
        match node.op:
            case Elementwise() as op:
                scalars = [np.zeros(1, v.dtype) if v.rank else constant_of(v) for v in node.inputs]
                known = [scalar for scalar in scalars if scalar is not None]
                with np.errstate(all="ignore"):
                    return len(known) == len(scalars) and not np.any(op.evaluate(*known) != 0)
            case Concat():
                return all(self.kernels.whole(value.type) for value in node.inputs[:-1])
        return True

    def _moves_blocks(self, node: Node) -> bool:
        """Whether ``node``, which moves whole slices of volumes, may move them in blocked order."""
        x = node.inputs[0].type
        return self.kernels.whole(x) or (isinstance(node.op, DepthOp) and self.kernels.fits(x))

    # -- the walk

    def to_blocked(self, value: Value) -> Value:
        """The blocked form of ``value``."""
        if is_blocked(value):
            return inner(value)
        last = transposed_from(value, TO_CHANNELS_FIRST)
        return apply(ToBlocked(self.block), value) if last is None else apply(ToBlocked(self.block, True), last)

    def rule(self, node: Node, inputs: tuple[Value, ...]) -> Value | tuple[Value, ...] | None:
        """The blocked form of ``node``, seen as plain; ``None`` if it stays plain."""
        result = self._blocked(node, inputs)
        if result is not None:
            fired(node.op.name)
        return result

    def _blocked(self, node: Node, inputs: tuple[Value, ...]) -> Value | tuple[Value, ...] | None:
        result: Value | None = None
        match node.op:
            case Conv() | ConvInputGrad() | ConvWeightGrad():
                return self._convolution(node, inputs)
            case Transpose(permutation=permutation) if permutation == TO_CHANNELS_LAST and is_blocked(inputs[0]):
                return channels_last(inputs[0])
            case Elementwise():
                result = self._elementwise(node, inputs)
            case Concat(axis=1) if all(is_blocked(value) for value in inputs) and self._keeps_padding(node):
                result = apply(node.op, *(inner(value) for value in inputs))
            case DepthWindows() | DepthOp() if is_blocked(inputs[0]) or node.outputs[0] in self.wanted:
                if self._moves_blocks(node):
                    result = apply(node.op, *map(self.to_blocked, inputs))
            case MaxPool() | AveragePool() if is_blocked(inputs[0]):
                result = self._pool(node, inputs[0])
            case EnlargeGrad(mode="nearest", factors=(1, 1, *window)) if is_blocked(inputs[0]):
                # The sum over windows, which ReduceSum would find four times as slowly on a plain image.
                size = tuple(window)
                pool = BlockedAveragePool(size, size, ((0, 0), (0, 0)), self.block)
                result = mul(apply(pool, inner(inputs[0])), math.prod(size))
            case MaxPoolGrad() as op if compares_images(op, inputs[1].type):
                # Also between conversions: runs of a block are compared many times faster than single elements.
                if is_blocked(inputs[1]) or self.kernels.fits(inputs[1].type):
                    result = blocked_max_grad(op, self.to_blocked(inputs[0]), self.to_blocked(inputs[1]), self.block)
            case BatchNormTraining(axis=1) if is_blocked(inputs[0]) and node.outputs[0] in self.wanted:
                x, scale, offset = inputs
                y, mean, variance = batch_norm(inner(x), scale, offset, node.op.epsilon, self.block)
                return self.as_plain(y, node.outputs[0]), mean, variance
            case BatchNormGrad(axis=1) if is_blocked(inputs[1]):
                if not is_blocked(inputs[0]) and node.outputs[0] not in self.wanted:
                    return None
                gradient = BlockedBatchNormGrad(node.op.epsilon, self.block)
                operands = (self.to_blocked(inputs[0]), inner(inputs[1]), *inputs[2:])
                dx, *vectors = apply_multi(gradient, *operands)
                return self.as_plain(dx, node.outputs[0]), *vectors
            case ReduceSum() | ReduceMean() if is_blocked(inputs[0]):
                return self._reduction(node.op, inputs[0])
        return None if result is None else self.as_plain(result, node.outputs[0])

    def _chosen(self, node: Node, blocked_input: bool) -> bool:
        """Whether a convolution or input gradient is computed blocked."""
        few = self.kernels.few(node.inputs[0].type)
        between = blocked_input or (few and node.outputs[0] in self.wanted)
        return self.kernels.gains(node) or (between and self.kernels.pays(node))

    def _grouped(self, node: Node, inputs: tuple[Value, ...]) -> Value:
        """A convolution with groups, or a gradient of one."""
        if isinstance(node.op, ConvWeightGrad):
            x, g = inputs
            if grouped.depthwise(node):
                return grouped.depthwise_weight_grad(node.op, self.to_blocked(x), self.to_blocked(g), self.block)
            return grouped.weight_grad_by_groups(node.op, channels_last(x), self.to_blocked(g), self.block)
        assert isinstance(node.op, Conv | ConvInputGrad)
        result = grouped.convolution(node.op, self.to_blocked(inputs[0]), inputs[1:], self.block)
        return self.as_plain(result, node.outputs[0])

    def _convolution(self, node: Node, inputs: tuple[Value, ...]) -> Value | None:
        if grouped.takes_groups(node, self.kernels):
            return self._grouped(node, inputs)
        if not self.kernels.convolves(node):
            return None
        blocked_input = is_blocked(inputs[1 if isinstance(node.op, ConvWeightGrad) else 0])
        result: Value
        match node.op:
            case Conv() | ConvInputGrad() as op:
                if not self._chosen(node, blocked_input):
                    return None
                x = inputs[0] if self.kernels.few(inputs[0].type) and not blocked_input else self.to_blocked(inputs[0])
                if self.kernels.gives_few(node):
                    return few_outputs(op, x, inputs[1:], self.block)
                if isinstance(op, Conv):
                    result = apply(BlockedConv(op.strides, op.pads, op.dilations, self.block), x, *inputs[1:])
                else:
                    gradient = BlockedConvInputGrad(op.strides, op.pads, op.dilations, self.block, op.sizes)
                    result = apply(gradient, x, inputs[1])
            case ConvWeightGrad() as op:
                x, g = inputs
                match cheapest_way(node, self.block):
                    case "tiles":
                        image, parts = as_it_lies(x, self.block)
                        return by_tiles(op, image, self.to_blocked(g), channels_of(g.type), self.block, parts)
                    case "exchanged":
                        image, parts = as_it_lies(g, self.block)
                        outputs = channels_of(x.type)
                        return by_exchanged_tiles(op, self.to_blocked(x), image, outputs, self.block, parts)
                if blocked_input and is_product_of_pixels(node):
                    return product_of_pixels(channels_last(x), channels_last(g))
                if not blocked_input or not self.kernels.whole(g.type):
                    return None
                pads = [(int(before), int(after)) for before, after in op.pads]  # type: ignore[arg-type]
                return weight_grad_by_windows(x, inner(g), op.kernel, op.strides, pads, op.dilations, self.block)
            case _:
                return None
        return self.as_plain(result, node.outputs[0])

    def _elementwise(self, node: Node, inputs: tuple[Value, ...]) -> Value | None:
        """All operands that are not scalars must be images of one shape. Where some are plain and others
        blocked already, what takes fewer conversions is done.
        """
        output = node.outputs[0]
        images = [value for value in inputs if value.rank > 0]
        if (
            not self.kernels.fits(output.type)
            or not self._keeps_padding(node)
            or any(value.shape != output.shape or value.dtype != "float32" for value in images)
        ):
            return None
        pairs = [pair for pair in zip(node.inputs, inputs, strict=True) if pair[1].rank]
        # A transposed image has to be converted in either case.
        turned = [old for old, new in pairs if transposed_from(new, TO_CHANNELS_FIRST) is not None]
        to_block = sum(not is_blocked(new) and old not in (*self.converted, *turned) for old, new in pairs)
        to_plain = sum(is_blocked(new) and old not in self.taken_plain for old, new in pairs) + len(turned)
        to_block, to_plain = to_block + (output in self.needed_plain), to_plain + (output in self.wanted)
        if not (turned or any(is_blocked(value) for value in images)) or to_block > to_plain:
            return None
        if to_block == to_plain and not all(is_blocked(value) for value in images):
            return None
        self.converted.update(old for old, _ in pairs)
        return apply(node.op, *(self.to_blocked(value) if value.rank else value for value in inputs))

    def _pool(self, node: Node, x: Value) -> Value | None:
        op = node.op
        assert isinstance(op, Pooling)
        if not all(isinstance(pad, int) for pair in op.pads for pad in pair):
            return None
        if isinstance(op, AveragePool):
            return apply(BlockedAveragePool(op.window, op.strides, op.pads, self.block), inner(x))
        differentiated = any(isinstance(user.op, MaxPoolGrad) for user in self.users[node.inputs[0]])
        if differentiated and compares_images(op, x.type):
            return staged_max(op, inner(x), self.block)[-1]
        return apply(BlockedMaxPool(op.window, op.strides, op.pads, self.block), inner(x))

    def _reduction(self, op: Reduction, x: Value) -> Value | None:
        """Means over an image and sums over all but the channels."""
        shape = x.shape
        if isinstance(op, ReduceMean) and op.axes == (2, 3):
            result = crop_channels(apply(BlockedMean(self.block), inner(x)), channels_of(x.type))
            return reshape(result, (*shape[:2], 1, 1)) if op.keepdims else result
        if isinstance(op, ReduceSum) and op.axes == (0, 2, 3) and x.type.with_shape(shape[2:]).is_static:
            result = crop_channels(channel_sums(inner(x), self.block), channels_of(x.type))
            return reshape(result, (1, shape[1], 1, 1)) if op.keepdims else result
        return None


def few_outputs(op: Conv | ConvInputGrad, x: Value, operands: Sequence[Value], block: int) -> Value:
    """A convolution with few outputs; an input gradient of stride 1 is one whose filter is reversed."""
    w, pads = operands[0], op.pads
    if isinstance(op, ConvInputGrad):
        height, width, inner, outer = w.type.static_shape
        taps = constant(np.arange(height * width)[::-1].astype(np.int64))
        flat = gather(reshape(w, (height * width, inner, outer)), taps)
        operands = [reshape(transpose(flat, (0, 2, 1)), (height, width, outer, inner))]
        reach = [(size - 1) * step for size, step in zip((height, width), op.dilations, strict=True)]
        pads = tuple((far - before, far - after) for far, (before, after) in zip(reach, op.pads, strict=True))
    return apply(BlockedConvFew(op.strides, pads, op.dilations, block), x, *operands)


def channels_last(value: Value) -> Value:
    """A plain channels-first image with its channels last; straight from the blocked tensor if there is one."""
    if is_blocked(value):
        op = value.op
        assert isinstance(op, FromBlocked)
        return apply(dataclasses.replace(op, channels_last=True), inner(value))
    last = transposed_from(value, TO_CHANNELS_FIRST)
    if last is not None:
        return last
    batch, channels, height, width = value.shape
    if height != 1:
        return transpose(value, TO_CHANNELS_LAST)
    # ONNX Runtime joins the transpose of four axes with a reshape behind it to one that takes twenty times as long.
    turned = transpose(reshape(value, (batch, channels, width)), (0, 2, 1))
    return reshape(turned, (batch, 1, width, channels))


def as_it_lies(value: Value, block: int) -> tuple[Value, int]:
    """A channels-last image, or the parts that a single, blocked one has in memory; and the number of parts."""
    channels = channels_of(value.type)
    if value.shape[0] != 1 or not is_blocked(value) or channels % block or channels == block:
        return channels_last(value), 1
    parts = reshape(inner(value), (channels // block, block, *value.shape[2:]))
    return apply(FromBlocked(block, channels_last=True), parts), channels // block


def transposed_from(value: Value, permutation: Permutation) -> Value | None:
    """``x`` if ``value`` is ``transpose(x, permutation)``."""
    op = value.op
    return value.node.inputs[0] if isinstance(op, Transpose) and op.permutation == permutation else None


def is_blocked(value: Value) -> bool:
    """Whether ``value`` was computed blocked."""
    return isinstance(value.op, FromBlocked) and not value.op.channels_last


def inner(value: Value) -> Value:
    """The blocked tensor of which ``value`` is the plain form."""
    return value.node.inputs[0]
