"""Region ops lose the results that nobody uses, and nothing else."""

from __future__ import annotations

import numpy as np

from kcompile.ir import Graph, Value, input_value, interpret
from kcompile.ir.ops.elementwise.functions import add, mul, sin
from kcompile.ir.ops.loops.control import cond, scan
from kcompile.passes.algebra.prune import prune


def example() -> tuple[list[Value], dict[str, Value]]:
    x = input_value("x", "float32", (4, 3))
    h = input_value("h", "float32", (3,))
    scale = input_value("scale", "float32", (3,))

    def step(used, helper, unused, slice):
        return [add(used, helper), mul(helper, slice), mul(unused, scale)], [sin(slice), used]

    finals, stacked = scan(step, [h, h, h], [x])
    return [x, h, scale], {"final": finals[0], "stacked": stacked[0]}


def test_scan_keeps_what_its_results_need() -> None:
    inputs, outputs = example()
    graph = Graph(inputs, outputs)
    (before,) = [node for node in graph.nodes() if node.op.name == "scan"]
    pruned = prune(graph)
    (after,) = [node for node in pruned.nodes() if node.op.name == "scan"]
    # Three states, their history and two stacked values; the unused state goes, and its scale.
    assert (len(before.inputs), len(before.outputs)) == (5, 8)
    assert (len(after.inputs), len(after.outputs)) == (3, 3)
    feeds = {
        "x": np.arange(12, dtype=np.float32).reshape(4, 3),
        "h": np.ones(3, np.float32),
        "scale": np.full(3, 2, np.float32),
    }
    expected, actual = interpret(graph, feeds).outputs, interpret(pruned, feeds).outputs
    for name, array in expected.items():
        np.testing.assert_array_equal(actual[name], array)
    assert prune(pruned) is pruned


def test_a_chain_of_unused_results_goes() -> None:
    inputs, _ = example()
    x, h, _ = inputs
    p = input_value("p", "bool", ())
    both = cond(p, lambda a, b: (a, b), lambda a, b: (b, a), [h, sin(h)])
    finals, _ = scan(lambda s, t, slice: ([add(s, slice), t], []), [both[0], both[1]], [x])
    graph = prune(Graph([x, h, p], {"y": finals[0]}))
    counts = {node.op.name: len(node.outputs) for node in graph.nodes() if node.op.regions}
    assert counts == {"cond": 1, "scan": 1}
