"""Normalization of rows by their own statistics: layer norm and its kin."""

from collections.abc import Callable

import numpy as np

from kcompile.ir import Value, apply_multi
from kcompile.ir.ops.spatial.row_normalization import LayerNorm, RmsNorm, layer_norm, rms_norm
from tests.op_examples import Example, floats

SHAPES = [((6, 4), 1), ((2, 3, 5), 2), ((3, 2, 4), 1), ((2, 3, 2, 3), 3), ((4, 3), 0)]


def layer_norm_from(first: int) -> Callable[..., Value]:
    return lambda x, scale, offset: layer_norm(x, scale, offset, first)


def rms_norm_from(first: int) -> Callable[..., Value]:
    return lambda x, scale: rms_norm(x, scale, first)


def with_statistics(first: int) -> Callable[..., tuple[Value, ...]]:
    return lambda x, scale, offset: apply_multi(LayerNorm(first, 1e-3), x, scale, offset)


def with_inverse(first: int) -> Callable[..., tuple[Value, ...]]:
    return lambda x, scale: apply_multi(RmsNorm(first, 1e-6), x, scale)


def row(shape: tuple[int, ...], first: int) -> np.ndarray:
    return floats(*shape[first:], low=0.5, high=2.0)


EXAMPLES = [
    *(
        example
        for shape, first in SHAPES
        for label, batch in [(f"{len(shape)}d-from{first}", [0] if first else [])]
        for example in [
            Example(
                "layer_norm",
                layer_norm_from(first),
                [floats(*shape), row(shape, first), row(shape, first)],
                label,
                batch,
            ),
            Example("rms_norm", rms_norm_from(first), [floats(*shape), row(shape, first)], label, batch),
        ]
    ),
    # The statistics are outputs too, which have gradients of their own.
    Example("layer_norm", with_statistics(1), [floats(3, 4), row((3, 4), 1), row((3, 4), 1)], "statistics", [0]),
    Example("rms_norm", with_inverse(1), [floats(3, 4), row((3, 4), 1)], "statistics", [0]),
    Example("layer_norm", layer_norm_from(1), [floats(3, 4), floats(4), floats(4)], "empty", [0], empty=True),
    Example("rms_norm", rms_norm_from(1), [floats(3, 4), floats(4)], "empty", [0], empty=True),
    # What a variance computed as mean(x * x) - mean(x)^2 would get wrong.
    Example(
        "layer_norm",
        layer_norm_from(1),
        [floats(4, 8, low=100, high=101), row((4, 8), 1), row((4, 8), 1)],
        "far from zero",
        wrt=[],
        rtol=3e-4,  # float32 keeps x itself to 1e-7, and x - mean hundred times worse
    ),
]
