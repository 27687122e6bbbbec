"""A matrix product with a bias, with each transposition."""

from kcompile.ir.ops.products.gemm import gemm
from tests.op_examples import Example, floats

EXAMPLES = [
    Example("gemm", gemm, [floats(3, 4), floats(4, 2), floats(2)], batch=[0], empty=True),
    Example("gemm", lambda x, y, b: gemm(x, y, b, True), [floats(4, 3), floats(4, 2), floats(2)], "x transposed"),
    Example(
        "gemm",
        lambda x, y, b: gemm(x, y, b, False, True),
        [floats(3, 4), floats(2, 4), floats(2)],
        "y transposed",
        batch=[0],
    ),
    Example(
        "gemm",
        lambda x, y, b: gemm(x, y, b, True, True),
        [floats(4, 3), floats(2, 4), floats(2)],
        "both transposed",
    ),
]
