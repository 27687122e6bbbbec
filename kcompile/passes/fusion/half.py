"""Weights and most of the computation in float16; inputs, outputs and what needs the range stay float32.

Matrix products, convolutions, simple elementwise ops and everything that only moves elements run in float16. Sums over
many elements, powers, exponentials and the recurrences stay in float32, as in mixed-precision training (Micikevicius
et al., 2018); so does any op with a constant that float16 cannot hold, such as a mask of -1e9 or an epsilon of 1e-7.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from kcompile.ir.core import Array, Graph, Leaf, Node, Value, apply, constant, constant_of, make_node, scope_of
from kcompile.ir.ops.elementwise.arithmetic import Cast
from kcompile.passes.machinery.report import fired

LARGEST = float(np.finfo(np.float16).max)
PRECISION = 2.0**-10


def half(graph: Graph) -> Graph:
    """An inference graph with constant weights, in float16 between its float32 inputs and outputs."""
    new: dict[Value, Value] = {}
    casts: dict[tuple[Value, str], Value] = {}
    for node in graph.nodes():
        if isinstance(node.op, Leaf):
            new.update(zip(node.outputs, node.outputs, strict=True))
            continue
        wanted = "float16" if _in_half(node) else "float32"
        with scope_of(node):
            inputs = []
            for value in node.inputs:
                operand = new[value]
                if value.dtype == "float32":
                    if wanted == "float32" and _is_weight(operand):
                        operand = _cast(operand, "float16", casts)  # stored so, for the sake of the file
                    operand = _cast(operand, wanted, casts)
                inputs.append(operand)
            kept = all(a is b for a, b in zip(inputs, node.inputs, strict=True))
            results = node.outputs if kept else make_node(node.op, *inputs).outputs
        if wanted == "float16":
            fired(f"half {node.op.name}")
        new.update(zip(node.outputs, results, strict=True))
    return graph.with_results([_cast(new[value], value.dtype, casts) for value in graph.results])


def _cast(value: Value, dtype: str, casts: dict[tuple[Value, str], Value]) -> Value:
    """The value in that element type; constants are converted right away."""
    if value.dtype == dtype:
        return value
    if (value, dtype) not in casts:
        array = constant_of(value) if dtype == "float16" else None
        casts[value, dtype] = apply(Cast(dtype), value) if array is None else constant(array, dtype)
    return casts[value, dtype]


def _is_weight(value: Value) -> bool:
    """Whether it is a matrix of constants that float16 holds."""
    array = constant_of(value)
    return array is not None and array.ndim > 1 and array.dtype == np.float32 and fits_half(array)


def _in_half(node: Node) -> bool:
    """Whether the op runs in float16."""
    floats = [value for value in node.inputs if value.dtype == "float32"]
    if not node.op.in_half(node) or not floats or any(value.dtype == "float64" for value in node.inputs):
        return False
    attributes = (getattr(node.op, field.name) for field in dataclasses.fields(node.op))
    arrays = [constant_of(value) for value in floats]
    arrays += [np.asarray(item) for item in attributes if isinstance(item, float)]
    return all(array is None or fits_half(array) for array in arrays)


def fits_half(array: Array) -> bool:
    """Whether float16 holds all elements, single numbers also with its usual precision (which tiny ones lose)."""
    if not in_range(array):
        return False
    number = float(array.item()) if array.size == 1 else 0.0
    return not np.isfinite(number) or abs(float(np.float16(number)) - number) <= PRECISION * abs(number)


def in_range(array: Array) -> bool:
    """Whether no finite element is infinite in float16."""
    finite = array[np.isfinite(array)]
    return not finite.size or float(np.abs(finite).max()) <= LARGEST
