"""Ops on blocked tensors: plain images go in and come out, so that NumPy and the kernels can be compared."""

import numpy as np

from kcompile.ir import apply
from kcompile.ir.core import apply_multi
from kcompile.ir.ops.blocked.blocked import (
    BlockedAffine,
    BlockedAveragePool,
    BlockedBatchNormGrad,
    BlockedConv,
    BlockedConvInputGrad,
    BlockedConvWeightGrad,
    BlockedMaxPool,
    BlockedMean,
    FromBlocked,
    ToBlocked,
)
from kcompile.ir.ops.blocked.few import BlockedConvFew
from kcompile.runtime.session import channel_block
from tests.op_examples import Example, floats

BLOCK = channel_block() or 8
SKIP = {"portable": "the kernels are ONNX Runtime's own", "cuda": "the kernels are the CPU's"}
if channel_block() == 0:
    SKIP["native"] = "this processor has no blocked kernels"

image = floats(2, 2 * BLOCK, 6, 5)
odd_image = floats(2, BLOCK + 3, 6, 5)
pixels = floats(2, 3, 7, 6)
ONE = (1, 1)
SAME = ((1, 1), (1, 1))
VALID = ((0, 0), (0, 0))


def row(op, build, arrays, label="", **options):
    # The ops come after differentiation and have no gradients.
    return Example(op, build, arrays, label, wrt=(), skip=SKIP, **options)


def to(x):
    return apply(ToBlocked(BLOCK), x)


def back(x, channels=None):
    return apply(FromBlocked(BLOCK, channels=channels), x)


def conv(strides, pads, dilations, relu=False, plain=False, channels=None):
    op = BlockedConv(strides, pads, dilations, BLOCK, relu=relu)
    return lambda x, *rest: back(apply(op, x if plain else to(x), *rest), channels)


def few(strides, pads, dilations, relu=False, plain=False):
    op = BlockedConvFew(strides, pads, dilations, BLOCK, relu)
    return lambda x, *rest: apply(op, x if plain else to(x), *rest)


def input_grad(pads, dilations, sizes, strides=ONE, channels=None):
    op = BlockedConvInputGrad(strides, pads, dilations, BLOCK, sizes)
    return lambda g, w: back(apply(op, to(g), w), channels)


def weight_grad(strides, pads, kernel, dilations=ONE, parts=1):
    op = BlockedConvWeightGrad(strides, pads, dilations, BLOCK, kernel, parts)
    return lambda x, g: apply(op, x, to(g))  # x is channels-last


def conv_one_block(x, w):
    return apply(BlockedConv(ONE, VALID, ONE, BLOCK), x, w)


def batch_norm_grad(g, x, scale, mean, variance, channels=None):
    dx, dscale, doffset = apply_multi(BlockedBatchNormGrad(1e-3, BLOCK), to(g), to(x), scale, mean, variance)
    return back(dx, channels), dscale, doffset


def affine(**options):
    op = BlockedAffine(BLOCK, **options)
    return lambda x, factor, shift, *added: apply(op, to(x), factor, shift, *map(to, added))


def pool(op, window, strides, pads):
    return lambda x: back(apply(op(window, strides, pads, BLOCK), to(x)))


