"""Matrix products in all combinations of ranks and transposes."""

import numpy as np

from kcompile.ir.ops.products.linalg import dot_general, matmul
from tests.op_examples import Example, floats, integers


def flipped(x):
    return np.swapaxes(x, -1, -2).copy()


def _rows(label, left, right, batch, empty=False):
    """Every combination of transposes; the arrays are given untransposed."""
    return [
        Example(
            "matmul",
            lambda x, y, a=flip_x, b=flip_y: matmul(x, y, a, b),
            [flipped(left) if flip_x else left, flipped(right) if flip_y else right],
            f"{label}{' x.T' if flip_x else ''}{' y.T' if flip_y else ''}",
            batch=[] if flip_x and left.ndim == 2 else batch,
            empty=empty,
        )
        for flip_x in (False, True)
        for flip_y in (False, True)
    ]


EXAMPLES = [
    *_rows("2x2", floats(4, 3), floats(3, 5), [0], empty=True),
    # ONNX Runtime does not broadcast an empty axis.
    *_rows("3x2", floats(2, 4, 3), floats(3, 5), [0]),
    *_rows("3x3", floats(2, 4, 3), floats(2, 3, 5), [0, 1], empty=True),
    *_rows("4x3", floats(2, 3, 4, 3), floats(3, 3, 5), [0]),
    *_rows("2x3", floats(4, 3), floats(2, 3, 5), []),
    *_rows("broadcast", floats(2, 1, 4, 3), floats(1, 3, 3, 2), [0]),
    Example("matmul", matmul, [floats(2, 4, 3), floats(3, 5)], "dense on rank 3", batch=[0], empty=True),
    Example("matmul", matmul, [floats(3), floats(3)], "vectors"),
    Example("matmul", matmul, [floats(2, 4, 3), floats(3)], "times vector", batch=[0]),
    Example("matmul", matmul, [floats(3), floats(2, 3, 5)], "vector times", batch=[1]),
    Example("matmul", matmul, [integers(4, 3), integers(3, 2)], "int64", batch=[0]),
    Example("matmul", lambda x, y: matmul(x, y, True), [integers(3, 4), integers(3, 2)], "int64 x.T"),
    Example(
        "matmul",
        lambda x, y: matmul(x, y, True),
        [floats(1024, 32, high=1.0), floats(1024, 128, high=1.0)],
        "many rows x.T",
        rtol=1e-4,  # sums of 1,024 products
    ),
    Example(
        "matmul",
        lambda x, y: dot_general(x, y, ([1, 2], [0, 1])),
        [floats(2, 3, 4), floats(3, 4, 5)],
        "dot_general two axes",
        batch=[0],
    ),
    Example(
        "matmul",
        lambda x, y: dot_general(x, y, ([2], [2]), ([0], [0])),
        [floats(2, 3, 4), floats(2, 5, 4)],
        "dot_general batch",
        batch=[0, 1],
    ),
    Example(
        "matmul",
        lambda x, y: dot_general(x, y, ([1], [2]), ([0, 3], [0, 1])),
        [floats(2, 3, 4, 5), floats(2, 5, 3, 2)],
        "dot_general inner batch",
        batch=[0, 1],
    ),
    Example("matmul", lambda x, y: dot_general(x, y, ((), ())), [floats(2), floats(3)], "outer product"),
]
