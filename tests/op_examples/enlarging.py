"""Enlarging by whole factors, and its gradient: each mode, rank, order of axes, odd and even factors, one element."""

import numpy as np

from kcompile.ir import apply
from kcompile.ir.ops.spatial.enlarging import EnlargeGrad, enlarge, repeat
from tests.op_examples import Example, bools, floats, integers

NEAREST = [
    ((2, 3, 4, 5), (1, 1, 2, 2)),
    ((2, 3, 4, 5), (1, 2, 3, 1)),
    ((3, 4, 5), (1, 3, 1)),
    ((3, 4), (2, 3)),
    ((2, 3, 2, 3, 2), (1, 1, 2, 2, 2)),
    ((2, 3, 2, 3, 2), (1, 2, 3, 2, 1)),
    ((2, 2, 1, 3, 2), (3, 2, 2, 2, 2)),
    ((2, 2, 1, 3, 2, 2), (1, 2, 1, 2, 1, 3)),
]
LINEAR = [
    ((2, 3, 4, 5), (1, 1, 2, 2)),
    ((2, 4, 5, 3), (1, 3, 2, 1)),
    ((2, 3, 4, 5), (1, 1, 4, 3)),
    ((2, 3, 4, 5), (1, 1, 1, 5)),
    ((2, 4, 5, 3), (1, 6, 1, 1)),
    ((2, 3, 1, 2), (1, 1, 2, 3)),
    ((1, 2, 40, 3), (1, 1, 2, 3)),  # large enough for windows instead of products
    ((1, 45, 1, 2), (1, 2, 2, 1)),
    ((1, 1, 3, 70), (1, 1, 2, 1)),
]
CASES = [("nearest", *case) for case in NEAREST] + [("linear", *case) for case in LINEAR]


def name(mode: str, factors: tuple[int, ...], shape: tuple[int, ...]) -> str:
    return f"{mode}-{factors}-{shape}"


def enlarged(shape: tuple[int, ...], factors: tuple[int, ...]) -> np.ndarray:
    return floats(*(n * factor for n, factor in zip(shape, factors, strict=True)))


EXAMPLES = [
    *(
        Example("enlarge", lambda x, f=factors, m=mode: enlarge(x, f, m), [floats(*shape)], name(mode, factors, shape),
                batch=[0], empty=mode == "nearest")
        for mode, shape, factors in CASES
    ),
    *(
        Example("enlarge_grad", lambda g, f=factors, m=mode: apply(EnlargeGrad(f, m), g), [enlarged(shape, factors)],
                name(mode, factors, shape), batch=[] if factors[0] > 1 else [0])
        for mode, shape, factors in CASES
    ),
    Example("enlarge", lambda x: repeat(x, 3, 1), [floats(2, 3, 4)], "repeat", batch=[0], empty=True),
    Example("enlarge", lambda x: repeat(x, 2, 0), [floats(3, 2)], "repeat batch", batch=[0]),
    *(
        Example("enlarge", lambda x: enlarge(x, (1, 2, 1, 2)), [integers(2, 3, 2, 3, dtype=dtype)], dtype, batch=[0])
        for dtype in ("int64", "int32", "int8", "uint8", "int16")
    ),
    Example("enlarge", lambda x: enlarge(x, (2, 3)), [bools(3, 2)], "bool"),
    *(
        Example("enlarge", lambda x, m=mode: enlarge(x, (1, 1, 2, 3), m), [floats(2, 3, 2, 4).astype(dtype)],
                f"{mode} {dtype}", batch=[0])
        for mode in ("nearest", "linear") for dtype in ("float64",)
    ),
    *(
        Example("enlarge_grad", lambda g, m=mode: apply(EnlargeGrad((1, 1, 2, 3), m), g),
                [floats(2, 3, 4, width).astype("float64")], f"{mode} float64 {width}", batch=[0])
        for mode in ("nearest", "linear") for width in (6, 96)
    ),
]  # fmt: skip
