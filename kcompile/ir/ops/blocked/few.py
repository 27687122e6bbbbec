"""A convolution with fewer outputs than a block of channels, by the blocked kernel.

The kernel computes whole blocks of outputs. With few of them, neighbouring rows of the result become outputs as well:
a filter that is taller by a row, and moves by two rows at a time, gives two rows at once, and so on.

Each of these rows multiplies the input of the others with zero. So an infinity or NaN in the input makes NaN of all
rows of the image that are computed together, not only of those whose windows hold it; no NaN is lost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kcompile.ir import costs
from kcompile.ir.core import Array, Builder, Node
from kcompile.ir.dims import Dim, Size
from kcompile.ir.errors import IRError
from kcompile.ir.ops.blocked.base import (
    BlockedWindows,
    pad_channels,
    takes_plain,
)
from kcompile.ir.ops.blocked.lowering import (
    DOMAIN,
    blocked_filter,
    fixed,
    integers,
    pad_end,
)
from kcompile.ir.ops.spatial.convolution import Conv
from kcompile.ir.ops.spatial.convolution_base import conv_flops
from kcompile.ir.ops.spatial.spatial import Pads
from kcompile.ir.types import TensorType


@dataclass(frozen=True)
class BlockedConvFew(BlockedWindows):
    """``conv`` (2-D, one group) with fewer outputs than a block, which are plain.

    Operands: the input, blocked, or plain if it has fewer channels than a block; the filter in Keras' order, with the
    true numbers of channels; the bias, if any. ``relu`` comes last.
    """

    strides: tuple[int, ...]
    pads: Pads
    dilations: tuple[int, ...]
    block: int
    relu: bool = False

    def conv(self) -> Conv:
        """The op on plain tensors."""
        return Conv(self.strides, self.pads, self.dilations, 1, "channels_first")

    def infer(self, x: TensorType, w: TensorType, *bias: TensorType) -> TensorType:  # type: ignore[override]
        if not takes_plain(x, self.block):
            self.check(x)
            w = pad_channels(w, 2, self.block)
        y = self.conv().infer(x, w, *bias)
        if not takes_plain(y, self.block):
            raise IRError(f"needs fewer outputs than {self.block}, got {y}")
        return y

    def evaluate(self, *arrays: Array) -> Array:
        x, w, *bias = arrays
        y = self.conv().evaluate(x if x.shape[1] < self.block else self.plain(x, w.shape[2]), w, *bias)
        return y.clip(0) if self.relu else y

    def flops(self, node: Node, size: Size) -> int:
        return conv_flops(node, size, len(node.inputs) - 2)

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        x_type, w_type = (value.type for value in node.inputs[:2])
        (x, w, *bias), (height, width, inner, out), y = names, w_type.static_shape, node.outputs[0]
        _, _, rows, columns = y.shape
        count = 1
        if isinstance(rows, int) and isinstance(columns, int) and self.dilations[0] == 1:
            count = costs.rows_at_once(rows, height, self.strides[0], self.block // out)
        pads, stride, tall = fixed(self.pads), self.strides[0], height + (count - 1) * self.strides[0]
        if count > 1:
            assert isinstance(rows, int)
            pads[2] += -rows % count * stride
            w = _taller(b, w, (height, width, inner, out), count, stride)
            bias = [b.op("Gather", v, integers(b, np.repeat(np.arange(out), count).tolist()), axis=0) for v in bias]
        plain = takes_plain(x_type, self.block)
        filters = blocked_filter(b, w, (tall, width, inner, out * count), self.block, plain)
        bias = [pad_end(b, v, [self.block - out * count]) for v in bias]
        result = b.op(
            "Conv", x, filters, *bias, domain=DOMAIN, kernel_shape=[tall, width],
            strides=[stride * count, self.strides[1]], pads=pads, dilations=self.dilations, group=1,
            activation="Relu" if self.relu else None,
        )  # fmt: skip
        result = b.op("ReorderOutput", result, domain=DOMAIN, channels=out * count, channels_last=0)
        return result if count == 1 else _rows_in_order(b, result, out, count, rows, columns)


def _taller(b: Builder, w: str, sizes: tuple[int, ...], count: int, stride: int) -> str:
    """The filter for ``count`` rows of the result: outputs (output, row), which each meet their own taps."""
    height, width, inner, out = sizes
    lines = pad_end(b, b.op("Reshape", w, integers(b, [height, width * inner * out])), [1, 0])
    taps = np.arange(height + (count - 1) * stride)[:, None] - stride * np.arange(count)
    met = np.where((taps >= 0) & (taps < height), taps, height)  # the last line is zero
    rows = b.op("Gather", lines, b.constant(met, "int64"), axis=0)
    split = b.op("Reshape", rows, integers(b, [len(taps), count, width * inner * out]))
    turned = b.op("Transpose", split, perm=[0, 2, 1])
    return b.op("Reshape", turned, integers(b, [len(taps), width, inner, out * count]))


def _rows_in_order(b: Builder, y: str, out: int, count: int, rows: Dim, columns: Dim) -> str:
    """An image whose channels are (output, row of each ``count``) with its rows in place."""
    assert isinstance(rows, int)
    assert isinstance(columns, int)
    steps = -(-rows // count)
    if steps > 1:
        y = b.op("Reshape", y, integers(b, [-1, count, steps, columns]))
        y = b.op("Transpose", y, perm=[0, 2, 1, 3])
    if steps * count > rows:
        y = b.op("Reshape", y, integers(b, [-1, steps * count * columns]))
        y = b.op("Slice", y, *(integers(b, [value]) for value in (0, rows * columns, 1)))
    return b.op("Reshape", y, integers(b, [-1, out, rows, columns]))
