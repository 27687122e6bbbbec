"""Indices and labels that do not exist: exported files refuse them, as predict and fit do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from kcompile import Input, Model, Sequential, layers
from kcompile import backend as K
from kcompile.export.training import read_state

ROWS, CLASSES = 5, 3


class Looking(layers.Layer):
    """A cell that looks its input up in a table."""

    state_size = 2

    def build(self, input_shape: Any) -> None:
        self.table = layers.Embedding(ROWS, 2, name="table")
        super().build(input_shape)

    def call(self, inputs: Any, states: Any) -> Any:
        h = states[0] + K.reshape(self.table(K.cast(inputs, "int32")), (-1, 2))
        return h, [h]


def direct() -> Model:
    return Sequential([layers.Embedding(ROWS, 2, input_shape=(4,)), layers.Flatten()])


def of_floats() -> Model:
    x = Input((4,))
    return Model(x, layers.Flatten()(layers.Embedding(ROWS, 2)(x)))


def nested() -> Model:
    x = Input((4,), dtype="int32")
    return Model(x, layers.Flatten()(direct()(x)))


def distributed() -> Model:
    x = Input((2, 4), dtype="int32")
    return Model(x, layers.Flatten()(layers.TimeDistributed(layers.Embedding(ROWS, 2))(x)))


def computed() -> Model:
    x = Input((4,), dtype="int32")
    return Model(x, layers.Flatten()(layers.Embedding(ROWS, 2)(layers.Lambda(lambda t: t * 1)(x))))


def masked() -> Model:
    x = Input((4,), dtype="int32")
    return Model(x, layers.LSTM(2)(layers.Embedding(ROWS, 2, mask_zero=True)(x)))


def gathered() -> Model:
    x = Input((4,), dtype="int32")
    table = K.constant(np.arange(ROWS * 2).reshape(ROWS, 2))
    return Model(x, layers.Flatten()(layers.Lambda(lambda t: K.gather(table, t))(x)))


def in_a_loop() -> Model:
    x = Input((4, 1))
    return Model(x, layers.RNN(Looking())(x))


MODELS: list[Callable[[], Model]] = [direct, of_floats, nested, distributed, computed, masked, gathered, in_a_loop]


def session(path: Path) -> onnxruntime.InferenceSession:
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    return onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("index", [-1, ROWS, -ROWS - 1])
@pytest.mark.parametrize("build", MODELS, ids=lambda build: build.__name__)
def test_the_file_refuses_what_predict_refuses(build: Callable[[], Model], index: int, tmp_path: Path) -> None:
    model = build()
    model.export(tmp_path / "model.onnx")
    runtime = session(tmp_path / "model.onnx")
    (taken,) = runtime.get_inputs()
    x = np.ones((2, *model.inputs[0].shape[1:]), model.inputs[0].dtype)
    np.testing.assert_allclose(runtime.run(None, {taken.name: x})[0], model.predict(x, verbose=0), rtol=1e-6)
    x.reshape(-1)[-1] = index
    with pytest.raises(ValueError, match=rf"{index}|out of data bounds"):
        model.predict(x, verbose=0)
    with pytest.raises(Exception, match="out of data bounds"):
        runtime.run(None, {taken.name: x})


@pytest.mark.parametrize("rows", [5, 300])
@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int16", "uint16", "uint32", "uint64"])
def test_small_and_unsigned_indices(dtype: str, rows: int, tmp_path: Path) -> None:
    """Types that ONNX takes for no indices, some of which cannot hold the number of rows."""
    x = Input((3,), dtype=dtype)
    model = Model(x, layers.LSTM(2)(layers.Embedding(rows, 2, mask_zero=True)(x)))
    model.export(tmp_path / "model.onnx")
    runtime = session(tmp_path / "model.onnx")
    (taken,) = runtime.get_inputs()
    indices = np.asarray([[1, 0, 1], [1, 1, 1]], dtype)
    np.testing.assert_allclose(runtime.run(None, {taken.name: indices})[0], model.predict(indices), rtol=1e-6)
    least, most = (0, 1) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    for wrong in (-1, rows, least, most):
        if least <= wrong <= most and not 0 <= wrong < rows:
            indices[1, 1] = wrong
            with pytest.raises(Exception, match="out of data bounds"):
                runtime.run(None, {taken.name: indices})


@pytest.mark.parametrize(("index", "label"), [(-1, 0), (ROWS, 0), (0, -1), (0, CLASSES)])
@pytest.mark.parametrize("logits", [False, True])
def test_exported_steps_refuse_wrong_indices_and_labels(index: int, label: int, logits: bool, tmp_path: Path) -> None:
    from kcompile.losses import SparseCategoricalCrossentropy

    model = Sequential([*direct().layers, layers.Dense(CLASSES, activation="linear" if logits else "softmax")])
    model.compile("adam", SparseCategoricalCrossentropy(from_logits=logits), metrics=["accuracy"])
    model.export_training(tmp_path)
    manifest, state = json.loads((tmp_path / "manifest.json").read_text()), read_state(tmp_path)
    for name in ("train_step", "eval_step"):
        step = manifest[name]
        runtime = session(tmp_path / step["file"])
        x, y = (item["name"] for item in step["inputs"])
        feeds = {
            x: np.ones((2, 4), "float32" if runtime.get_inputs()[0].type == "tensor(float)" else "int32"),
            y: np.zeros((2, 1), "float32"),
            **{known: state[known] for known in step["state_inputs"]},
        }
        assert np.isfinite(runtime.run(["loss"], feeds)[0])
        feeds[x][1, 2] = index
        feeds[y][1, 0] = label
        with pytest.raises(Exception, match=r"out of data bounds|[Oo]ut of range"):
            runtime.run(None, feeds)


def test_gather_of_known_indices() -> None:
    table = K.constant(np.arange(6).reshape(3, 2))
    np.testing.assert_array_equal(K.eval(K.gather(table, [2, 0])), [[4, 5], [0, 1]])
    np.testing.assert_array_equal(K.eval(table[K.constant([-1], dtype="int32")]), [[4, 5]])
    for wrong in (-1, 3):
        with pytest.raises(ValueError, match=f"K.gather: index {wrong} of 3 rows; use x"):
            K.gather(table, [0, wrong])


def test_classes_that_do_not_exist_are_not_among_the_best() -> None:
    """As ``tf.math.in_top_k`` of TensorFlow 2.21; ``one_hot`` is all zero there."""
    p = K.constant([[0.1, 0.2, 0.7]] * 4)
    targets = K.constant([2, -1, 3, 1], dtype="int32")
    assert K.eval(K.in_top_k(p, targets, 2)).tolist() == [True, False, False, True]
    assert K.eval(K.one_hot(targets, 3)).tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 0], [0, 1, 0]]
