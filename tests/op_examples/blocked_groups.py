"""Convolutions with groups on blocked tensors: plain images go in and come out."""

from kcompile.ir import apply
from kcompile.ir.ops.blocked.groups import (
    BlockedDepthwiseWeightGrad,
    BlockedGroupedConv,
    BlockedGroupedConvInputGrad,
)
from tests.op_examples import floats
from tests.op_examples.blocked import BLOCK, ONE, SAME, VALID, back, row, to

WHOLE, FEW = 2 * BLOCK, 2 * BLOCK - 3
"""Numbers of channels: whole blocks, and not."""


def conv(groups, strides, pads, dilations=ONE, adds=False, relu=False, channels=None):
    op = BlockedGroupedConv(strides, pads, dilations, groups, BLOCK, adds, relu)

    def build(x, w, *rest):
        rest = [*rest[:-1], to(rest[-1])] if adds else rest
        return back(apply(op, to(x), w, *rest), channels)

    return build


def input_grad(groups, strides, pads, sizes, dilations=ONE, channels=None):
    op = BlockedGroupedConvInputGrad(strides, pads, dilations, groups, BLOCK, sizes)
    return lambda g, w: back(apply(op, to(g), w), channels)


def weight_grad(channels, strides, pads, kernel, dilations=ONE):
    op = BlockedDepthwiseWeightGrad(strides, pads, dilations, BLOCK, kernel, channels)
    return lambda x, g: apply(op, to(x), to(g))


EXAMPLES = [
    row(
        "blocked_grouped_conv",
        conv(WHOLE, ONE, SAME, (1, 2), relu=True),
        [floats(2, WHOLE, 6, 5), floats(3, 3, 1, WHOLE), floats(WHOLE)],
        "depthwise, bias, relu",
        batch=[0],
    ),
    row(
        "blocked_grouped_conv",
        conv(FEW, (2, 2), SAME, adds=True, channels=FEW),
        [floats(2, FEW, 6, 5), floats(3, 3, 1, FEW), floats(FEW), floats(2, FEW, 3, 3)],
        "depthwise, no whole blocks, bias, sum",
    ),
    row(
        "blocked_grouped_conv",
        conv(2, (2, 2), SAME, adds=True),
        [floats(2, WHOLE, 6, 5), floats(3, 3, BLOCK, 2 * WHOLE), floats(2, 2 * WHOLE, 3, 3)],
        "groups of blocks, sum",
    ),
    row(
        "blocked_grouped_conv_input_grad",
        input_grad(WHOLE, ONE, ((1, 0), (1, 1)), (6, 5)),
        [floats(2, WHOLE, 5, 5), floats(3, 3, 1, WHOLE)],
        "depthwise",
    ),
    row(
        "blocked_grouped_conv_input_grad",
        input_grad(FEW, (2, 2), SAME, (11, 10), channels=FEW),
        [floats(2, FEW, 6, 5), floats(3, 3, 1, FEW)],
        "depthwise, no whole blocks, strides",
        batch=[0],
    ),
    row(
        "blocked_grouped_conv_input_grad",
        input_grad(2, ONE, SAME, (8, 5), (2, 1)),
        [floats(2, 2 * WHOLE, 6, 5), floats(3, 3, BLOCK, 2 * WHOLE)],
        "groups of blocks",
    ),
    *(
        row(
            "blocked_depthwise_weight_grad",
            weight_grad(channels, strides, pads, kernel, dilations),
            [floats(3, channels, *sizes), floats(3, channels, 6, 5)],
            label,
            batch=[0, 1],
        )
        for label, channels, sizes, strides, pads, kernel, dilations in (
            ("", WHOLE, (6, 5), ONE, SAME, (3, 3), ONE),
            ("no whole blocks, strides, a rest", FEW, (12, 10), (2, 2), ((0, 1), (1, 1)), (2, 3), ONE),
            ("dilation", WHOLE, (8, 8), ONE, SAME, (3, 2), (2, 5)),
            ("steps beyond the kernel", WHOLE, (16, 13), (3, 3), VALID, (1, 1), ONE),
        )
    ),
]
