"""Convolutions on blocked tensors, for the CPU kernels of ONNX Runtime (``com.microsoft.nchwc``).

A blocked tensor has the type of a channels-first image, (batch, channels, height, width), but its elements
lie in memory as (batch, channels / block, height, width, block): the channels of a block are neighbours, as
vector instructions like them. Ops that treat all elements alike work on it unchanged. The pass ``blocked``
introduces these ops after differentiation; they have no gradients.

An image whose channels fill no whole blocks is padded: its blocked tensor has more channels, of which the last ones
are zero. (What is not finite there would become NaN in the next convolution, however many zeros its filter has.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kcompile.ir.core import Array, Builder, Node
from kcompile.ir.dims import Dim, Size
from kcompile.ir.errors import IRError
from kcompile.ir.ops.blocked import lowering
from kcompile.ir.ops.blocked.base import (
    BlockedFilterGradient,
    BlockedInputGradient,
    BlockedOp,
    BlockedPooling,
    FusedConvolution,
    check_added,
    pad_channels,
    takes_plain,
)
from kcompile.ir.ops.blocked.grad_lowering import Phase, conv_input_grad, input_grad_phases
from kcompile.ir.ops.blocked.upright import upright
from kcompile.ir.ops.blocked.weight_lowering import conv_weight_grad
from kcompile.ir.ops.spatial.convolution import Conv, ConvInputGrad, ConvWeightGrad
from kcompile.ir.ops.spatial.normalization import BatchNormGrad
from kcompile.ir.ops.spatial.pooling import AveragePool, MaxPool
from kcompile.ir.ops.spatial.spatial import Pads
from kcompile.ir.types import TensorType

REORDERED = 4
"""The kernel that brings images into blocked order takes multiples of so many channels."""


@dataclass(frozen=True)
class ToBlocked(BlockedOp):
    """An image in blocked order; the image is channels-first or, as its one pass costs the same, channels-last.

    Zeros fill the last block.
    """

    block: int
    channels_last: bool = False

    def infer(self, x: TensorType) -> TensorType:  # type: ignore[override]
        if self.channels_last and x.rank == 4:
            x = x.with_shape((x.shape[0], x.shape[3], *x.shape[1:3]))
        return self.check(pad_channels(x, 1, self.block))

    def evaluate(self, *arrays: Array) -> Array:
        return self.blocks(arrays[0].transpose(0, 3, 1, 2) if self.channels_last else arrays[0])

    def flops(self, node: Node, size: Size) -> int:
        return 0

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        axis = 3 if self.channels_last else 1
        (channels,) = node.inputs[0].type.with_shape(node.inputs[0].shape[axis : axis + 1]).static_shape
        if self.channels_last and channels == self.block:  # a single block lies there already
            return b.reshape(names[0], node.inputs[0].type, node.outputs[0].shape)
        rests = [0] * 4
        rests[axis] = -channels % REORDERED  # the kernel pads the rest
        x = lowering.pad_end(b, names[0], rests)
        return b.op("ReorderInput", x, domain=lowering.DOMAIN, channels_last=int(self.channels_last))


@dataclass(frozen=True)
class FromBlocked(BlockedOp):
    """A blocked tensor, or the first ``channels`` channels of it, as a channels-first or channels-last image."""

    block: int
    channels_last: bool = False
    channels: int | None = None

    def infer(self, x: TensorType) -> TensorType:  # type: ignore[override]
        (channels,) = self.check(x).with_shape(x.shape[1:2]).static_shape
        real = channels if self.channels is None else self.channels
        if not channels - self.block < real <= channels:
            raise IRError(f"{x} is not the padded form of an image with {real} channels")
        batch, _, *sizes = x.shape
        return x.with_shape((batch, *sizes, real) if self.channels_last else (batch, real, *sizes))

    def evaluate(self, *arrays: Array) -> Array:
        x = self.plain(arrays[0], self.channels)
        return x.transpose(0, 2, 3, 1) if self.channels_last else x

    def flops(self, node: Node, size: Size) -> int:
        return 0

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        y = node.outputs[0]
        (channels,) = y.type.with_shape(y.shape[3:] if self.channels_last else y.shape[1:2]).static_shape
        if self.channels_last and channels == self.block:
            return b.reshape(names[0], node.inputs[0].type, y.shape)
        return b.op(
            "ReorderOutput", *names, domain=lowering.DOMAIN, channels=channels,
            channels_last=int(self.channels_last),
        )  # fmt: skip


@dataclass(frozen=True)
class BlockedConv(FusedConvolution):
    """``conv`` (2-D, one group) with a blocked result, in one pass with what often follows.

    Operands: the input, blocked too, or plain if it has fewer channels than a block; the filter in Keras' order,
    with the true numbers of channels; the bias, if any; if ``adds``, a blocked tensor that is added to the result.
    ``relu`` comes last.
    """

    strides: tuple[int, ...]
    pads: Pads
    dilations: tuple[int, ...]
    block: int
    adds: bool = False
    relu: bool = False

    def conv(self) -> Conv:
        """The op on plain tensors."""
        return Conv(self.strides, self.pads, self.dilations, 1, "channels_first")

    def infer(self, x: TensorType, w: TensorType, *rest: TensorType) -> TensorType:  # type: ignore[override]
        if not takes_plain(x, self.block):
            self.check(x)
            w = pad_channels(w, 2, self.block)
        bias, added = (rest[:-1], rest[-1:]) if self.adds else (rest, ())
        y = self.check(pad_channels(self.conv().infer(x, w, *bias), 1, self.block))
        for other in added:
            check_added(other, y)
        return y

    def evaluate(self, *arrays: Array) -> Array:
        x, w, *bias = arrays
        added = bias.pop() if self.adds else np.zeros((), x.dtype)
        x = x if x.shape[1] < self.block else self.plain(x, w.shape[2])
        y = self.blocks(self.conv().evaluate(x, w, *bias)) + added
        return y.clip(0) if self.relu else y

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        return lowering.conv(b, self, node.inputs[0].type, node.inputs[1].type, *names)


@dataclass(frozen=True)
class BlockedConvInputGrad(BlockedInputGradient):
    """The input gradient of a convolution, blocked like the gradient that it is given.

    That is again a convolution, with the filter reversed and its channels swapped; with strides, several. A gradient of
    fewer channels than a block may be plain.
    """

    strides: tuple[int, ...]
    pads: Pads
    dilations: tuple[int, ...]
    block: int
    sizes: tuple[Dim, ...]

    def infer(self, g: TensorType, w: TensorType) -> TensorType:  # type: ignore[override]
        if not takes_plain(g, self.block):
            g, w = self.check(g), pad_channels(w, 3, self.block)
        dx = self.plain_op().infer(g, w)
        self.phases(g, w)
        return self.check(pad_channels(dx, 1, self.block))

    def plain_op(self) -> ConvInputGrad:
        """The op on plain tensors."""
        return ConvInputGrad(self.strides, self.pads, self.dilations, 1, "channels_first", self.sizes)

    def phases(self, g: TensorType, w: TensorType) -> tuple[tuple[Phase, ...], tuple[Phase, ...]]:
        """The phases along height and along width.

        Raises:
            IRError: this input gradient cannot be made of convolutions.
        """
        found = input_grad_phases(self.plain_op(), g, w)
        if found is None:
            raise IRError(f"no convolutions give the input gradient of sizes {self.sizes} from {g}")
        return found

    def evaluate(self, *arrays: Array) -> Array:
        g, w = arrays
        g = g if g.shape[1] < self.block else self.plain(g, w.shape[3])
        return self.blocks(self.plain_op().evaluate(g, w))

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        g, w = (value.type for value in node.inputs)
        return conv_input_grad(b, self, self.phases(g, w), g, w, *names)


@dataclass(frozen=True)
class BlockedConvWeightGrad(BlockedFilterGradient):
    """The filter gradient of a convolution from a channels-last input and a blocked gradient.

    The channels of a single image may lie in ``parts``, one behind the other: (parts, height, width, channels / parts).
    So a blocked image lies in memory.
    """

    strides: tuple[int, ...]
    pads: Pads
    dilations: tuple[int, ...]
    block: int
    kernel: tuple[int, ...]
    parts: int = 1

    def plain_op(self) -> ConvWeightGrad:
        """The op on plain tensors."""
        return ConvWeightGrad(self.strides, self.pads, self.dilations, 1, "channels_first", self.kernel)

    def infer(self, x: TensorType, g: TensorType) -> TensorType:  # type: ignore[override]
        if x.rank != 4 or (self.parts > 1 and x.shape[0] != self.parts):
            raise IRError(f"needs a channels-last image, or the {self.parts} parts of one, got {x}")
        batch, *sizes, channels = x.shape
        if self.parts > 1:
            batch, channels = 1, channels * self.parts
        return self.plain_op().infer(x.with_shape((batch, channels, *sizes)), self.check(g))

    def evaluate(self, *arrays: Array) -> Array:
        x = arrays[0].transpose(0, 3, 1, 2)
        if self.parts > 1:
            x = x.reshape(1, -1, *x.shape[2:])
        return self.plain_op().evaluate(x, self.plain(arrays[1]))

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        op, x, g = upright(self, node.inputs[0].type, node.inputs[1].type)
        dw = conv_weight_grad(b, op, x, g, *names)
        return dw if op is self else b.op("Reshape", dw, lowering.integers(b, node.outputs[0].type.static_shape))


class BlockedPool(BlockedPooling, abstract=True):
    """2-D pooling of a blocked tensor."""

    def plain_op(self) -> MaxPool | AveragePool:
        """The op on plain tensors."""
        raise NotImplementedError(type(self).__name__)

    def infer(self, x: TensorType) -> TensorType:  # type: ignore[override]
        return self.plain_op().infer(self.check(x))

    def evaluate(self, *arrays: Array) -> Array:
        return self.blocks(self.plain_op().evaluate(self.plain(arrays[0])))


@dataclass(frozen=True)
class BlockedMaxPool(BlockedPool):
    """``max_pool`` of a blocked tensor."""

    window: tuple[int, ...]
    strides: tuple[int, ...]
    pads: Pads
    block: int

    def plain_op(self) -> MaxPool:
        return MaxPool(self.window, self.strides, self.pads, "channels_first")

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        return lowering.pool(b, "MaxPool", self, *names)


@dataclass(frozen=True)
class BlockedAveragePool(BlockedPool):
    """``average_pool`` of a blocked tensor."""

    window: tuple[int, ...]
    strides: tuple[int, ...]
    pads: Pads
    block: int

    def plain_op(self) -> AveragePool:
        return AveragePool(self.window, self.strides, self.pads, "channels_first")

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        return lowering.pool(b, "AveragePool", self, *names, count_include_pad=0)


@dataclass(frozen=True)
class BlockedMean(BlockedOp):
    """The mean of each channel of each image: (batch, channels), in plain order."""

    block: int

    def infer(self, x: TensorType) -> TensorType:  # type: ignore[override]
        return self.check(x).with_shape(x.shape[:2])

    def evaluate(self, *arrays: Array) -> Array:
        mean: Array = self.plain(arrays[0]).mean((2, 3))
        return mean

    def flops(self, node: Node, size: Size) -> int:
        return node.inputs[0].type.elements(size)

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        mean = b.op("GlobalAveragePool", *names, domain=lowering.DOMAIN)
        x = node.inputs[0].type
        return b.reshape(mean, x.with_shape((*x.shape[:2], 1, 1)), x.shape[:2])


@dataclass(frozen=True)
class BlockedAffine(BlockedOp):
    """``x * factor + shift`` with a factor and a shift for each true channel, in one pass with what often follows.

    Operands: x, blocked; factor; shift; if ``adds``, a blocked tensor that is added. ``relu`` comes last.
    """

    block: int
    adds: bool = False
    relu: bool = False

    def infer(self, x: TensorType, factor: TensorType, shift: TensorType, *added: TensorType) -> TensorType:  # type: ignore[override]
        for vector in (factor, shift):
            whole = pad_channels(vector, 0, self.block).shape
            if vector.dtype != x.dtype or whole != self.check(x).shape[1:2]:
                raise IRError(f"factor and shift of {x} have one entry per channel, got {vector}")
        for other in added:
            check_added(other, x)
        return x

    def evaluate(self, *arrays: Array) -> Array:
        x, factor, shift, *added = arrays
        y = self.blocks(self.plain(x, len(factor)) * factor.reshape(-1, 1, 1) + shift.reshape(-1, 1, 1))
        y = y + added[0] if added else y
        return y.clip(0) if self.relu else y

    def flops(self, node: Node, size: Size) -> int:
        return (len(node.inputs) - 1) * node.outputs[0].type.elements(size)

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        (channels,) = node.inputs[1].type.static_shape
        return lowering.affine(b, channels, self.block, *names, activation="Relu" if self.relu else None)


@dataclass(frozen=True)
class BlockedBatchNormGrad(BlockedOp):
    """The gradients (dx, dscale, doffset) of batch norm in training, with ``g``, ``x`` and dx blocked."""

    epsilon: float
    block: int

    def infer(  # type: ignore[override]
        self, g: TensorType, x: TensorType, scale: TensorType, mean: TensorType, variance: TensorType
    ) -> tuple[TensorType, ...]:
        vectors = [pad_channels(vector, 0, self.block) for vector in (scale, mean, variance)]
        dx, *_ = BatchNormGrad(1, self.epsilon).infer(self.check(g), self.check(x), *vectors)
        return dx, scale, scale

    def evaluate(self, *arrays: Array) -> tuple[Array, ...]:
        g, x, *vectors = arrays
        channels = len(vectors[0])
        operands = self.plain(g, channels), self.plain(x, channels), *vectors
        dx, dscale, doffset = BatchNormGrad(1, self.epsilon).evaluate(*operands)
        return self.blocks(dx), dscale, doffset

    def flops(self, node: Node, size: Size) -> int:
        return 4 * node.outputs[0].type.elements(size)

    def lower(self, b: Builder, node: Node, *names: str) -> tuple[str, ...]:
        (channels,) = node.inputs[2].type.static_shape
        return lowering.batch_norm_grad(b, self.epsilon, self.block, node.inputs[1].type, channels, *names)
