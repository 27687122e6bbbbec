"""Small models of each kind with data that they can train on, and calls that a table of cases can hold."""

import functools

import numpy as np

from kcompile import Input, Model, Sequential, layers

RNG = np.random.default_rng(0)
X = RNG.normal(size=(10, 3)).astype("float32")
Y = X.sum(1)
CLASSES = np.arange(10) % 3
ONE_HOT = np.eye(3, dtype="float32")[CLASSES]
INDICES = np.arange(40).reshape(10, 4) % 10
GOOD = {}


def model(x, y):
    """Register a builder of a model with data that it can train on."""

    def register(build):
        GOOD[build.__name__] = (x, y)

        @functools.cache
        def trained():
            made = build()
            made.train_on_batch(x, y)  # the optimizer has state to lose
            return made

        MODELS[build.__name__] = trained
        return build

    return register


MODELS = {}


@model(X, Y)
def regression():
    made = Sequential([layers.Dense(4, "relu", input_shape=(3,), name="hidden"), layers.Dense(1, name="price")])
    made.compile("adam", "mse", metrics=["mae"])
    return made


@model(X, CLASSES)
def sparse():
    made = Sequential([layers.Dense(3, "softmax", input_shape=(3,), name="digit")])
    made.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return made


@model(X, ONE_HOT)
def categorical():
    made = Sequential([layers.Dense(3, "softmax", input_shape=(3,), name="digit")])
    made.compile("adam", "categorical_crossentropy")
    return made


@model(X, CLASSES > 0)
def binary():
    made = Sequential([layers.Dense(1, "sigmoid", input_shape=(3,), name="spam")])
    made.compile("adam", "binary_crossentropy")
    return made


@model([X, X[:, :2]], [Y, CLASSES])
def two():
    a, b = Input((3,), name="a"), Input((2,), name="b")
    both = layers.Concatenate()([a, b])
    outputs = [layers.Dense(1, name="p")(both), layers.Dense(3, "softmax", name="q")(both)]
    made = Model([a, b], outputs)
    made.compile("adam", {"p": "mse", "q": "sparse_categorical_crossentropy"})
    return made


@model(np.zeros((2, 8, 8, 1)), np.zeros(2))
def image():
    made = Sequential([layers.Flatten(input_shape=(8, 8, 1), name="pixels"), layers.Dense(1)])
    made.compile("adam", "mse")
    return made


@model(INDICES, Y)
def embedding():
    made = Sequential([layers.Embedding(10, 2, input_length=4, name="words"), layers.Flatten(), layers.Dense(1)])
    made.compile("adam", "mse")
    return made


@model(INDICES, Y)
def float_embedding():
    tokens = Input((4,), name="tokens")
    made = Model(tokens, layers.Dense(1)(layers.Flatten()(layers.Embedding(10, 2, name="words")(tokens))))
    made.compile("adam", "mse")
    return made


@model(X, np.zeros((10, 3, 1)))
def temporal():
    made = Sequential([layers.Reshape((3, 1), input_shape=(3,)), layers.Dense(1)])
    made.compile("adam", "mse", sample_weight_mode="temporal")
    return made


def batches(*items):
    yield from items


def forever():
    while True:
        yield X, Y


def fit(*args, **kwargs):
    return lambda m: m.fit(*args, verbose=0, **kwargs)


def evaluate(*args, **kwargs):
    return lambda m: m.evaluate(*args, verbose=0, **kwargs)


def predict(*args, **kwargs):
    return lambda m: m.predict(*args, **kwargs)


def train(*args, **kwargs):
    return lambda m: m.train_on_batch(*args, **kwargs)


def test(*args, **kwargs):
    return lambda m: m.test_on_batch(*args, **kwargs)


test.__test__ = False  # no test, although it is called so


def drawn(*batch, **kwargs):
    return lambda m: m.fit(batches(batch), steps_per_epoch=1, verbose=0, **kwargs)


def validated(x, y):
    return lambda m: m.fit(*GOOD["sparse"], validation_data=(x, y), verbose=0)


LABELLED = {"fit": fit, "evaluate": evaluate, "train": train, "test": test, "drawn": drawn, "validated": validated}
NARROW = X[:, :2]
