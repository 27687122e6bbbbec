"""What things cost on a core: the figures by which passes and lowerings choose between ways to compute the same.

They are the only place where the speed of a machine is written down. They were measured with stock ONNX Runtime on one
core of a machine with AVX-512, and ``docs/performance.md`` says what came of each; ``python -m benchmarks costs``
measures those that are rates on the machine at hand and prints them beside these. Only their ratios matter, and a way
is chosen where it is clearly cheaper, so that the choices hold on other machines too.

What is no matter of speed stands where it is used: what kernels accept, what they get wrong, how long passes search.
"""

from __future__ import annotations

# ---- sizes that are not known

USUAL_SIZE = 32
"""What a symbolic size (a batch, above all) counts for where costs are compared that grow with it."""

LEAST_BATCH = 16
"""So many images are expected at least where something is done once for all of them, such as scaling a filter."""

UNKNOWN_BATCH = 8
"""So many where any number may come and a single image would do: what is lost with more is small beside their time."""

FIXED_BATCHES = 16
"""Batches whose size is a multiple of this are trained on by a model for that size: others are rests of an epoch."""

FEW_FIXED_BATCHES = (1, 2, 4, 8)
"""And batches of these sizes, in which large images come."""

# ---- calls of kernels, in microseconds

CALL = 0.35
"""Microseconds of a call of a kernel in ONNX Runtime: chains of elementwise ops on few numbers, per node."""

PART = 0.1
"""Microseconds of each part of a Concat or Split."""

CACHED_COPY = 2e-4
"""Microseconds of copying an element that is in the first-level cache.

With these three, the updates of vectors (biases, batch norm) are run together, and those of matrices are not: each of
their parts takes a reshape, which is a call of its own.
"""

HOISTED = 1024
"""A tensor of so many elements (of a usual batch) takes a kernel less time than being called.

In a loop over 80 steps of an LSTM, forward and backward, moving all cheap ops out saved 15 % for states of 8 x 32, 7 %
for 32 x 32, and cost 5 % for 32 x 128.
"""

MERGED_STATES = 256
"""Recurrences in opposite directions are merged if their states have at most so many elements (of a usual batch).

Measured on pairs of GRUs over 60 steps, forward and backward: 1 x 16 units take 0.7 ms instead of 1.13, 8 x 32 1.7
instead of 1.9, 8 x 64 the same, 32 x 64 15 instead of 13.
"""

LITTLE_WORK, FLOPS_PER_BYTE = 80_000_000, 5
"""Floating point operations, of which moving a byte counts for five: 0.6 milliseconds of one core.

Programs with less are a tenth to a fifth slower with two threads than with one, on a quiet machine too.
"""

# ---- elements that loops store, read, or compute again, in elements moved

READ, STORED = 1.0, 2.0
"""Elements moved for each one that a loop reads, and for each one that is stored first."""

FLOPS_PER_MOVE = 16
"""Floating point operations of a matrix product that take as long as moving an element of what a loop makes."""

FUNCTION = 4.0
"""What an elementwise function such as exp takes for each element, in elements moved; sums and the like take 1."""

# ---- convolution kernels

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

FEW_CHANNELS = 8
"""From so many channels on they fill the vectors of the kernel that computes filter gradients."""

FEW_COLUMNS = 8
"""A product of many rows by fewer columns than this is faster the other way round.

MLAS works on rows of the left operand: 1x512x512, 16 to 1 channels, takes 0.85 ms instead of 13.8.
"""

FEW_OUTPUTS, MANY_OUTPUTS = 4, 16
"""Up to so many output channels the transposed kind of a convolution is faster, from so many on the plain one.

Each by about a half. Between them both are equally fast. One to three output channels are images.
"""

FEW_INPUTS, SOME_INPUTS = 4, 8
"""Up to so many input channels the product of a transposed convolution is nearly empty, and it always slower; from so
many on it may be faster.
"""

MOST_WASTE = 1.15
"""So much more may be computed for rows of a result that end in the middle of a vector, in place of a column."""

MOST_PADDING = 4 / 3
"""Blocked tensors have at most so many times the elements of the plain ones."""

CLEARLY = 0.75
"""The filter gradient of an image that is not enlarged, with strides, must take so much of the time of the other one:
estimates of both are rough.
"""

MANY_GROUPS = 32
"""So many groups of whole blocks at most have their filter gradients computed one after the other."""

GROUPS_IN_TABLE = 4
"""With more groups the matrix products with a table of windows are too small to pay."""

