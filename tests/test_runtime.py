"""Running graphs: state that alternates between buffers, bindings, options, devices."""

import json
from pathlib import Path

import numpy as np
import pytest

from kcompile import ir
from kcompile.common.errors import KCompileError
from kcompile.ir.ops.arrays import reduction
from kcompile.ir.ops.elementwise import functions as e
from kcompile.ir.ops.products import linalg
from kcompile.runtime import devices, storage
from kcompile.runtime.executable import Executable
from kcompile.runtime.options import configure, options
from kcompile.runtime.storage import Storage, attach, changes, storage_of


def variable(label: str, value: np.ndarray) -> ir.Value:
    leaf = ir.variable_value(label, value.dtype, value.shape)
    attach(leaf.op, Storage(value, leaf.dtype))
    return leaf


def step() -> tuple[ir.Graph, ir.Value, ir.Value]:
    """w' = w + x @ w, and n' = n + 1."""
    w = variable("w", np.eye(3, dtype=np.float32))
    n = variable("n", np.zeros((), np.int64))
    x = ir.input_value("x", "float32", (ir.named("batch"), 3))
    y = linalg.matmul(x, w)
    updates = {w.op: e.add(w, reduction.reduce_sum(y, [0], True)), n.op: e.add(n, 1)}
    return ir.Graph([x], {"y": y, "total": reduction.reduce_sum(y)}, updates), w, n


def test_state_alternates_and_any_batch_size_runs() -> None:
    graph, w, n = step()
    run = Executable(graph, device="cpu")
    expected = np.eye(3, dtype=np.float32)
    for batch in (1, 4, 2, 4, 0, 7):
        x = np.random.default_rng(batch).standard_normal((batch, 3)).astype(np.float32)
        y, total = run(x)
        np.testing.assert_allclose(y, x @ expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(total, (x @ expected).sum(), rtol=1e-4, atol=1e-5)
        expected = expected + (x @ expected).sum(0, keepdims=True)
        np.testing.assert_allclose(storage_of(w.op).read(), expected, rtol=1e-5, atol=1e-5)
    assert storage_of(n.op).read() == 6


def test_a_run_that_is_not_committed_changes_nothing() -> None:
    graph, w, n = step()
    run = Executable(graph, device="cpu")
    before, version = storage_of(w.op).read(), changes()
    run.run([np.ones((2, 3), np.float32)])
    np.testing.assert_array_equal(storage_of(w.op).read(), before)
    assert changes() == version
    run.commit()
    assert storage_of(n.op).read() == 1
    assert changes() > version


def test_values_written_from_outside_are_used_by_the_next_run() -> None:
    graph, w, _ = step()
    run = Executable(graph, device="cpu")
    x = np.ones((1, 3), np.float32)
    for scale in (1.0, 2.0, 3.0):
        storage_of(w.op).write(np.eye(3) * scale)
        np.testing.assert_allclose(run(x)[0], [[scale] * 3])
    with pytest.raises(ValueError, match=r"\(2, 2\).*\(3, 3\)"):
        storage_of(w.op).write(np.zeros((2, 2)))


def test_two_executables_share_a_variable() -> None:
    graph, w, _ = step()
    train = Executable(graph, device="cpu")
    x = ir.input_value("x", "float32", (ir.named("batch"), 3))
    read = Executable(ir.Graph([x], {"y": linalg.matmul(x, w)}), device="cpu")
    feed = np.ones((1, 3), np.float32)
    for _ in range(5):
        train(feed)
        np.testing.assert_allclose(read(feed)[0], feed @ storage_of(w.op).read(), rtol=1e-6)


def test_frozen_variables_are_constants() -> None:
    w = variable("w", np.arange(6, dtype=np.float32).reshape(3, 2))
    x = ir.input_value("x", "float32", (ir.named("batch"), 3))
    run = Executable(ir.Graph([x], {"y": linalg.matmul(x, w)}), frozen=True, device="cpu")
    assert [i.name for i in run.model.graph.input] == ["x"]
    storage_of(w.op).write(np.zeros((3, 2)))
    np.testing.assert_allclose(run(np.ones((1, 3), np.float32))[0], [[6, 9]])


@pytest.mark.parametrize(
    ("feed", "message"),
    [
        (np.zeros((2, 4), np.float32), r"input 'x' .*\(2, 4\); expected \(batch, 3\)"),
        (np.zeros(3, np.float32), r"input 'x' .*\(3,\); expected \(batch, 3\)"),
    ],
)
def test_feeds_that_do_not_fit(feed: np.ndarray, message: str) -> None:
    graph, w, _ = step()
    run = Executable(graph, device="cpu")
    with pytest.raises(KCompileError, match=message):
        run(feed)
    np.testing.assert_array_equal(storage_of(w.op).read(), np.eye(3))


@pytest.mark.parametrize(
    ("changes_", "message"),
    [
        ({"device": "gpu"}, "device is 'gpu'; use 'auto', 'cpu' or 'cuda'"),
        ({"threads": -1}, "threads is -1"),
        ({"threads": True}, "threads is True"),
        ({"spinning": -1}, "spinning is -1; use True, False or a whole number of microseconds"),
        ({"spinning": 0.5}, "spinning is 0.5"),
        ({"thread": 1}, "unknown option"),
    ],
)
def test_options_out_of_range(changes_: dict, message: str) -> None:
    before = options()
    with pytest.raises(KCompileError, match=message):
        configure(**changes_)
    assert options() is before


def test_cuda_is_never_silently_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "cuda_available", lambda: False)
    with pytest.raises(KCompileError, match="device 'cuda' was asked for"):
        Executable(step()[0], device="cuda")
    assert devices.resolve_device("auto") == "cpu"


