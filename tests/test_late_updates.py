"""Updates of tables that wait until the step is kept, and then write over what they read."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import kcompile as keras
from kcompile.ir.core import Graph, Value, input_value, variable_value
from kcompile.ir.interpret import interpret
from kcompile.ir.ops.arrays.indexing import scatter_add
from kcompile.ir.ops.arrays.variable_part import VariablePart
from kcompile.ir.ops.elementwise.arithmetic import add, mul, sub
from kcompile.passes.updates import late_updates
from kcompile.passes.updates.late_updates import divide
from kcompile.passes.updates.split_updates import split_updates
from kcompile.runtime.executable import Executable
from kcompile.runtime.late import LateUpdates
from kcompile.runtime.storage import Storage, attach, storage_of
from kcompile.training.evaluation import NonFiniteLoss

ROWS, WIDTH = 1500, 100

Rule = Callable[[Value, Value, Value], tuple[Value, Value]]


def decayed(w: Value, m: Value, g: Value) -> tuple[Value, Value]:
    after = add(mul(m, 0.9), g)
    return sub(mul(w, 0.99), mul(after, 0.1)), after


def remembered(w: Value, m: Value, g: Value) -> tuple[Value, Value]:
    """The new ``m`` is made of the old ``w``: it must not be read after it is overwritten."""
    little = mul(g, 0.1)
    return sub(mul(w, 0.99), little), add(add(mul(m, 0.9), little), mul(w, 0.1))


def step(rule: Rule) -> tuple[Graph, dict[str, np.ndarray], dict]:
    random = np.random.default_rng(3)
    w, m = variable_value("w", "float32", (ROWS, WIDTH)), variable_value("m", "float32", (ROWS, WIDTH), "slot")
    rows, places = input_value("rows", "float32", (20, WIDTH)), input_value("places", "int32", (20,))
    new_w, new_m = rule(w, m, scatter_add(places, mul(rows, 2.0), ROWS))
    graph = Graph([rows, places], {"y": mul(rows, 2.0)}, {w.op: new_w, m.op: new_m})
    feeds = {"rows": random.random((20, WIDTH), np.float32), "places": random.integers(0, ROWS, 20, np.int32)}
    return split_updates(graph), feeds, {x.op: random.random((ROWS, WIDTH), np.float32) for x in (w, m)}


def test_both_programs_together_compute_the_step() -> None:
    graph, feeds, whole = step(decayed)
    state = {v: whole[v.whole][v.rows] for v in graph.variables() if isinstance(v, VariablePart)}
    divided = divide(graph)
    assert divided is not None
    assert not divided.first.updates
    expected, first = interpret(graph, feeds, state), interpret(divided.first, feeds, state)
    np.testing.assert_array_equal(first.outputs["y"], expected.outputs["y"])
    later = interpret(divided.later, {name: x for name, x in first.outputs.items() if name != "y"}, state)
    assert set(later.updates) == set(graph.updates)
    for variable, array in expected.updates.items():
        np.testing.assert_array_equal(later.updates[variable], array)


def test_nothing_is_overwritten_that_is_still_read() -> None:
    graph, _, _ = step(remembered)
    assert graph.updates
    assert all(isinstance(variable, VariablePart) for variable in graph.updates)
    assert divide(graph) is None


def test_an_executable_whose_state_is_all_late() -> None:
    graph, feeds, state = step(decayed)
    whole = {variable.whole for variable in graph.updates}
    expected = interpret(graph, feeds, {v: state[v.whole][v.rows] for v in graph.variables()})
    for variable in whole:
        attach(variable, Storage(state[variable], "float32"))
    run = Executable(graph, (), device="cpu")
    np.testing.assert_array_equal(run(feeds["rows"], feeds["places"])[0], expected.outputs["y"])
    for variable, array in expected.updates.items():
        np.testing.assert_allclose(storage_of(variable.whole).read()[variable.rows], array, rtol=1e-6)
    assert len(run.model.graph.output) == 1 + len(graph.updates)


def embedding(optimizer: str) -> keras.models.Sequential:
    random = np.random.default_rng(5)
    layers = keras.layers
    model = keras.models.Sequential([layers.Embedding(ROWS, WIDTH, input_length=10), layers.Flatten(), layers.Dense(1)])
    model.compile(optimizer, "mse")
    model.set_weights([random.standard_normal(w.shape) / 20 for w in model.get_weights()])
    return model


def batch(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.integers(0, ROWS, (16, 10)), random.standard_normal((16, 1)).astype(np.float32)


def everything(model: keras.models.Sequential) -> list[np.ndarray]:
    return [*model.get_weights(), *model.optimizer.get_weights()]


@pytest.mark.parametrize("optimizer", ["adam", "nadam"])
def test_training_in_place(optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[LateUpdates] = []
    make = LateUpdates.make
    monkeypatch.setattr(LateUpdates, "make", lambda late: (made.append(late), make(late))[1])

    def trained() -> list[np.ndarray]:
        model = embedding(optimizer)
        for seed in range(3):
            model.train_on_batch(*batch(seed))
        return everything(model)

    ours = trained()
    assert len(made) == 3
    assert all(late.updated[0].spare is None for late in made)
    monkeypatch.setattr(late_updates, "divide", lambda graph: None)
    for mine, theirs in zip(ours, trained(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert len(made) == 3


def test_a_refused_step_changes_nothing() -> None:
    model, same = embedding("adam"), embedding("adam")
    for one in (model, same):
        one.train_on_batch(*batch(1))
    before = everything(model)
    x, _ = batch(2)
    with pytest.raises(NonFiniteLoss, match="the weights are those before"):
        model.train_on_batch(x, np.full((16, 1), np.inf, np.float32))
    for mine, theirs in zip(everything(model), before, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    for one in (model, same):
        one.train_on_batch(*batch(3))
    for mine, theirs in zip(everything(model), everything(same), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_gradient_that_overflows_is_named() -> None:
    model = embedding("adam")
    before = [np.zeros_like(w) for w in model.get_weights()]
    before[1][:] = 1e38
    model.set_weights(before)
    x, y = batch()
    with pytest.raises(NonFiniteLoss, match=r"the gradient of weight '?embedding"):
        model.train_on_batch(x, y * 1e3)
    for mine, theirs in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_interrupted_commit_makes_the_updates_once(when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, same = embedding("adam"), embedding("adam")
    for one in (model, same):
        one.train_on_batch(*batch(1))
    binding = LateUpdates._run
    interrupts = [KeyboardInterrupt()]

    def run(late: LateUpdates, aside: bool) -> None:
        if when == "after":
            binding(late, aside)
        if interrupts:
            raise interrupts.pop()
        binding(late, aside)

    with monkeypatch.context() as patch:
        patch.setattr(LateUpdates, "_run", run)
        with pytest.raises(KeyboardInterrupt):
            model.train_on_batch(*batch(2))
    same.train_on_batch(*batch(2))
    for mine, theirs in zip(everything(model), everything(same), strict=True):
        np.testing.assert_array_equal(mine, theirs)
