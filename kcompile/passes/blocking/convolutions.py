"""Which convolutions the blocked kernels of the CPU can do, and which they do faster."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kcompile.ir import costs
from kcompile.ir.core import Node, constant_of
from kcompile.ir.ops.blocked.base import padded
from kcompile.ir.ops.blocked.grad_lowering import input_grad_phases
from kcompile.ir.ops.spatial.convolution import (
    Conv,
    ConvInputGrad,
)
from kcompile.ir.ops.spatial.convolution_base import Convolution
from kcompile.ir.types import TensorType


def channels_of(type: TensorType) -> int:
    """The number of channels of a channels-first float32 image; 0 if it is none, or has an unknown number."""
    channels = type.shape[1] if type.rank == 4 and type.dtype == "float32" else 0
    return channels if isinstance(channels, int) else 0


def elements(type: TensorType) -> int:
    """The number of elements, with few images where their number is unknown; 0 if another size is."""
    first, *sizes = type.shape
    images = first if isinstance(first, int) else costs.UNKNOWN_BATCH
    known = [size for size in (images, *sizes) if isinstance(size, int)]
    return math.prod(known) if len(known) == type.rank else 0


def spreads(node: Node) -> bool:
    """Whether a convolution is an input gradient with strides, whose phases have to be interleaved."""
    return isinstance(node.op, ConvInputGrad) and max(node.op.strides) > 1


@dataclass(frozen=True)
class Kernels:
    """The kernels with this channel block."""

    block: int

    def whole(self, type: TensorType) -> bool:
        """Whether tensors of this type can be blocked without padding."""
        channels = channels_of(type)
        return channels > 0 and channels % self.block == 0

    def fits(self, type: TensorType) -> bool:
        """Whether tensors of this type may be blocked from op to op: little of their blocked form is padding."""
        channels = channels_of(type)
        return channels >= self.block and padded(channels, self.block) <= costs.MOST_PADDING * channels

    def convolves(self, node: Node) -> bool:
        """Whether the blocked kernels can do this convolution or gradient at all."""
        op = node.op
        assert isinstance(op, Convolution)
        plain = op.groups == 1 and op.data_format == "channels_first" and len(op.strides) == 2
        if not plain or not all(isinstance(pad, int) for pair in op.pads for pad in pair):
            return False
        match op:
            case Conv():
                if constant_of(node.inputs[1]) is not None:
                    return False  # ONNX Runtime does the same for constant filters, and more
                return min(channels_of(node.inputs[0].type), channels_of(node.outputs[0].type)) > 0
            case ConvInputGrad():
                known = min(channels_of(node.inputs[0].type), channels_of(node.outputs[0].type)) > 0
                alone = len(node.inputs) == 2  # a bias is added by ONNX Runtime's own kernel
                return known and alone and input_grad_phases(op, node.inputs[0].type, node.inputs[1].type) is not None
            case _:
                x, g = node.inputs
                known = all(isinstance(size, int) for size in (*x.shape[1:], *g.shape[1:]))
                return known and min(channels_of(x.type), channels_of(g.type)) > 0

    def gives_few(self, node: Node) -> bool:
        """Whether the result has fewer channels than a block, and can be computed plain by the blocked kernel."""
        slides = isinstance(node.op, Conv) or (isinstance(node.op, ConvInputGrad) and max(node.op.strides) == 1)
        return slides and self.few(node.outputs[0].type)

    def gains(self, node: Node) -> bool:
        """Whether the blocked kernel is faster even with conversions around it."""
        if not self.convolves(node):
            return False
        x, y = node.inputs[0].type, node.outputs[0].type
        filters = node.inputs[1].type
        if filters.static_shape[:-2] == (1, 1):  # a product; but the filter of the plain one is transposed, slowly
            known = isinstance(node.op, Conv) and elements(y) > 0 and self.whole(x) and self.whole(y)
            return known and costs.transposition(elements(filters)) > costs.copies(elements(x) + elements(y))
        certain = self.whole(x) and self.whole(y) and not spreads(node)
        return certain or self.seconds_gained(node) > sum(
            costs.conversions(channels_of(type)) for type in (x, y) if not self.few(type)
        )

    def pays(self, node: Node) -> bool:
        """Whether the blocked kernel is faster between others."""
        if not self.convolves(node):
            return False
        x, y = node.inputs[0].type, node.outputs[0].type
        certain = self.whole(y) and (self.whole(x) or self.few(x)) and not spreads(node)
        return certain or self.seconds_gained(node) > 0

    def seconds_gained(self, node: Node) -> float:
        """What the blocked kernel takes less than the plain one, for each pixel of the result."""
        op = node.op
        assert isinstance(op, Convolution)
        y = node.outputs[0].type
        *kernel, inner, outer = node.inputs[1].type.static_shape
        taps: float = math.prod(kernel)
        blocked = 0.0
        if isinstance(op, ConvInputGrad):
            taps /= math.prod(op.strides)
            pixels = elements(y.with_shape((1, 1, *y.shape[2:])))
            plain, read, written = costs.plain_input_gradient(taps, inner, outer, pixels), outer, inner
            joins = sum(stride > 1 for stride in op.strides)
            blocked += joins * costs.conversions(padded(written, self.block))
        else:
            plain, read, written = costs.plain_convolution(taps, inner, outer), inner, outer
        if self.gives_few(node):
            rows = y.shape[2]
            blocked += 2 * costs.conversions(written)
            if isinstance(rows, int) and op.dilations[0] == 1:
                count = costs.rows_at_once(rows, kernel[0], op.strides[0], self.block // written)
                taps = -(-rows // count) * (kernel[0] + (count - 1) * op.strides[0]) * kernel[1] / rows
        if elements(y):  # the plain filter is transposed element by element, once for all images
            plain += costs.transposition(elements(node.inputs[1].type)) * channels_of(y) / elements(y)
        written = padded(written, self.block)
        if read < self.block:
            blocked += costs.plain_input_pixel(taps, read, written, self.block)
        else:
            blocked += costs.blocked_pixel(taps, padded(read, self.block), written, self.block)
        return plain - blocked

    def few(self, type: TensorType) -> bool:
        """Whether the kernel takes such an input plain."""
        return 0 < channels_of(type) < self.block
