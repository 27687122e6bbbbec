"""A function means what it meant when it was called, in every use of the model."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kcompile import backend as K
from kcompile import layers, losses
from kcompile.models import Model, Sequential, clone_model, load_model
from kcompile.optimizers import SGD

X = np.arange(8.0, dtype="float32").reshape(2, 4)
k = 0


def pick(t: Any) -> Any:
    return t[:, k : k + 1]


class Pick(layers.Layer):
    """Reads a name of its module in ``call``."""

    def call(self, inputs: Any) -> Any:
        return self.picked(inputs)

    def picked(self, inputs: Any) -> Any:
        return inputs[:, k : k + 1]


class Box:
    """Something that holds a number."""

    k = 0


MADE: dict[str, Callable[[], Any]] = {
    "a lambda of the module": lambda: layers.Lambda(lambda t: t[:, k : k + 1]),
    "a function": lambda: layers.Lambda(pick),
    "a function in a lambda": lambda: layers.Lambda(lambda t: pick(t)),
    "a partial": lambda: layers.Lambda(functools.partial(lambda a, t: t[:, k : k + a], 1)),
    "a class": Pick,
    "an attribute": lambda: layers.Lambda(lambda t: t[:, Box.k : Box.k + 1]),
    "an inner function": lambda: layers.Lambda(lambda t: (lambda u: u[:, k : k + 1])(t)),
    "a random one": lambda: layers.Lambda(lambda t: pick(t) + 0 * K.random_normal(K.shape(pick(t)))),
    "an activation": lambda: layers.Activation(lambda t: t[:, k : k + 1]),
    "in a wrapper": lambda: Sequential([layers.Reshape((1, 4)), layers.TimeDistributed(layers.Lambda(pick))]),
}
SAVED = {"a lambda of the module", "an inner function", "a closure"}


def model_of(make: Callable[[], Any]) -> Model:
    """Four layers, made and called in a loop."""
    global k
    x = layers.Input((4,))
    found = []
    for k in range(4):  # the functions read it
        Box.k = k
        found.append(layers.Flatten()(make()(x)))
    return Model(x, layers.concatenate(found))


def model_of_a_closure() -> Model:
    x = layers.Input((4,))
    return Model(x, layers.concatenate([layers.Lambda(lambda t: t[:, i : i + 1])(x) for i in range(4)]))  # noqa: B023


@pytest.mark.parametrize("name", [*MADE, "a closure"])
def test_one_answer_in_all_uses(name: str, tmp_path: Path, recwarn: Any) -> None:
    model = model_of(MADE[name]) if name in MADE else model_of_a_closure()
    y = layers.Input((4,))
    nested = Model(y, model(y))
    uses = {"predict": model.predict(X), "nested": nested.predict(X)}
    if name not in ("an activation",):  # whose configuration is its name
        uses["clone"] = clone_model(model).predict(X)
        uses["clone of the nested"] = clone_model(nested).predict(X)
    if name != "an attribute":  # which Python reads anew, with a batch of another size
        uses["call"] = model(X)
    uses["Sequential"] = Sequential([model]).predict(X)
    model.export(tmp_path / "model.onnx")
    uses["export"] = _run(tmp_path / "model.onnx")
    if name in SAVED:
        for file in ("model.keras", "model.h5"):
            nested.save(tmp_path / file)
            uses[file] = load_model(tmp_path / file, safe_mode=False).predict(X)
    for use, result in uses.items():
        np.testing.assert_array_equal(result, X, err_msg=use)


def test_a_call_of_the_users_is_pythons() -> None:
    """Who calls a layer again gets what the names mean then."""
    factor = 2.0
    layer = layers.Lambda(lambda t: t * factor)
    x = layers.Input((4,))
    first = layer(x)
    factor = 3.0
    second = layer(x)
    model = Model(x, [first, second])
    factor = 5.0
    y = layers.Input((4,))
    for a, b in zip(Model(y, model(y)).predict(X), (2, 3), strict=True):
        np.testing.assert_array_equal(a, b * X)
    with pytest.raises(ValueError, match=r"several values of 'factor', which.*make a layer for each"):
        clone_model(model)


def test_what_a_function_writes_stays_live() -> None:
    calls = 0

    def count(t: Any) -> Any:
        nonlocal calls
        calls += 1
        return t

    x = layers.Input((4,))
    model = Model(x, layers.Lambda(count)(x))
    model(layers.Input((4,)))
    assert calls == 2


def test_losses_regularizers_and_constraints() -> None:
    """What they read counts as of ``compile`` and of the making of the weight, for steps that are traced later too."""
    scale = 1.0
    model = Sequential([
        layers.Dense(
            1, use_bias=False, kernel_initializer="ones", input_shape=(4,),
            kernel_regularizer=lambda w: scale * K.sum(w), kernel_constraint=lambda w: K.minimum(w, scale),
        )
    ])  # fmt: skip
    model.compile(SGD(0.0), lambda t, p: scale * losses.mean_absolute_error(t, p), metrics=[lambda t, p: scale + 0 * p])
    scale = 7.0
    y = X.sum(1, keepdims=True) + 1
    np.testing.assert_allclose(model.evaluate(X, y, verbose=0), [1 + 4, 1])
    np.testing.assert_allclose(model.train_on_batch(X, y), [1 + 4, 1])
    model.set_weights([np.full((4, 1), 5.0)])
    model.train_on_batch(X, y)
    np.testing.assert_array_equal(model.get_weights()[0], np.ones((4, 1)))


def test_a_file_tells_what_it_does_not_hold(tmp_path: Path) -> None:
    with pytest.warns(RuntimeWarning, match="reads 'pick', which the file does not hold"):
        model_of(MADE["a function in a lambda"]).save(tmp_path / "model.keras")


def _run(path: Path) -> Any:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: X})[0]
