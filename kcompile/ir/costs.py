"""What kernels cost on a core: the figures by which lowerings are chosen.

They were measured with stock ONNX Runtime on one core of a machine with AVX-512 (``python -m benchmarks grid`` shows
what comes of them). Only their ratios matter, and a way is chosen where it is clearly cheaper, so that the choices hold
on other machines too.
"""

from __future__ import annotations

BLOCKED_RATE = 160e9
"""Floating point operations a second of the blocked convolution kernel with two blocks of outputs or more."""

ONE_BLOCK_RATE = 110e9
"""The same with one block of outputs, which has too few sums under way to hide the latency of its instructions."""

PLAIN_INPUT = 0.8
"""How fast the blocked kernel is on a plain input of few channels, compared to a blocked one."""

PLAIN_TILES = 0.6
"""The same where that input has many numbers for each place, so that a line of the cache serves one place only."""

POSITIONS = 6
"""So many neighbouring results the blocked kernel computes at a time."""

FILTER_BLOCKS = 4
"""So many blocks of outputs it computes at a time."""

FILTER_CACHE = 1_000_000
"""Bytes of filter that it goes through for one block of inputs without leaving the second-level cache."""

COPY_RATE = 11e9
"""Bytes a second, written, of a kernel that passes once over a large tensor."""

SMALL_COPY_RATE = 4e9
"""The same where few numbers at a time change places."""

PLAIN_RATE = 145e9
"""Floating point operations a second of the plain convolution with a filter that changes and many outputs."""

HALF_RATE_OUTPUTS = 22
"""With so many outputs it has half that rate: what it copies for each product serves few rows."""

PRODUCT_RATE, PRODUCT_TERMS = 110e9, 16
"""Floating point operations a second of a matrix product with so many terms in each sum, and less with fewer."""

SCATTERED = 0.1e-9
"""Seconds in which ConvTranspose adds one number to where it belongs, if what it computes first stays in cache."""

SCATTERED_BEYOND, SCATTER_CACHE = 0.7e-9, 64e6
"""So much longer it takes where that has so many bytes for an image, and proportionally less below."""

SUM_OF_FILTERS = 4
"""What it costs to add up a number of the filters of all images, and to bring it into order, in copies of a number."""


FLOPS_PER_MOVE = 16
"""Floating point operations of a matrix product that take as long as moving an element of what a loop makes."""

FUNCTION = 4.0
"""What an elementwise function such as exp takes for each element, in elements moved; sums and the like take 1."""

TRANSPOSED = 7e-9
"""Seconds in which Transpose moves one number of a matrix."""


def transposition(count: int) -> float:
    """Seconds of transposing a matrix of ``count`` elements."""
    return count * TRANSPOSED


def plain_convolution(taps: float, inner: int, outer: int) -> float:
    """Seconds of a plain convolution for each pixel of its result, with ``inner`` and ``outer`` channels."""
    return 2 * taps * inner * (outer + HALF_RATE_OUTPUTS) / PLAIN_RATE


def plain_input_gradient(taps: float, inner: int, outer: int, pixels: int = 0) -> float:
    """Seconds of ConvTranspose for each pixel of its result, with ``inner`` channels; its operand has ``outer``.

    ``pixels`` are those of an image.
    """
    scattered = SCATTERED + SCATTERED_BEYOND * min(4 * taps * inner * pixels / SCATTER_CACHE, 1)
    return taps * inner * (2 * max(outer, PRODUCT_TERMS) / PRODUCT_RATE + scattered)


def blocked_pixel(taps: float, inner: int, outer: int, block: int) -> float:
    """Seconds of a blocked convolution for each pixel of its result; channels include padding."""
    return 2 * taps * inner * outer / (BLOCKED_RATE if outer > block else ONE_BLOCK_RATE)


def plain_input_pixel(taps: float, inner: int, outer: int, block: int) -> float:
    """The same where the input has fewer channels than a block, and is plain."""
    return blocked_pixel(taps, inner, outer, block) / PLAIN_INPUT


def conversions(channels: int) -> float:
    """Seconds of bringing a pixel of so many channels into blocked order, or out of it."""
    return 4 * channels / COPY_RATE


def rows_at_once(rows: int, kernel: int, stride: int, limit: int) -> int:
    """How many rows of a result are computed at once, at most ``limit``, so that the blocked kernel has least to do.

    A filter of ``kernel`` rows becomes taller by a stride for each further row.
    """
    return min(range(1, limit + 1), key=lambda count: -(-rows // count) * (kernel + (count - 1) * stride))


def blocked_convolution(flops: float, outputs: int, positions: int, filter_bytes: float) -> float:
    """Seconds of the blocked convolution kernel.

    Args:
        flops: two for each multiplication with an addition.
        outputs: blocks of output channels.
        positions: results in a row.
        filter_bytes: the size of the filter for one block of inputs and up to :data:`FILTER_BLOCKS` blocks of outputs.
    """
    rate = BLOCKED_RATE if outputs > 1 else ONE_BLOCK_RATE
    whole = -(-positions // POSITIONS) * POSITIONS
    # Measured: 150 GF/s at 1 MB, 98 at 2 MB, 68 at 4 MB and beyond.
    beyond = min(max(filter_bytes / FILTER_CACHE - 1, 0.0), 1.3)
    return flops * (whole / positions) * (1 + beyond) / rate


def copies(count: float, rate: float = COPY_RATE) -> float:
    """Seconds in which ``count`` float32 numbers are written once."""
    return 4 * count / rate


def window_table(count: float, rows: int, outputs: int) -> float:
    """Seconds in which a table of ``count`` numbers in ``rows`` is made and multiplied by the rows of a gradient."""
    few = min(rows, outputs)
    return count * (1.3e-9 + 2 * outputs * (1 + 16 / few) / PRODUCT_RATE)


def pixels_as_rows(pixels: int, channels: int, outputs: int) -> bool:
    """Whether the filter gradient of single pixels is faster as one product of all pixels than as one of each image.

    The former moves ``pixels * (channels + outputs)`` numbers for each image, the latter adds up a filter of
    ``channels * outputs``, a number of which costs so much more.
    """
    return pixels * (channels + outputs) < SUM_OF_FILTERS * channels * outputs


FILLED = 0.7
"""The least share of numbers that are not padding in a filter that ONNX Runtime brings into blocks by itself."""

PORTABLE_BLOCK = 16
"""The channels of a block where it has the most: with AVX-512."""


def blocks_by_itself(inner: int, outer: int, taps: int) -> bool:
    """Whether ONNX Runtime computes a convolution of images with a constant filter on blocks, and gains by that.

    It takes inputs whose channels are a multiple of 4. Measured for sequences of 50 to 50,000 steps: 1.1 to 2.1 times
    as fast as on plain tensors; 0.8 to 1.1 times where much is padding, or some is and there is a single tap.
    """
    blocks = [-(-channels // PORTABLE_BLOCK) * PORTABLE_BLOCK for channels in (inner, outer)]
    share = inner * outer / (blocks[0] * blocks[1])
    return inner >= PORTABLE_BLOCK and inner % 4 == 0 and (share == 1 or (share >= FILLED and taps > 1))
