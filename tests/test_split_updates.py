"""Updates in parts: the same numbers, from and to the same memory."""

from __future__ import annotations

import numpy as np
import pytest

import kcompile as keras
from kcompile.ir import Graph, Variable, constant, input_value, interpret, variable_value
from kcompile.ir.core import apply
from kcompile.ir.errors import IRError
from kcompile.ir.ops.arrays.indexing import scatter_add
from kcompile.ir.ops.arrays.variable_part import VariablePart, part_of
from kcompile.ir.ops.elementwise.functions import add, div, mul, sqrt, sub
from kcompile.ir.ops.products.linalg import MatMul
from kcompile.passes import pipelines
from kcompile.passes.updates.split_updates import split_updates

ROWS, COLUMNS = 500, 300


def step(transposed: bool) -> tuple[Graph, dict[str, np.ndarray], dict[Variable, np.ndarray]]:
    """A weight and a slot, updated from a matrix product."""
    random = np.random.default_rng(0)
    w = variable_value("w", "float32", (ROWS, COLUMNS))
    v = variable_value("v", "float32", (ROWS, COLUMNS), "slot")
    x = input_value("x", "float32", (7, ROWS) if transposed else (ROWS, 7))
    y = input_value("y", "float32", (7, COLUMNS))
    g = add(apply(MatMul(transposed, False), x, y), mul(w, 1e-4))
    new = add(mul(v, 0.9), mul(g, g))
    updates = {w.op: sub(w, div(mul(g, 0.1), add(sqrt(new), 1e-3))), v.op: new}
    graph = Graph(
        [x, y],
        [apply(MatMul(), y, apply(MatMul(False, True), constant(np.eye(COLUMNS, dtype=np.float32)), w))],
        updates,
    )
    feeds = {value.op.label: random.standard_normal(value.type.static_shape, np.float32) for value in (x, y)}
    return graph, feeds, {value.op: random.random((ROWS, COLUMNS), np.float32) for value in (w, v)}


@pytest.mark.parametrize("transposed", [True, False])
def test_parts_compute_what_the_whole_computes(transposed: bool) -> None:
    graph, feeds, state = step(transposed)
    expected = interpret(graph, feeds, state)
    changed = split_updates(graph)
    parts = [variable for variable in changed.variables() if isinstance(variable, VariablePart)]
    actual = interpret(changed, feeds, {**state, **{part: state[part.whole][part.rows] for part in parts}})
    np.testing.assert_array_equal(actual.outputs["output"], expected.outputs["output"])
    for variable, array in expected.updates.items():
        mine = [part for part in changed.updates if part.whole is variable]
        assert len(mine) > 2
        assert [part.rows.start for part in mine] == [0, *(part.rows.stop for part in mine[:-1])]
        found = np.concatenate([actual.updates[part] for part in mine])
        np.testing.assert_allclose(found, array, rtol=1e-6, atol=1e-7)  # matrix products of other sizes
    assert not set(state) & set(changed.updates)


def test_small_variables_stay_whole() -> None:
    w = variable_value("w", "float32", (30, 30))
    graph = Graph([], {}, {w.op: sub(w, mul(mul(mul(w, w), w), 0.1))})
    assert list(split_updates(graph).updates) == [w.op]


def test_a_part_lies_in_its_variable() -> None:
    whole = variable_value("w", "float32", (30, 2)).op
    assert isinstance(whole, Variable)
    assert part_of(whole, 10, 30).rows == slice(10, 30)
    with pytest.raises(IRError, match=r"does not lie in"):
        part_of(whole, 10, 31)


@pytest.mark.parametrize("kind", ["dense", "embedding"])
@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "nadam"])
def test_training_in_parts(optimizer: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def trained() -> list[np.ndarray]:
        random = np.random.default_rng(5)
        layers = keras.layers
        if kind == "dense":
            first = [layers.Dense(400, input_shape=(330,))]
        else:
            first = [layers.Embedding(1500, 100, input_length=10), layers.Flatten()]
        model = keras.models.Sequential([*first, layers.Dense(1)])
        model.compile(optimizer, "mse")
        model.set_weights([random.standard_normal(w.shape) / 20 for w in model.get_weights()])
        x, y = random.standard_normal((2, 48, 330))
        x = x if kind == "dense" else random.integers(0, 1500, (48, 10))
        model.fit(x, y[:, :1], batch_size=16, epochs=2, shuffle=False, verbose=0)
        return [*model.get_weights(), *model.optimizer.get_weights()]

    parts = trained()
    monkeypatch.setattr(pipelines, "split_updates", lambda graph: graph)
    for ours, theirs in zip(parts, trained(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


RULES = {
    "adam": lambda w, m, v, g: sub(w, div(mul(m, 0.1), add(sqrt(v), 1e-3))),
    "rmsprop": lambda w, m, v, g: sub(sub(w, m), div(mul(g, 0.1), add(sqrt(v), 1e-3))),
    "decayed": lambda w, m, v, g: sub(mul(w, 0.9), mul(mul(add(g, mul(w, 0.01)), v), m)),
}


@pytest.mark.parametrize("rule", RULES)
def test_a_gradient_of_few_rows_is_added_where_it_is(rule: str) -> None:
    """Rows of an embedding, one named thrice, some from the end; with optimizers that do and do not need it whole."""
    random = np.random.default_rng(1)
    height, width = 1000, 200
    w, m, v = (variable_value(name, "float32", (height, width), "slot") for name in "wmv")
    places, rows = input_value("places", "int32", (4, 3)), input_value("rows", "float32", (4, 3, width))
    g = scatter_add(places, rows, height)
    new_m, new_v = add(mul(m, 0.9), g), add(mul(v, 0.9), mul(g, g))
    updates = {w.op: RULES[rule](w, new_m, new_v, g), m.op: new_m, v.op: new_v}
    graph = Graph([places, rows], {}, updates)
    named = np.array([[3, 999, 3], [3, 250, -1], [0, -750, 511], [512, 256, -1000]], np.int32)
    feeds = {"places": named, "rows": random.standard_normal((4, 3, width), np.float32)}
    state = {value.op: random.random((height, width), np.float32) for value in (w, m, v)}
    changed = split_updates(graph)
    ops = {node.op.name for node in changed.nodes()}
    assert ("add_sorted_rows" in ops) == (rule != "rmsprop")
    expected = interpret(graph, feeds, state).updates
    parts = [variable for variable in changed.variables() if isinstance(variable, VariablePart)]
    split_state = {**state, **{part: state[part.whole][part.rows] for part in parts}}
    updated = interpret(changed, feeds, split_state).updates
    for variable, array in expected.items():
        found = np.concatenate([updated[part] for part in changed.updates if part.whole is variable])
        np.testing.assert_allclose(found, array, rtol=1e-5, atol=1e-6)
