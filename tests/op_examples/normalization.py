"""Batch normalization in training and inference, along each axis."""

from collections.abc import Callable

import numpy as np

from kcompile.ir import Value, apply_multi
from kcompile.ir.ops.arrays.reduction import reduce_mean
from kcompile.ir.ops.elementwise.functions import mul
from kcompile.ir.ops.spatial.normalization import BatchNormGrad, batch_norm_inference, batch_norm_training
from tests.op_examples import Example, floats

SHAPES = [
    ((6, 3), 1),
    ((4, 3, 5), 1),
    ((4, 5, 3), 2),
    ((3, 3, 4, 2), 1),
    ((3, 2, 4, 3), 3),
    ((2, 3, 2, 2, 3), 1),
]


def grad(axis: int) -> Callable[..., tuple[Value, ...]]:
    def build(g: Value, x: Value, scale: Value) -> tuple[Value, ...]:
        over = [i for i in range(x.rank) if i != axis]
        mean = reduce_mean(x, over)
        square = reduce_mean(mul(x, x), over)
        return apply_multi(BatchNormGrad(axis, 1e-3), g, x, scale, mean, square)

    return build


def vector(shape: tuple[int, ...], axis: int) -> np.ndarray:
    return floats(shape[axis], low=0.5, high=2.0)


EXAMPLES = [
    *(
        row
        for shape, axis in SHAPES
        for row in [
            Example(
                "batch_norm_training",
                lambda x, s, o, axis=axis: batch_norm_training(x, s, o, axis),
                [floats(*shape), vector(shape, axis), vector(shape, axis)],
                f"{len(shape)}d-axis{axis}",
                batch=[0],
            ),
            Example(
                "batch_norm_inference",
                lambda x, s, o, m, v, axis=axis: batch_norm_inference(x, s, o, m, v, axis),
                [floats(*shape), *(vector(shape, axis) for _ in range(4))],
                f"{len(shape)}d-axis{axis}",
                batch=[0],
            ),
            # The statistics may be any numbers, so that the gradients through them are tested on their own.
            Example(
                "batch_norm_grad",
                grad(axis),
                [floats(*shape), floats(*shape), vector(shape, axis)],
                f"{len(shape)}d-axis{axis}",
                batch=[0, 1],
            ),
        ]
    ),
    # Few rows far from zero: what a variance computed as mean(x * x) - mean(x)^2 would get wrong.
    Example(
        "batch_norm_training",
        lambda x, s, o: batch_norm_training(x, s, o, 1),
        [floats(8, 3, low=100, high=101), vector((8, 3), 1), vector((8, 3), 1)],
        "far from zero",
        wrt=[],
        rtol=3e-4,  # float32 keeps x itself to 1e-7, and x - mean hundred times worse
    ),
]
