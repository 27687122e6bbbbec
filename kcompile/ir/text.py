"""The text form of graphs: Python syntax, printed and parsed back.

::

    def model(image: f32[batch, 4], mask: bool[batch]):
        kernel: f32[4, 2] = variable("dense/kernel", "weight")
        matmul_1: f32[batch, 2] = matmul(image, kernel)
        mul_1: f32[batch, 2] = mul(matmul_1, 0.5)
        split_1_0, split_1_1 = split(mul_1, sizes=(1, 1), axis=1)  # f32[batch, 1], f32[batch, 1]
        kernel.next = mul_2
        return {"left": split_1_0}

Operands are positional, attributes are keywords (left out where they have their default), regions are nested
functions, sizes are expressions over names. A float literal is a float32 scalar, an integer literal an int64
scalar; scalars of other types read ``i32(7)``. Constants of many elements are written as a digest: to parse
those back takes the arrays (:func:`large_constants`).
"""

from kcompile.ir.parsing import parse_graph
from kcompile.ir.printing import digest, large_constants, print_graph

__all__ = ["digest", "large_constants", "parse_graph", "print_graph"]
