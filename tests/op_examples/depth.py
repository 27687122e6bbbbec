"""Slices of volumes as images of a larger batch."""

from kcompile.ir import apply
from kcompile.ir.ops.spatial.depth_pooling import DepthMaxGrad, DepthRepeat
from kcompile.ir.ops.spatial.depth_windows import depth_windows
from tests.op_examples import Example, floats, integers

slices = floats(6, 2, 3, 4)  # volumes of three


def row(depth, count, stride, offsets, label, array=slices, **options):
    # The op comes after differentiation and has no gradient.
    return Example(
        "depth_windows", lambda x: depth_windows(x, depth, count, stride, offsets), [array], label, wrt=(), **options
    )


EXAMPLES = [
    row(3, 3, 1, (-1, 0, 1), "zeros before and behind"),
    row(3, 2, 2, (-1, 0), "every second, from before the first"),
    row(3, 2, 1, (0, 1), "nothing added"),
    row(3, 1, 1, (4, -2), "all outside"),
    row(6, 3, 2, (0, 1), "side by side: no copy"),
    row(1, 2, 1, (0,), "behind the only one"),
    *(
        Example("depth_repeat", lambda g, op=op: apply(op, g), [slices], str(op), wrt=())
        for op in (DepthRepeat(6, 2), DepthRepeat(3, 1), DepthRepeat(11, 3))
    ),
    *(
        Example(
            "depth_max_grad",
            lambda g, x, op=op: apply(op, g, x),
            [slices, integers(6 * op.depth // op.count, 2, 3, 4, high=3).astype("float32")],  # with ties
            str(op),
            wrt=(),
        )
        for op in (DepthMaxGrad(6, 2), DepthMaxGrad(3, 1), DepthMaxGrad(11, 3))
    ),
]
