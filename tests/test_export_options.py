"""Options of ``model.export``: sizes, float16, int8, formats, and what the report says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from kcompile import Input, Model, Sequential, layers
from kcompile import backend as K
from kcompile.converting import check_parity
from kcompile.export import to_onnx
from kcompile.export.quantization import _metrics
from kcompile.export.samples import random_feeds
from kcompile.models import clone_model
from kcompile.passes.fusion.half import LARGEST
from kcompile.passes.onnx.protos import nodes
from kcompile.utils import Sequence
from tests.small_models import ZOO


def session(source: Any) -> onnxruntime.InferenceSession:
    source = source.SerializeToString() if isinstance(source, onnx.ModelProto) else str(source)
    return onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])


def shapes(values: Any) -> dict[str, list[Any]]:
    return {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}


def sequence_model() -> Model:
    x = Input((None, 4), name="x")
    return Model(x, layers.Conv1D(3, 2, name="y")(x), name="sequence")


# ---- sizes


@pytest.mark.parametrize(
    ("options", "inputs", "outputs"),
    [
        ({}, ["batch", "x_dim1", 4], ["batch", "x_dim1-1", 3]),
        ({"batch_size": 2}, [2, "x_dim1", 4], [2, "x_dim1-1", 3]),
        ({"dims": {"x": (None, 9, None)}}, ["batch", 9, 4], ["batch", 8, 3]),
        ({"dims": {"x": (1, 9, 4)}}, [1, 9, 4], [1, 8, 3]),
        ({"dims": {"x": ("n", "time", 4)}}, ["n", "time", 4], ["n", "time-1", 3]),
        ({"dims": {"x": (None, 5, None)}, "batch_size": 3}, [3, 5, 4], [3, 4, 3]),
    ],
)
def test_sizes(options: dict[str, Any], inputs: list[Any], outputs: list[Any]) -> None:
    model = sequence_model()
    proto = to_onnx(model, **options)
    onnx.checker.check_model(proto, full_check=True)
    assert shapes(proto.graph.input) == {"x": inputs}
    assert shapes(proto.graph.output) == {"y": outputs}
    if all(isinstance(size, int) for size in inputs):
        assert "Shape" not in {node.op_type for node in nodes(proto.graph)}
    x = np.random.default_rng(0).standard_normal([s if isinstance(s, int) else 6 for s in inputs]).astype("float32")
    np.testing.assert_allclose(session(proto).run(None, {"x": x})[0], model.predict(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dims": {"z": (1, 2, 4)}}, r"Unknown input in dims 'z'.*'x'"),
        ({"dims": {"x": (1, 2)}}, r"dims of input 'x' are \(1, 2\); expected 3 sizes, as in \(batch, x_dim1, 4\)"),
        ({"dims": {"x": (1, 2, 5)}}, r"axis 2 of input 'x' cannot be 5, the model was built for 4"),
        ({"dims": {"x": (1, 0, 4)}}, r"axis 1 of input 'x' is 0; use a whole number from 1 on"),
        ({"dims": {"x": (1, True, 4)}}, r"axis 1 of input 'x' is True"),
        ({"dims": {"x": (1, "a b", 4)}}, r"axis 1 of input 'x' is called 'a b'"),
        ({"dims": {"x": (2, 3, 4)}, "batch_size": 3}, r"would be 2, but the same size 'batch' is 3 elsewhere"),
        ({"batch_size": -1}, r"batch_size is -1"),
        ({"dims": {"x": (None, 1, None)}}, r"a window over 2 elements does not fit an axis of 1"),
    ],
)
def test_sizes_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        to_onnx(sequence_model(), **options)


# ---- float16


@pytest.mark.parametrize("name", ZOO)
def test_float16_stays_near_float32(name: str) -> None:
    np.random.seed(3)
    model = ZOO[name]()
    proto = to_onnx(model, fp16=True)
    onnx.checker.check_model(proto, full_check=True)
    plain = to_onnx(model)
    assert shapes(proto.graph.input) == shapes(plain.graph.input)
    for value in (*proto.graph.input, *proto.graph.output):
        assert value.type.tensor_type.elem_type != onnx.TensorProto.FLOAT16
    read = {name for node in proto.graph.node for name in node.input}  # not within loops
    matrices = [t for t in proto.graph.initializer if len(t.dims) > 1 and t.data_type == onnx.TensorProto.FLOAT]
    assert not [t.name for t in matrices if np.prod(t.dims) > 1 and t.name in read]
    feeds = random_feeds(model, 5)
    for got, want in zip(session(proto).run(None, feeds), session(plain).run(None, feeds), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-2, atol=1e-2 * max(1e-3, np.abs(want).max()))


def test_float16_halves_the_file(tmp_path: Path) -> None:
    model = Sequential([layers.Dense(200, input_shape=(300,)), layers.Dense(200)])
    model.export(tmp_path / "a.onnx")
    model.export(tmp_path / "b.onnx", fp16=True)
    assert (tmp_path / "b.onnx").stat().st_size < 0.52 * (tmp_path / "a.onnx").stat().st_size


def test_float16_keeps_what_it_cannot_hold_in_float32() -> None:
    """A mask of -1e9, an epsilon of 1e-12, and squares of 1,000 are computed in float32."""
    x = Input((3,), name="x")
    masked = layers.Lambda(lambda t: K.softmax(t + K.cast(K.less(t, 0.0), "float32") * -1e9))(x)
    scaled = layers.Lambda(lambda t: t / (K.abs(t) + 1e-12))(x)
    squared = layers.Lambda(lambda t: K.sqrt(K.sum(t * t, axis=-1, keepdims=True)))(x)
    model = Model(x, [masked, scaled, squared])
    values = np.array([[1000.0, -1000.0, 2.0], [3.0, -2.0, 1.0]], "float32")
    for got, want in zip(
        session(to_onnx(model, fp16=True)).run(None, {"x": values}), model.predict(values), strict=True
    ):
        np.testing.assert_allclose(got, want, rtol=2e-3)


def test_weights_beyond_float16_stay_as_they_are(tmp_path: Path) -> None:
    model = Sequential([layers.Dense(2, input_shape=(2,), name="wide"), layers.Dense(2, name="next")])
    model.layers[0].set_weights([np.full((2, 2), 2 * LARGEST, "float32"), np.zeros(2, "float32")])
    report = model.export(tmp_path / "m.onnx", fp16=True)
    assert report.notes == ["in float32, since float16 ends at 65504: wide/kernel"]
    x = np.array([[1e-5, 2e-5]], "float32")
    np.testing.assert_allclose(
        session(tmp_path / "m.onnx").run(None, {"wide_input": x})[0], model.predict(x), rtol=5e-3
    )


# ---- int8


@pytest.fixture(scope="module")
def classifier() -> tuple[Model, np.ndarray, np.ndarray]:
    """A model that has learned which quarter of the image is bright."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 0.4, (200, 8, 8, 1)).astype("float32")
    y = rng.integers(0, 4, 200)
    for image, place in zip(x, y, strict=True):
        image[4 * (place // 2) : 4 * (place // 2) + 4, 4 * (place % 2) : 4 * (place % 2) + 4] += 0.5
    np.random.seed(1)
    model = Sequential(
        [
            layers.Conv2D(6, 3, activation="relu", input_shape=(8, 8, 1)),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(4, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=20, verbose=0)
    return model, x, y


class Batches(Sequence):
    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self.x[index * 50 : index * 50 + 50], self.y[index * 50 : index * 50 + 50]


def generator(x: np.ndarray) -> Iterator[tuple[np.ndarray]]:
    while True:
        yield (x[:150],)


@pytest.mark.parametrize("kind", ["array", "with labels", "sequence", "generator", "none"])
def test_int8(kind: str, classifier: Any, tmp_path: Path) -> None:
    model, x, y = classifier
    data = {"array": x, "with labels": (x, y), "sequence": Batches(x, y), "generator": generator(x), "none": True}[kind]
    report = model.export(tmp_path / "m.onnx", int8=data, opset=18)
    proto = onnx.load(tmp_path / "m.onnx")
    onnx.checker.check_model(proto, full_check=True)
    assert proto.opset_import[0].version == 18
    assert {node.domain for node in nodes(proto.graph)} == {""}
    assert {t.data_type for t in proto.graph.initializer if len(t.dims) > 1} == {onnx.TensorProto.INT8}
    got = session(proto).run(None, {model.input_names[0]: x})[0]
    expected = model.predict(x)
    found = report.int8
    assert found.samples == {"generator": 1024, "none": 64}.get(kind, 200)
    assert found.calibrated == (kind != "none")
    difference = found.differences[model.output_names[0]]
    assert 0 < difference.mean <= difference.largest < 0.05
    if kind in ("generator", "none"):  # they saw other samples
        assert np.abs(got - expected).max() < 0.05
    else:
        np.testing.assert_allclose(np.abs(got - expected).max(), difference.largest, rtol=1e-3)
    if kind in ("with labels", "sequence"):
        before, after = found.metrics["accuracy"]
        assert before == pytest.approx((expected.argmax(1) == y).mean())
        assert after == pytest.approx((got.argmax(1) == y).mean())
        assert f"accuracy: {before:.4f} -> {after:.4f}" in str(report)
    else:
        assert not found.metrics


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "categorical_crossentropy", "mse", None])
@pytest.mark.parametrize("form", ["numbers", "column", "rows"])
def test_labels_are_understood_in_both_forms(loss: str | None, form: str, classifier: Any) -> None:
    trained, x, y = classifier
    model = clone_model(trained)
    model.set_weights(trained.get_weights())
    if loss:
        model.compile("sgd", loss, metrics=["accuracy"] if loss != "mse" else None)
    labels = {"numbers": y, "column": y[:, None], "rows": np.eye(4)[y]}[form]
    found = _metrics(model, [labels], [model.predict(x)])
    assert found == {"accuracy": pytest.approx((model.predict(x).argmax(1) == y).mean())}
    if form != "rows" and loss != "sparse_categorical_crossentropy":
        with pytest.raises(ValueError, match="labels are 1 to 4, the output has 4 classes"):
            _metrics(model, [labels + 1], [model.predict(x)])


def test_int8_with_a_fixed_batch_size(classifier: Any, tmp_path: Path) -> None:
    model, x, y = classifier
    report = model.export(tmp_path / "m.onnx", int8=(x, y), batch_size=30)
    assert report.int8.samples == 180  # whole batches
    assert session(tmp_path / "m.onnx").run(None, {model.input_names[0]: x[:30]})[0].shape == (30, 4)
    assert model.export(tmp_path / "m.onnx", int8=True, batch_size=30).int8.samples == 90
    with pytest.raises(ValueError, match="fewer samples than the batch size 300"):
        model.export(tmp_path / "m.onnx", int8=x, batch_size=300)


def test_stateful_models_in_every_precision(tmp_path: Path) -> None:
    """They have a fixed batch size, and their states are inputs."""
    model = Sequential([layers.LSTM(5, stateful=True, batch_input_shape=(4, 7, 3)), layers.Dense(2)])
    x = np.random.default_rng(0).standard_normal((22, 7, 3)).astype("float32")
    for options in ({}, {"fp16": True}, {"int8": True}, {"int8": x}):
        report = model.export(tmp_path / "m.onnx", **options)
        assert report.sizes == {"batch": 4}
        if "int8" in options:
            assert report.int8.samples == (64 if options["int8"] is True else 20)
            assert report.int8.differences[model.output_names[0]].largest < 0.05
        else:
            found = check_parity(model, tmp_path / "m.onnx", "fp16" if options else "float32", report.sizes)
            assert all(item.passed for item in found)
            assert [dict(item.sizes) for item in found] == 5 * [{"batch": 4}]  # random numbers, and four other kinds


def test_int8_scales_each_channel_or_the_whole_weight(classifier: Any, tmp_path: Path) -> None:
    model, x, _ = classifier
    for per_channel in (True, False):
        model.export(tmp_path / "m.onnx", int8=x, per_channel=per_channel)
        proto = onnx.load(tmp_path / "m.onnx")
        scales = {t.name: list(t.dims) for t in proto.graph.initializer}
        read = [node for node in proto.graph.node if node.op_type == "DequantizeLinear"]
        weights = [scales[node.input[1]] for node in read if scales.get(node.input[0], []) == [6, 1, 3, 3]]
        assert weights == ([[6]] if per_channel else [[]])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((3, 8, 8, 2), "float32"), r"int8: x has shape|int8: .*\(3, 8, 8, 2\)"),
        (iter([]), "int8: there are no data to calibrate with"),
        ((np.zeros((3, 8, 8, 1), "float32"), np.zeros(4)), "int8: x has 3 samples, y has 4"),
    ],
)
def test_int8_data_that_do_not_fit(data: Any, message: str, classifier: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        classifier[0].export(tmp_path / "m.onnx", int8=data)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("calibrated", [True, False])
def test_int8_of_recurrent_layers_is_standard_too(calibrated: bool) -> None:
    model = Sequential([layers.LSTM(4, return_sequences=True, input_shape=(7, 3)), layers.GRU(4), layers.Dense(2)])
    x = np.random.default_rng(0).standard_normal((20, 7, 3)).astype("float32")
    proto = to_onnx(model, int8=x if calibrated else True)
    onnx.checker.check_model(proto, full_check=True)
    assert [item.domain for item in proto.opset_import] == [""]
    assert {"LSTM", "GRU"} <= {node.op_type for node in nodes(proto.graph)}
    np.testing.assert_allclose(session(proto).run(None, {model.input_names[0]: x})[0], model.predict(x), atol=0.05)


def test_int8_without_anything_to_quantize(tmp_path: Path) -> None:
    model = Sequential([layers.Activation("tanh", input_shape=(3,))])
    with pytest.raises(ValueError, match="nothing to quantize"):
        model.export(tmp_path / "m.onnx", int8=True)
    with pytest.raises(ValueError, match="one of fp16 and int8"):
        model.export(tmp_path / "m.onnx", int8=True, fp16=True)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"opsett": 18}, TypeError, "export has no argument 'opsett'; did you mean 'opset'?"),
        ({"fp16": "yes"}, TypeError, "export: fp16 must be True or False, got 'yes'"),
        ({"ort": "yes"}, TypeError, "export: ort must be True or False"),
        ({"int8": True, "per_channel": 2}, TypeError, "export: per_channel must be True or False"),
        ({"metadata": {"epoch": 3}}, TypeError, "metadata are strings by strings, got 'epoch': 3"),
    ],
)
def test_wrong_options(options: dict[str, Any], error: type[Exception], message: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=re.escape(message)):
        ZOO["dense"]().export(tmp_path / "m.onnx", **options)
    assert not list(tmp_path.iterdir())


