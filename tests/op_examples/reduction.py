"""Reductions, arg-reductions, running sums and products."""

import numpy as np

from kcompile.ir.ops.arrays.cumulative import (
    cumprod,
    cumsum,
)
from kcompile.ir.ops.arrays.multiplied import reduce_prod
from kcompile.ir.ops.arrays.reduction import (
    arg_max,
    arg_min,
    logsumexp,
    reduce_all,
    reduce_any,
    reduce_max,
    reduce_mean,
    reduce_min,
    reduce_sum,
)
from tests.op_examples import Example, bools, floats, integers

ties = np.array([[1, 3, 3], [2, 2, 2], [5, 4, 3]], np.float32)
zeros_among = np.array([[2, 0, 3], [0, 0, 4], [1, 2, 3]], np.float32)

EXAMPLES = [
    *(
        row
        for name, function in {
            "reduce_sum": reduce_sum,
            "reduce_mean": reduce_mean,
            "reduce_max": reduce_max,
            "reduce_min": reduce_min,
            "reduce_prod": reduce_prod,
            "logsumexp": logsumexp,
        }.items()
        for row in [
            Example(name, lambda x, f=function: f(x), [floats(4, 3)], "all", batch=[0]),
            Example(name, lambda x, f=function: f(x, [1]), [floats(4, 3, 2)], "middle", batch=[0], empty=True),
            Example(name, lambda x, f=function: f(x, [0, -1], True), [floats(4, 3, 2)], "kept", batch=[0]),
            Example(name, lambda x, f=function: f(x, []), [floats(2, 3)], "none"),
            Example(name, lambda x, f=function: f(x, [1, 2]), [floats(2, 3, 2, 4)], "spatial", batch=[0]),
        ]
    ),
    *(
        Example(name, lambda x, f=function: f(x, [1]), [integers(3, 4, low=-5, dtype=dtype)], dtype)
        for name, function in {
            "reduce_sum": reduce_sum,
            "reduce_max": reduce_max,
            "reduce_prod": reduce_prod,
        }.items()
        for dtype in ("int8", "int32", "int64")
    ),
    Example("reduce_prod", lambda x: reduce_prod(x, [1]), [zeros_among], "zeros"),
    Example("logsumexp", lambda x: logsumexp(x, [1]), [100 * floats(3, 4)], "large"),
    Example("reduce_any", lambda x: reduce_any(x, [1]), [bools(4, 3)], batch=[0], empty=True),
    Example("reduce_any", lambda x: reduce_any(x, None, True), [bools(4, 3)], "kept", batch=[0]),
    Example("reduce_all", lambda x: reduce_all(x, [1]), [bools(4, 3)], batch=[0], empty=True),
    Example("reduce_all", lambda x: reduce_all(x, []), [bools(4, 3)], "none"),
    *(
        row
        for name, function in {"arg_max": arg_max, "arg_min": arg_min}.items()
        for row in [
            Example(name, lambda x, f=function: f(x, -1), [floats(4, 3)], batch=[0], empty=True),
            Example(name, lambda x, f=function: f(x, 1, True), [ties], "ties", batch=[0]),
            Example(name, lambda x, f=function: f(x, 1), [integers(2, 5, 3, dtype="int16")], "int16"),
        ]
    ),
    *(
        Example(
            "cumsum",
            lambda x, e=exclusive, r=reverse: cumsum(x, 1, e, r),
            [floats(2, 5, 3)],
            f"exclusive={exclusive},reverse={reverse}",
            batch=[0],
            empty=True,
        )
        for exclusive in (False, True)
        for reverse in (False, True)
    ),
    Example("cumsum", lambda x: cumsum(x, 0), [integers(5, 2, dtype="int32")], "int32", batch=[0]),
    *(
        Example(
            "linear_recurrence",
            lambda x, e=exclusive, r=reverse: cumprod(x, 1, e, r),
            [zeros_among if exclusive else floats(3, 4)],
            f"exclusive={exclusive},reverse={reverse}",
            batch=[0],
        )
        for exclusive in (False, True)
        for reverse in (False, True)
    ),
    Example("linear_recurrence", lambda x: cumprod(x, 0), [floats(4, 3)], "along the batch", batch=[0]),
]
