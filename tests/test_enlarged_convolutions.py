"""Convolutions behind UpSampling, trained natively: the same losses and weights as without the pass that moves them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import kcompile as keras
from kcompile import backend as K
from kcompile import layers as L
from kcompile.ir import Target
from kcompile.passes import pipelines

SHAPES: dict[str, tuple[tuple[int | None, ...], Callable[[], list[L.Layer]]]] = {
    "few channels": ((7, 6, 8), lambda: [L.UpSampling2D(2), L.Conv2D(16, 3, padding="same", activation="relu")]),
    "many channels": ((4, 5, 64), lambda: [L.UpSampling2D(2), L.Conv2D(48, 3, padding="same", activation="relu")]),
    "each axis its own": ((5, 7, 40), lambda: [L.UpSampling2D((3, 1)), L.Conv2D(32, (2, 4)), L.Conv2D(3, 3)]),
    "without bias, two in a row": (
        (3, 3, 32),
        lambda: [L.UpSampling2D(2), L.Conv2D(32, 5, padding="same", use_bias=False), L.UpSampling2D(3), L.Conv2D(1, 3)],
    ),
    "channels first": (
        (32, 4, 4),
        lambda: [
            L.UpSampling2D(2, data_format="channels_first"),
            L.Conv2D(16, 3, padding="same", data_format="channels_first"),
        ],
    ),
    "a sequence": ((6, 32), lambda: [L.UpSampling1D(2), L.Conv1D(32, 3, padding="same", activation="tanh")]),
    "any size": ((None, None, 32), lambda: [L.UpSampling2D(2), L.Conv2D(16, 3, padding="same")]),
}


def trained(name: str) -> tuple[list[float], list[np.ndarray]]:
    """Losses and weights of five steps, with batches of two sizes."""
    shape, layers = SHAPES[name]
    K.clear_session()
    keras.utils.set_random_seed(3)
    channels = shape[0] if name == "channels first" else shape[-1]
    assert channels is not None
    first = L.Conv2D if len(shape) == 3 else L.Conv1D
    options = {"data_format": "channels_first"} if name == "channels first" else {}
    model = keras.Sequential(
        [
            L.Input(shape),
            first(channels, 3, padding="same", **options),
            *layers(),
        ]  # so that an input gradient is needed
    )
    model.compile(keras.optimizers.SGD(0.01), "mse")
    random = np.random.RandomState(0)
    losses = []
    for batch in (4, 4, 3, 4, 3):
        x = random.normal(size=(batch, *(5 if size is None else size for size in shape))).astype("float32")
        y = random.normal(size=(batch, *model.compute_output_shape(x.shape)[1:])).astype("float32")
        losses.append(float(model.train_on_batch(x, y)))
    return losses, model.get_weights()


@pytest.mark.parametrize("name", SHAPES)
def test_training_is_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    losses, weights = trained(name)
    native = pipelines.native_passes

    def left_out(target: Target) -> pipelines.Pipeline:
        return tuple(found for found in native(target) if pipelines.pass_name(found) != "enlarged_convolutions")

    monkeypatch.setattr(pipelines, "native_passes", left_out)
    plain_losses, plain_weights = trained(name)
    np.testing.assert_allclose(losses, plain_losses, rtol=1e-5)
    for ours, plain in zip(weights, plain_weights, strict=True):
        np.testing.assert_allclose(ours, plain, rtol=1e-4, atol=1e-5)
