"""Random numbers: the same bits in NumPy and in ONNX Runtime, in every order of the axes."""

import numpy as np

from kcompile.ir import apply
from kcompile.ir.ops.elementwise.random import (
    DropoutMask,
    dropout,
    random_bits,
    random_normal,
    random_truncated_normal,
    random_uniform,
)
from tests.op_examples import Example, floats

counter = np.array(2**33 + 5)
words = np.random.default_rng(3).integers(0, 2**32, (4, 5), np.uint32)

EXAMPLES = [
    *(
        Example("random_bits", lambda c, shape=shape: random_bits(c, shape, 7), [counter], f"rank{len(shape)}")
        for shape in [(), (6,), (4, 3), (2, 3, 4), (2, 3, 4, 5)]
    ),
    Example("random_bits", lambda c: random_bits(c, (3, 2), 2**31 - 1), [np.array(9, np.uint32)], "uint32"),
    Example(
        "random_bits",
        lambda x, c: random_bits(c, x.shape, 1),
        [floats(4, 3, 2), counter],
        "batch",
        batch=[0],
        empty=True,
    ),
    Example("random_bits", lambda c: random_uniform(c, (3, 4), 2, -1, 3), [counter], "uniform"),
    Example("random_bits", lambda c: random_normal(c, (3, 4), 2, 1, 3), [counter], "normal"),
    Example("random_bits", lambda c: random_truncated_normal(c, (3, 4), 2), [counter], "truncated"),
    Example("dropout_mask", lambda bits: apply(DropoutMask(0.25, "float32"), bits), [words], batch=[0], empty=True),
    Example("dropout_mask", lambda bits: apply(DropoutMask(0.25, "float64"), bits), [words], "float64"),
    Example(
        "dropout_mask",
        lambda x, c: dropout(x, c, 0.4, 3),
        [floats(4, 3, 2), counter],
        "dropout",
        batch=[0],
        empty=True,
    ),
    Example(
        "dropout_mask",
        lambda x, c: dropout(x, c, 0.4, 3, (None, 1, None)),
        [floats(4, 3, 2), counter],
        "noise_shape",
        batch=[0],
    ),
]
