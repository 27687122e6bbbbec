"""Recurrent layers as single operators in ONNX Runtime, against the loops that they stand for."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcompile.ir import Graph, IRError, Target, Value, constant, input_value, interpret, named
from kcompile.ir.ops.arrays.indexing import gather, top_k
from kcompile.ir.ops.arrays.slicing import concat, slice_axes
from kcompile.ir.ops.elementwise.arithmetic import add
from kcompile.ir.ops.elementwise.comparison import greater, greater_equal, less, logical_and, logical_not, not_equal
from kcompile.ir.ops.products.linalg import matmul
from kcompile.ir.ops.recurrent.base import Recurrence
from kcompile.ir.ops.recurrent.gru import gru
from kcompile.ir.ops.recurrent.lstm import lstm
from kcompile.ir.ops.recurrent.operators import RecurrentOperator
from kcompile.ir.ops.recurrent.rnn import rnn
from kcompile.ir.ops.shapes.reshaping import expand, expand_dims, transpose
from kcompile.ir.ops.shapes.sizes import iota
from kcompile.passes.algebra.dce import dce
from kcompile.passes.autodiff import gradients
from kcompile.passes.onnx.emit import emit
from kcompile.passes.pipelines import FORWARD_INFERENCE, INFERENCE, run_pipeline
from kcompile.passes.recurrence.trends import is_right_padded
from kcompile.runtime.executable import Executable
from tests.op_checks import run_onnx

STEPS, FEATURES, UNITS = 6, 3, 4
BATCH, TIME = named("batch"), named("time")
GATES = {"lstm": 4, "gru": 3, "rnn": 1}


def weights(random: np.random.Generator, *shape: int) -> Value:
    return constant(random.normal(size=shape) * 0.5, "float32")


def recurrence(
    kind: str,
    x: Value,
    random: np.random.Generator,
    mask: Value | None = None,
    states: list[Value] | None = None,
    reverse: bool = False,
    **options,
) -> tuple[Value, ...]:
    """A layer: batch-major sequences in, all states (batch-major) and the last ones out."""
    width = GATES[kind] * UNITS
    steps = transpose(x, (1, 0, 2))
    projected = add(matmul(steps, weights(random, x.shape[2], width)), weights(random, width))
    zeros = expand(constant(0, "float32"), (x.shape[0], UNITS))
    initial = states or [zeros] * (2 if kind == "lstm" else 1)
    mask = None if mask is None else transpose(mask, (1, 0))
    more = {"reverse": reverse, **options}
    if kind == "lstm":
        ys, *finals = lstm(projected, weights(random, UNITS, width), *initial, mask, **more)
    elif kind == "gru":
        bias = weights(random, width) if options.get("reset_after", True) else None
        ys, *finals = gru(projected, weights(random, UNITS, width), bias, *initial, mask, **more)
    else:
        ys, *finals = rnn(projected, weights(random, UNITS, width), *initial, mask, **more)
    return transpose(ys, (1, 0, 2)), *finals


def optimized(graph: Graph) -> Graph:
    return run_pipeline(graph, (*FORWARD_INFERENCE, *INFERENCE))


def operators(graph: Graph) -> list[RecurrentOperator]:
    return [node.op for node in graph.nodes() if isinstance(node.op, RecurrentOperator)]


def counted(graph: Graph) -> Counter[str]:
    """The ONNX operators of the exported graph."""
    return Counter(node.op_type for node in emit(graph).model.graph.node)


def assert_same_in_onnx_runtime(graph: Graph, feeds: dict[str, np.ndarray], count: int = 1) -> Graph:
    """What the loops mean, one operator each computes in ONNX Runtime; returns the lowered graph."""
    lowered = optimized(graph)
    assert len(operators(lowered)) == count
    expected = interpret(graph, feeds).outputs
    for name, array in run_onnx(lowered, feeds, Target()).items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-5, atol=2e-6, err_msg=name)
    return lowered


masks = st.lists(st.lists(st.booleans(), min_size=STEPS, max_size=STEPS), min_size=1, max_size=4).map(np.array)


@given(
    kind=st.sampled_from(list(GATES)),
    mask=masks,
    reverse=st.booleans(),
    embedded=st.booleans(),
    with_states=st.booleans(),
)
def test_any_mask(kind: str, mask: np.ndarray, reverse: bool, embedded: bool, with_states: bool) -> None:
    """States stay where the mask is false, before the first step too; without a step they are the initial ones."""
    random = np.random.default_rng(3)
    batch = len(mask)
    valid = input_value("mask", "bool", (BATCH, STEPS))
    if embedded:
        places = input_value("x", "int64", (BATCH, STEPS))
        x, given_x = gather(weights(random, 9, FEATURES), places), random.integers(0, 9, (batch, STEPS))
    else:
        x = input_value("x", "float32", (BATCH, STEPS, FEATURES))
        given_x = random.normal(size=(batch, STEPS, FEATURES)).astype("float32")
    feeds = {"x": given_x, "mask": mask}
    states = []
    for index in range((2 if kind == "lstm" else 1) if with_states else 0):
        states.append(input_value(f"state_{index}", "float32", (BATCH, UNITS)))
        feeds[f"state_{index}"] = random.normal(size=(batch, UNITS)).astype("float32")
    results = recurrence(kind, x, random, valid, states, reverse)
    source = x.node.inputs[1] if embedded else x
    assert_same_in_onnx_runtime(Graph([source, valid, *states], list(results)), feeds)


@pytest.mark.parametrize("kind", GATES)
def test_both_directions_of_masked_sequences_share_one_operator(kind: str) -> None:
    random = np.random.default_rng(5)
    words = input_value("x", "int64", (BATCH, TIME))
    x, mask = gather(weights(random, 9, FEATURES), words), not_equal(words, 0)
    (a, *last_a), (b, *last_b) = (recurrence(kind, x, random, mask, reverse=reverse) for reverse in (False, True))
    graph = Graph([words], [concat([a, b], 2), *(concat(pair, 1) for pair in zip(last_a, last_b, strict=True))])
    for time in (1, 5):
        feeds = {"x": random.integers(0, 3, (4, time))}
        feeds["x"][0] = 0
        lowered = assert_same_in_onnx_runtime(graph, feeds)
    assert operators(lowered)[0].direction == "bidirectional"


def test_projections_that_are_parts_of_one_product() -> None:
    random = np.random.default_rng(5)
    x = input_value("x", "float32", (BATCH, STEPS, FEATURES))
    both = add(matmul(transpose(x, (1, 0, 2)), weights(random, FEATURES, 2 * UNITS)), weights(random, 2 * UNITS))
    zeros, found = expand(constant(0, "float32"), (BATCH, UNITS)), []
    for place, reverse in ((0, False), (UNITS, True)):
        projected = slice_axes(both, [2], [place], [place + UNITS])
        found.append(rnn(projected, weights(random, UNITS, UNITS), zeros, reverse=reverse)[1])
    feeds = {"x": random.normal(size=(2, STEPS, FEATURES)).astype("float32")}
    assert "MatMul" not in counted(assert_same_in_onnx_runtime(Graph([x], [concat(found, 1)]), feeds))


OPTIONS = [
    ("lstm", {"activation": "elu", "recurrent_activation": "hard_sigmoid"}),
    ("lstm", {"activation": "softsign", "recurrent_activation": "hard_sigmoid_v3", "unroll": True}),
    ("gru", {"reset_after": False}),
    ("gru", {"activation": "relu", "recurrent_activation": "hard_sigmoid"}),
    ("rnn", {"activation": "linear"}),
    ("rnn", {"activation": "leaky_relu"}),
]


@pytest.mark.parametrize(("kind", "options"), OPTIONS, ids=str)
def test_options(kind: str, options: dict) -> None:
    random = np.random.default_rng(7)
    x = input_value("x", "float32", (BATCH, STEPS, FEATURES))
    graph = Graph([x], list(recurrence(kind, x, random, **options)))
    assert_same_in_onnx_runtime(graph, {"x": random.normal(size=(2, STEPS, FEATURES)).astype("float32")})


def stacked(kind: str, layers: int) -> Graph:
    """Bidirectional layers on words, one over the other."""
    random = np.random.default_rng(9)
    words = input_value("x", "int64", (BATCH, STEPS))
    x = gather(weights(random, 9, FEATURES), words)
    for _ in range(layers):
        (a, *last_a), (b, *last_b) = (recurrence(kind, x, random, reverse=reverse) for reverse in (False, True))
        x = concat([a, b], 2)
    return Graph([words], {"last": concat([last_a[0], last_b[0]], 1), "all": x})


@pytest.mark.parametrize("kind", GATES)
def test_stacked_layers_export_little_else(kind: str) -> None:
    feeds = {"x": np.random.default_rng(1).integers(0, 9, (3, STEPS))}
    lowered = assert_same_in_onnx_runtime(stacked(kind, 3), feeds, 3)
    found = counted(lowered)
    assert found[kind.upper()] == 3
    # Words, two between layers, and one for each result. NaN is looked for in results of operators.
    assert found["Transpose"] == 1 + 2 + 2
    assert sum(found.values()) <= 3 + 5 + 4 + 1 + 3 * 2, found


def test_nan_is_not_lost() -> None:
    """The kernels make a number of it; the sequence that holds it becomes NaN, others don't."""
    random = np.random.default_rng(11)
    x = input_value("x", "float32", (BATCH, STEPS, FEATURES))
    mask = input_value("mask", "bool", (BATCH, STEPS))
    for kind in GATES:
        feed = random.normal(size=(4, STEPS, FEATURES)).astype("float32")
        feed[1, 2, 0] = feed[2, 4, 1] = np.nan
        feed[3] = np.inf
        valid = np.ones((4, STEPS), bool)
        valid[2, 4] = False
        feeds = {"x": feed, "mask": valid}
        for graph in (
            Graph([x], [recurrence(kind, x, random)[1]]),
            Graph([x, mask], [recurrence(kind, x, random, mask)[1]]),
        ):
            expected = interpret(graph, feeds).outputs["output"]
            (found,) = run_onnx(optimized(graph), feeds, Target()).values()
            np.testing.assert_array_equal(np.isnan(found)[:3], np.isnan(expected)[:3], kind)
            assert np.isnan(found[1]).all()


