"""Gather and scatter in their forms, one-hot, top-k."""

import numpy as np

from kcompile.ir.ops.arrays.indexing import (
    gather,
    gather_elements,
    gather_nd,
    one_hot,
    scatter_add,
    scatter_nd_add,
    top_k,
)
from kcompile.ir.ops.arrays.shaping import transpose
from tests.op_examples import Example, floats, integers

table = floats(7, 4)
places = integers(3, 5, low=-7, high=7)
ties = np.array([[1, 3, 3, 2], [2, 2, 2, 2], [5, 4, 3, 5]], np.float32)
many = np.round(8 * floats(9000, 50)) / 8
pairs = np.stack([integers(3, 5, high=4), integers(3, 5, low=-3, high=3)], -1)

EXAMPLES = [
    Example("gather", lambda x, i: gather(x, i), [table, places], "embedding", batch=[1], empty=True),
    Example("gather", lambda x, i: gather(x, i, 1), [floats(2, 6, 4), integers(3, high=6)], "axis 1", batch=[0]),
    Example("gather", lambda x, i: gather(x, i, -1), [floats(2, 3, 6), integers(2, 2, high=6)], "last", batch=[0]),
    Example("gather", lambda x, i: gather(x, i), [table, integers(3, high=7, dtype="int32")], "int32", batch=[1]),
    Example("gather", lambda x, i: gather(x, i, 1), [floats(3, 6), integers(high=6)], "scalar", batch=[0]),
    Example("gather", lambda x, i: gather(x, i), [integers(6), integers(2, 3, high=6)], "integers", batch=[1]),
    Example("scatter_add", lambda i, u: scatter_add(i, u, 7), [places, floats(3, 5, 4)], batch=[0, 1], empty=True),
    Example("scatter_add", lambda i, u: scatter_add(i, u, 3), [integers(6, high=3), floats(6)], "numbers"),
    Example(
        "scatter_add",
        lambda i, u: scatter_add(i, u, 6, 1),
        [integers(3, 2, high=6), floats(2, 3, 2, 4)],
        "axis 1",
        batch=[1],
    ),
    Example("scatter_add", lambda i, u: scatter_add(i, u, 4), [integers(5, high=4), integers(5, 2)], "integers"),
    Example(
        "gather_elements",
        lambda x, i: gather_elements(x, i, -1),
        [floats(3, 5), integers(3, 2, high=5)],
        batch=[0, 1],
        empty=True,
    ),
    Example(
        "gather_elements",
        lambda x, i: gather_elements(x, i, 1),
        [floats(2, 5, 3), integers(2, 4, 3, low=-5, high=5)],
        "middle",
        batch=[0, 1],
    ),
    # Its first gradient uses the scattering op; the row checks the gradient of that.
    Example(
        "scatter_elements_add",
        lambda x, i, g: _scatter_of(x, i, g),
        [floats(3, 5), integers(3, 4, high=5), floats(3, 4)],
        batch=[0, 1, 2],
    ),
    Example("gather_nd", lambda x, i: gather_nd(x, i), [floats(4, 3, 2), pairs], "slices", batch=[1]),
    Example("gather_nd", lambda x, i: gather_nd(x, i), [floats(4, 3), pairs], "elements", batch=[1]),
    Example(
        "scatter_nd_add",
        lambda x, i, u: scatter_nd_add(x, i, u),
        [floats(4, 3, 2), pairs, floats(3, 5, 2)],
        batch=[1, 2],
    ),
    # More elements than one node adds without threads losing sums.
    Example(
        "scatter_add",
        lambda i, u: scatter_add(i, u, 3),
        [integers(9000, high=3), many],
        "many",
        batch=[0, 1],
        skip={"cuda": "one ScatterND node, right on CUDA, loses sums on the CPU"},
    ),
    *(
        Example(
            "scatter_add",
            lambda i, u, size=size: scatter_add(i, u, size),
            [integers(rows, low=-size, high=size), floats(rows, 25, 80)],
            label,
            skip={"cuda": "one ScatterND node, right on CUDA, loses sums on the CPU"},
        )
        for rows, size, label in ((300, 900, "into a large table"), (400, 300, "by columns"))
    ),
    Example("cast", lambda i: one_hot(i, 4), [integers(3, 2, low=-1, high=6)], "one_hot", batch=[0], empty=True),
    Example("cast", lambda i: one_hot(i, 4, "int32", 0), [integers(3, 2, high=4)], "one_hot first"),
    # Not empty: TopK divides by zero then, before ONNX Runtime 1.31.
    Example("top_k", lambda x: top_k(x, 3), [floats(4, 6)], batch=[0]),
    Example("top_k", lambda x: top_k(x, 2)[0], [floats(2, 3, 4)], "values", batch=[0]),
    Example("top_k", lambda x: top_k(x, 3)[1], [ties], "ties", batch=[0]),
    Example("top_k", lambda x: top_k(x, 3), [integers(3, 7, dtype="int16")], "int16", batch=[0]),
    Example("top_k", lambda x: top_k(transpose(x), 1), [floats(4, 3)], "k 1"),
]


def _scatter_of(x, indices, g):
    from kcompile.passes.autodiff import gradients

    (result,) = gradients([gather_elements(x, indices, -1)], [x], [g])
    return result
