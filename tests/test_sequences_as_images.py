"""Convolutions over one axis in files: images where ONNX Runtime is faster on them, sequences elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest

import kcompile as keras
from kcompile import layers as L
from kcompile.export import to_onnx
from kcompile.ir import Graph, Value, constant, input_value, named
from kcompile.ir.costs import blocks_by_itself
from kcompile.ir.interpret import interpret
from kcompile.ir.ops.arrays.reduction import reduce_max, reduce_mean
from kcompile.ir.ops.arrays.shaping import concat, pad, slice_axes, transpose
from kcompile.ir.ops.elementwise.functions import add, relu
from kcompile.ir.ops.spatial.convolution import conv
from kcompile.ir.ops.spatial.enlarging import repeat
from kcompile.ir.ops.spatial.pooling import average_pool, max_pool
from kcompile.passes.layouts.sequences_as_images import sequences_as_images
from kcompile.passes.pipelines import INFERENCE, run_pipeline


def convolution(filters: int, kernel: int = 3, **options: Any) -> L.Layer:
    return L.Conv1D(filters, kernel, padding="same", **options)


def residual(x: Any) -> Any:
    return L.add([x, convolution(32)(L.BatchNormalization()(L.ReLU()(x)))])


# The layers, the shape of a sample, the operators of the file, and how many tf2onnx 1.17 writes for tf_keras.
CASES: dict[str, tuple[list[Any], tuple[int | None, ...], str, int]] = {
    "one-hot, dilated": (
        [lambda: convolution(32, 7, dilation_rate=4, activation="relu"), lambda: convolution(32, 7, activation="relu"),
         L.GlobalMaxPooling1D],
        (60, 4), "Reshape Transpose Conv Relu Conv Relu ReduceMax", 11),
    "one-hot alone": ([lambda: convolution(32)], (60, 4), "Transpose Conv Transpose", 5),
    "any length": ([lambda: convolution(16)], (None, 16), "Reshape Transpose Conv Transpose Reshape", 5),
    "embedding of 50": ([lambda: convolution(250)], (60, 50), "Transpose Conv Transpose", 5),
    "few filters": ([lambda: convolution(3)], (60, 16), "Transpose ConvTranspose Transpose", 5),
    "pooling and upsampling": (
        [lambda: convolution(16), L.MaxPooling1D, lambda: convolution(16), L.AveragePooling1D,
         lambda: L.UpSampling1D(2), lambda: convolution(16), lambda: L.ZeroPadding1D(1), lambda: L.Cropping1D(2)],
        (60, 16),
        "Reshape Transpose Conv MaxPool Conv AveragePool Resize Conv Pad Slice Transpose Reshape", 25),
    "residual": ([lambda: convolution(32), lambda: residual, lambda: residual], (60, 4),
                 "Reshape Transpose Conv Relu Conv Add Relu Conv Add Transpose Reshape", 21),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_operators_and_values(name: str) -> None:
    made, shape, operators, of_tf2onnx = CASES[name]
    inputs = x = L.Input(shape=shape)
    for make in made:
        x = make()(x)
    model = keras.models.Model(inputs, x)
    proto = to_onnx(model)
    found = [node.op_type for node in proto.graph.node]
    assert found == operators.split()
    assert len(found) <= of_tf2onnx
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    rows = np.random.default_rng(0).standard_normal((3, *(n or 45 for n in shape))).astype(np.float32)
    (y,) = session.run(None, {session.get_inputs()[0].name: rows})
    plain = keras.models.Model(inputs, x)
    plain.set_weights(model.get_weights())
    np.testing.assert_allclose(y, plain.predict_on_batch(rows), rtol=1e-4, atol=1e-5)


def graph_of_everything() -> Graph:
    """Every op that may stand between two convolutions, and results in both forms."""
    random = np.random.default_rng(1)
    x = input_value("x", "float32", (named("batch"), 16, 12))

    def filtered(value: Value, out: int = 16, taps: int = 3) -> Value:
        channels = value.shape[1]
        assert isinstance(channels, int)
        w = constant(random.standard_normal((taps, channels, out)), "float32")
        return conv(value, w, pads=[(taps // 2, taps // 2)], data_format="channels_first")

    y = filtered(relu(add(filtered(x), constant(random.standard_normal((16, 1)), "float32"))))
    y = add(y, filtered(max_pool(repeat(y, 2, 2), [2], data_format="channels_first")))
    y = slice_axes(pad(concat([y, y], 1), [(0, 0), (0, 0), (2, 1)]), [1, 2], [0, 1], [16, None])
    y = filtered(average_pool(y, [2], data_format="channels_first"))
    return Graph([x], [transpose(y, (0, 2, 1)), reduce_max(y, 2), reduce_mean(y, [0, 2]), relu(y)])


@pytest.mark.filterwarnings("ignore:invalid value", "ignore:Mean of empty", "ignore:overflow")
@pytest.mark.parametrize("special", [False, True])
def test_the_meaning_stays(special: bool) -> None:
    before = graph_of_everything()
    after = sequences_as_images(before)
    assert {node.op.name for node in after.nodes()} > {"enlarge", "pad", "slice", "concat", "max_pool", "average_pool"}
    assert all(node.outputs[0].rank == 4 for node in after.nodes() if node.op.name in ("conv", "pad", "max_pool"))
    again = sequences_as_images(after)
    assert len(again.nodes()) == len(after.nodes())
    x = np.random.default_rng(2).standard_normal((2, 16, 12)).astype(np.float32)
    if special:
        x[0, 3, 4], x[0, 5, 6], x[1, 2, 7], x[1, 2, 1] = np.nan, np.inf, -np.inf, -0.0
    expected, actual = (interpret(graph, {"x": x}).outputs for graph in (before, after))
    for name in expected:
        np.testing.assert_allclose(actual[name], expected[name], rtol=1e-4, atol=1e-4, err_msg=name)


def test_filters_that_change_stay_sequences() -> None:
    """ONNX Runtime blocks constant filters only."""
    x, w = input_value("x", "float32", (2, 16, 30)), input_value("w", "float32", (3, 16, 16))
    graph = Graph([x, w], [conv(x, w, data_format="channels_first")])
    assert run_pipeline(graph, INFERENCE).outputs["output"].node.inputs[0].rank == 3


@pytest.mark.parametrize(
    ("inner", "outer", "taps", "gains"),
    [(16, 16, 1, True), (64, 256, 3, True), (24, 32, 3, True), (24, 32, 1, False), (24, 24, 3, False),
     (50, 256, 3, False), (4, 32, 15, False), (64, 3, 3, False), (64, 48, 1, True)],
)  # fmt: skip
def test_sizes_that_gain(inner: int, outer: int, taps: int, gains: bool) -> None:
    """What was measured to be faster in blocks, by a tenth at least."""
    assert blocks_by_itself(inner, outer, taps) is gains
