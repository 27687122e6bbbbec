"""What must come out the same: runs with one seed, and batches of every size."""

import os
import subprocess
import sys

import numpy as np
import pytest

from kcompile import Sequential, layers
from kcompile import backend as K
from kcompile.common.errors import KCompileError, ShapeError
from tests.training_samples import X, Y, assert_equal, assert_trains, network, state

# ---- R60: the same seed, the same bits

SCRIPT = """
import hashlib, numpy as np, kcompile
from kcompile import Sequential, layers
kcompile.configure(threads={threads})
np.random.seed(3)
model = Sequential([
    layers.Conv2D(4, 3, activation="relu", input_shape=(8, 8, 1)), layers.BatchNormalization(), layers.Dropout(0.3),
    layers.Flatten(), layers.Dense(3, "softmax"),
])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
x = np.random.default_rng(0).normal(size=(50, 8, 8, 1)).astype("float32")
if {predict}:
    model.predict(x)
history = model.fit(x, np.arange(50) % 3, batch_size=8, epochs=2, validation_split=0.2, verbose=0).history
parts = [w.tobytes() for w in [*model.get_weights(), *model.optimizer.get_weights()]]
print(hashlib.sha256(b"".join(parts) + repr(history).encode()).hexdigest())
"""


def test_one_seed_gives_the_same_bits_in_every_process():
    runs = []
    for hash_seed, predict in (("0", 0), ("1", 1), ("random", 0)):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", SCRIPT.format(threads=1, predict=predict)]
        runs.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
    digests = [run.communicate(timeout=100)[0] for run in runs]
    assert all(run.returncode == 0 for run in runs)
    assert len(digests[0]) > 60
    assert len(set(digests)) == 1


@pytest.mark.parametrize("between", ["nothing", "predict", "evaluate", "restore"])
def test_one_seed_gives_the_same_bits_twice(between):
    """Also where dropout and shuffling continue after a prediction."""
    results = []
    for disturbed in (False, True):
        made = network()
        made.fit(X, Y, batch_size=4, epochs=2, verbose=0)
        if disturbed and between == "predict":
            made.predict(X)
        elif disturbed and between == "evaluate":
            made.evaluate(X, Y, verbose=0)
        elif disturbed and between == "restore":
            made.set_weights(made.get_weights())
        history = made.fit(X, Y, batch_size=4, epochs=2, verbose=0).history
        results.append((state(made), history))
    assert_equal(results[0][0], results[1][0])
    assert results[0][1] == results[1][1]


def test_another_seed_gives_other_bits():
    first, second = network(), network()
    np.random.seed(7)
    second.fit(X, Y, batch_size=4, verbose=0)
    np.random.seed(8)
    first.fit(X, Y, batch_size=4, verbose=0)
    assert not np.array_equal(first.get_weights()[0], second.get_weights()[0])


# ---- R61: batches of every size


def image_network():
    made = Sequential(
        [
            layers.Conv2D(3, 3, padding="same", activation="relu", input_shape=(6, 6, 2)),
            layers.BatchNormalization(),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(4, "softmax"),
        ]
    )
    made.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return made


@pytest.mark.parametrize("build", [network, image_network])
def test_every_batch_size_gives_what_single_rows_give(build):
    made = build()
    shape = made.input_shape[1:]
    x = np.random.default_rng(1).normal(size=(65, *shape)).astype("float32")
    rows = np.concatenate([made.predict(x[i : i + 1]) for i in range(len(x))])
    for size in (1, 2, 7, 16, 17, 33, 64, 65, 1000):
        np.testing.assert_allclose(made.predict(x, batch_size=size), rows, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(made.predict_on_batch(x[:size]), rows[:size], rtol=1e-5, atol=1e-6)
    assert made.predict(x[:0]).shape == (0, *rows.shape[1:])
    assert made.predict(x[:0], batch_size=3).dtype == np.float32
    y = np.zeros((65, *rows.shape[1:]), "float32")
    whole = made.evaluate(x, y, batch_size=65, verbose=0)
    for size in (1, 7, 17, 64):
        np.testing.assert_allclose(made.evaluate(x, y, batch_size=size, verbose=0), whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [1, 7, 17, 39, 40, 41])
def test_a_last_partial_batch_is_a_step_of_its_own(size):
    whole, parts = network(), network()
    for made in (whole, parts):
        made.layers[1].rate = 0.0
    whole.fit(X, Y, batch_size=size, shuffle=False, verbose=0)
    for start in range(0, 40, size):
        parts.train_on_batch(X[start : start + size], Y[start : start + size])
    assert whole.optimizer.iterations.numpy() == -(-40 // size)
    for a, b in zip(state(whole), state(parts), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


def test_a_size_that_only_a_run_can_know_is_refused_in_one_line():
    made = Sequential([layers.Reshape((4,), input_shape=(None, 2))])
    assert made.predict(np.zeros((3, 2, 2))).shape == (3, 4)
    with pytest.raises(
        KCompileError, match=r"'predict' failed, .*: Reshape '.*': The input tensor cannot be"
    ) as caught:
        made.predict(np.zeros((3, 3, 2)))
    assert "\n" not in str(caught.value)


def test_a_loss_whose_shapes_do_not_join():
    made = Sequential([layers.Dense(3, input_shape=(3,), name="scores")])
    made.compile("sgd", lambda t, p: K.mean(K.square(t - p), -1))
    words = r"'scores' .*targets of shape \(None, 4\) and predictions of shape \(None, 3\)"
    with pytest.raises(ShapeError, match=words):
        made.fit(X, np.zeros((40, 4)), verbose=0)
    assert_trains(network())