# ---- formats and notes


def test_the_dropout_within_recurrent_layers_is_named(tmp_path: Path) -> None:
    model = Sequential(
        [
            layers.LSTM(3, return_sequences=True, dropout=0.1, input_shape=(4, 2), name="first"),
            layers.Bidirectional(layers.GRU(2, recurrent_dropout=0.2, name="inner"), name="both"),
            layers.Dropout(0.3, name="drop"),
        ]
    )
    (note,) = model.export(tmp_path / "m.onnx").notes
    assert note == (
        "left out, since they act in training only: drop, the dropout of first, the dropout of both/forward_inner, "
        "the dropout of both/backward_inner"
    )


def test_ort_format(tmp_path: Path) -> None:
    model = ZOO["conv2d"]()
    report = model.export(tmp_path / "m.onnx", ort=True)
    assert report.files == [tmp_path / "m.onnx", tmp_path / "m.ort"]
    feeds = random_feeds(model, 3)
    np.testing.assert_allclose(
        session(tmp_path / "m.ort").run(None, feeds)[0], session(tmp_path / "m.onnx").run(None, feeds)[0], rtol=1e-5
    )
    with pytest.raises(ValueError, match=r"would be both files"):
        model.export(tmp_path / "n.ort", ort=True)


def test_the_report_names_the_layers_that_are_left_out(tmp_path: Path) -> None:
    inner = Sequential([layers.Dense(3, input_shape=(4,)), layers.Dropout(0.4, name="drop")], name="inner")
    model = Sequential(
        [layers.Dense(4, input_shape=(5,)), layers.Dropout(0.1, name="first"), inner, layers.Dropout(0.0)]
    )
    report = model.export(tmp_path / "m.onnx")
    assert report.notes == ["left out, since they act in training only: first, inner/drop"]
    assert report.parameters == 5 * 4 + 4 + 4 * 3 + 3
    assert report.operators == {"MatMul": 2}  # biases are zero
    assert "RandomUniform" not in str(onnx.load(tmp_path / "m.onnx"))
    assert Sequential([layers.Dense(4, input_shape=(5,))]).export(tmp_path / "n.onnx").notes == []


