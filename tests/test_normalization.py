"""Layers that normalize samples: arguments that make no sense, sizes that are unknown, masks, what steps change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import kcompile as keras
from kcompile import backend as K
from kcompile import layers as L
from kcompile.models import Model, Sequential

RANDOM = np.random.default_rng(3)
X, Y = RANDOM.normal(size=(8, 6)).astype("float32"), RANDOM.normal(size=(8, 2)).astype("float32")

MISTAKES: list[tuple[Callable[[], Any], str]] = [
    (lambda: L.LayerNormalization(axis="last"), "LayerNormalization: axis must be an integer, got 'last'"),
    (lambda: L.LayerNormalization(axis=[]), "axis must name at least one axis, and each once"),
    (lambda: L.LayerNormalization(axis=[1, 1]), "axis must name at least one axis, and each once"),
    (lambda: L.LayerNormalization(axis=[1, -1])(L.Input((6,))), r"axis=\[1, -1\] names an axis .* twice"),
    (lambda: L.LayerNormalization(axis=2)(L.Input((6,))), "axis=2 does not exist in the input shape"),
    (lambda: L.LayerNormalization(axis=1)(L.Input((None, 6))), "needs a known size of axis 1"),
    (lambda: L.LayerNormalization(epsilon=-1), "epsilon must be"),
    (lambda: L.LayerNormalization(center="yes"), "center must be"),
    (lambda: L.LayerNormalization(momentum=0.9), "momentum"),
    (lambda: L.GroupNormalization(0), "groups must be positive, or -1 for one of each channel, got 0"),
    (lambda: L.GroupNormalization(-2), "groups must be"),
    (lambda: L.GroupNormalization(4)(L.Input((5, 6))), "groups=4 does not divide the 6 channels on axis -1"),
    (lambda: L.GroupNormalization(2, axis=0)(L.Input((6,))), "axis=0 is not a channel axis"),
    (lambda: L.RMSNormalization(axis=3)(L.Input((6,))), "axis=3 does not exist"),
    (lambda: L.UnitNormalization(axis=1.5), "axis must be an integer"),
    (lambda: L.SpectralNormalization(3), "layer must be a layer or a model, got 3"),
    (lambda: L.SpectralNormalization(L.Dense(2), 0), "power_iterations must be"),
    (lambda: L.SpectralNormalization(L.ReLU())(L.Input((6,))), r"\(ReLU\) has neither a kernel nor embeddings"),
]


@pytest.mark.parametrize(("mistake", "message"), MISTAKES, ids=lambda item: item if isinstance(item, str) else "")
def test_mistakes(mistake: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mistake()


LAYERS = [
    lambda: L.LayerNormalization(), lambda: L.GroupNormalization(2), lambda: L.UnitNormalization(),
    lambda: L.RMSNormalization(), lambda: L.SpectralNormalization(L.Dense(6)),
]  # fmt: skip


@pytest.mark.parametrize("make", LAYERS)
def test_masks_are_passed_on(make: Callable[[], Any]) -> None:
    steps = L.Input((4, 6))
    masked = L.Masking()(steps)
    layer = make()
    assert layer(masked)._keras_mask is masked._keras_mask


@pytest.mark.parametrize("axis", [-1, 1, [1, 2]])
def test_unknown_sizes_without_weights(axis: Any) -> None:
    steps = L.Input((None, 6))
    layer = L.LayerNormalization(axis, center=False, scale=False)
    x = RANDOM.normal(size=(3, 5, 6)).astype("float32")
    axes = tuple(axis) if isinstance(axis, list) else axis
    expected = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-3)
    np.testing.assert_allclose(Model(steps, layer(steps)).predict(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("opset", "named"), [(17, False), (23, True)])
def test_operators_of_exported_files(opset: int, named: bool, tmp_path: Path) -> None:
    model = Sequential([L.LayerNormalization(input_shape=(6,)), L.RMSNormalization()])
    model.export(tmp_path / "model.onnx", opset=opset)
    operators = [node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node]
    assert "LayerNormalization" in operators
    assert ("RMSNormalization" in operators) is named


# ---- spectral normalization


def normalized(iterations: int = 1, **options: Any) -> Sequential:
    layer = L.SpectralNormalization(L.Dense(2, **options), iterations, name="spectral")
    return Sequential([L.Input((6,)), layer])


def test_a_step_divides_the_kernel_by_its_norm() -> None:
    """Fifty powers from a seeded start: how near they come depends on how far apart the two singular values are."""
    keras.utils.set_random_seed(1)
    model = normalized(50)
    model.compile(keras.optimizers.SGD(0.0), "mse")
    before = model.predict(X)
    kernel = model.get_weights()[0]
    model.train_on_batch(X, Y)
    after = model.get_weights()[0]
    np.testing.assert_allclose(after, kernel / np.linalg.norm(kernel, 2), rtol=1e-5)
    np.testing.assert_allclose(model.predict(X) * np.linalg.norm(kernel, 2), before, rtol=1e-4, atol=1e-5)


def test_the_loss_and_the_gradients_are_those_of_the_divided_kernel() -> None:
    keras.utils.set_random_seed(1)
    model, plain = normalized(50), Sequential([L.Dense(2, input_shape=(6,))])
    kernel, bias, _ = model.get_weights()
    plain.set_weights([kernel / np.linalg.norm(kernel, 2), bias])
    for each in (model, plain):
        each.compile(keras.optimizers.SGD(0.1), "mse")
    np.testing.assert_allclose(model.train_on_batch(X, Y), plain.train_on_batch(X, Y), rtol=1e-5)
    np.testing.assert_allclose(model.get_weights()[0], plain.get_weights()[0], rtol=1e-4, atol=1e-6)


def test_a_layer_that_is_called_twice_improves_twice() -> None:
    layer, (a, b) = L.SpectralNormalization(L.Dense(2)), (L.Input((6,)), L.Input((6,)))
    model = Model([a, b], L.add([layer(a), layer(b)]))
    w, _, u = model.get_weights()
    for _ in range(2):
        v = u @ w.T / np.linalg.norm(u @ w.T)
        u = v @ w / np.linalg.norm(v @ w)
        w = w / (v @ w @ u.T)
    model.compile(keras.optimizers.SGD(0.0), "mse")
    model.train_on_batch([X, X], Y)
    np.testing.assert_allclose(model.get_weights()[0], w, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.get_weights()[2], u, rtol=1e-5, atol=1e-6)


def test_a_frozen_one_changes_nothing() -> None:
    model = Sequential([L.Input((6,)), L.SpectralNormalization(L.Dense(3)), L.Dense(2)])
    model.layers[0].trainable = False
    model.compile("sgd", "mse")
    before = model.layers[0].get_weights()
    model.train_on_batch(X, Y)
    for old, new in zip(before, model.layers[0].get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


class OwnStep(Model):
    """A model with the usual step, written out."""

    def train_step(self, data: Any) -> dict[str, Any]:
        x, y = data
        with keras.GradientTape() as tape:
            loss = K.mean(K.square(self(x, training=True) - y))
        self.optimizer.apply_gradients(
            zip(tape.gradient(loss, self.trainable_weights), self.trainable_weights, strict=True)
        )
        return {"loss": loss}


def test_own_steps_do_the_same() -> None:
    model = normalized(2)
    inputs = L.Input((6,))
    layer = L.SpectralNormalization(L.Dense(2), 2)
    own = OwnStep(inputs, layer(inputs))
    own.set_weights(model.get_weights())
    for each in (model, own):
        each.compile(keras.optimizers.Adam(0.05), "mse")
        each.fit(X, Y, epochs=3, batch_size=4, shuffle=False, verbose=0)
    for ours, theirs in zip(model.get_weights(), own.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_embeddings() -> None:
    layer = L.SpectralNormalization(L.Embedding(5, 3, mask_zero=True), 50)
    words = L.Input((4,), dtype="int32")
    model = Model(words, layer(words))
    assert model.output._keras_mask is not None
    model.compile(keras.optimizers.SGD(0.0), "mse")
    model.train_on_batch(np.ones((2, 4), "int32"), np.zeros((2, 4, 3), "float32"))
    np.testing.assert_allclose(np.linalg.norm(model.get_weights()[0], 2), 1, rtol=1e-5)
