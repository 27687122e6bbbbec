"""Convolutions with groups of channels on blocked tensors: depthwise ones, and groups of whole blocks.

The kernels know two kinds of groups: whole blocks of inputs and of outputs, or (depthwise convolution) one input and
one output, in which case the number of channels need not be a multiple of the block.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kcompile.ir.core import Array, Builder, Node
from kcompile.ir.dims import Dim
from kcompile.ir.errors import IRError
from kcompile.ir.ops.blocked import groups_lowering as lowering
from kcompile.ir.ops.blocked.base import (
    BlockedFilterGradient,
    BlockedInputGradient,
    BlockedWindows,
    FusedConvolution,
    check_added,
    padded,
)
from kcompile.ir.ops.spatial.convolution import Conv, ConvInputGrad, ConvWeightGrad
from kcompile.ir.ops.spatial.spatial import Pads
from kcompile.ir.types import TensorType


class _Grouped(BlockedWindows, abstract=True):
    """A convolution or input gradient with ``groups``."""

    groups: int

    def whole_filter(self, w: TensorType) -> tuple[TensorType, int]:
        """The filter and the number of groups, with zeros up to whole blocks of channels.

        Raises:
            IRError: the kernels do not know such groups.
        """
        *kernel, inner, out = w.static_shape
        if lowering.is_depthwise(self.groups, w):
            channels = padded(out, self.block)
            return w.with_shape((*kernel, 1, channels)), channels
        if inner % self.block or out % (self.groups * self.block):
            raise IRError(f"{self.groups} groups must have whole blocks of {self.block} channels or one, got {w}")
        return w, self.groups


@dataclass(frozen=True)
class BlockedGroupedConv(_Grouped, FusedConvolution):
    """2-D ``conv`` with groups, blocked input and result, in one pass with what often follows.

    Operands: the input; the filter in Keras' order, with the true number of channels; the bias, if any; if ``adds``, a
    blocked tensor that is added to the result. ``relu`` comes last.
    """

    strides: tuple[int, ...]
    pads: Pads
    dilations: tuple[int, ...]
    groups: int
    block: int
    adds: bool = False
    relu: bool = False

    def infer(self, x: TensorType, w: TensorType, *rest: TensorType) -> TensorType:  # type: ignore[override]
        filters, groups = self.whole_filter(w)
        bias, added = (rest[:-1], rest[-1:]) if self.adds else (rest, ())
        if bias and bias[0].shape != w.shape[-1:]:
            raise IRError(f"the bias must have shape {w.shape[-1:]}, got {bias[0]}")
        y = self.check(self.plain_op(groups).infer(self.check(x), filters))
        for other in added:
            check_added(other, y)
        return y

    def plain_op(self, groups: int) -> Conv:
        """The op on plain tensors."""
        return Conv(self.strides, self.pads, self.dilations, groups, "channels_first")

    def evaluate(self, *arrays: Array) -> Array:
        x, w, *bias = arrays
        added = bias.pop() if self.adds else np.zeros((), x.dtype)
        x = self.plain(x, w.shape[2] * self.groups)
        y = self.blocks(self.plain_op(self.groups).evaluate(x, w, *bias)) + added
        return y.clip(0) if self.relu else y

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        return lowering.conv(b, self, self.groups, node.inputs[1].type, *names)


@dataclass(frozen=True)
class BlockedGroupedConvInputGrad(_Grouped, BlockedInputGradient):
    """The input gradient of a convolution with groups, blocked like the gradient that it is given.

    That is again a convolution, with the filter reversed and the channels of its groups swapped, of the gradient with
    zeros where strides left elements out. For depthwise convolution that takes half the time of phases.
    """

    strides: tuple[int, ...]
    pads: Pads
    dilations: tuple[int, ...]
    groups: int
    block: int
    sizes: tuple[Dim, ...]

    def infer(self, g: TensorType, w: TensorType) -> TensorType:  # type: ignore[override]
        filters, groups = self.whole_filter(w)
        dx = self.check(self.plain_op(groups).infer(self.check(g), filters))
        if lowering.reversed_pads(self, g, w) is None:
            raise IRError(f"no convolution gives the input gradient of sizes {self.sizes} from {g}")
        return dx

    def plain_op(self, groups: int) -> ConvInputGrad:
        """The op on plain tensors."""
        return ConvInputGrad(self.strides, self.pads, self.dilations, groups, "channels_first", self.sizes)

    def evaluate(self, *arrays: Array) -> Array:
        g, w = arrays
        return self.blocks(self.plain_op(self.groups).evaluate(self.plain(g, w.shape[3]), w))

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        return lowering.conv_input_grad(b, self, self.groups, node.inputs[0].type, node.inputs[1].type, *names)


@dataclass(frozen=True)
class BlockedDepthwiseWeightGrad(BlockedFilterGradient):
    """The filter gradient of a depthwise convolution with one filter per channel, from a blocked input and gradient.

    ``channels`` is their true number.
    """

    strides: tuple[int, ...]
    pads: Pads
    dilations: tuple[int, ...]
    block: int
    kernel: tuple[int, ...]
    channels: int

    def plain_op(self, channels: int) -> ConvWeightGrad:
        """The op on plain tensors."""
        return ConvWeightGrad(self.strides, self.pads, self.dilations, channels, "channels_first", self.kernel)

    def infer(self, x: TensorType, g: TensorType) -> TensorType:  # type: ignore[override]
        whole = padded(self.channels, self.block)
        if self.check(x).shape[1] != whole or self.check(g).shape[1] != whole:
            raise IRError(f"{x} and {g} are not the padded forms of images with {self.channels} channels")
        return self.plain_op(whole).infer(x, g).with_shape((*self.kernel, 1, self.channels))

    def evaluate(self, *arrays: Array) -> Array:
        x, g = (self.plain(array, self.channels) for array in arrays)
        return self.plain_op(self.channels).evaluate(x, g)

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        return lowering.depthwise_weight_grad(b, self, self.channels, node.inputs[0].type, node.inputs[1].type, *names)
