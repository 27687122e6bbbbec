"""How the windows of a batch of images are cut into tiles that are summed like further images.

The filter gradient of a convolution is a sum over all windows of all images. The blocked kernel sums over its "input
channels", so it needs a whole number of blocks of parts of that sum: images, if there are many, or tiles of images.
Smaller tiles are also what keeps the gradient, which is the filter here, in the cache; but neighbouring tiles of the
input overlap, and the overlap is copied.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from kcompile.ir import costs
from kcompile.ir.ops.spatial.spatial import span

Pair = tuple[int, int]


@dataclass(frozen=True)
class WindowSum:
    """A filter gradient: a sum over ``windows`` down and across on each image of a batch (``None``: of any size).

    The input may have ``parts`` with so many channels each, which are convolved like images.
    """

    batch: int | None
    windows: Pair
    channels: int
    outputs: int
    kernel: Pair
    strides: Pair
    dilations: Pair
    block: int
    parts: int = 1

    @property
    def reach(self) -> Pair:
        """How far a window reaches down and across."""
        return span(self.kernel[0], self.dilations[0]), span(self.kernel[1], self.dilations[1])


@dataclass(frozen=True)
class Tiling:
    """A grid of tiles on each image.

    Attributes:
        grid: tiles down and across.
        tile: windows down and across in a tile; the last ones may reach beyond the image.
        count: tiles of an image, empty ones included, so that images and tiles fill blocks.
        images: so many images share a block; the batch is a multiple of them, or is padded to one. 0: the tiles of all
            images, bands of rows, are too few for a block, and stay as they are.
    """

    grid: Pair
    tile: Pair
    count: int
    images: int

    @property
    def plain(self) -> bool:
        """Whether images are not put into blocks."""
        return self.images == 0

    def moves(self, batch: int | None, block: int) -> bool:
        """Whether tiles change places, so that those of several images lie side by side in a block."""
        return self.images > 1 and self.count * self.images > block and batch != self.images

    def covers(self, windows: Pair) -> bool:
        """Whether the tiles cover the windows and nothing else."""
        return (self.grid[0] * self.tile[0], self.grid[1] * self.tile[1]) == windows

    def lying(self, block: int) -> tuple[int, int, int] | None:
        """The tiles of an image, row by row, as (turns, tiles down, tiles across) of a block.

        ``None`` if whole rows of tiles do not make a block. Where they do, one transpose puts the windows of all tiles
        where they belong.
        """
        together = block // max(self.images, 1)
        down, across = self.grid
        if self.count != down * across or together % across:
            return None
        return self.count // together, together // across, across


@functools.lru_cache(512)
def cheapest_tiling(problem: WindowSum) -> tuple[float, Tiling]:
    """Seconds of the best tiling, and the tiling."""
    return min(((_seconds(problem, tiling), tiling) for tiling in _tilings(problem)), key=lambda pair: pair[0])


def _tilings(problem: WindowSum) -> Iterator[Tiling]:
    """What is worth looking at."""
    batch, (rows, columns), block = problem.batch, problem.windows, problem.block
    # Of images, those share a block that divide the batch, or all, with images added; or each fills blocks of its own.
    shares = sorted({1, math.gcd(batch, block) if batch is not None else 1, block})
    most = columns if rows == 1 else min(columns, 16)
    widths = sorted({-(-columns // parts) for parts in range(1, most + 1)}, reverse=True)
    heights = sorted({-(-rows // parts) for parts in range(1, rows + 1)}, reverse=True)
    for images in shares:
        per_block = block // images
        for width in widths:
            for height in heights:
                grid = -(-rows // height), -(-columns // width)
                count = -(-grid[0] * grid[1] // per_block) * per_block
                yield Tiling(grid, (height, width), count, images)
    for bands in range(1, (block - 1) // batch + 1 if batch else 1):
        if rows % bands == 0:
            yield Tiling((bands, 1), (rows // bands, columns), bands, 0)


def _seconds(problem: WindowSum, tiling: Tiling) -> float:
    """For the convolution and what is copied before it."""
    images = problem.batch if problem.batch is not None else costs.USUAL_SIZE
    if not tiling.plain:
        images = -(-images // tiling.images) * tiling.images
    tiles, (rows, columns), (far_down, far_across) = images * tiling.count, tiling.tile, problem.reach
    height = (rows - 1) * problem.strides[0] + far_down
    width = (columns - 1) * problem.strides[1] + far_across
    outputs = -(-problem.outputs // problem.block)
    padded = outputs * problem.block
    positions = far_across * problem.channels
    x, g = tiles * height * width * problem.channels * problem.parts, tiles * rows * columns * padded
    flops = 2.0 * problem.parts * tiles * rows * columns * problem.kernel[0] * positions * padded
    filter_bytes = 4 * rows * columns * min(padded, costs.FILTER_BLOCKS * problem.block)
    if tiling.plain:
        # The kernel uses only a few numbers of each line of the cache that it reads.
        few = costs.PLAIN_TILES if problem.channels >= problem.block and outputs < costs.FILTER_BLOCKS else 1.0
        seconds = costs.blocked_convolution(flops / few, outputs, positions, filter_bytes + 4 * x // tiles)
        seconds += costs.copies(g if images > 1 and outputs > 1 else 0)
    else:
        seconds = costs.blocked_convolution(flops, outputs, positions, problem.block * filter_bytes)
        seconds += costs.copies(x) + costs.copies(g, costs.SMALL_COPY_RATE)  # into blocks
        if tiling.lying(problem.block) is None:
            seconds += costs.copies(g)
    if (far_down, far_across) != (1, 1) or problem.batch != images:  # padding
        pixels = math.prod(problem.windows) * math.prod(problem.strides)
        seconds += costs.copies(images * pixels * problem.channels * problem.parts)
    if tiling.count > 1:
        few = tiling.grid[1] > 1 and problem.channels < problem.block
        seconds += costs.copies(x, costs.SMALL_COPY_RATE if few else costs.COPY_RATE)
    if tiling.moves(problem.batch, problem.block):
        seconds += costs.copies(x)
    if not tiling.covers(problem.windows):
        seconds += costs.copies(images * problem.windows[0] * problem.windows[1] * padded)
    return seconds