EXAMPLES = [
    row("to_blocked", lambda x: back(to(x)), [image], batch=[0]),
    row("from_blocked", lambda x: back(to(x)), [image], batch=[0]),
    row("to_blocked", lambda x: back(to(x), 6), [floats(2, 6, 4, 5)], "channels that fill no block", batch=[0]),
    row(
        "from_blocked",
        lambda x, w: apply(FromBlocked(BLOCK, True), conv_one_block(apply(ToBlocked(BLOCK, True), x), w)),
        [floats(2, 4, 5, BLOCK), floats(1, 1, BLOCK, BLOCK)],
        "a single block of channels, last",
        batch=[0],
    ),
    row(
        "from_blocked",
        lambda x: apply(FromBlocked(BLOCK, True, 6), apply(ToBlocked(BLOCK, True), x)),
        [floats(2, 4, 5, 6)],
        "channels that fill no block, last",
        batch=[0],
    ),
    row(
        "to_blocked",
        lambda x: back(apply(ToBlocked(BLOCK, channels_last=True), x)),
        [floats(2, 6, 5, 2 * BLOCK)],
        "channels last",
        batch=[0],
    ),
    row(
        "from_blocked",
        lambda x: apply(FromBlocked(BLOCK, channels_last=True), to(x)),
        [image],
        "channels last",
        batch=[0],
    ),
    row("blocked_conv", conv(ONE, SAME, ONE), [image, floats(3, 3, 2 * BLOCK, BLOCK)], batch=[0]),
    row(
        "blocked_conv",
        conv((2, 2), VALID, ONE),
        [image, floats(3, 3, 2 * BLOCK, BLOCK), floats(BLOCK)],
        "bias",
    ),
    row("blocked_conv", conv(ONE, SAME, (2, 1), True), [image, floats(3, 3, 2 * BLOCK, BLOCK)], "relu"),
    row("blocked_conv", conv(ONE, SAME, ONE, plain=True), [pixels, floats(3, 3, 3, 2 * BLOCK)], "plain input"),
    row(
        "blocked_conv_input_grad",
        input_grad(SAME, ONE, (6, 5)),
        [image, floats(3, 3, BLOCK, 2 * BLOCK)],
        batch=[0],
    ),
    row(
        "blocked_conv_input_grad",
        input_grad(VALID, ONE, (8, 7)),
        [image, floats(3, 3, BLOCK, 2 * BLOCK)],
        "valid",
    ),
    row(
        "blocked_conv_input_grad",
        input_grad(VALID, ONE, (6, 5)),
        [image, floats(1, 1, BLOCK, 2 * BLOCK)],
        "1x1",
    ),
    row(
        "blocked_conv_input_grad",
        input_grad(((0, 1), (0, 1)), ONE, (12, 10), (2, 2)),
        [image, floats(3, 3, BLOCK, 2 * BLOCK)],
        "stride 2",
        batch=[0],
    ),
    row(
        "blocked_conv_input_grad",
        input_grad(((2, 2), (0, 0)), ONE, (11, 14), (2, 3), BLOCK + 3),
        [image, floats(5, 2, BLOCK + 3, 2 * BLOCK)],
        "strides that don't divide the sizes, a phase without taps, channels that fill no block",
    ),
    row(
        "blocked_conv_input_grad",
        input_grad(VALID, ONE, (11, 9), (2, 2), BLOCK - 3),
        [floats(2, BLOCK + 2, 6, 5), floats(1, 1, BLOCK - 3, BLOCK + 2)],
        "1x1, stride 2, channels that fill no block",
    ),
    row(
        "blocked_conv",
        conv(ONE, SAME, ONE, channels=BLOCK + 5),
        [floats(2, BLOCK + 4, 6, 5), floats(3, 3, BLOCK + 4, BLOCK + 5), floats(BLOCK + 5)],
        "channels that fill no block",
        batch=[0],
    ),
    row(
        "blocked_conv_input_grad",
        lambda g, w: back(apply(BlockedConvInputGrad((2, 1), SAME, ONE, BLOCK, (11, 5)), g, w)),
        [floats(2, 3, 6, 5), floats(3, 3, BLOCK, 3)],
        "a plain gradient of few channels",
        batch=[0],
    ),
    row("blocked_conv_few", few(ONE, SAME, ONE), [image, floats(3, 3, 2 * BLOCK, BLOCK // 2)], batch=[0]),
    row(
        "blocked_conv_few",
        few((2, 1), ((1, 0), (0, 2)), ONE, relu=True, plain=True),
        [floats(2, 3, 15, 6), floats(3, 3, 3, 2), floats(2)],
        "plain input, rows at once that don't divide the height, bias, relu",
    ),
    row("blocked_conv_few", few(ONE, SAME, ONE), [image, floats(3, 3, 2 * BLOCK, 1), floats(1)], "one output"),
    row("blocked_conv_few", few(ONE, VALID, (2, 1)), [image, floats(3, 3, 2 * BLOCK, 3)], "dilation"),
    row(
        "blocked_conv_weight_grad",
        weight_grad((1, 2), ((0, 0), (2, 0)), (1, 3), (1, 2)),
        [floats(3, 1, 41, BLOCK), floats(3, BLOCK, 1, 20)],
        "one row",
    ),
    row(
        "blocked_conv_weight_grad",
        weight_grad(ONE, ((0, 0), (1, 1)), (1, 3)),
        [floats(1, 1, 100, 5), floats(1, BLOCK, 1, 100)],
        "one row of few channels",
    ),
    row("blocked_conv_weight_grad", weight_grad(ONE, SAME, (3, 3)), [floats(2, 6, 5, BLOCK), image]),
    row(
        "blocked_conv_weight_grad",
        weight_grad(ONE, SAME, (3, 3), parts=3),
        [floats(3, 40, 30, BLOCK), floats(1, 2 * BLOCK, 40, 30)],
        "an image whose channels lie in parts",
    ),
    row(
        "blocked_conv_weight_grad",
        weight_grad((2, 1), ((0, 1), (1, 0)), (3, 2), (1, 3), parts=2),
        [floats(2, 9, 11, 4), floats(1, BLOCK, 4, 9)],
        "parts, strides and dilation",
    ),
    row(
        "blocked_conv_weight_grad",
        weight_grad(ONE, VALID, (3, 3)),
        [floats(2, 8, 7, 3), image],
        "few channels",
    ),
    row(
        "blocked_conv_weight_grad",
        weight_grad((2, 2), SAME, (3, 3)),
        [floats(2, 11, 9, BLOCK), image],
        "strides",
    ),
    row(
        "blocked_conv_weight_grad",
        weight_grad(ONE, VALID, (3, 2), (2, 3)),
        [floats(BLOCK + 3, 10, 8, 3), floats(BLOCK + 3, BLOCK, 6, 5)],
        "dilation, an incomplete block of images",
        batch=[0, 1],
    ),
    row(
        "blocked_conv_weight_grad",
        weight_grad(ONE, SAME, (3, 3)),
        [floats(2 * BLOCK, 12, 58, 3), floats(2 * BLOCK, 4 * BLOCK, 12, 58)],
        "bands of rows, groups of images",
    ),
    row("blocked_max_pool", pool(BlockedMaxPool, (2, 2), (2, 2), VALID), [image], batch=[0]),
    row("blocked_max_pool", pool(BlockedMaxPool, (3, 3), ONE, SAME), [image], "overlapping"),
    row("blocked_average_pool", pool(BlockedAveragePool, (2, 2), (2, 2), VALID), [image], batch=[0]),
    row("blocked_average_pool", pool(BlockedAveragePool, (3, 3), ONE, SAME), [image], "padded"),
    row("blocked_mean", lambda x: apply(BlockedMean(BLOCK), to(x)), [image], batch=[0]),
    row(
        "blocked_affine",
        lambda *values: back(affine()(*values)),
        [image, floats(2 * BLOCK), floats(2 * BLOCK)],
        batch=[0],
    ),
    row(
        "blocked_affine",
        lambda *values: back(affine(adds=True, relu=True)(*values)),
        [image, floats(2 * BLOCK), floats(2 * BLOCK), np.flip(image, 0).copy()],
        "sum, relu",
        batch=[0, 3],
    ),
    row(
        "blocked_affine",
        lambda *values: back(affine()(*values), BLOCK + 3),
        [odd_image, floats(BLOCK + 3), floats(BLOCK + 3)],
        "channels that fill no block",
    ),
    row(
        "blocked_batch_norm_grad",
        lambda *values: batch_norm_grad(*values, channels=BLOCK + 3),
        [odd_image, np.flip(odd_image, 0).copy(), *(floats(BLOCK + 3, low=0.5, high=2) for _ in range(3))],
        "channels that fill no block",
    ),
    row(
        "blocked_batch_norm_grad",
        batch_norm_grad,
        [image, np.flip(image, 0).copy(), *(floats(2 * BLOCK, low=0.5, high=2) for _ in range(3))],
    ),
]
