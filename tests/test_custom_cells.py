"""Cells that users write: a loop, an unrolled loop and single steps agree; gradients are those of differences."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from kcompile import backend as K
from kcompile import layers as L
from kcompile import models
from kcompile.common.nest import flatten, is_nested, pack
from tests.custom_cells import CASES, Case, Dropping, Minimal

STEPS = 4
MASKS = np.array(list(itertools.product([False, True], repeat=STEPS)))
"""Every way to leave out steps, a row each."""


@pytest.fixture
def in_float64() -> Iterator[None]:
    K.set_floatx("float64")
    yield
    K.set_floatx("float32")


class Built:
    """A layer over a cell with random weights, its inputs, and what it returns."""

    def __init__(self, case: Case, masked: bool = True, batch: int = len(MASKS), **options: Any) -> None:
        self.cell = case.make()
        self.layer = L.RNN(self.cell, return_sequences=True, return_state=True, **options)
        self.x = L.Input((STEPS, *case.features) if options.get("unroll") else (None, *case.features))
        self.constants = [L.Input(shape) for shape in case.constants]
        self.mask = L.Input((None,), dtype="bool") if masked else None
        given = {"constants": self.constants} if self.constants else {}
        self.outputs = flatten(self.layer(self.x, mask=self.mask, **given))
        self.inputs = [self.x, *self.constants, *([] if self.mask is None else [self.mask])]
        generator = np.random.default_rng(len(case.name))
        self.layer.set_weights([generator.normal(size=w.shape) * 0.5 for w in self.layer.get_weights()])
        sizes = [(batch, STEPS, *case.features), *((batch, *shape) for shape in case.constants)]
        self.arrays: list[Any] = [generator.normal(size=size).astype(K.floatx()) for size in sizes]
        if masked:
            self.arrays.append(MASKS[:batch])

    def run(self, training: bool) -> list[np.ndarray]:
        return K.function([*self.inputs, K.learning_phase()], self.outputs)([*self.arrays, training])


def step_by_step(built: Built, training: bool, backwards: bool, zeros: bool) -> list[np.ndarray]:
    """What the layer should return, from single steps of its cell: masks are dealt with here."""
    sequence, *constants = built.arrays[: 1 + len(built.constants)]
    mask = built.arrays[-1] if built.mask is not None else np.ones(sequence.shape[:2], bool)
    first = flatten(built.layer.get_initial_state(built.x))
    states = K.function([built.x], first)([sequence])
    x = L.Input(sequence.shape[2:])
    before = [L.Input(state.shape[1:], dtype=state.dtype.name) for state in states]
    form = built.cell.state_size if is_nested(built.cell.state_size) else [built.cell.state_size]
    taken = inspect.signature(built.cell.call).parameters
    given = {"training": training} if "training" in taken else {}
    given |= {"constants": built.constants} if built.constants else {}
    output, after = built.cell.call(x, pack(form, before), **given)
    step = K.function([x, *before, *built.constants], [output, *flatten(after)])
    last, collected = 0.0, []
    for t in reversed(range(STEPS)) if backwards else range(STEPS):
        y, *new = step([sequence[:, t], *states, *constants])

        def kept(a: Any, b: Any, now: np.ndarray = mask[:, t]) -> np.ndarray:
            return np.where(now.reshape(-1, *(1,) * (a.ndim - 1)), a, b).astype(a.dtype)

        last = kept(y, 0.0 if zeros else last)
        states = [kept(a, b) for a, b in zip(new, states, strict=True)]
        collected.append(last)
    return [np.stack(collected, 1), *states]


OPTIONS = ["", "unroll", "go_backwards", "zero_output_for_mask"]


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_all_steps_equal_single_steps(case: Case, option: str) -> None:
    """For every mask at once, in both phases."""
    built = Built(case, **({option: True} if option else {}))
    for training in (False, True):
        expected = step_by_step(built, training, option == "go_backwards", option == "zero_output_for_mask")
        for actual, wanted in zip(built.run(training), expected, strict=True):
            assert actual.dtype == wanted.dtype
            np.testing.assert_allclose(actual, wanted, 1e-5, 1e-6)


@pytest.mark.usefixtures("in_float64")
@pytest.mark.parametrize("masked", [False, True], ids=["all steps", "masks"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_gradients_equal_finite_differences(case: Case, masked: bool) -> None:
    built = Built(case, masked)
    smooth = [y for y in built.outputs if K.dtype(y) == "float64"]
    weights = built.layer.trainable_weights
    loss = sum(K.sum(K.sin(3.0 * y)) for y in smooth)
    wrt = [*built.inputs[: 1 + len(built.constants)], *weights]
    given = [*wrt, *([] if built.mask is None else [built.mask])]
    arrays = [*built.arrays[: 1 + len(built.constants)], *built.layer.get_weights()]
    rest = [] if built.mask is None else [built.arrays[-1]]
    slopes = K.function(given, K.gradients(loss, wrt))([*arrays, *rest])
    value = K.function(given, [loss])
    for index, (array, slope) in enumerate(zip(arrays, slopes, strict=True)):
        direction = np.random.default_rng(index).normal(size=array.shape)
        near = ([*arrays[:index], array + size * direction, *arrays[index + 1 :], *rest] for size in (1e-6, -1e-6))
        plus, minus = (value(there)[0] for there in near)
        np.testing.assert_allclose((slope * direction).sum(), (plus - minus) / 2e-6, 1e-6, 1e-6)


@pytest.mark.parametrize("case", [case for case in CASES if not case.constants], ids=lambda case: case.name)
def test_a_model_learns_and_its_file_runs(case: Case, tmp_path: Path) -> None:
    x = L.Input((None, *case.features))
    sequence = L.Masking(0.0)(x) if len(case.features) == 1 else x
    model = models.Model(x, L.Dense(1)(L.Flatten()(L.RNN(case.make())(sequence))))
    model.compile("adam", "mse")
    generator = np.random.default_rng(0)
    data = generator.normal(size=(8, STEPS, *case.features)).astype("float32")
    data[::2, 1] = 0
    losses = model.fit(data, generator.normal(size=(8, 1)), epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    model.export(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for shape in ((3, STEPS), (1, 2 * STEPS)):
        other = generator.normal(size=(*shape, *case.features)).astype("float32")
        (actual,) = session.run(None, {session.get_inputs()[0].name: other})
        np.testing.assert_allclose(actual, model.predict(other, verbose=0), 1e-5, 1e-6)


def test_what_a_cell_does_in_training_only_is_not_in_its_file(tmp_path: Path) -> None:
    x = L.Input((None, 3))
    model = models.Model(x, L.RNN(Dropping())(x))
    data = np.random.default_rng(0).normal(size=(2, STEPS, 3)).astype("float32")
    model.export(tmp_path / "model.onnx")
    (loop,) = (node for node in onnx.load(tmp_path / "model.onnx").graph.node if node.op_type == "Scan")
    assert [node.op_type for node in loop.attribute[0].g.node if node.op_type != "Identity"] == ["Add", "Tanh"]
    h = np.zeros((2, 3), "float32")
    for t in range(STEPS):
        h = np.tanh(h + data[:, t])
    np.testing.assert_allclose(model.predict(data), h, 1e-5, 1e-6)
    training = K.function([x, K.learning_phase()], [model.output])
    steps = np.stack([training([data, True])[0] for _ in range(20)])
    assert len(np.unique(steps, axis=0)) > 10


def test_sequences_without_steps() -> None:
    x = L.Input((None, 2))
    model = models.Model(x, L.RNN(Minimal(3))(x))
    with pytest.raises(ValueError, match=r"'rnn.*' runs over sequences that have no steps; give it at least one"):
        model.predict(np.zeros((2, 0, 2)))
    assert model.predict(np.zeros((2, 1, 2))).shape == (2, 3)
