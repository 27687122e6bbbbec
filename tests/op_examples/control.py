"""Choice and iteration."""

import numpy as np

from kcompile.ir import constant
from kcompile.ir.ops.elementwise.functions import add, mul, sin, tanh
from kcompile.ir.ops.loops.control import cond, scan, select
from kcompile.ir.ops.products.linalg import matmul
from kcompile.ir.ops.shapes.reshaping import expand
from tests.op_examples import Example, floats

yes, no = np.array(True), np.array(False)


def recurrent(x, w, u, h, reverse):
    """A simple recurrent network that uses one matrix from outside and one as an operand."""

    def step(state, slice, matrix):
        after = tanh(add(matmul(slice, matrix), matmul(state, u)))
        return [after], [mul(after, slice)]

    finals, stacked = scan(step, [h], [x], [w], reverse=reverse)
    return (*finals, *stacked)


def mixed(x, y):
    """Two sequences; a sum, a counter, and a state that no step changes."""

    def step(total, count, fixed, a, b):
        return [add(total, mul(a, fixed)), add(count, 1), fixed], [mul(b, total), fixed]

    finals, stacked = scan(step, [sin(y), constant(0, "int64"), y], [mul(x, 2.0), sin(x)])
    return (*finals, *stacked)


def nested(x):
    """A running product inside each step of a loop, which starts from the product of the step before."""

    def row(carried, elements):
        def element(product, number):
            return [mul(product, add(number, carried))], []

        (product,), _ = scan(element, [add(carried, 1.0)], [elements])
        return [sin(product)], [product]

    finals, stacked = scan(row, [sin(x)], [expand(x, (2, 3, *x.shape))])
    return (*finals, *stacked)


EXAMPLES = [
    *(
        row
        for label, flag in {"true": yes, "false": no}.items()
        for row in [
            Example("select", select, [flag, floats(4, 3), floats(4, 3)], label, batch=[1, 2], empty=True),
            Example("select", select, [flag, floats(4, 3), floats(3)], f"{label}-broadcast", batch=[1]),
            Example(
                "cond",
                lambda p, x, y: cond(p, lambda a, b: [mul(a, b), sin(a)], lambda a, b: [add(a, x), a], [x, y]),
                [flag, floats(4, 3), floats(3)],
                label,
                batch=[1],
            ),
            Example(
                "cond",
                lambda p, x: cond(p, lambda: [sin(x)], lambda: [mul(x, x)]),
                [flag, floats(4, 3)],
                f"{label}-no-operands",
                batch=[1],
            ),
        ]
    ),
    *(
        Example(
            "scan",
            lambda x, w, u, h, reverse=reverse: recurrent(x, w, u, h, reverse),
            [floats(5, 2, 3), floats(3, 3), floats(3, 3), floats(2, 3)],
            "reverse" if reverse else "forward",
            batch=[0],
            rtol=3e-5,  # rounding adds up over the steps
        )
        for reverse in (False, True)
    ),
    Example("scan", mixed, [floats(4, 3), floats(3)], "states", batch=[0]),
    Example("scan", lambda h: scan(lambda s: ([mul(s, 0.5)], [s]), [h], length=3)[1], [floats(2)], "length"),
    Example("scan", nested, [floats(2)], "nested"),
]