def test_the_code_of_the_document_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (Path(__file__).parent.parent / "docs" / "exporting.md").read_text(encoding="utf-8")
    found: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.S):
        exec(block, found)
    assert found["report"].int8.metrics
    assert found["proto"].opset_import[0].version == 18
    for option, value in re.findall(r"^\| `(\w+)=([^`]*)` \|", text, re.M):
        found["model"].export("m.onnx", **{option: eval(value, {"data": found["x"]})})


def test_random_layers_and_recurrences_are_exported_too(tmp_path: Path) -> None:
    model = Sequential([layers.Embedding(9, 6), layers.LSTM(5, return_sequences=True), layers.GRU(4), layers.Dense(2)])
    model.predict(np.zeros((1, 3)))
    for options in ({"opset": 17}, {"opset": 26}, {"fp16": True}, {"dims": {model.input_names[0]: (None, 7)}}):
        proto = to_onnx(model, **options)
        onnx.checker.check_model(proto, full_check=True)
        x = (np.arange(14).reshape(2, 7) % 9).astype(model.inputs[0].dtype)
        tolerance = 1e-2 if "fp16" in options else 1e-5
        got = session(proto).run(None, {model.input_names[0]: x})[0]
        np.testing.assert_allclose(got, model.predict(x), rtol=tolerance, atol=tolerance)
