"""Layers that repeat or interpolate become ONNX's Resize, in every opset, with no more nodes than tf2onnx writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import kcompile as keras
from kcompile import layers as L
from kcompile.passes.onnx.opsets import OPSETS

FIRST = "channels_first"


def repeated(factors: dict[int, int]) -> Callable[[np.ndarray], np.ndarray]:
    """Each element so many times along each axis."""

    def reference(x: np.ndarray) -> np.ndarray:
        for axis, factor in factors.items():
            x = x.repeat(factor, axis)
        return x

    return reference


def interpolated(factors: dict[int, int]) -> Callable[[np.ndarray], np.ndarray]:
    """Lines from centre to centre along each axis."""

    def reference(x: np.ndarray) -> np.ndarray:
        for axis, factor in factors.items():
            size = x.shape[axis]
            centres = (np.arange(size * factor) + 0.5) / factor - 0.5
            x = np.apply_along_axis(lambda line, at=centres, n=size: np.interp(at, np.arange(n), line), axis, x)
        return x

    return reference


# Layers, the shape of a sample, the operators of the file, how many tf2onnx 1.17 writes for tf_keras, the meaning.
Case = tuple[list[Any], tuple[int | None, ...], str, int, Callable[[np.ndarray], np.ndarray]]
CASES: dict[str, Case] = {
    "steps": ([lambda: L.UpSampling1D(3)], (6, 4), "Resize", 2, repeated({1: 3})),
    "images": ([lambda: L.UpSampling2D((2, 3))], (5, 4, 3), "Resize", 3, repeated({1: 2, 2: 3})),
    "images of any size": ([lambda: L.UpSampling2D(2)], (None, None, 3), "Resize", 11, repeated({1: 2, 2: 2})),
    "channels first": ([lambda: L.UpSampling2D(2, FIRST)], (3, 5, 4), "Resize", 1, repeated({2: 2, 3: 2})),
    "twice": ([lambda: L.UpSampling2D(2), lambda: L.UpSampling2D((1, 3))], (5, 4, 3), "Resize", 4,
              repeated({1: 2, 2: 6})),
    "volumes": ([lambda: L.UpSampling3D((2, 1, 3))], (2, 3, 4, 3), "Reshape Resize Reshape", 6, repeated({1: 2, 3: 3})),
    "bilinear": ([lambda: L.UpSampling2D((2, 3), interpolation="bilinear")], (5, 4, 3), "Transpose Resize Transpose", 3,
                 interpolated({1: 2, 2: 3})),
    "bilinear, any size": ([lambda: L.UpSampling2D(4, interpolation="bilinear")], (None, None, 3),
                           "Transpose Resize Transpose", 11, interpolated({1: 4, 2: 4})),
    "bilinear, channels first": ([lambda: L.UpSampling2D(2, FIRST, interpolation="bilinear")], (3, 5, 4), "Resize", 1,
                                 interpolated({2: 2, 3: 2})),
    "bilinear between poolings": (
        [lambda: L.MaxPooling2D(1), lambda: L.UpSampling2D(2, interpolation="bilinear"), lambda: L.MaxPooling2D(1)],
        (5, 4, 3), "Transpose MaxPool Resize MaxPool Transpose", 5, interpolated({1: 2, 2: 2})),
    "vectors": ([lambda: L.RepeatVector(3)], (4,), "Reshape Expand", 2, lambda x: x[:, None].repeat(3, 1)),
}  # fmt: skip


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("name", CASES)
def test_operators_and_values(name: str, opset: int, tmp_path: Path) -> None:
    layers, shape, operators, of_tf2onnx, reference = CASES[name]
    model = keras.models.Sequential([L.Input(shape=shape), *(make() for make in layers)])
    model.export(tmp_path / "model.onnx", opset=opset)
    found = [node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node]
    assert found == operators.split()
    assert len(found) <= of_tf2onnx
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).standard_normal((2, *(n or 6 for n in shape))).astype(np.float32)
    (y,) = session.run(None, {session.get_inputs()[0].name: x})
    np.testing.assert_allclose(y, reference(x), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.predict(x), reference(x), rtol=1e-5, atol=1e-6)