def test_masks_that_are_known_to_pad_on_the_right() -> None:
    lengths = input_value("lengths", "int64", (BATCH,))
    words = input_value("words", "int64", (BATCH, TIME))
    time, column = iota(TIME), expand_dims(lengths, 1)
    padded = less(time, column)
    assert is_right_padded(padded, 1)
    assert is_right_padded(greater(column, time), 1)
    assert is_right_padded(transpose(logical_and(padded, less(time, 3)), (1, 0)), 0)
    assert is_right_padded(logical_not(greater_equal(time, column)), 1)
    assert is_right_padded(constant([[True, True], [True, False], [False, False]]), 1)
    assert not is_right_padded(constant([[True, True], [False, True]]), 1)
    assert not is_right_padded(greater(time, column), 1)
    assert not is_right_padded(less(time, words), 1)
    assert not is_right_padded(not_equal(words, 0), 1)


def test_padding_on_the_right_moves_nothing() -> None:
    random = np.random.default_rng(13)
    lengths = input_value("lengths", "int64", (BATCH,))
    x = input_value("x", "float32", (BATCH, STEPS, FEATURES))
    mask = less(iota(STEPS), expand_dims(lengths, 1))
    for reverse in (False, True):
        graph = Graph([x, lengths], list(recurrence("gru", x, random, mask, reverse=reverse)))
        feeds = {"x": random.normal(size=(3, STEPS, FEATURES)).astype("float32"), "lengths": np.array([2, 0, 9])}
        found = counted(assert_same_in_onnx_runtime(graph, feeds))
        assert not {"Gather", "ScatterElements", "CumSum"} & set(found), found


