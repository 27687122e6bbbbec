"""``Op.batched`` and ``Op.summed``, on every use of an op in ``tests/op_examples``: slices at once, and one by one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from kcompile.ir import Graph, Op, Value, input_value, interpret
from kcompile.ir.core import Node
from kcompile.ir.interpret import evaluate
from tests.op_checks import assert_close, build, feeds_of
from tests.op_examples import Example, all_examples

SLICES = 3
EXAMPLES = [example for example in all_examples() if "blocked" not in example.op]
"""Blocked ops are made after the last pass that asks."""


def nodes_of(example: Example) -> Iterator[tuple[Node, list[np.ndarray]]]:
    """The nodes of the op that the example is about, with the arrays that reach them."""
    graph, arrays = build(example)
    for node in graph.nodes():
        if node.op.name == example.op and node.inputs:
            inputs = Graph(graph.inputs, list(node.inputs))
            yield node, list(interpret(inputs, feeds_of(graph, arrays)).outputs.values())


def varied(array: np.ndarray, step: int) -> np.ndarray:
    """Another array of the same kind: indices stay what they are, in another order."""
    if array.dtype.kind == "f":
        return np.asarray(array * (1 + step / 8) + step / 64, array.dtype)
    return np.roll(array, step, 0) if array.ndim else array


def check(op: Op, arrays: Sequence[np.ndarray], flags: Sequence[bool]) -> bool:
    """Whether the op answers for these operands; the answer is right."""
    slices = [[varied(a, t) if flag else a for a, flag in zip(arrays, flags, strict=True)] for t in range(SLICES)]
    columns = list(zip(*slices, strict=True))
    operands = [np.stack(parts) if flag else parts[0] for parts, flag in zip(columns, flags, strict=True)]
    inputs = [input_value(f"x{i}", array.dtype, array.shape) for i, array in enumerate(operands)]
    total, results = op.summed(inputs, flags), op.batched(inputs, flags)
    if total is None and results is None:
        return False

    def run(*values: Value) -> list[np.ndarray]:
        graph = Graph(inputs, values)
        return list(interpret(graph, feeds_of(graph, operands)).outputs.values())

    expected = [np.stack(parts) for parts in zip(*(evaluate(op, *inputs) for inputs in slices), strict=True)]
    if total is not None:
        assert_close(run(total)[0], expected[0].sum(0, expected[0].dtype), 1e-5, f"the sum of {op} for {flags}")
    for actual, wanted in zip(run(*results or ()), expected if results else (), strict=True):
        assert_close(actual, wanted, 1e-5, f"{op} for {flags}")
    return True


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_slices_at_once(example: Example) -> None:
    found, answers = 0, False
    for node, arrays in nodes_of(example):
        answers = type(node.op).batched is not Op.batched or type(node.op).summed is not Op.summed
        for flags in itertools.product([False, True], repeat=min(len(arrays), 4)):
            if any(flags):
                found += check(node.op, arrays, (*flags, *[False] * (len(arrays) - 4)))
    assert found or not answers, "a rule that no example asks for"
