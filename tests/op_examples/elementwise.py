"""Arithmetic, functions of one number, comparisons, logic and bits."""

import numpy as np

from kcompile.ir.ops.elementwise import comparison
from kcompile.ir.ops.elementwise import functions as elementwise
from kcompile.ir.ops.elementwise.functions import cast, where
from tests.op_examples import Example, bools, floats, integers

away_from_zero = floats(3, 4, low=0.3, high=2) * np.where(bools(3, 4), 1, -1).astype(np.float32)
corners = np.array([[-2, -0.0, 0, 2], [1, -1, 3, -3], [0.5, 1.5, 2.5, -0.5]], np.float32)
special = np.array([[np.nan, np.inf], [-np.inf, 0], [1, -1]], np.float32)

UNARY = {
    "neg": floats(3, 4),
    "abs": away_from_zero,
    "sign": away_from_zero,
    "exp": floats(3, 4),
    "log": floats(3, 4, low=0.2, high=3),
    "sqrt": floats(3, 4, low=0.2, high=3),
    "reciprocal": away_from_zero,
    "sin": floats(3, 4),
    "cos": floats(3, 4),
    "tan": floats(3, 4, low=-1, high=1.2),
    "asin": floats(3, 4, low=-0.9, high=0.9),
    "acos": floats(3, 4, low=-0.9, high=0.9),
    "atan": floats(3, 4),
    "sinh": floats(3, 4),
    "cosh": floats(3, 4),
    "tanh": floats(3, 4),
    "sigmoid": floats(3, 4, low=-4, high=5),
    "softplus": floats(3, 4, low=-4, high=5),
    "softsign": away_from_zero,
    "erf": floats(3, 4),
    "relu": away_from_zero,
    "floor": floats(3, 4),
    "ceil": floats(3, 4),
    "round": floats(3, 4),
}
FUNCTIONS = {"abs": elementwise.absolute, "round": elementwise.round_even}

BINARY = {
    "add": (floats(3, 4), floats(3, 4)),
    "sub": (floats(3, 4), floats(3, 4)),
    "mul": (floats(3, 4), floats(3, 4)),
    "div": (floats(3, 4), away_from_zero),
    "pow": (floats(3, 4, low=0.3, high=2), floats(3, 4)),
    "maximum": (floats(3, 4), floats(3, 4)),
    "minimum": (floats(3, 4), floats(3, 4)),
    "mod": (floats(3, 4, low=-5, high=5), away_from_zero),
}
COMPARISON = ("equal", "less", "less_equal", "greater", "greater_equal")


def _rows(name, function, x, y):
    """The same shape, a vector, a column that broadcasts both ways, and a scalar."""
    return [
        Example(name, function, [x, y], batch=[0, 1], empty=True),
        Example(name, function, [x, y[0]], "vector", batch=[0]),
        Example(name, function, [x[:, :1], y[:1]], "outer", batch=[0]),
        Example(name, function, [x, y[0, 0]], "scalar"),
        Example(name, function, [x[1, 2], y], "scalar first"),
    ]


