"""Softmax and its logarithm."""

from kcompile.ir.ops.products.softmax import log_softmax, softmax
from tests.op_examples import Example, floats

EXAMPLES = [
    row
    for name, function in {"softmax": softmax, "log_softmax": log_softmax}.items()
    for row in [
        Example(name, function, [floats(4, 3)], batch=[0], empty=True),
        Example(name, lambda x, f=function: f(x, 1), [floats(2, 3, 4)], "middle", batch=[0]),
        Example(name, lambda x, f=function: f(x, 0), [floats(3, 2)], "first"),
        Example(name, function, [floats(2, 5, low=-90, high=90)], "large", batch=[0]),
    ]
]