def test_full_masks_vanish() -> None:
    x = input_value("x", "float32", (BATCH, STEPS, FEATURES))
    full = expand(constant(True), (BATCH, STEPS))
    graph = optimized(Graph([x], [recurrence("rnn", x, np.random.default_rng(1), full)[1]]))
    assert operators(graph)[0].with_lengths is False


def test_empty_batches_and_sequences_do_not_reach_the_kernels() -> None:
    """They would abort the process."""
    x = input_value("x", "float32", (BATCH, TIME, FEATURES))
    last = input_value("last", "float32", (BATCH, UNITS))
    run = Executable(Graph([x, last], list(recurrence("gru", x, np.random.default_rng(1), states=[last]))))
    y, final = run(np.zeros((0, 5, FEATURES)), np.zeros((0, UNITS)))
    assert (y.shape, final.shape) == ((0, 5, UNITS), (0, UNITS))
    y, final = run(np.zeros((2, 0, FEATURES)), np.ones((2, UNITS)))
    assert y.shape == (2, 0, UNITS)
    np.testing.assert_array_equal(final, np.ones((2, UNITS)))
    largest, places = Executable(Graph([last], list(top_k(last, 2))))(np.zeros((0, UNITS)))
    assert largest.shape == places.shape == (0, 2)


def test_loops_stay_where_no_operator_computes_them() -> None:
    random = np.random.default_rng(1)
    x = input_value("x", "float32", (BATCH, STEPS, FEATURES))
    scale = input_value("scale", "float32", (BATCH, UNITS))
    for inputs, options in [([x], {"activation": "softplus"}), ([x, scale], {"scale": scale})]:
        graph = optimized(Graph(inputs, [recurrence("lstm", x, random, **options)[1]]))
        assert not operators(graph)
        assert counted(graph)["Scan"] == 1


def test_graphs_without_gradients_that_were_pruned_before() -> None:
    """Other passes take away what nobody reads; the recurrence is lowered all the same."""
    x = input_value("x", "float32", (BATCH, STEPS, FEATURES))
    graph = dce(Graph([x], list(recurrence("lstm", x, np.random.default_rng(1))[1:])))
    assert not any(isinstance(node.op, Recurrence) and node.op.stash for node in graph.nodes())
    assert_same_in_onnx_runtime(graph, {"x": np.ones((2, STEPS, FEATURES), np.float32)})


def test_operators_have_no_gradient() -> None:
    x = input_value("x", "float32", (2, STEPS, FEATURES))
    graph = optimized(Graph([x], [recurrence("lstm", x, np.random.default_rng(1))[1]]))
    with pytest.raises(IRError, match="onnx_lstm is for inference and has no gradient"):
        gradients([graph.outputs["output"]], [x])
