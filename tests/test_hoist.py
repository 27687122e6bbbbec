"""Loops mean the same after ``hoist`` and ``stash``, and what is left in them is the recurrence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from kcompile.ir import Graph, Target, Value, constant, input_value, interpret, named
from kcompile.ir.core import Array, Node
from kcompile.ir.ops.arrays.reduction import reduce_sum
from kcompile.ir.ops.arrays.shaping import expand, split
from kcompile.ir.ops.elementwise.functions import add, mul, sigmoid, square, sub, tanh
from kcompile.ir.ops.loops.control import scan
from kcompile.ir.ops.loops.scan import Scan
from kcompile.ir.ops.products.linalg import MatMul, matmul
from kcompile.ir.text import print_graph
from kcompile.passes import pipelines
from kcompile.passes.algebra.prune import prune
from kcompile.passes.autodiff import gradients
from kcompile.passes.loops.hoist import hoist
from kcompile.passes.pipelines import run_pipeline
from tests import fixtures
from tests.op_checks import run_onnx
from tests.random_loops import loops


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(loops(), st.integers(0, 3), st.booleans())
def test_meaning_is_kept(graph: Graph, size: int, special: bool) -> None:
    note(print_graph(graph))
    after = hoist(graph)
    fixtures.assert_same(*fixtures.run_both(graph, after, size, size, special), rtol=1e-8, atol=1e-8)
    assert hoist(after) is after
    assert print_graph(prune(hoist(after))) == print_graph(prune(after))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(loops(), st.integers(1, 3))
def test_gradients_are_kept(graph: Graph, size: int) -> None:
    note(print_graph(graph))
    plain = with_gradients(graph)
    optimized = run_pipeline(with_gradients(run_pipeline(graph, pipelines.FORWARD_TRAINING)), pipelines.TRAINING)
    note(print_graph(optimized))
    fixtures.assert_same(*fixtures.run_both(plain, optimized, size, size, False), rtol=1e-8, atol=1e-8)


def with_gradients(graph: Graph) -> Graph:
    """The outputs, and the gradients of the sum of all their elements."""
    found = gradients(list(graph.outputs.values()), graph.inputs)
    pairs = enumerate(zip(graph.inputs, found, strict=True))
    known = {f"d{i}": expand(constant(0.0, x.dtype), x.shape) if g is None else g for i, (x, g) in pairs}
    return Graph(graph.inputs, graph.outputs | known)


def arrays_for(graph: Graph, sizes: dict[str, int]) -> dict[str, Array]:
    generator = np.random.default_rng(3)
    return {value.op.label: fixtures.random_array(value.type, sizes, generator, False) for value in graph.inputs}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(loops())
def test_onnx_runtime_computes_the_same(graph: Graph) -> None:
    note(print_graph(graph))
    plain = with_gradients(graph)
    optimized = run_pipeline(with_gradients(run_pipeline(graph, pipelines.FORWARD_TRAINING)), pipelines.TRAINING)
    feeds = arrays_for(graph, {"batch": 2, "time": 3})
    expected = interpret(plain, feeds).outputs
    for name, array in run_onnx(optimized, feeds, Target(portable=False)).items():
        np.testing.assert_allclose(array, expected[name], 1e-8, 1e-8, err_msg=name)


# ---- an LSTM written with plain ops


def lstm(units: int = 16) -> Graph:
    """A layer of LSTM cells as users write them; masked steps keep the states."""
    batch, time = named("batch"), named("time")
    x, kept = input_value("x", "float64", (time, batch, units)), input_value("kept", "float64", (time, batch, 1))
    w, u = (input_value(label, "float64", (units, 4 * units)) for label in "wu")
    b, start = input_value("b", "float64", (4 * units,)), input_value("h", "float64", (batch, units))

    def step(h: Value, c: Value, a: Value, k: Value) -> tuple[list[Value], list[Value]]:
        gates = split(add(add(matmul(a, w), b), matmul(h, u)), [units] * 4, 1)
        i, f, o = (sigmoid(gates[number]) for number in (0, 1, 3))
        new_c = add(mul(f, c), mul(i, tanh(gates[2])))
        new_h = mul(o, tanh(new_c))
        h, c = (add(mul(k, new), mul(sub(1, k), old)) for new, old in ((new_h, h), (new_c, c)))
        return [h, c], [h]

    (h, _), (ys,) = scan(step, [start, start], [x, kept])
    return Graph([x, kept, w, u, b, start], {"ys": ys, "h": h})


def loops_of(graph: Graph) -> list[Node]:
    return [node for node in graph.nodes() if isinstance(node.op, Scan)]


def products_in(graph: Graph) -> int:
    return sum(isinstance(node.op, MatMul) for node in graph.nodes())


def test_an_lstm_keeps_one_product_per_loop() -> None:
    forward = run_pipeline(lstm(), pipelines.FORWARD_TRAINING)
    step = run_pipeline(with_gradients(forward), pipelines.TRAINING)
    there, back = loops_of(step)
    assert [products_in(loop.op.regions[0]) for loop in (there, back)] == [1, 1]
    # The sums of weight gradients are made after the loop: its states are the gradients of h and c.
    assert isinstance(back.op, Scan)
    assert back.op.states == 2
    # Four gates, tanh of the state, both states as they come in: read, not computed again.
    functions = {node.op.name for node in back.op.body.nodes()}
    assert not functions & {"sigmoid", "tanh"}


def test_gradients_through_an_optimized_loop_equal_finite_differences() -> None:
    graph = lstm(3)
    step = run_pipeline(with_gradients(run_pipeline(graph, pipelines.FORWARD_TRAINING)), pipelines.TRAINING)
    feeds = arrays_for(graph, {"batch": 2, "time": 4})
    feeds["kept"] = np.random.default_rng(0).integers(0, 2, feeds["kept"].shape).astype("float64")
    found = interpret(step, feeds).outputs
    for index, value in enumerate(graph.inputs):
        label, size = value.op.label, 1e-6
        direction = np.random.default_rng(index).standard_normal(feeds[label].shape) * size
        there, back = ({**feeds, label: feeds[label] + sign * direction} for sign in (1, -1))
        plus, minus = (sum(a.sum() for a in interpret(graph, near).outputs.values()) for near in (there, back))
        along = (found[f"d{index}"] * direction).sum()
        np.testing.assert_allclose(along / size, (plus - minus) / (2 * size), 1e-6, 1e-8, err_msg=label)


def test_second_gradients() -> None:
    """Gradients of optimized gradients, which are loops over what loops have stacked."""
    graph = lstm(2)
    first = run_pipeline(graph, pipelines.FORWARD_TRAINING)

    def squares(graph: Graph) -> Graph:
        found = gradients([reduce_sum(square(graph.outputs["ys"]))], [graph.inputs[0], graph.inputs[3]])
        outer = gradients([reduce_sum(square(g)) for g in found if g is not None], [graph.inputs[2]])
        return Graph(graph.inputs, [g for g in outer if g is not None])

    feeds = arrays_for(graph, {"batch": 2, "time": 3})
    expected = interpret(squares(graph), feeds).outputs["output"]
    actual = interpret(run_pipeline(squares(first), pipelines.TRAINING), feeds).outputs["output"]
    np.testing.assert_allclose(actual, expected, 1e-8, 1e-8)
