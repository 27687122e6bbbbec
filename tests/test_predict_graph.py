"""Dropout leaves no trace in a prediction: no random counter is read, counted or kept."""

from __future__ import annotations

import numpy as np

import kcompile as keras
from kcompile.engine.inference_graph import predict_graph


def test_a_model_with_dropout_predicts_without_state() -> None:
    layers = [keras.layers.Dense(3, input_shape=(4,)), keras.layers.Dropout(0.5), keras.layers.Dense(2)]
    model = keras.models.Sequential(layers)
    graph = predict_graph(model, counting=True)
    assert not graph.updates
    assert {variable.role for variable in graph.variables()} == {"weight"}
    frozen, x = keras.compile(model), np.ones((5, 4), np.float32)
    assert frozen._executable.fits(x)
    np.testing.assert_array_equal(frozen(x), frozen(x))
    np.testing.assert_allclose(frozen(x), model.predict(x), rtol=1e-6)
