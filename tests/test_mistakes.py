"""The mistakes that are made most often, and that the message says what to do; what tracebacks and notebooks show."""

from __future__ import annotations

import html.parser
import re
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kcompile as keras
from kcompile import backend as K
from kcompile import layers as L
from kcompile.common.absent_names import INSTEAD, keras_names

X, Y = np.zeros((64, 10), "float32"), np.zeros(64, "int32")
IMAGES = np.zeros((64, 8, 8, 1), "float32")


def fit(x: Any, y: Any, *layers: Any, loss: Any = "sparse_categorical_crossentropy") -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = keras.Sequential(list(layers))
        model.compile("sgd", loss)
        return model.fit(x, y, verbose=0)


def numpy_in_a_loss() -> None:
    fit(X, np.zeros((64, 3)), L.Dense(3, input_shape=(10,)), loss=lambda t, p: np.mean(np.square(t - p)))


def math_in_a_loss() -> None:
    import math

    fit(X, np.zeros((64, 1)), L.Dense(1, input_shape=(10,)), loss=lambda t, p: math.exp(p))


def importing(module: str, name: str) -> None:
    exec(f"from {'.'.join(filter(None, ('kcompile', module)))} import {name}")


def batches_for_ever() -> Any:
    while True:
        yield X, Y


