"""Batch sizes that are usual get a compiled step of their own: faster, otherwise the same."""

from __future__ import annotations

import numpy as np
import pytest

import kcompile as keras
from kcompile import layers
from kcompile.engine.steps import MAX_SIZES, USUAL_SIZES, Step

SAMPLES = 5 * USUAL_SIZES + 3


def model(**arguments: int) -> keras.models.Sequential:
    network = keras.models.Sequential(
        [
            layers.Conv2D(16, 3, padding="same", activation="relu", input_shape=(8, 8, 3)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(4, activation="softmax"),
        ]
    )
    network.compile("adam", "categorical_crossentropy", metrics=["accuracy"], **arguments)
    return network


def data() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    y = np.eye(4, dtype=np.float32)[random.integers(0, 4, SAMPLES)]
    return random.random((SAMPLES, 8, 8, 3), np.float32), y


def step_of(network: keras.models.Sequential) -> Step:
    return network._step(True, [data()[1]], [None])


def trained(batch_size: int, fixed: bool = True, **arguments: int) -> tuple[list[np.ndarray], Step]:
    keras.backend.clear_session()
    np.random.seed(0)
    network = model(**arguments)
    step_of(network)._fixed = fixed
    network.fit(*data(), batch_size=batch_size, epochs=2, verbose=0, shuffle=False)
    return network.get_weights(), step_of(network)


def test_a_usual_size_has_its_own_model_and_computes_the_same() -> None:
    usual, step = trained(USUAL_SIZES)
    general, other = trained(USUAL_SIZES, fixed=False)
    assert {size: executable.graph.dim_names() for size, executable in step._by_size.items()} == {
        USUAL_SIZES: set(),
        3: {"batch"},
    }
    assert [executable.graph.dim_names() for executable in other._by_size.values()] == [{"batch"}] * 2
    for ours, theirs in zip(usual, general, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)  # ten steps of Adam


@pytest.mark.parametrize("batch_size", [USUAL_SIZES, USUAL_SIZES + 1])
def test_steps_per_execution_change_no_bit(batch_size: int) -> None:
    one, _ = trained(batch_size)
    many, _ = trained(batch_size, steps_per_execution=2)
    for ours, theirs in zip(one, many, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_models_of_many_sizes_are_not_kept() -> None:
    network = model()
    x, y = data()
    sizes = [USUAL_SIZES * n for n in (1, 2, 3, 4, 5)]
    for size in sizes:
        network.train_on_batch(x[:size], y[:size])
    compiled = {id(executable): executable.graph.dim_names() for executable in step_of(network)._by_size.values()}
    assert sorted(map(len, compiled.values())) == [0] * MAX_SIZES + [1]


def test_many_sizes_do_not_compile_the_usual_ones_again(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []
    original = Step._compiled
    monkeypatch.setattr(Step, "_compiled", lambda *arguments: compiled.append(1) or original(*arguments))
    network = keras.models.Sequential([layers.Dense(1, input_dim=2)])
    network.compile("sgd", "mse")
    for size in [*range(1, 70), *range(1, 70)]:
        network.train_on_batch(np.ones((size, 2)), np.ones(size))
    assert len(compiled) == MAX_SIZES + 1
