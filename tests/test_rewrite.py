"""The engine of the passes: what rules may do, idle passes, deep graphs; freezing of variables."""

from __future__ import annotations

import time

import numpy as np
import pytest

from kcompile.ir import Graph, IRError, Node, Value, input_value, interpret, variable_value
from kcompile.ir.core import apply
from kcompile.ir.ops.elementwise import functions as e
from kcompile.ir.ops.elementwise.functions import Neg, Relu, Tanh, Unary
from kcompile.ir.text import parse_graph
from kcompile.passes.algebra.specialize import freeze, specialize
from kcompile.passes.machinery.report import PassRecord, recording
from kcompile.passes.machinery.rewrite import LOCAL_LIMIT, ROUNDS, Rules, rewrite
from kcompile.passes.pipelines import FORWARD_INFERENCE, FORWARD_TRAINING, INFERENCE, TRAINING, run_pipeline

X = input_value("x", "float32", (3,))


def test_a_rule_must_keep_the_type() -> None:
    rules = Rules()

    @rules.on(Neg)
    def broken(node: Node) -> Value:
        return e.cast(node.inputs[0], "float64")

    with pytest.raises(IRError, match=r"rule broken replaced <neg: f32\[3\]> by <cast: f64\[3\]>"):
        rewrite(Graph([X], [e.neg(X)]), rules)


def test_rules_that_go_in_circles_end() -> None:
    rules = Rules()
    calls = []

    @rules.on(Relu)
    def there(node: Node) -> Value:
        calls.append(node)
        return e.tanh(node.inputs[0])

    @rules.on(Tanh)
    def back(node: Node) -> Value:
        calls.append(node)
        return e.relu(node.inputs[0])

    rewrite(Graph([X], [e.relu(X)]), rules)
    assert len(calls) == LOCAL_LIMIT * ROUNDS


def test_rules_of_a_base_class_and_of_parts() -> None:
    part = Rules()

    @part.on(Unary)
    def dropped(node: Node) -> Value | None:
        return node.inputs[0] if node.op != Relu() else None

    record = PassRecord("test")
    with recording(record):
        graph = rewrite(Graph([X], [e.neg(e.relu(e.exp(X)))]), Rules(part))
    assert [node.op.name for node in graph.nodes()] == ["input", "relu"]
    assert record.rules == {"dropped": 2}


IDLE = parse_graph(
    """\
def graph(x: f32[batch, 3]):
    w: f32[3] = variable("w", "weight")
    mul_1: f32[batch, 3] = mul(x, w)
    exp_1: f32[batch, 3] = exp(mul_1)
    w.next = w
    return exp_1
"""
)


@pytest.mark.parametrize("function", dict.fromkeys((*FORWARD_TRAINING, *FORWARD_INFERENCE, *TRAINING, *INFERENCE)))
def test_an_idle_pass_keeps_every_node(function) -> None:  # type: ignore[no-untyped-def]
    assert function(IDLE).nodes() == IDLE.nodes()


def test_deep_graphs_take_linear_time() -> None:
    def build(length: int) -> Graph:
        w = variable_value("w", "float32", (3,))
        value = w
        for _ in range(length):
            value = e.add(e.mul(value, 0.5), X)
        return Graph([X], [value], {w.op: e.tanh(value)})  # type: ignore[dict-item]

    def seconds(length: int) -> float:
        graph = build(length)
        start = time.process_time()
        run_pipeline(graph, (*FORWARD_TRAINING, *TRAINING))
        return time.process_time() - start

    # Ten times the nodes: ten times the time, with room for a busy machine.
    assert seconds(5000) < 40 * max(seconds(500), 0.01)


def test_freeze_makes_constants() -> None:
    w, v = variable_value("w", "float32", (3,)), variable_value("v", "float32", ())
    graph = Graph([X], [e.mul(e.mul(X, w), v)])
    array = np.array([1, 2, 3], np.float32)
    frozen = freeze(graph, {w.op: array})  # type: ignore[dict-item]
    assert frozen.variables() == [v.op]
    array[:] = 0  # copied
    result = interpret(frozen, {"x": np.ones(3)}, {v.op: np.float32(2)})  # type: ignore[dict-item]
    np.testing.assert_array_equal(result.outputs["output"], [2, 4, 6])


def test_freeze_refuses_what_moves_or_does_not_fit() -> None:
    w = variable_value("dense/w", "float32", (3,))
    graph = Graph([X], [e.mul(X, w)], {w.op: e.neg(w)})  # type: ignore[dict-item]
    with pytest.raises(IRError, match="variable 'dense/w' is updated by the graph; drop the update to freeze it"):
        freeze(graph, {w.op: np.zeros(3, np.float32)})  # type: ignore[dict-item]
    with pytest.raises(IRError, match=r"variable 'dense/w' is f32\[3\], its value is float64\[2\]"):
        freeze(Graph([X], [e.mul(X, w)]), {w.op: np.zeros(2)})  # type: ignore[dict-item]


def test_specialize_leaves_alone_what_it_is_not_told() -> None:
    graph = parse_graph("def graph(x: f32[batch, time]):\n    y: f32[batch, time] = neg(x)\n    return y\n")
    assert specialize(graph) is graph
    bound = specialize(graph, sizes={"time": 7})
    assert str(bound.outputs["output"].type) == "f32[batch, 7]"
    assert apply(Neg(), bound.inputs[0]).type == bound.outputs["output"].type
