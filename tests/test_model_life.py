"""What tutorials do with a model over its life: fine-tuning, surgery, sharing, predicting while it trains, threads."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kcompile as keras
from kcompile import Input, Model, Sequential, layers, models, optimizers
from kcompile import backend as K
from kcompile.callbacks import Callback, LearningRateScheduler
from kcompile.layers import (
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    GlobalAveragePooling2D,
    Lambda,
    concatenate,
    multiply,
)

RNG = np.random.RandomState(0)


@pytest.fixture(autouse=True)
def _same_numbers() -> None:
    keras.utils.set_random_seed(1)
    RNG.seed(0)


def changed(before: list[Any], after: list[Any]) -> bool:
    return any((a != b).any() for a, b in zip(before, after, strict=True))


# ---- training as one goes along


def test_callbacks_that_predict_and_change_the_rate() -> None:
    seen = []

    class Watch(Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            seen.append(float(K.get_value(self.model.optimizer.lr)))
            K.set_value(self.model.optimizer.lr, seen[-1] * 0.5)

        def on_batch_end(self, batch: int, logs: Any = None) -> None:
            kernel, bias = self.model.get_weights()
            x = RNG.randn(3, 2).astype("float32")
            np.testing.assert_allclose(self.model.predict(x), x @ kernel + bias, rtol=1e-4, atol=1e-6)
            assert logs["batch"] == batch

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.on_batch_end(0, {"batch": 0})
            self.model.evaluate(np.ones((5, 2)), np.ones(5), verbose=0)

    model = Sequential([Dense(1, input_dim=2)])
    model.compile(optimizers.SGD(lr=0.4), "mse", metrics=["mae"])
    model.fit(RNG.randn(30, 2), RNG.randn(30), batch_size=8, epochs=3, verbose=0, callbacks=[Watch()])
    np.testing.assert_allclose(seen, [0.4, 0.2, 0.1], rtol=1e-6)
    before = model.get_weights()
    model.fit(np.ones((8, 2)), np.ones(8), verbose=0, callbacks=[LearningRateScheduler(lambda epoch: 0.0)])
    assert not changed(before, model.get_weights())


def test_variables_of_closures_are_live() -> None:
    share, temperature = K.variable(0.0), K.variable(1.0)
    model = Sequential([Lambda(lambda x: x / temperature, input_shape=(3,)), Dense(1)])
    model.compile("sgd", lambda y_true, y_pred: share * K.mean(K.square(y_true - y_pred), -1))
    x, before = np.ones((4, 3)), model.get_weights()
    model.fit(x, np.full(4, 9.0), verbose=0)
    assert not changed(before, model.get_weights())
    K.set_value(share, 1.0)
    model.fit(x, np.full(4, 9.0), verbose=0)
    assert changed(before, model.get_weights())
    kernel, bias = model.get_weights()
    for value in (1.0, 2.0, 2.0, 4.0):
        K.set_value(temperature, value)
        for _ in range(2):
            np.testing.assert_allclose(model.predict(x), x @ kernel / value + bias, rtol=1e-5)


def test_fine_tuning() -> None:
    base = Sequential([Conv2D(4, 3, input_shape=(8, 8, 3)), BatchNormalization(), Activation("relu")])
    base.add(GlobalAveragePooling2D())
    for layer in base.layers:
        layer.trainable = False
    model = Sequential([base, Dense(4, activation="relu"), Dense(1, activation="sigmoid")])
    model.compile("rmsprop", "binary_crossentropy", metrics=["acc"])
    assert len(model.trainable_weights) == 4
    x, y, before = RNG.randn(20, 8, 8, 3), RNG.randint(0, 2, 20), base.get_weights()
    assert list(model.fit(x, y, epochs=2, verbose=0).history) == ["loss", "acc"]
    assert not changed(before, base.get_weights())
    base.layers[1].trainable = True  # no effect before compile
    model.fit(x, y, verbose=0)
    assert not changed(before, base.get_weights())
    model.compile(optimizers.SGD(1e-2), "binary_crossentropy")
    model.fit(x, y, verbose=0)
    assert not changed(before[:2], base.get_weights()[:2])
    assert all(changed([a], [b]) for a, b in zip(before[2:], base.get_weights()[2:], strict=True))


def test_model_as_a_layer_keeps_its_own_tensors() -> None:
    base = Sequential([Dense(4, input_dim=3, activity_regularizer="l2", name="inside"), BatchNormalization()])
    inputs = Input((3,))
    whole = Sequential([Model(inputs, base(inputs)), Dense(2)])
    hidden = Model(base.input, base.get_layer("inside").output)  # in Keras a call of the model is none of its layers'
    x = RNG.randn(6, 3)
    np.testing.assert_allclose(hidden.predict(x), x @ hidden.get_weights()[0], rtol=1e-5, atol=1e-6)
    losses_found = []
    for call in (False, True):
        if call:  # computing on arrays leaves no losses and no statistics of them behind
            base(100 * x)
            whole(100 * x)
        whole.compile(optimizers.SGD(0.0), "mse")
        losses_found.append(whole.train_on_batch(x, np.zeros((6, 2))))
    assert losses_found[0] == losses_found[1]
    np.testing.assert_allclose(base.layers[1].get_weights()[3], 1, atol=0.5)
    base.pop()
    assert base.output_shape == (None, 4)
    np.testing.assert_allclose(base.predict(x), hidden.predict(x), rtol=1e-6)


def test_surgery() -> None:
    model = Sequential([Dense(4, input_dim=3), Dense(5), Dense(6)])
    model.pop()
    model.pop()
    model.add(Dense(2))
    model.compile("sgd", "mse")
    x = np.ones((4, 3))
    model.fit(x, np.ones((4, 2)), verbose=0)
    wider = Model(model.input, Dense(7, use_bias=False)(model.layers[-2].output))
    shorter = Sequential(model.layers[:-1])
    np.testing.assert_allclose(shorter.predict(x) @ wider.get_weights()[2], wider.predict(x), rtol=1e-5)


def test_two_models_share_layers() -> None:
    shared = Dense(3)
    a, b = Input((2,)), Input((2,))
    first, second = Model(a, shared(a)), Model(b, multiply([shared(b), shared(b)]))
    first.compile("adam", "mse")
    second.compile("sgd", "mse")
    x = np.ones((8, 2), "float32")
    for model in (first, second, first, second):
        before = shared.get_weights()
        model.fit(x, np.zeros((8, 3)), verbose=0)
        kernel, bias = shared.get_weights()
        assert changed(before, [kernel, bias])
        np.testing.assert_allclose(first.predict(x), x @ kernel + bias, rtol=1e-5)
        np.testing.assert_allclose(second.predict(x), (x @ kernel + bias) ** 2, rtol=1e-5)


def test_evaluating_does_not_change_the_training() -> None:
    x, y, found = RNG.randn(40, 6), RNG.randn(40, 2), []
    for validation in (None, (x, y)):
        keras.utils.set_random_seed(3)
        model = Sequential([Dense(8, input_dim=6), Dropout(0.5), Dense(2)])
        model.compile("adam", "mse")
        model.fit(x, y, epochs=3, verbose=0, validation_data=validation)
        found.append(model.get_weights())
    assert not changed(*found)


def test_training_goes_on_after_export_and_compile(tmp_path: Path) -> None:
    model = Sequential([Dense(4, input_dim=3), BatchNormalization(), Dense(2)])
    model.compile("adam", "mse")
    x, y = RNG.randn(16, 3), RNG.randn(16, 2)
    for size in (4, 16, 5, 1, 64):
        model.fit(x, y, batch_size=size, verbose=0)
    model.export(tmp_path / "model.onnx")
    model.export_training(tmp_path)
    before = model.get_weights()
    model.fit(x, y, verbose=0)
    model.compile("sgd", "mae", metrics=["mse"])
    assert len(model.train_on_batch(x, y)) == 2
    assert changed(before, model.get_weights())


def test_deep_and_wide_models() -> None:
    inputs = x = Input((4,))
    for _ in range(100):
        x = layers.add([x, Dense(4, activation="tanh")(x)])
    deep = Model(inputs, x)
    wide = Model(inputs, concatenate([Dense(1)(inputs) for _ in range(60)]))
    for model in (deep, wide):
        model.compile("sgd", "mse")
        shape = (8, *model.output_shape[1:])
        model.train_on_batch(np.ones((8, 4)), np.ones(shape))
        assert model.predict(np.ones((8, 4))).shape == shape
        assert models.clone_model(model).count_params() == model.count_params()


# ---- threads


@pytest.mark.parametrize("live", [False, True])
def test_threads_predict_at_once(live: bool) -> None:
    model = Sequential([Dense(32, input_dim=20, activation="relu"), Dense(5)])
    x = RNG.randn(200, 20).astype("float32")
    first, second, third, fourth = model.get_weights()
    expected = np.maximum(x @ first + second, 0) @ third + fourth
    problems: list[str] = []

    def work(number: int) -> None:
        try:
            for size in range(20, 50):
                if live:
                    model.set_weights([first, second, third, fourth])  # the same, but written anew
                rows = slice(number * 10, number * 10 + size)
                np.testing.assert_allclose(model.predict(x[rows], batch_size=16), expected[rows], rtol=1e-4, atol=1e-5)
        except Exception as error:
            problems.append(repr(error))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems


def test_predicting_while_another_thread_trains() -> None:
    model = Sequential([Dense(30, input_dim=20, use_bias=False)])
    model.set_weights([np.zeros((20, 30))])
    model.compile(optimizers.SGD(1e-3), "mae")
    x, problems, done = np.ones((64, 20)), [], threading.Event()

    def work() -> None:
        while not done.is_set():
            found = model.predict(x[:9])
            if np.ptp(found) > 1e-4:  # each step changes all weights by the same amount: a mixture would show
                problems.append(np.ptp(found))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        model.fit(x, np.full((64, 30), 1e6), batch_size=8, epochs=10, verbose=0)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not problems
