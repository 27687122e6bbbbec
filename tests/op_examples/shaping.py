"""Ops that move, cut and repeat elements, and sizes as values."""

import numpy as np

from kcompile.ir.ops.arrays.shaping import (
    concat,
    dims_vector,
    expand,
    expand_dims,
    iota,
    pad,
    reshape,
    reverse,
    slice_axes,
    split,
    squeeze,
    stack,
    tile,
    transpose,
)
from kcompile.ir.ops.spatial.enlarging import repeat
from tests.op_examples import Example, bools, floats, integers

x234 = floats(2, 3, 4)
image = floats(2, 4, 5, 3)

EXAMPLES = [
    Example("reshape", lambda x: reshape(x, (x.shape[0], -1)), [x234], "flatten", batch=[0], empty=True),
    Example("reshape", lambda x: reshape(x, (-1, 4)), [x234], "rows", batch=[0], empty=True),
    Example("reshape", lambda x: reshape(reshape(x, (-1, 4)), (-1, 3, 4)), [x234], "and back", batch=[0]),
    Example("reshape", lambda x: reshape(x, (x.shape[0], 20, 3)), [image], "merge", batch=[0]),
    Example("reshape", lambda x: reshape(x, (x.shape[0], 2, 2, 5, 3)), [image], "split", batch=[0]),
    Example("reshape", lambda x: reshape(x, ()), [floats(1, 1)], "scalar"),
    Example("reshape", lambda x: expand_dims(expand_dims(x, 1), -1), [floats(3, 4)], "expand_dims", batch=[0]),
    Example("reshape", lambda x: squeeze(x, [1, -1]), [floats(3, 1, 4, 1)], "squeeze", batch=[0]),
    Example("transpose", lambda x: transpose(x), [x234], "reverse", batch=[0], empty=True),
    Example("transpose", lambda x: transpose(x, (0, 3, 1, 2)), [image], "channels first", batch=[0]),
    Example("transpose", lambda x: transpose(x, (1, 0)), [bools(3, 2)], "bool", batch=[0]),
    Example("expand", lambda x: expand(x, (5, *x.shape)), [floats(3, 2)], "new axis", batch=[0], empty=True),
    Example("expand", lambda x, y: expand(x, y.shape), [floats(3, 1), floats(3, 4)], "column", batch=[0, 1]),
    Example("expand", lambda x, y: expand(x, y.shape), [floats(1, 4), floats(3, 4)], "to a batch", batch=[1]),
    Example("expand", lambda x: expand(x, (*x.shape[:2], 3, 4)), [floats(2, 3, 1, 1)], "images", batch=[0], empty=True),
    Example("expand", lambda x: repeat(x, 3, 1), [floats(2, 1, 4)], "repeat", batch=[0], empty=True),
    Example("expand", lambda x: tile(x, (2, 1, 3)), [x234], "tile", batch=[0], empty=True),
    Example("concat", lambda x, y: concat([x, y, x], 1), [x234, floats(2, 5, 4)], batch=[0, 1], empty=True),
    Example("concat", lambda x, y: concat([x, y], 0), [floats(3, 2), floats(2, 2)], "batch", batch=[0]),
    Example("concat", lambda x, y: stack([x, y], -1), [floats(3, 2), floats(3, 2)], "stack", batch=[0, 1]),
    Example("split", lambda x: split(x, (1, 2, 2), 1), [floats(3, 5)], batch=[0], empty=True),
    Example("split", lambda x: split(x, (1, 2, 2), 1)[1], [floats(3, 5)], "one part used", batch=[0]),
    Example(
        "slice",
        lambda x: slice_axes(x, [1, -1], [1, None], [None, -1]),
        [image],
        "numpy bounds",
        batch=[0],
        empty=True,
    ),
    Example("slice", lambda x: slice_axes(x, [1], [0], [None], [2]), [image], "step", batch=[0]),
    Example("slice", lambda x: slice_axes(x, [2, 1], [1, 0], [None, 3], [3, 2]), [image], "steps", batch=[0]),
    Example("slice", lambda x: slice_axes(x, [1, 2], [None, -2], [None, 0], [-1, -2]), [image], "back", batch=[0]),
    Example("slice", lambda x: slice_axes(x, [0], [None], [None], [-1]), [floats(4, 2)], "batch", batch=[0]),
    Example("slice", lambda x: slice_axes(x, [0], [-1], [None]), [floats(4, 2)], "last", batch=[0]),
    Example("slice", lambda x: slice_axes(x, [0], [None], [None], [2]), [floats(4, 2)], "every other", batch=[0]),
    Example("slice", lambda x: slice_axes(x, [0], [5], [99]), [floats(4, 2)], "nothing"),
    Example("slice", lambda x: slice_axes(x, [0], [1], [1], [-1]), [floats(4, 2)], "nothing of a batch", batch=[0]),
    Example("slice", lambda x: slice_axes(x, [0], [2], [1]), [floats(4, 2)], "less than nothing", batch=[0]),
    *(
        Example("slice", lambda x, k=k: slice_axes(x, [0], [None], [None], [k]), [floats(7, 2)], f"{k}", batch=[0])
        for k in (-2, -3)
    ),
    Example("slice", lambda x: reverse(x, (0, 2)), [x234], "reverse", batch=[0], empty=True),
    *(
        row
        for mode in ("constant", "reflect", "edge")
        for row in [
            Example("pad", lambda x, m=mode: pad(x, [(0, 0), (2, 1), (0, 3), (0, 0)], m), [image], mode, batch=[0]),
            Example("pad", lambda x, m=mode: pad(x, [(1, 2)], m), [floats(4)], f"{mode} vector"),
        ]
    ),
    Example("pad", lambda x: pad(x, [(0, 1), (2, 0)], value=1.5), [floats(3, 2)], "value", batch=[0]),
    Example("pad", lambda x: pad(x, [(0, 1), (-1, 2)]), [floats(3, 4)], "crop", batch=[0]),
    Example("pad", lambda x: pad(x, [(0, 0), (-1, -2)]), [floats(3, 4)], "only crop", batch=[0], empty=True),
    *(
        Example("pad", lambda x: pad(x, [(1, 0), (0, 2)], value=1), [integers(2, 3, dtype=dtype)], dtype)
        for dtype in ("int64", "int32", "int16", "uint8", "bool")
    ),
    Example("dims_vector", lambda x: dims_vector((x.shape[0], 3, x.shape[0] * 4)), [floats(3, 4)], batch=[0]),
    Example("iota", lambda x: iota(x.shape[0]), [floats(3, 4)], batch=[0], empty=True),
    Example("iota", lambda x: iota(x.shape[0] * 2 + 1, "float32"), [floats(3, 4)], "float32", batch=[0]),
]
assert np.prod(image.shape) == 120