MISTAKES: dict[str, tuple[Callable[[], Any], str]] = {
    "a misspelled layer": (lambda: L.Dens, r"no attribute 'Dens'; did you mean 'Dense'\?"),
    "a layer in the wrong case": (lambda: L.Conv2d, r"did you mean 'Conv2D'\?"),
    "a layer of Keras 1": (lambda: L.Merge, "no attribute 'Merge'; use add, multiply"),
    "what kcompile lacks": (lambda: keras.applications, "'applications': Keras 2, tf.keras and Keras 3 have it, k"),
    "a misspelled module": (lambda: keras.optimisers, r"did you mean 'optimizers'\?"),
    "a misspelled function": (lambda: K.men, r"did you mean 'mean'\?"),
    "letters swapped": (lambda: keras.optimizers.get("adma"), r"did you mean 'adam'\?"),
    "an import of a misspelled name": (lambda: importing("layers", "Dens"), r"did you mean 'Dense'\?"),
    "an import of what kcompile lacks": (
        lambda: importing("layers", "TextVectorization"), "tf.keras and Keras 3 have it, kcompile"
    ),
    "an import of a package that kcompile lacks": (lambda: importing("", "applications"), "'applications': Keras 2"),
    "an import from Keras' inner modules": (lambda: importing("engine", "InputSpecs"), r"did you mean 'InputSpec'\?"),
    "a method of NumPy": (lambda: L.Input((3,)).mean(), r"no attribute 'mean'; use K\.mean \(K is kcompile"),
    "a method of PyTorch": (lambda: L.Input((3,)).view(-1), r"no attribute 'view'; use K\.reshape "),
    "a misspelled attribute of a tensor": (lambda: L.Input((3,)).shap, r"no attribute 'shap'; did you mean 'shape'\?"),
    "a misspelled method of a model": (lambda: keras.Sequential().evalute, r"did you mean 'evaluate'\?"),
    "predict_classes of a functional model": (
        lambda: keras.Model(a := L.Input((2,)), L.Dense(2)(a)).predict_classes(X[:, :2]),
        r"Sequential models have it: use predict\(x\)\.argmax\(axis=-1\)",
    ),
    "an optimizer as a loss": (
        lambda: keras.Sequential([L.Dense(2, input_shape=(2,))]).compile("mse", "adam"),
        r"'adam': that is an optimizer, which comes first: compile\(optimizer, loss\)",
    ),
    "a metric as a loss": (
        lambda: keras.Sequential([L.Dense(2, input_shape=(2,))]).compile("sgd", "accuracy"),
        r"'accuracy': that is a metric, for metrics=\['accuracy'\], and no loss",
    ),
    "steps without a recurrent layer": (
        lambda: fit(
            np.ones((64, 4)), np.ones((64, 1)), L.Embedding(4, 2, input_length=4), L.Dense(1), loss="mse"
        ),
        r"or, without one, the last layer Flatten\(\) or a global pooling layer before it",
    ),
    "the name of a file for its text": (
        lambda: keras.models.model_from_json("model.json"), r"it is the name of a file, whose text is needed"
    ),
    "a branch on a tensor in a loss": (
        lambda: fit(X, Y, L.Dense(3, input_shape=(10,)), loss=lambda t, p: K.mean(p) if K.sum(t) > 0 else K.mean(t)),
        r"has no truth value while the model is being built; use K\.switch",
    ),
    "layers without a list": (lambda: keras.Sequential(L.Dense(2), L.Dense(3)), "give the layers as one list"),
    "tensors without a list": (lambda: L.Concatenate()(L.Input((2,)), L.Input((2,))), r"as one list, \[a, b\]"),
    "features without steps": (lambda: L.LSTM(3)(L.Input((10,))), r"is \(steps, features\), .*not \(10,\)"),
    "get_layer by number": (lambda: keras.Sequential([L.Dense(2)]).get_layer(0), r"takes a name, got 0; write index=0"),
    "a generator that was not called": (
        lambda: fit(batches_for_ever, None, L.Dense(3, input_shape=(10,))), r"call it, batches_for_ever\(\), for its"
    ),
    "NumPy in a loss": (numpy_in_a_loss, r"write K\.mean, K\.square instead of np\.mean, np\.square \(K is kcompile"),
    "math in a loss": (math_in_a_loss, r"write K\.exp instead of math\.exp"),
    "float() of a tensor": (lambda: float(L.Input(())), r"float\(\) take numbers only: compute with functions of"),
    "the batch in input_shape": (
        lambda: fit(X, Y, L.Dense(3, input_shape=(32, 10))),
        r"shape \(64, 10\); an input's shape does not count the samples: \(10,\) instead of \(32, 10\)",
    ),
    "None in input_shape": (lambda: fit(X, Y, L.Dense(3, input_shape=(None, 10))), r"\(10,\) instead of \(None, 10\)"),
    "the batch in input_shape of images": (
        lambda: L.Conv2D(3, 3)(L.Input((64, 8, 8, 1))),
        r"expected 4; an input's shape does not count the samples: \(8, 8, 1\) instead of \(64, 8, 8, 1\)",
    ),
    "one sample without the batch axis": (
        lambda: keras.Sequential([L.Dense(3, input_shape=(10,))]).predict(X[0]),
        r"add the batch axis: x\[None\]\.",
    ),
    "LSTM after LSTM": (
        lambda: fit(X, Y, L.LSTM(4, input_shape=(5, 3), name="first"), L.LSTM(4)),
        "give the layer before it, 'first', return_sequences=True",
    ),
    "Conv1D after GRU": (
        lambda: fit(X, Y, L.GRU(4, input_shape=(5, 3), name="first"), L.Conv1D(4, 2)),
        "give the layer before it, 'first', return_sequences=True",
    ),
    "Conv2D after Dense": (lambda: L.Conv2D(1, 1)(L.Dense(4)(L.Input((2,)))), "Reshape gives it the axes"),
    "Dense after Conv2D": (
        lambda: fit(IMAGES, Y, L.Conv2D(3, 3, input_shape=(8, 8, 1)), L.Dense(3)),
        r"add Flatten\(\) or a global pooling layer before the last layer",
    ),
    "Dense after Conv2D, one-hot": (
        lambda: fit(
            IMAGES, np.eye(3)[Y], L.Conv2D(3, 3, input_shape=(8, 8, 1)), L.Dense(3), loss="categorical_crossentropy"
        ),
        r"add Flatten\(\) or a global pooling layer before the last layer",
    ),
    "return_sequences too much": (
        lambda: fit(
            np.zeros((64, 5, 3)), np.eye(3)[Y], L.LSTM(4, return_sequences=True, input_shape=(5, 3)),
            L.Dense(3), loss="categorical_crossentropy",
        ),
        "the last recurrent layer needs return_sequences=False",
    ),
    "text as labels": (
        lambda: fit(X, np.array(["a", "b"] * 32), L.Dense(3, input_shape=(10,))),
        r"is text, .*np\.unique\(\.\.\., return_inverse=True\) for categories",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_the_message_says_what_to_do(name: str) -> None:
    action, words = MISTAKES[name]
    with pytest.raises((AttributeError, ImportError, ValueError), match=words) as caught:
        action()
    assert "\n" not in str(caught.value)


def test_what_is_advised_exists() -> None:
    for module, advice in INSTEAD.items():
        assert set(advice).isdisjoint(dir(getattr(keras, module) if module else keras))
    assert {"layers", "backend", "losses", ""} <= keras_names().keys()
    for sentence in INSTEAD["layers"].values():
        for name in re.findall(r"\b([A-Z]\w+)\(", sentence):
            assert hasattr(L, name)


# ---- tracebacks


def failing(message: str) -> Any:
    raise ZeroDivisionError(message)


def frames(action: Callable[[], Any]) -> tuple[list[str], int]:
    """The functions in the traceback, those of kcompile in brackets, and the number of causes that are shown."""
    try:
        action()
    except Exception as error:
        found = traceback.TracebackException.from_exception(error)
        ours = Path(keras.__file__).parent  # not any folder of that name: the clone may have it too
        names = [f"({f.name})" if ours in Path(f.filename).parents else f.name for f in found.stack]
        causes = 0
        while (cause := found.__cause__ or (None if found.__suppress_context__ else found.__context__)) is not None:
            found, causes = cause, causes + 1
        return names, causes
    raise AssertionError("no error")


def test_tracebacks_show_the_users_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    model = keras.Sequential([L.Dense(3, input_shape=(10,))])
    model.compile("sgd", lambda t, p: failing("in the loss"))
    # An error in the user's own function: how it was called, and where it failed.
    assert frames(lambda: model.fit(X, Y, verbose=0)) == (["frames", "<lambda>", "(door)", "<lambda>", "failing"], 0)
    # Sentences of ours: one frame inside, no causes.
    for action in (
        lambda: model.predict(X[0]),
        lambda: L.Dense("relu", 3),
        lambda: L.LSTM(3)(L.Input((3,))),
        lambda: L.Add()([L.Input((2,)), L.Input((3,))]),
        lambda: keras.Sequential([L.LSTM(3, input_shape=(2, 3)), L.LSTM(3)]),
        lambda: keras.models.load_model("not there.h5"),
        lambda: model.get_layer("x"),
    ):
        assert frames(action) == (["frames", "<lambda>", "(door)"], 0)
    monkeypatch.setenv("KCOMPILE_FULL_TRACEBACKS", "1")
    assert len(frames(lambda: model.predict(X[0]))[0]) > 3


def test_bugs_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kcompile.engine.node.InputSpec.check", int)  # takes no tensors
    found, _ = frames(lambda: L.Dense(3)(L.Input((3,))))
    assert {"(_check)", "(door)"} <= set(found)


# ---- notebooks


class Cells(html.parser.HTMLParser):
    """The text of each cell, and whether all tags are closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str] = []
        self.feed(text)
        assert not self.open
        self.cells = [cell.strip() for cell in self.cells]

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag != "br":
            self.open.append(tag)
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.cells:
            self.cells[-1] += data


def test_notebooks_show_models() -> None:
    a = L.Input((4,), name="a")
    hidden = L.Dense(1000, name="<hidden>")(a)
    model = keras.Model(a, L.Add(name="sum")([hidden, L.Dense(1000, trainable=False, name="other")(a)]))
    cells = Cells(model._repr_html_()).cells
    assert {"<hidden> (Dense)", "(None, 1000)", "5,000", "a[0][0]", "Connected to"} <= set(cells)
    assert "10,000 parameters: 5,000 trainable, 5,000 not trainable" in cells
    assert "Connected to" not in keras.Sequential([L.Dense(2, input_shape=(3,))])._repr_html_()
    assert "not built yet" in keras.Sequential([L.Dense(2)])._repr_html_()


def test_notebooks_show_reports_and_compiled_models(tmp_path: Any) -> None:
    model = keras.Sequential([L.Dense(2, input_shape=(3,), name="d")])
    compiled = keras.compile(model)
    assert {"d_input", "d", "float32(batch, 3)", "float32(batch, 2)"} <= set(Cells(compiled._repr_html_()).cells)
    for report in (compiled.report(), model.export(tmp_path / "m.onnx")):
        text = report._repr_html_()
        Cells(text)
        assert html.unescape(text) == f"<pre>{report}</pre>"
