"""Training and prediction on a CUDA device equal those on the CPU. Run with ``pytest -m cuda``."""

import numpy as np
import pytest

import kcompile as keras
from kcompile.runtime import devices
from kcompile.runtime.options import options

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not devices.cuda_available(), reason="no CUDA device that ONNX Runtime can use"),
]


def trained(device: str) -> tuple[list[np.ndarray], np.ndarray, dict[str, list[float]]]:
    before = options()
    keras.configure(device=device)
    try:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((96, 12, 12, 3)).astype(np.float32)
        y = rng.integers(0, 4, (96, 1))
        np.random.seed(7)
        model = keras.Sequential(
            [
                keras.layers.Conv2D(8, 3, padding="same", activation="relu", input_shape=(12, 12, 3)),
                keras.layers.BatchNormalization(),
                keras.layers.MaxPooling2D(),
                keras.layers.DepthwiseConv2D(3, strides=2),
                keras.layers.Dropout(0.3),
                keras.layers.Flatten(),
                keras.layers.Dense(4, activation="softmax"),
            ]
        )
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        history = model.fit(x, y, epochs=3, batch_size=32, verbose=0)
        return model.get_weights(), model.predict(x), history.history
    finally:
        keras.configure(device=before.device)


def test_training_equals_that_on_the_cpu() -> None:
    """Random numbers are the same on every device, so dropout masks are too."""
    weights, predictions, history = trained("cuda")
    expected_weights, expected_predictions, expected_history = trained("cpu")
    for a, b in zip(weights, expected_weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-2, atol=2e-3)
    np.testing.assert_allclose(predictions, expected_predictions, rtol=1e-2, atol=5e-3)
    np.testing.assert_allclose(history["loss"], expected_history["loss"], rtol=1e-2)


def test_compiled_model_runs_on_the_device() -> None:
    model = keras.Sequential([keras.layers.Dense(3, input_shape=(5,))])
    x = np.random.default_rng(1).standard_normal((4, 5)).astype(np.float32)
    compiled = keras.compile(model, device="cuda")
    np.testing.assert_allclose(compiled(x), model.predict(x), rtol=1e-3, atol=1e-4)
