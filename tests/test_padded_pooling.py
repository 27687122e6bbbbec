"""Zeros in front of pooling count, in ``predict``, ``evaluate`` and exported files of every opset."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest

from kcompile import Sequential, layers
from kcompile.engine.inference_graph import predict_graph
from kcompile.export import to_onnx
from kcompile.ir import interpret
from kcompile.runtime.storage import storage_of
from tests.runtime_cases import padded, sized_inputs, varied

MODELS = {name: model for name, model in padded() if not name.endswith("-free") or "2d-1" in name}


@pytest.mark.parametrize("pool", ["MaxPooling", "AveragePooling"])
@pytest.mark.parametrize(("rank", "width"), [(1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (3, 2)])
def test_the_border_of_negative_numbers(pool: str, rank: int, width: int) -> None:
    """By hand: -1 everywhere, zeros around it, windows of 2."""
    model = Sequential(
        [
            getattr(layers, f"Conv{rank}D")(1, 1, kernel_initializer="ones", input_shape=(*(4,) * rank, 1)),
            getattr(layers, f"ZeroPadding{rank}D")(width),
            getattr(layers, f"{pool}{rank}D")(2),
        ]
    )
    x = -np.ones((1, *(4,) * rank, 1), "float32")
    around = np.pad(x[0, ..., 0], width)
    windows = around.reshape([size for n in around.shape for size in (n // 2, 2)])
    inner = tuple(range(1, 2 * rank, 2))
    wanted = (windows.max(inner) if pool == "MaxPooling" else windows.mean(inner))[None, ..., None]
    np.testing.assert_allclose(model.predict(x, verbose=0), wanted, rtol=1e-6)
    model.compile("sgd", "mse")
    assert model.evaluate(x, wanted, verbose=0) < 1e-10
    model.compile("sgd", "mae")
    assert model.train_on_batch(x, wanted) < 1e-6


@pytest.mark.parametrize("name", MODELS)
def test_no_runtime_can_join_the_zeros_with_the_pooling(name: str) -> None:
    model = MODELS[name]
    state = {variable: storage_of(variable).read() for variable in predict_graph(model).variables()}
    proto = to_onnx(model, opset=18)
    producers = {result: node for node in proto.graph.node for result in node.output}
    for node in proto.graph.node:
        if node.op_type in ("MaxPool", "AveragePool"):
            source: Any = producers.get(node.input[0])
            while source is not None and source.op_type in ("Transpose", "Reshape", "Cast"):
                source = producers.get(source.input[0])
            automatic = any(item.name == "auto_pad" and item.s == b"VALID" for item in node.attribute)
            assert source is None or source.op_type != "Pad" or automatic
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    for feeds in varied(dict(zip(model.input_names, sized_inputs(model), strict=True))):
        (wanted,) = interpret(predict_graph(model), feeds, state).outputs.values()
        np.testing.assert_allclose(session.run(None, feeds)[0], wanted, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(model.predict(*feeds.values(), verbose=0), wanted, rtol=1e-5, atol=1e-5)
