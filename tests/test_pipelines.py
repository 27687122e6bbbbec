"""Random graphs mean the same after each pass and after whole pipelines; runner, report and dumps."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from kcompile.ir import Graph, constant
from kcompile.ir.ops.arrays.shaping import expand
from kcompile.ir.text import parse_graph, print_graph
from kcompile.passes import pipelines
from kcompile.passes.algebra.specialize import specialize
from kcompile.passes.autodiff import gradients
from kcompile.passes.machinery.report import Report
from kcompile.passes.pipelines import run_pipeline
from tests import fixtures
from tests.random_graphs import graphs

PIPELINES = {
    "training": (*pipelines.FORWARD_TRAINING, *pipelines.TRAINING),
    "inference": (*pipelines.FORWARD_INFERENCE, *pipelines.INFERENCE),
}
PHASE = {"training": True, "inference": False}


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(graphs(), st.sampled_from(list(PIPELINES)), st.integers(0, 3), st.booleans())
def test_meaning_is_kept(graph: Graph, name: str, size: int, special: bool) -> None:
    note(print_graph(graph))
    reference = graph = specialize(graph, training=PHASE[name])
    for function in PIPELINES[name]:
        graph = function(graph)
        fixtures.assert_same(*fixtures.run_both(reference, graph, size, size, special), rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(graphs(), st.integers(1, 3))
def test_gradients_are_kept(graph: Graph, size: int) -> None:
    note(print_graph(graph))
    plain = with_gradients(specialize(graph, training=True))
    optimized = with_gradients(run_pipeline(graph, pipelines.FORWARD_TRAINING))
    expected, actual = fixtures.run_both(plain, optimized, size, size, False)
    for name, array in expected.outputs.items():
        # The branch not taken of a select, dropped before differentiation, no longer gives 0 * inf; and where a
        # gradient is infinite, terms of a sum that are now multiplied one by one may give it.
        found = np.where(np.isfinite(array), actual.outputs[name], array)
        np.testing.assert_allclose(found, array, rtol=1e-5, atol=1e-6, equal_nan=True, err_msg=name)


def with_gradients(graph: Graph) -> Graph:
    """The gradients of the sum of all outputs with respect to the inputs."""
    found = gradients(list(graph.outputs.values()), graph.inputs)
    pairs = zip(graph.inputs, found, strict=True)
    known = [expand(constant(0.0, x.dtype), x.shape) if g is None else g for x, g in pairs]
    return Graph(graph.inputs, known)


TEXT = """\
def step(x: f32[batch, 3]):
    w: f32[3] = variable("w", "weight")
    learning_phase_1: bool = learning_phase()
    neg_1: f32[batch, 3] = neg(x)
    select_1: f32[batch, 3] = select(learning_phase_1, neg_1, x)
    mul_1: f32[batch, 3] = mul(select_1, 1.0)
    mul_2: f32[3] = mul(w, 1.0)
    w.next = mul_2
    return mul_1
"""


def test_report_tells_what_each_pass_did() -> None:
    report = Report()
    graph = run_pipeline(parse_graph(TEXT), pipelines.FORWARD_INFERENCE, report=report)
    assert len(graph.nodes()) == 2
    assert [record.name for record in report.records] == [
        "specialize_inference",
        "simplify",
        "fold",
        "cse",
        "join_slices",
        "unroll",
        "hoist",
        *LAYOUT,
    ]
    simplify = report.records[1]
    assert simplify.rules == {"where_known": 1, "times_one": 2}
    assert (simplify.nodes_before, simplify.nodes_after) == (9, 2)
    assert simplify.flops_before - simplify.flops_after == 3 + 3 + 3 + 3
    assert report.rules()["learning phase"] == 1
    table = str(report).splitlines()
    assert table[0].split() == ["pass", "ms", "nodes", "FLOPs", "saved", "bytes", "saved", "rules"]
    assert "times_one 2, where_known 1" in table[2]
    assert table[-1].startswith("total")
    assert str(Report()) == "no passes ran"


LAYOUT = ["layout", "simplify"]


def test_dump_after_prints_the_graph(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stream = io.StringIO()
    run_pipeline(parse_graph(TEXT), pipelines.FORWARD_TRAINING, dump_after="cse", stream=stream)
    assert stream.getvalue() == (
        '# ---- step after cse\ndef step(x: f32[batch, 3]):\n    w: f32[3] = variable("w", "weight")\n'
        "    neg_1: f32[batch, 3] = neg(x)\n    w.next = w\n    return neg_1\n\n"
    )
    monkeypatch.setenv("KCOMPILE_DUMP_AFTER", f"all:{tmp_path / 'dumps'}")
    run_pipeline(parse_graph(TEXT), pipelines.FORWARD_TRAINING, stream=stream)
    files = sorted(path.name for path in (tmp_path / "dumps").iterdir())
    assert files[:3] == ["01_specialize_training.ir", "02_simplify.ir", "03_fold.ir"]
    assert len(files) == len(pipelines.FORWARD_TRAINING)


def test_what_is_dumped_is_chosen_for_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for what others compile meanwhile, for whom the environment variable counts."""
    monkeypatch.setenv("KCOMPILE_DUMP_AFTER", "")
    streams = io.StringIO(), io.StringIO()

    def compile_into(stream: io.StringIO) -> None:
        run_pipeline(parse_graph(TEXT), pipelines.FORWARD_TRAINING, stream=stream)

    with pipelines.dumping("cse"):
        compile_into(streams[0])
        other = threading.Thread(target=compile_into, args=(streams[1],))
        other.start()
        other.join()
    assert streams[0].getvalue().startswith("# ---- step after cse")
    assert not streams[1].getvalue()
    compile_into(streams[1])
    assert not streams[1].getvalue()


def test_dump_after_an_unknown_pass() -> None:
    with pytest.raises(ValueError, match="dump_after: no pass 'simplfy' in this pipeline; passes are all, cse, "):
        run_pipeline(parse_graph(TEXT), pipelines.TRAINING, dump_after="simplfy")
