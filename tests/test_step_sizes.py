"""Batch sizes that are usual get a compiled step of their own: faster, otherwise the same."""

from __future__ import annotations

import numpy as np
import pytest

import kcompile as keras
from kcompile import layers
from kcompile.ir.costs import FIXED_BATCHES
from kcompile.training.step import MAX_SIZES, Step

SAMPLES = 5 * FIXED_BATCHES + 3


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
    return network.fit_trainer.step(True, [data()[1]], [None])


def trained(batch_size: int, fixed: bool = True, **arguments: int) -> tuple[list[np.ndarray], Step]:
    keras.backend.clear_session()
    np.random.seed(0)
    network = model(**arguments)
    step_of(network)._fixed = fixed
    network.fit(*data(), batch_size=batch_size, epochs=2, verbose=0, shuffle=False)
    return network.get_weights(), step_of(network)


def test_a_usual_size_has_its_own_model_and_computes_the_same() -> None:
    usual, step = trained(FIXED_BATCHES)
    general, other = trained(FIXED_BATCHES, fixed=False)
    assert {size: executable.graph.dim_names() for size, executable in step._by_size.items()} == {
        FIXED_BATCHES: set(),
        3: {"batch"},
    }
    assert [executable.graph.dim_names() for executable in other._by_size.values()] == [{"batch"}] * 2
    for ours, theirs in zip(usual, general, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)  # ten steps of Adam


@pytest.mark.parametrize("batch_size", [FIXED_BATCHES, FIXED_BATCHES + 1])
def test_steps_per_execution_change_no_bit(batch_size: int) -> None:
    one, _ = trained(batch_size)
    many, _ = trained(batch_size, steps_per_execution=2)
    for ours, theirs in zip(one, many, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_models_of_many_sizes_are_not_kept() -> None:
    network = model()
    x, y = data()
    sizes = [FIXED_BATCHES * n for n in (1, 2, 3, 4, 5)]
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


def of_any_size() -> keras.models.Sequential:
    keras.backend.clear_session()
    np.random.seed(0)
    network = keras.models.Sequential(
        [
            layers.Conv2D(16, 3, padding="same", activation="relu", input_shape=(None, None, 3)),
            layers.Conv2D(16, 3, strides=2, padding="same", activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4, activation="softmax"),
        ]
    )
    network.compile("adam", "categorical_crossentropy")
    return network


def test_images_of_any_size_are_learned_from_by_models_that_know_it() -> None:
    """The ways to a filter gradient that need not know the number of windows take many times as long."""
    random = np.random.default_rng(2)
    sizes = [(9, 7), (8, 8), (12, 5), (9, 7), (6, 6), (10, 10), (8, 8)]
    batches = [(random.random((2, *size, 3), np.float32), np.eye(4, dtype=np.float32)[[0, 2]]) for size in sizes]
    networks = [of_any_size(), of_any_size()]
    networks[1].fit_trainer.step(True, [batches[0][1]], [None])._free = ()
    networks[1].fit_trainer.step(True, [batches[0][1]], [None])._fixed = False
    for x, y in batches:
        losses = [network.train_on_batch(x, y) for network in networks]
        np.testing.assert_allclose(*losses, rtol=1e-5)
    own, general = (network.fit_trainer.step(True, [batches[0][1]], [None]) for network in networks)
    names = [executable.graph.dim_names() for executable in own._by_size.values()]
    assert names[:MAX_SIZES] == [set()] * MAX_SIZES
    assert all(names[MAX_SIZES:])  # what comes later shares one model
    assert len({id(executable) for executable in general._by_size.values()}) == 1
    for ours, theirs in zip(*(network.get_weights() for network in networks), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_images_that_are_too_small_are_refused_by_the_name_of_a_layer() -> None:
    reads = layers.Conv2D(16, 3, input_shape=(None, None, 3), name="reads")
    network = keras.models.Sequential([reads, layers.GlobalAveragePooling2D()])
    network.compile("sgd", "mse")
    weights = network.get_weights()
    for batch in (3, 8, FIXED_BATCHES):
        with pytest.raises(keras.errors.KCompileError, match="state is unchanged: Conv 'reads/"):
            network.train_on_batch(np.zeros((batch, 1, 2, 3), np.float32), np.zeros((batch, 16), np.float32))
    for ours, theirs in zip(network.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_sequences_of_any_length_share_a_model() -> None:
    network = keras.models.Sequential([layers.LSTM(4, input_shape=(None, 3)), layers.Dense(1)])
    network.compile("adam", "mse")
    for length in (3, 4, 5):
        network.train_on_batch(np.zeros((2, length, 3), np.float32), np.zeros((2, 1), np.float32))
    assert len(step_of_any(network)._by_size) == 1


def step_of_any(network: keras.models.Sequential) -> Step:
    return network.fit_trainer.step(True, [np.zeros((2, 1), np.float32)], [None])
