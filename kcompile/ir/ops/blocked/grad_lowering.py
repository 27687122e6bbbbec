"""ONNX nodes for the input gradient of a convolution on blocked tensors.

Along an axis with stride s, the elements of the input that have the same position modulo s meet the same taps of the
filter: a *phase*. Each phase is a blocked convolution of stride 1 of the gradient with its taps, reversed, and the
phases are laid side by side in the end. A convolution of stride 1 has one phase, which is the result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kcompile.ir.core import Builder
from kcompile.ir.dims import Dim
from kcompile.ir.ops.blocked.base import BlockedInputGradient, takes_plain
from kcompile.ir.ops.blocked.lowering import DOMAIN, integers, pad_end, padded_filter
from kcompile.ir.ops.spatial.convolution import ConvInputGrad
from kcompile.ir.types import TensorType


@dataclass(frozen=True)
class Phase:
    """The taps of the filter that a phase meets, in the order of its convolution, and the pads of that."""

    taps: tuple[int, ...]
    before: int
    after: int


def phases(
    kernel: int, stride: int, dilation: int, pads: tuple[Dim, Dim], size: Dim, count: Dim
) -> tuple[Phase, ...] | None:
    """The phases of an axis with ``size`` elements and ``count`` windows; ``None`` if it cannot be done by phases.

    Element ``a + stride * n`` of phase ``a`` meets tap ``k`` of window ``n + (a + before - k * dilation) / stride``.
    """
    first, last = pads
    if not isinstance(first, int) or not isinstance(last, int):
        return None
    if stride == 1:
        reach = (kernel - 1) * dilation
        whole = Phase(tuple(reversed(range(kernel))), reach - first, reach - last)
        return (whole,) if min(whole.before, whole.after) >= 0 else None
    if dilation != 1 or not isinstance(size, int) or not isinstance(count, int):
        return None
    found = []
    for start in range(stride):
        window, tap = divmod(start + first, stride)
        taps = tuple(reversed(range(tap, kernel, stride)))
        before = len(taps) - 1 - window
        after = -(-size // stride) - count - before + len(taps) - 1
        if min(before, after) < 0 and (taps or first):
            return None  # part of the gradient would have to be left out first
        found.append(Phase(taps, before, after))
    return tuple(found)


def input_grad_phases(
    op: ConvInputGrad, g: TensorType, w: TensorType
) -> tuple[tuple[Phase, ...], tuple[Phase, ...]] | None:
    """The phases of a 2-D input gradient along height and along width; ``None`` if it has none."""
    if max(op.strides) > 1 and not all(isinstance(size, int) for size in op.sizes):
        return None
    axes = zip(w.static_shape, op.strides, op.dilations, op.pads, op.sizes, g.shape[2:], strict=False)
    rows, columns = [phases(*axis) for axis in axes]
    return None if rows is None or columns is None else (rows, columns)


def conv_input_grad(
    b: Builder,
    op: BlockedInputGradient,
    found: tuple[tuple[Phase, ...], tuple[Phase, ...]],
    g_type: TensorType,
    w_type: TensorType,
    g: str,
    w: str,
) -> str:
    """A blocked Conv for each pair of the phases that were found, and the interleaving of their results."""
    plain = takes_plain(g_type, op.block)
    w, (height, width, inner, out) = padded_filter(b, w, w_type.static_shape, (op.block, 1 if plain else op.block))
    if plain:  # tiles of [out, block]
        flat = b.op("Reshape", w, integers(b, [height * width * (inner // op.block), op.block, out]))
        tiles, depth = b.op("Transpose", flat, perm=[0, 2, 1]), 1
    else:  # the kernel transposes tiles of [block, block], vectorized
        flat = b.op("Reshape", w, integers(b, [height * width, inner, out, 1]))
        tiles, depth = b.op("ReorderInput", flat, domain=DOMAIN, channels_last=0), out // op.block
    tiles = b.op("Reshape", tiles, integers(b, [-1, op.block * (out // depth)]))
    grid = height, width, inner // op.block, depth
    order = np.arange(math.prod(grid)).reshape(grid).transpose(2, 3, 0, 1)

    def phase(row: Phase, column: Phase) -> str | None:
        taps = len(row.taps), len(column.taps)
        if 0 in taps:
            return None
        chosen = order[:, :, row.taps][..., column.taps]
        filters = b.op("Gather", tiles, integers(b, chosen.ravel().tolist()), axis=0)
        if plain:
            filters = b.op("Reshape", filters, integers(b, [inner // op.block, math.prod(taps), out, op.block]))
            filters = b.op("Transpose", filters, perm=[0, 2, 1, 3])
        return b.op(
            "Conv", g, b.op("Reshape", filters, integers(b, [inner, out, *taps])), domain=DOMAIN, kernel_shape=taps,
            strides=[1, 1], pads=[row.before, column.before, row.after, column.after], dilations=op.dilations, group=1,
        )  # fmt: skip

    rows, columns = found
    if len(rows) == len(columns) == 1:
        result = phase(rows[0], columns[0])
        assert result is not None
        return result
    tall, wide = op.sizes
    assert isinstance(tall, int)
    assert isinstance(wide, int)
    lines = [_joined(b, [phase(row, column) for column in columns], wide, op.block) for row in rows]
    return b.op("Reshape", str(_joined(b, lines, tall, wide * op.block)), integers(b, [-1, inner, tall, wide]))


def _joined(b: Builder, parts: Sequence[str | None], length: int, width: int) -> str | None:
    """Runs of ``width`` elements, from each part in turn, ``length`` in all; missing parts are last, and zero."""
    present = [part for part in parts if part is not None]
    if not present or len(parts) == 1:
        return parts[0]
    runs = [b.op("Reshape", part, integers(b, [-1, width])) for part in present]
    joined = b.op("Concat", *runs, axis=1) if len(runs) > 1 else runs[0]
    joined = pad_end(b, joined, [0, (len(parts) - len(runs)) * width])
    whole = -(-length // len(parts)) * len(parts)
    lines = b.op("Reshape", joined, integers(b, [-1, whole * width]))
    if whole == length:
        return lines
    return b.op("Slice", lines, *(integers(b, [value]) for value in (0, length * width, 1)))
