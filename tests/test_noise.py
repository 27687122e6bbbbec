"""Noise layers: nothing at inference, the right moments in training, masks that share along axes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import kcompile as keras
from kcompile import backend as K
from kcompile import layers as L

X = np.random.default_rng(0).standard_normal((400, 300)).astype(np.float32)


def trained(layer: Any, x: np.ndarray = X) -> np.ndarray:
    tensor = K.placeholder(shape=(None, *x.shape[1:]))
    result: np.ndarray = K.function([tensor, K.learning_phase()], [layer(tensor)])([x, 1])[0]
    return result


@pytest.mark.parametrize("layer", [L.GaussianNoise(0.3), L.GaussianDropout(0.2), L.AlphaDropout(0.1)])
def test_nothing_at_inference_and_nothing_in_the_file(layer: Any, tmp_path: Path) -> None:
    model = keras.Sequential([L.Input((300,)), layer, L.Activation("tanh")])
    np.testing.assert_array_equal(model.predict(X), model.predict(X))
    np.testing.assert_allclose(model.predict(X), np.tanh(X), rtol=1e-5, atol=1e-6)
    report = model.export(tmp_path / "m.onnx")
    assert any(layer.name in note for note in report.notes)
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    np.testing.assert_allclose(
        session.run(None, {session.get_inputs()[0].name: X})[0], np.tanh(X), rtol=1e-5, atol=1e-6
    )


def test_moments_of_gaussian_noise() -> None:
    noise = trained(L.GaussianNoise(0.3, seed=1)) - X
    assert abs(noise.mean()) < 0.003
    assert noise.std() == pytest.approx(0.3, rel=0.01)
    factor = trained(L.GaussianDropout(0.2, seed=1), np.ones_like(X))
    assert factor.mean() == pytest.approx(1, abs=0.005)
    assert factor.var() == pytest.approx(0.25, rel=0.02)


def test_alpha_dropout_keeps_mean_and_variance() -> None:
    y = trained(L.AlphaDropout(0.2, seed=4))
    assert abs(y.mean()) < 0.01
    assert y.var() == pytest.approx(1, abs=0.02)
    limit = -1.7580993408473766  # of selu
    scale = (0.8 * (1 + 0.2 * limit**2)) ** -0.5
    gone = np.isclose(y, scale * limit * 0.8, atol=1e-5)
    assert gone.mean() == pytest.approx(0.2, abs=0.01)
    np.testing.assert_allclose(y[~gone], (scale * X - scale * limit * 0.2)[~gone], rtol=1e-5, atol=1e-5)
    rows = trained(L.AlphaDropout(0.5, noise_shape=(None, 1), seed=2), np.ones((200, 7), np.float32))
    assert (rows == rows[:, :1]).all()
    assert len(np.unique(rows)) == 2


def test_arguments() -> None:
    with pytest.warns(UserWarning, match="stddev"):
        assert L.GaussianNoise(sigma=0.5).stddev == 0.5
    with pytest.warns(UserWarning, match="rate"):
        assert L.GaussianDropout(p=0.5).rate == 0.5
    for make in (lambda: L.GaussianNoise(-1), lambda: L.GaussianDropout(1.0), lambda: L.AlphaDropout(1.5)):
        with pytest.raises(ValueError, match=r"GaussianNoise: stddev|GaussianDropout: rate|AlphaDropout: rate"):
            make()
    with pytest.raises(ValueError, match=r"noise_shape \(1,\) has 1 sizes"):
        L.AlphaDropout(0.5, noise_shape=(1,))(K.placeholder((2, 3)))
    assert trained(L.GaussianNoise(0), X[:2]).tolist() == X[:2].tolist()
