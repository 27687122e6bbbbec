"""A small network that is the same at each call, and ways to look at and disturb its training."""

import numpy as np

from kcompile import Sequential, layers
from kcompile.callbacks import Callback, LambdaCallback

X = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
Y = X.sum(1)


def network(optimizer="adam", **options):
    """A small network, the same at each call, that draws random numbers in training."""
    np.random.seed(1)
    made = Sequential(
        [
            layers.Dense(8, "softplus", input_shape=(3,), name="hidden"),
            layers.Dropout(0.2),
            layers.Dense(1, name="price"),
        ]
    )
    made.compile(optimizer, "mse", metrics=["mae"], **options)
    np.random.seed(2)
    return made


def state(made):
    """Weights and optimizer state."""
    return [*made.get_weights(), *made.optimizer.get_weights()]


def assert_equal(first, second):
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


class States(Callback):
    """The state after each step, from that before the first."""

    def on_train_begin(self, logs=None):
        self.found = [state(self.model)]

    def on_batch_end(self, batch, logs=None):
        self.found.append(state(self.model))


def steps(count=50):
    """The states of an undisturbed training with batches of 4, ten in an epoch."""
    seen = States()
    network().fit(X, Y, batch_size=4, epochs=-(-count // 10), callbacks=[seen], verbose=0)
    return seen.found


def position(made, states):
    """How many steps led to this state; fails if it is none of them."""
    now = state(made)
    for i, candidate in enumerate(states):
        if len(candidate) == len(now) and all(np.array_equal(a, b) for a, b in zip(candidate, now, strict=True)):
            return i
    raise AssertionError("the state is between two steps")


def assert_trains(made):
    """The model goes on with good data, and gets better."""
    assert made.fit(X, Y, epochs=1, verbose=0).history["loss"][0] < 50
    assert np.isfinite(made.predict(X)).all()


def at(batch, action):
    """A callback that acts at the end of a batch, counted over all epochs."""
    count = iter(range(10**9))
    return LambdaCallback(on_batch_end=lambda *_: action() if next(count) == batch else None)


def interrupt():
    raise KeyboardInterrupt
