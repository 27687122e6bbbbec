"""Models in several threads: each computes what it computes alone, and models that share nothing never wait."""

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import kcompile
from kcompile import backend as K
from kcompile import layers as L
from kcompile.runtime.guards import together

X = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
Y = np.random.default_rng(1).normal(size=(64, 2)).astype("float32")
PATIENCE = 60  # seconds, after which a thread hangs


def dense_model(seed: int, shared: Any = None) -> Any:
    rng = np.random.default_rng(seed)
    first = L.Dense(16, activation="tanh", input_shape=(8,)) if shared is None else shared
    model = kcompile.Sequential([first, L.Dense(2)])
    model.build((None, 8))
    if shared is None:
        model.set_weights([rng.normal(size=w.shape) * 0.3 for w in model.weights])
    model.compile(kcompile.optimizers.Adam(0.01), "mse", metrics=["mae"])
    return model


def recurrent_model(seed: int) -> Any:
    rng = np.random.default_rng(seed)
    model = kcompile.Sequential([L.Reshape((4, 2), input_shape=(8,)), L.GRU(6), L.Dropout(0.3, seed=seed), L.Dense(2)])
    model.set_weights([rng.normal(size=w.shape) * 0.3 for w in model.weights])
    model.compile("rmsprop", "mse")
    return model