EXAMPLES = [
    *(
        Example(name, FUNCTIONS.get(name) or getattr(elementwise, name), [x], batch=[0], empty=True)
        for name, x in UNARY.items()
    ),
    Example("sigmoid", elementwise.sigmoid, [floats(3, 4, low=-80, high=80)], "large", wrt=()),
    Example("softplus", elementwise.softplus, [floats(3, 4, low=-80, high=80)], "large", wrt=()),
    Example("round", elementwise.round_even, [corners], "halves", wrt=()),
    Example("sign", elementwise.sign, [integers(3, 4, low=-3)], "int64"),
    Example("neg", elementwise.neg, [integers(3, 4, dtype="int32")], "int32"),
    Example("abs", elementwise.absolute, [integers(3, 4, low=-9, dtype="int32")], "int32"),
    # Finite differences would see through it.
    Example("stop_gradient", elementwise.stop_gradient, [floats(3, 4)], batch=[0], wrt=()),
    Example(
        "stop_gradient",
        lambda x: elementwise.mul(x, elementwise.stop_gradient(x)),
        [floats(3)],
        "half",
        wrt=(),
    ),
    # relu's gradient as an op of its own is what second derivatives see.
    Example("relu_grad", lambda g, x: _relu_grad(g, x), [floats(3, 4), away_from_zero], batch=[0, 1]),
    *(
        Example("cast", lambda x, t=to: cast(x, t), [array], f"{array.dtype}-{to}", batch=[0], wrt=())
        for array in (np.round(4 * floats(3, 4)) / 2, integers(3, 4, low=-2, dtype="int32"), bools(3, 4))
        for to in ("float32", "float64", "int64", "int32", "bool")
        if str(array.dtype) != to
    ),
    Example("cast", lambda x: cast(cast(x, "float64"), "float32"), [floats(3, 4)], "there and back", wrt=()),
    *(
        row
        for name, (x, y) in BINARY.items()
        for row in _rows(name, getattr(elementwise, {"pow": "power"}.get(name, name)), x, y)
    ),
    *(
        Example(name, getattr(elementwise, name), [integers(3, 4, low=-9), integers(3, 4, low=1)], "int64")
        for name in ("add", "sub", "mul", "div", "maximum", "minimum", "mod")
    ),
    Example("sub", lambda x: elementwise.sub(2.0, x), [floats(3, 2, 5, 1)], "scalar and an axis of one"),
    Example("mul", elementwise.mul, [floats(3, 2, 5, 1), floats()], "an axis of one and scalar"),
    Example("div", elementwise.div, [integers(3, 4, low=-9), -integers(3, 4, low=1)], "negative divisor"),
    Example("mod", elementwise.mod, [integers(3, 4, low=-9), -integers(3, 4, low=1)], "negative divisor"),
    Example(
        "mod",
        elementwise.mod,
        [np.array([1, -1, 1e6, -1e6, 5, -5, 0], "f4"), np.array([0.1, 0.1, 0.7, -0.7, np.inf, np.inf, -2], "f4")],
        "exact",
        wrt=[],  # it jumps here
    ),
    Example("pow", lambda x: elementwise.power(x, 2), [corners], "square of negative"),
    Example("maximum", lambda x: elementwise.maximum(x, 0.1), [floats(3, 4)], "number", batch=[0]),
    Example("minimum", lambda x: elementwise.clip(x, -0.5, 0.5), [floats(3, 4)], "clip", batch=[0]),
    *(row for name in COMPARISON for row in _rows(name, getattr(comparison, name), corners, corners[::-1].copy())),
    *(Example(name, getattr(comparison, name), [integers(3, 4), integers(3, 4)], "int64") for name in COMPARISON),
    *(
        Example(name, getattr(comparison, name), [bools(3, 4), bools(4)], batch=[0], empty=True)
        for name in ("logical_and", "logical_or", "logical_xor")
    ),
    Example("logical_not", comparison.logical_not, [bools(3, 4)], batch=[0]),
    Example("is_nan", comparison.is_nan, [special], batch=[0], wrt=()),
    Example("is_inf", comparison.is_inf, [special], batch=[0], wrt=()),
    *(
        Example(
            name,
            getattr(comparison, name),
            [integers(3, 4, high=2**31, dtype="uint32"), integers(4, high=2**31, dtype="uint32")],
            batch=[0],
        )
        for name in ("bitwise_and", "bitwise_or", "bitwise_xor")
    ),
    *(
        Example(
            "bit_shift",
            lambda x, f=shift: f(x, 5),
            [integers(3, 4, high=2**32, dtype="uint32")],
            shift.__name__,
            batch=[0],
        )
        for shift in (comparison.shift_left, comparison.shift_right)
    ),
    Example("where", where, [bools(3, 4), floats(3, 4), floats(3, 4)], batch=[0, 1, 2], empty=True),
    Example("where", where, [bools(3, 1), floats(4), floats(3, 4)], "broadcast", batch=[0, 2]),
    Example("where", lambda c, x: where(c, x, 0), [bools(3, 4), floats(3, 4)], "number", batch=[0, 1]),
]


def _relu_grad(g, x):
    (grad,) = elementwise.Relu().vjp([x], [elementwise.relu(x)], [g])
    return grad