TABLE_OF_IMAGE = 500_000
"""So many elements for each image may a table of windows have, where the product of each image is taken alone."""

SHARES = 8
"""Into so many groups at most are the tiles of a filter gradient divided, each with a sum of its own, for threads."""

FILLED = 0.7
"""The least share of numbers that are not padding in a filter that ONNX Runtime brings into blocks by itself."""

PORTABLE_BLOCK = 16
"""The channels of a block where it has the most: with AVX-512."""

# ---- other kernels

TRANSPOSED = 7e-9
"""Seconds in which Transpose moves one number of a matrix."""

REPEATED = 256
"""Up to so many repetitions of each element are faster as a product with ones: Expand takes 10 ns for each element.

Gradient of global averages, 8x7x7x1280: 0.25 ms instead of 0.79.
"""

RESIZED_BY_PRODUCTS = 64
"""The gradient of interpolation is two matrix products for images that are no larger than this when enlarged."""

WIDE, WIDEST = 8, 16
"""Windows of max pooling whose gradient compares neighbours: along one axis, and along several.

Every place in a window takes nodes of its own, so that wider ones are found by indices.
"""

COMPARED = 8192
"""Elements of an image from which on few nodes matter less than fast ones."""

COLUMN_PASSES = 4
"""How often summing rows by columns writes the whole table, in the time of nodes that copy it."""

MOST_SCATTERS = 64
"""So many nodes at most add rows to a table, each of which copies it.

4,096 rows into 30,000 x 256 take 8.4 ms instead of 25.4 where they are added to smaller tables.
"""

# ---- updates of weights

SPLIT_UPDATES = 120_000
"""Variables of at least so many elements are updated in parts: their chain of ten kernels leaves the cache.

A step of mlp takes 5.9 ms instead of 6.4, of cnn 133 instead of 136, of cifar 49 instead of 53.
"""

PART_OF_UPDATE = 50_000
"""About so many elements make a part: weights, slots and the numbers in between fit into a second-level cache."""

SPLIT_STEPS = 4
"""Chains with fewer kernels gain nothing."""

ALIGNED_ROWS = 16
"""Parts have a multiple of so many rows, so that they start where vector instructions like it."""

SPARSE = 4
"""A gradient of a table is sparse if it has at most one row in so many."""

SUMMED = 20_000
"""The largest weight, in elements, that takes part in the sum that tells whether new weights are numbers."""

# ---- memory that a faster way may take

TABLE_OF_BATCH = 16_000_000
"""So many numbers (64 MB) may a table of windows of all images hold."""

TABLE_OF_TRANSPOSED = 1 << 24
"""So many numbers (64 MB) may be added up to the result of a transposed convolution.

More only if they are no more than twice the input, so that large images, and those of unknown size, do not take much
more memory than before.
"""

SUMS_OF_GROUPS = 1_000_000
"""So many bytes may the sums of all groups of tiles take together."""

FOLDED = 64 * 2**20
"""No array of more bytes than this is made of constants."""

FOLDED_GROWTH = 4096
"""Results of constants may take so many bytes more than these: a broadcast is cheaper to compute than to store."""

# ---- what ways take


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


def blocks_by_itself(inner: int, outer: int, taps: int) -> bool:
    """Whether ONNX Runtime computes a convolution of images with a constant filter on blocks, and gains by that.

    It takes inputs whose channels are a multiple of 4. Measured for sequences of 50 to 50,000 steps: 1.1 to 2.1 times
    as fast as on plain tensors; 0.8 to 1.1 times where much is padding, or some is and there is a single tap.
    """
    blocks = [-(-channels // PORTABLE_BLOCK) * PORTABLE_BLOCK for channels in (inner, outer)]
    share = inner * outer / (blocks[0] * blocks[1])
    return inner >= PORTABLE_BLOCK and inner % 4 == 0 and (share == 1 or (share >= FILLED and taps > 1))


def product_turned(rows: int, inner: int, columns: int) -> bool:
    """Whether ``x.T @ y`` of ``rows x inner`` and ``inner x columns`` is better computed as ``(y.T @ x).T``.

    The kernel of ONNX Runtime's CPU provider transposes its left operand again for each 128 columns of the right one.
    For 2,560 rows and a result of 128 x 512 (the gradient of an LSTM's weights) the detour saves a quarter.
    """
    return columns >= 3 * rows and inner >= 4 * columns and inner * rows * columns >= 2**22
