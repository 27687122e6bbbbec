"""compute_output_shape of users' layers and Lambda(output_shape=): honoured where tracing knows less."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kcompile import backend as K
from kcompile import layers as L
from kcompile.models import Model, Sequential, clone_model, load_model


class Declared(L.Layer):
    """A layer that says its output shape."""

    def __init__(self, shape: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shape = shape

    def call(self, inputs: Any) -> Any:
        return inputs * 2

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self.shape


class Pair(L.Layer):
    """Two outputs of sizes that only the run knows."""

    def call(self, inputs: Any) -> Any:
        return [flat(inputs), flat(inputs) * 2]

    def compute_output_shape(self, input_shape: Any) -> Any:
        return [(input_shape[0], 6)] * 2


def flat(t: Any) -> Any:
    return K.reshape(t, (K.shape(t)[0], -1))


HONOURED: dict[str, tuple[Callable[[], Any], tuple[Any, ...], tuple[int, ...], tuple[Any, ...]]] = {
    # the layer, its input shape, a sample's real shape, and the output's shape
    "Lambda, a function": (lambda: L.Lambda(flat, output_shape=lambda s: (s[0], 4 * s[2])), (None, 3), (4, 3), (12,)),
    "Lambda, an open axis": (lambda: L.Lambda(lambda t: t * 2, output_shape=(4, 3)), (None, 3), (4, 3), (4, 3)),
    "Lambda, reshaped": (
        lambda: L.Lambda(flat, output_shape=(12,)), (None, 3), (4, 3), (12,),
    ),
    "Lambda, None is no claim": (lambda: L.Lambda(lambda t: t, output_shape=(None, 3)), (4, 3), (4, 3), (4, 3)),
    "a layer": (lambda: Declared((None, 4, 3)), (4, None), (4, 3), (4, 3)),
    "a layer, a list": (lambda: Declared([None, 4]), (None,), (4,), (4,)),
    "in a wrapper": (
        lambda: L.TimeDistributed(L.Lambda(flat, output_shape=(6,))), (5, None, 3), (5, 2, 3), (5, 6),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HONOURED)
def test_a_declared_shape_is_honoured(name: str) -> None:
    make, open_shape, sample, expected = HONOURED[name]
    x = L.Input(open_shape)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = make()(x)
        assert tuple(y.shape) == (None, *expected)
        model = Model(x, L.Dense(2, kernel_initializer="ones")(y))
        inner = Model(x, y)
    data = np.random.default_rng(0).normal(size=(3, *sample)).astype("float32")
    once = inner.predict(data)
    assert once.shape == (3, *expected)
    for other in (model, Sequential([model])):
        np.testing.assert_allclose(other.predict(data)[..., 0], once.sum(-1), rtol=1e-5, atol=1e-5)


def test_several_outputs() -> None:
    x = L.Input((None, 2))
    a, b = Pair()(x)
    assert (tuple(a.shape), tuple(b.shape)) == ((None, 6), (None, 6))
    data = np.arange(12.0).reshape(2, 3, 2)
    for found, factor in zip(Model(x, [a, b]).predict(data), (1, 2), strict=True):
        np.testing.assert_array_equal(found, factor * data.reshape(2, 6))
    shapes = L.Lambda(lambda t: [t, t], output_shape=[(6,), (6,)]).compute_output_shape((None, 6))
    assert shapes == [(None, 6), (None, 6)]


CONTRADICTED: dict[str, Callable[[], Any]] = {
    "Lambda, a size": lambda: L.Lambda(lambda t: t * 2, output_shape=(5,)),
    "Lambda, a rank": lambda: L.Lambda(lambda t: t * 2, output_shape=(5, 5)),
    "Lambda, a function": lambda: L.Lambda(lambda t: t * 2, output_shape=lambda s: (s[0], 5)),
    "a layer": lambda: Declared((None, 5)),
    "a layer, two shapes": lambda: Declared([(None, 3), (None, 3)]),
}


@pytest.mark.parametrize("name", CONTRADICTED)
def test_a_declared_shape_that_is_wrong_is_told_once(name: str, tmp_path: Path) -> None:
    """What the layer makes counts, as in tf.keras, which does not look at the declaration."""
    x = L.Input((3,))
    with pytest.warns(RuntimeWarning, match=r"declared output shape is .*, but it makes \(None, 3\)") as seen:
        y = CONTRADICTED[name]()(x)
    assert len(seen) == 1
    assert tuple(y.shape) == (None, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = Model(x, y)
        z = L.Input((3,))
        nested = Model(z, model(z))
        copy = clone_model(model)
    for other in (model, nested, copy):
        np.testing.assert_array_equal(other.predict(np.ones((2, 3))), np.full((2, 3), 2))


def test_a_shape_function_that_fails_is_told() -> None:
    with pytest.warns(RuntimeWarning, match=r"compute_output_shape\(\(None, 3\)\) failed: TypeError"):
        Declared(None)(L.Input((3,)))


def test_a_size_that_the_run_contradicts_fails() -> None:
    x = L.Input((None,))
    model = Model(x, L.Lambda(lambda t: t * 2, output_shape=(4,))(x))
    assert model.predict(np.ones((2, 4))).shape == (2, 4)
    with pytest.raises(Exception, match=r"(?i)reshape|shape"):
        model.predict(np.ones((2, 5)))


def test_files_keep_the_declaration(tmp_path: Path) -> None:
    x = L.Input((None, 2))
    model = Model(x, L.Dense(1)(L.Lambda(flat, output_shape=(4,))(x)))
    for file in ("model.h5", "model.keras"):
        model.save(tmp_path / file)
        loaded = load_model(tmp_path / file, custom_objects={"flat": flat})
        data = np.ones((2, 2, 2))
        np.testing.assert_allclose(loaded.predict(data), model.predict(data), rtol=1e-6)


def test_predict_shows_one_batch_too(capsys: pytest.CaptureFixture[str]) -> None:
    model = Sequential([L.Dense(1, input_shape=(3,))])
    model.predict(np.ones((2, 3)))
    assert capsys.readouterr().out == ""
    model.predict(np.ones((2, 3)), verbose=1)
    assert "[==" in capsys.readouterr().out


def test_a_slice_of_a_size_that_is_not_known_is_refused() -> None:
    x = L.Input((None,))
    with pytest.raises(ValueError, match="known while the model is built"):
        K.slice(x, [0, 0], [-1, K.shape(x)[1] // 2])
