"""ONNX nodes for the filter gradient of a convolution, as a convolution on blocked tensors."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

import numpy as np

from kcompile.ir import costs
from kcompile.ir.core import Builder
from kcompile.ir.dims import Dim, floor_divide
from kcompile.ir.ops.blocked.base import BlockedFilterGradient
from kcompile.ir.ops.blocked.lowering import DOMAIN, integers
from kcompile.ir.ops.blocked.tiles import Tiling, WindowSum, cheapest_tiling
from kcompile.ir.types import TensorType


def conv_weight_grad(
    b: Builder, op: BlockedFilterGradient, x_type: TensorType, g_type: TensorType, x: str, g: str
) -> str:
    """A blocked Conv whose "input channels" are tiles of the images, so that its inner loop sums over them.

    The gradient is the filter. Each row of the input has its channels side by side (channels last), and
    the filter is dilated by their number: along the width of the result lie the kernel columns, each with
    all channels, and along its height the kernel rows. Nothing is computed that is not wanted.

    The kernel splits its work by groups and by rows of the result; groups of tiles, summed at the end, give more
    threads something to do.
    """
    plan = _plan(op, x_type, g_type)
    x, tall, line = _tiles_of_input(b, op, plan, x_type, x)
    filters = _tiles_of_gradient(b, op, plan, g)
    tile, channels, size = plan.tiling.tile, plan.problem.channels, op.block
    y = b.op(
        "Conv", x, filters, domain=DOMAIN, kernel_shape=tile, strides=[op.dilations[0], 1],
        dilations=[op.strides[0], op.strides[1] * channels], pads=[0, 0, 0, 0], group=plan.groups,
    )  # fmt: skip
    width = line // channels - (tile[1] - 1) * op.strides[1]
    blocks = plan.problem.outputs // size
    if plan.groups > 1:
        y = b.op("Reshape", y, integers(b, [op.parts, plan.groups, -1]))
        y = b.op("ReduceSum", y, integers(b, [1]), keepdims=0)
    y = b.op("Reshape", y, integers(b, [op.parts, blocks, -1, width, channels, size]))
    if width != op.kernel[1] or tall != (tile[0] - 1) * op.strides[0] + plan.problem.reach[0]:
        bounds = [0, 0], [op.kernel[0], plan.problem.reach[1]], [2, 3], [1, op.dilations[1]]
        y = b.op("Slice", y, *(integers(b, item) for item in bounds))
    y = b.op("Transpose", y, perm=[2, 3, 0, 4, 1, 5])
    return b.op("Reshape", y, integers(b, [*op.kernel, op.parts * channels, plan.problem.outputs]))


@dataclass(frozen=True)
class _Plan:
    """Sizes that input and gradient have in common.

    Tiles are numbered so that those of a block are neighbours: by ``rounds`` of images, ``turns`` of tiles within each,
    then ``tiling.images`` images with ``together`` tiles of each.
    """

    problem: WindowSum
    tiling: Tiling
    missing: Dim  # images that are added
    rounds: int  # -1: as many as there are
    turns: int
    together: int
    groups: int


def _plan(op: BlockedFilterGradient, x_type: TensorType, g_type: TensorType) -> _Plan:
    outputs, down, across = g_type.with_shape(g_type.shape[1:]).static_shape
    channels = x_type.with_shape(x_type.shape[3:]).static_shape[0]
    batch: Dim = 1 if op.parts > 1 else x_type.shape[0]
    known = batch if isinstance(batch, int) else None
    kernel, strides, dilations = ((item[0], item[1]) for item in (op.kernel, op.strides, op.dilations))
    problem = WindowSum(known, (down, across), channels, outputs, kernel, strides, dilations, op.block, op.parts)
    _, tiling = cheapest_tiling(problem)
    if tiling.plain:
        return _Plan(problem, tiling, 0, 1, 1, 1, 1)
    together = op.block // tiling.images
    missing: Dim = floor_divide(batch + tiling.images - 1, tiling.images) * tiling.images - batch
    rounds = -(-known // tiling.images) if known is not None else -1
    turns = tiling.count // together
    allowed = max(costs.SUMS_OF_GROUPS // (4 * outputs * channels * kernel[0] * problem.reach[1]), 1)
    # A group is a run of neighbouring tiles: a part of the rounds, or of the turns of the only round.
    shared = gcd(rounds if rounds > 1 else turns if rounds == 1 else 1, costs.SHARES)
    while shared > allowed:
        shared //= 2
    return _Plan(problem, tiling, missing, rounds, turns, together, shared)


def _tiles_of_input(
    b: Builder, op: BlockedFilterGradient, plan: _Plan, x_type: TensorType, x: str
) -> tuple[str, int, int]:
    """The input as (parts, tiles, rows of a tile, columns and channels), blocked; and the last two sizes."""
    height, width, channels = x_type.with_shape(x_type.shape[1:]).static_shape
    grid, tile = plan.tiling.grid, plan.tiling.tile
    (top, _), (left, _) = op.pads
    assert isinstance(top, int)
    assert isinstance(left, int)
    # Padding, here because the kernel is slow at borders.
    bottom, right = (
        max((count * size - 1) * stride + far - before - extent, 0)
        for count, size, stride, far, before, extent in zip(
            grid, tile, op.strides, plan.problem.reach, (top, left), (height, width), strict=True
        )
    )
    x = b.op("Reshape", x, integers(b, [-1, height, width * channels]))
    around = [0, top, left * channels, plan.missing, bottom, right * channels]
    if any(pad != 0 for pad in around):
        x = b.op("Pad", x, b.dims(around))
    height, width = height + top + bottom, width + left + right
    tall, wide = (
        (size - 1) * stride + far for size, stride, far in zip(tile, op.strides, plan.problem.reach, strict=True)
    )
    if grid[1] > 1:
        x = b.op("Reshape", x, integers(b, [-1, height * width, channels]))
        inside = np.arange(tall)[:, None] * width + np.arange(wide)
        down, right = (size * stride for size, stride in zip(tile, op.strides, strict=True))
        corners = [row * down * width + column * right for row in range(grid[0]) for column in range(grid[1])]
        places = np.stack([inside + corner for corner in corners])
    else:
        wide = width
        places = np.stack([np.arange(tall) + row * tile[0] * op.strides[0] for row in range(grid[0])])
    if plan.tiling.count == 1:
        tall = height
    elif (
        grid[1] > 1
        or plan.tiling.count != grid[0]
        or tall != tile[0] * op.strides[0]  # a sum of overlapping rows can be the height by chance
        or places.size != height
    ):  # unless rows are only cut
        empty = np.zeros((plan.tiling.count - len(places), *places.shape[1:]), np.int64)
        x = b.op("Gather", x, b.constant(np.concatenate([places, empty]), "int64"), axis=1)
    line = wide * channels
    if plan.tiling.images > 1 and plan.turns > 1:
        x = b.op("Reshape", x, integers(b, [plan.rounds, plan.tiling.images, plan.turns, plan.together, tall * line]))
        x = b.op("Transpose", x, perm=[0, 2, 1, 3, 4])
    x = b.op("Reshape", x, integers(b, [op.parts, -1, tall, line]))
    return x if plan.tiling.plain else b.op("ReorderInput", x, domain=DOMAIN), tall, line


def _tiles_of_gradient(b: Builder, op: BlockedFilterGradient, plan: _Plan, g: str) -> str:
    """The gradient as a filter, (groups * outputs, tiles of a group, rows of a tile, columns of a tile)."""
    size, tiling = op.block, plan.tiling
    blocks, area = plan.problem.outputs // size, tiling.tile[0] * tiling.tile[1]
    grid, tile = tiling.grid, tiling.tile
    if tiling.plain:
        if plan.problem.batch != 1 and blocks > 1:
            g = b.op("Reshape", g, integers(b, [-1, blocks, tiling.count * area * size]))
            g = b.op("Transpose", g, perm=[1, 0, 2])
        return b.op("Reshape", g, integers(b, [plan.problem.outputs, -1, *tile]))
    if not tiling.covers(plan.problem.windows) or plan.missing != 0:
        g = b.op("Reshape", g, integers(b, [-1, blocks, *plan.problem.windows, size]))
        more = [count * part - extent for count, part, extent in zip(grid, tile, plan.problem.windows, strict=True)]
        g = b.op("Pad", g, b.dims([0, 0, 0, 0, 0, plan.missing, 0, *more, 0]))
    # Rounds or turns are divided into groups.
    of_rounds = [plan.groups, -1, 1, plan.turns]
    shared = of_rounds if plan.rounds > 1 else [1, plan.rounds, plan.groups, plan.turns // plan.groups]
    lying = tiling.lying(size)
    if lying is None:
        g = b.op("Reshape", g, integers(b, [-1, grid[0], tile[0], grid[1], tile[1] * size]))
        g = b.op("Transpose", g, perm=[0, 1, 3, 2, 4])
        if tiling.count > grid[0] * grid[1]:
            g = b.op("Reshape", g, integers(b, [-1, grid[0] * grid[1], area * size]))
            g = b.op("Pad", g, integers(b, [0, 0, 0, 0, tiling.count - grid[0] * grid[1], 0]))
        shape = [*shared[:2], tiling.images, blocks, *shared[2:], plan.together, area, size]
        order = [0, 4, 3, 1, 5, 7, 2, 6, 8]
    else:
        _, down, wide = lying
        shape = [*shared[:2], tiling.images, blocks, *shared[2:], down, tile[0], wide, tile[1], size]
        order = [0, 4, 3, 1, 5, 7, 9, 2, 6, 8, 10]
    g = b.op("Transpose", b.op("Reshape", g, integers(b, shape)), perm=order)
    return b.op("Reshape", g, integers(b, [plan.groups * plan.problem.outputs, -1, *tile]))
