"""How the windows of a batch of images are cut into tiles that are summed like further images.

The filter gradient of a convolution is a sum over all windows of all images. The blocked kernel sums over its "input
channels", so it needs a whole number of blocks of parts of that sum: images, if there are many, or tiles of images.
Smaller tiles are also what keeps the gradient, which is the filter here, in the cache; but neighbouring tiles of the
input overlap, and the overlap is copied.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import gcd

from kcompile.ir import costs
from kcompile.ir.ops.spatial import span

USUAL_BATCH = 32
"""What a symbolic batch counts for."""


@dataclass(frozen=True)
class Tiling:
    """A grid of tiles on each image.

    Attributes:
        grid: tiles down and across.
        tile: windows down and across in a tile; the last ones may reach beyond the image.
        count: tiles of an image, empty ones included, so that images and tiles fill blocks.
        images: so many images share a block; the batch is a multiple of them, or is padded to one. 0: the images are
            too few for a block, and stay as they are.
    """

    grid: tuple[int, int]
    tile: tuple[int, int]
    count: int
    images: int

    @property
    def plain(self) -> bool:
        """Whether images are not put into blocks."""
        return self.images == 0


@functools.lru_cache(512)
def choose_tiling(
    batch: int | None,
    windows: tuple[int, int],
    channels: int,
    outputs: int,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    dilations: tuple[int, int],
    block: int,
) -> Tiling:
    """The cheapest tiling for images with ``windows`` down and across; ``None`` for a batch of any size."""
    best: tuple[float, Tiling] | None = None
    for images in _shares(batch, block):
        for tile in _tiles(windows):
            grid = (-(-windows[0] // tile[0]), -(-windows[1] // tile[1]))
            per_block = block // images
            count = -(-grid[0] * grid[1] // per_block) * per_block
            found = Tiling(grid, tile, count, images)
            cost = _cost(found, batch, windows, channels, outputs, kernel, strides, dilations, block)
            if best is None or cost < best[0]:
                best = cost, found
    assert best is not None
    if batch is not None and batch < block:
        whole = Tiling((1, 1), windows, 1, 0)
        if _cost(whole, batch, windows, channels, outputs, kernel, strides, dilations, block) < best[0]:
            return whole
    return best[1]


def _shares(batch: int | None, block: int) -> list[int]:
    """How many images may share a block: one, what divides the batch, or all, with images added."""
    return sorted({1, gcd(batch, block) if batch is not None else 1, block})


def _tiles(windows: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Sizes of tiles worth looking at."""
    rows, columns = windows
    widths = {-(-columns // parts) for parts in range(1, (columns if rows == 1 else min(columns, 16)) + 1)}
    heights = {-(-rows // parts) for parts in range(1, rows + 1)}
    for width in sorted(widths, reverse=True):
        for height in sorted(heights, reverse=True):
            yield height, width


def _cost(
    tiling: Tiling,
    batch: int | None,
    windows: tuple[int, int],
    channels: int,
    outputs: int,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    dilations: tuple[int, int],
    block: int,
) -> float:
    """Seconds for the convolution and what is copied before it."""
    images = batch if batch is not None else USUAL_BATCH
    if not tiling.plain:
        images = -(-images // tiling.images) * tiling.images
    tiles = images * tiling.count
    reach = [span(extent, step) for extent, step in zip(kernel, dilations, strict=True)]
    height, width = (
        (size - 1) * stride + far for size, stride, far in zip(tiling.tile, strides, reach, strict=True)
    )
    area = tiling.tile[0] * tiling.tile[1]
    padded = -(-outputs // block) * block
    positions = reach[1] * channels
    flops = 2.0 * tiles * area * kernel[0] * positions * padded
    filter_bytes = 4 * block * min(padded, costs.FILTER_BLOCKS * block) * area
    whole = tuple(size * stride for size, stride in zip(windows, strides, strict=True))
    x, g = tiles * height * width * channels, tiles * area * padded
    if tiling.plain:
        # Of each line of the cache that it reads the kernel uses a few numbers only.
        read = filter_bytes // block + 4 * x // tiles
        seconds = costs.blocked_convolution(flops, padded // block, positions, 2 * read)
        seconds += costs.copies(g if images > 1 else 0)
    else:
        seconds = costs.blocked_convolution(flops, padded // block, positions, filter_bytes)
        seconds += costs.copies(x + g)  # into blocks
    if any(far > 1 for far in reach) or batch != images:
        seconds += costs.copies(images * whole[0] * whole[1] * channels)
    if tiling.count > 1:
        seconds += costs.copies(x, costs.COPY_RATE if tiling.grid[1] == 1 or channels >= 16 else costs.SMALL_COPY_RATE)
    if moved(tiling, batch):
        seconds += costs.copies(x)
    if not exact(tiling, windows):
        seconds += costs.copies(images * windows[0] * windows[1] * padded)
    if across(tiling, block) is None:
        seconds += costs.copies(g)
    return seconds


def across(tiling: Tiling, block: int) -> tuple[int, int, int] | None:
    """The tiles of an image, row by row, as (turns, tiles down, tiles across) of a block.

    ``None`` if whole rows of tiles do not make a block. Where they do, one transpose puts the windows of all tiles
    where they belong.
    """
    together = block // max(tiling.images, 1)
    down, wide = tiling.grid
    if tiling.count != down * wide:
        return None
    if together % wide == 0:
        return tiling.count // together, together // wide, wide
    return None


def exact(tiling: Tiling, windows: Sequence[int]) -> bool:
    """Whether the tiles cover the windows and nothing else."""
    sizes = tuple(count * size for count, size in zip(tiling.grid, tiling.tile, strict=True))
    return sizes == tuple(windows)


def moved(tiling: Tiling, batch: int | None) -> bool:
    """Whether tiles must change places, so that those of several images lie side by side in a block."""
    return tiling.images > 1 and tiling.count * tiling.images > 16 and batch != tiling.images