def test_state_on_a_device_has_its_shape_and_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a CUDA device holds, with OrtValues on the host in their place: scalars are scalars, not vectors of one."""
    on_device = devices.device_value
    monkeypatch.setattr(storage, "device_value", lambda array, device: on_device(array, "cpu"))
    graph, w, n = step()
    run = Executable(graph, device="cpu")
    for leaf in (w, n):
        storage_of(leaf.op).move("cuda")
    for batch in (1, 2):
        run(np.ones((batch, 3), np.float32))
    assert storage_of(n.op).read().shape == ()
    storage_of(n.op).write(7.0)
    storage_of(w.op).write(np.eye(3))
    run(np.ones((1, 3), np.float32))
    assert storage_of(n.op).read() == 8
    np.testing.assert_allclose(storage_of(w.op).read(), np.eye(3) + 1)


def test_profile_is_written(tmp_path: Path) -> None:
    before = options()
    configure(profile=str(tmp_path / "profile"))
    try:
        run = Executable(step()[0], device="cpu")
        run(np.ones((2, 3), np.float32))
        events = json.loads(run.end_profiling().read_text())
    finally:
        configure(profile=before.profile)
    assert any("MatMul" in event["name"] or "Gemm" in event["name"] for event in events)


def test_compiled_model_is_saved_atomically(tmp_path: Path) -> None:
    run = Executable(step()[0], device="cpu")
    path = tmp_path / "step.onnx"
    path.write_bytes(b"old")
    run.save(path)
    assert path.read_bytes() == run.model.SerializeToString()
    with pytest.raises(OSError, match="no folder"):
        run.save(tmp_path / "missing" / "step.onnx")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step.onnx"]


@pytest.mark.parametrize(("size", "one_block"), [(8, True), (4096, False)])
def test_large_programs_do_not_lay_out_memory_as_one_block(size: int, one_block: bool) -> None:
    """That takes up to twice the memory of a training step."""
    x = ir.input_value("x", "float32", (size, size))
    executable = Executable(ir.Graph([x], [e.mul(x, x)]), (), device="cpu")
    assert executable._session._one_block is one_block