def at_once(*tasks: Callable[[], Any]) -> list[Any]:
    """The results of functions that run in a thread each, all starting together."""
    start = threading.Barrier(len(tasks))
    results: list[Any] = [None] * len(tasks)

    def run(i: int) -> None:
        start.wait(PATIENCE)
        try:
            results[i] = tasks[i]()
        except BaseException as error:
            results[i] = error

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(len(tasks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive(), "a thread hangs"
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


def trained(model: Any) -> tuple[list[float], list[np.ndarray]]:
    history = model.fit(X, Y, batch_size=16, epochs=12, shuffle=False, verbose=0)
    return history.history["loss"], model.get_weights()


def same(a: tuple[list[float], list[np.ndarray]], b: tuple[list[float], list[np.ndarray]]) -> bool:
    return a[0] == b[0] and all(map(np.array_equal, a[1], b[1]))


@pytest.mark.parametrize("make", [dense_model, recurrent_model])
def test_two_models_train_at_once_as_alone(make: Callable[[int], Any]) -> None:
    alone = [trained(make(seed)) for seed in (1, 2)]
    models = [make(seed) for seed in (1, 2)]
    together_ = at_once(*(lambda model=model: trained(model) for model in models))
    assert all(map(same, alone, together_))


def test_a_model_that_shares_nothing_does_not_wait() -> None:
    """One thread holds what a run of the first model holds; the second trains, predicts, is saved and changed."""
    first, second = dense_model(1), dense_model(2)
    first.fit(X, Y, verbose=0)
    with together(w.storage for w in first.weights):

        def work() -> None:
            second.fit(X, Y, epochs=2, verbose=0)
            second.set_weights(second.get_weights())
            second.predict(X)
            K.get_value(second.optimizer.iterations)

        at_once(work)


def test_a_model_that_shares_a_layer_waits() -> None:
    shared = L.Dense(16, activation="tanh", input_shape=(8,))
    first, second = dense_model(1, shared), dense_model(2, shared)
    first.fit(X, Y, verbose=0)
    second.fit(X, Y, verbose=0)
    done = threading.Event()

    def work() -> None:
        second.train_on_batch(X, Y)
        done.set()

    thread = threading.Thread(target=work, daemon=True)
    with together([shared.kernel.storage]):
        thread.start()
        assert not done.wait(0.3)
    assert done.wait(PATIENCE)
    thread.join(PATIENCE)


def test_models_that_share_a_layer_train_at_once() -> None:
    shared = L.Dense(16, activation="tanh", input_shape=(8,))
    models = [dense_model(seed, shared) for seed in (1, 2, 3)]
    for model in models:
        model.fit(X, Y, batch_size=16, verbose=0)  # 4 steps

    def work(model: Any) -> float:
        return float(model.fit(X, Y, batch_size=16, epochs=25, verbose=0).history["loss"][-1])

    losses = at_once(*(lambda model=model: work(model) for model in models))
    assert np.isfinite(losses).all()
    assert [int(K.get_value(model.optimizer.iterations)) for model in models] == [104, 104, 104]
    assert np.isfinite(shared.get_weights()[0]).all()


def test_one_model_trains_in_several_threads() -> None:
    """No step is lost: each reads what the one before it wrote."""
    model = dense_model(1)
    model.train_on_batch(X, Y)

    def work() -> None:
        for _ in range(50):
            model.train_on_batch(X, Y)

    at_once(work, work, work)
    assert int(K.get_value(model.optimizer.iterations)) == 151


def test_prediction_while_another_thread_trains() -> None:
    """Each prediction is that of the weights between two steps, never of half a step."""
    model = dense_model(1)
    ones = [np.ones(w.shape, "float32") for w in model.weights]
    outputs = {}
    for value in (0.01, 0.02):
        model.set_weights([w * value for w in ones])
        outputs[value] = model.predict(X[:1])
    weights = [w.storage for w in model.weights]
    stop = threading.Event()

    def change() -> None:
        for i in range(300):
            with together(weights):
                for storage, one in zip(weights, ones, strict=True):
                    storage.write(one * (0.01, 0.02)[i % 2])
        stop.set()

    def predict() -> int:
        count = 0
        while not stop.is_set():
            found = model.predict(X[:1])
            assert any(np.allclose(found, known, rtol=1e-4) for known in outputs.values())
            count += 1
        return count

    assert all(at_once(change, predict, predict)[1:])
    assert np.allclose(model.predict(X[:1]), outputs[0.02], rtol=1e-4)


def test_names_of_layers_that_threads_make_differ() -> None:
    names = at_once(*(lambda: [L.Dense(1).name for _ in range(300)] for _ in range(3)))
    assert len({name for found in names for name in found}) == 900


def test_predictions_see_the_last_training_of_another_thread() -> None:
    model, other = dense_model(1), dense_model(2)

    def work() -> None:
        for _ in range(30):
            model.train_on_batch(X, Y)
            first, second = model.predict(X), model.predict(X)
            w, b, v, c = model.get_weights()
            assert np.allclose(first, np.tanh(X @ w + b) @ v + c, atol=1e-5)
            assert np.allclose(second, first, atol=1e-5)

    at_once(work, lambda: [other.train_on_batch(X, Y) for _ in range(200)])


def test_programs_over_several_models_wait_in_no_circle() -> None:
    """Models that were compiled before functions join them, in both orders, from several threads."""
    models = [dense_model(seed) for seed in (1, 2, 3)]
    for model in models:
        model.train_on_batch(X, Y)
    kernels = [model.weights[0] for model in models]

    def moved(order: list[int]) -> Callable[[], None]:
        first, second = kernels[order[0]], kernels[order[1]]
        step = K.function([], [], updates=[K.update(first, first * 0.5 + second * 0.5), K.update(second, second * 1.0)])

        def work() -> None:
            for _ in range(100):
                step([])
                models[order[0]].train_on_batch(X, Y)

        return work

    at_once(*(moved(order) for order in ([0, 1], [1, 0], [1, 2], [2, 0])))
    assert [int(K.get_value(model.optimizer.iterations)) for model in models] == [101, 201, 101]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_fork_while_threads_train_and_make_models() -> None:
    """The child can use all models at once: no guard stays taken by a thread that it does not have."""
    models = [dense_model(seed) for seed in (1, 2)]
    for model in models:
        model.train_on_batch(X, Y)
    stop = threading.Event()

    def train(model: Any) -> None:
        while not stop.is_set():
            model.train_on_batch(X, Y)

    def make() -> None:
        while not stop.is_set():
            K.eval(K.variable(np.ones(3)) * 2.0)

    def fork() -> None:
        try:
            for _ in range(5):
                time.sleep(0.02)
                child = os.fork()
                if child == 0:
                    try:
                        with together(w.storage for model in models for w in model.weights):
                            K.variable(1.0).assign(2.0)
                        os._exit(3)
                    finally:
                        os._exit(1)
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
        finally:
            stop.set()

    at_once(*(lambda model=model: train(model) for model in models), make, fork)
