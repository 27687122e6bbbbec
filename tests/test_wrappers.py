"""TimeDistributed, Bidirectional, convolutional recurrence: what Keras computes; and wrappers that users write."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kcompile as keras
from kcompile import backend as K
from kcompile import layers
from kcompile.common.lists import as_list
from tests.golden import Golden, load
from tests.golden.cases import conv_lstm, wrappers
from tests.golden.cases.model_case import ModelCase
from tests.golden.compare import assert_all_close, assert_close

TABLES = {"wrappers": wrappers.CASES, "conv_lstm": conv_lstm.CASES}
GOLDEN = {family: load(family) for family in TABLES}
RATE = 0.1  # of the recorded trainings


def rows(wanted: Any) -> list[Any]:
    """The cases for which ``wanted`` holds, each with its record."""
    return [
        pytest.param(case, GOLDEN[family][case.name], id=case.name)
        for family, cases in TABLES.items()
        for case in cases
        if wanted(case)
    ]


def built(case: ModelCase, golden: Golden) -> tuple[Any, list[Any], list[Any]]:
    model, inputs, outputs = case.build(keras)
    assert [w.shape for w in model.get_weights()] == [w.shape for w in golden.weights]
    model.set_weights(golden.weights)
    return model, inputs, outputs


def compute(case: ModelCase, golden: Golden, phase: int) -> tuple[list[Any], list[Any], list[Any]]:
    """Outputs, gradients for the float inputs, gradients for the trainable weights."""
    model, inputs, outputs = built(case, golden)
    cotangents = [layers.Input(shape=g.shape[1:]) for g in golden.cotangents]
    sources = [x for x in inputs if x.dtype == "float32"]
    total = sum(K.sum(y * g) for y, g in zip(outputs, cotangents, strict=True))
    wanted = [*sources, *model.trainable_weights]
    found = [K.zeros_like(x) if g is None else g for x, g in zip(wanted, K.gradients(total, wanted), strict=True)]
    step = K.function([*inputs, *cotangents, K.learning_phase()], [*outputs, *found])
    results = step([*case.inputs(), *golden.cotangents, phase])
    ends = len(outputs), len(outputs) + len(sources)
    return results[: ends[0]], results[ends[0] : ends[1]], results[ends[1] :]


@pytest.mark.parametrize(("case", "golden"), rows(lambda case: not case.calls))
def test_outputs_and_gradients(case: ModelCase, golden: Golden) -> None:
    results = compute(case, golden, 0)
    for what, found in zip(("outputs", "input_gradients", "weight_gradients"), results, strict=True):
        assert_all_close(found, golden.get(what, []), what)


@pytest.mark.parametrize(("case", "golden"), rows(lambda case: case.training))
def test_in_training(case: ModelCase, golden: Golden) -> None:
    results = compute(case, golden, 1)
    for what, found in zip(("outputs", "input_gradients", "weight_gradients"), results, strict=True):
        assert_all_close(found, golden[f"training_{what}"], what)


@pytest.mark.parametrize(("case", "golden"), rows(lambda case: not case.calls))
def test_masks_and_shapes(case: ModelCase, golden: Golden) -> None:
    model, inputs, outputs = built(case, golden)
    masks = [y._keras_mask for y in outputs]
    assert [mask is None for mask in masks] == [mask is None for mask in golden.masks]
    kept = [mask for mask in masks if mask is not None]
    if kept:
        found = K.function(inputs, kept)(case.inputs())
        expected = [mask for mask in golden.masks if mask is not None]
        assert [mask.astype(int).tolist() for mask in found] == expected
    assert [tuple(y.shape)[1:] for y in outputs] == [y.shape[1:] for y in golden.outputs]
    for layer in model.layers:
        assert layer.compute_output_shape(layer.input_shape) == layer.output_shape, layer.name


@pytest.mark.parametrize(("case", "golden"), rows(lambda case: case.steps))
def test_steps_of_training(case: ModelCase, golden: Golden) -> None:
    model, _, _ = built(case, golden)
    model.compile(keras.optimizers.SGD(RATE), "mse")
    x, y = case.inputs(), golden.cotangents
    losses = [
        np.ravel(model.train_on_batch(x if len(x) > 1 else x[0], y if len(y) > 1 else y[0]))[0]
        for _ in range(case.steps)
    ]
    assert_close(losses, np.array(golden.losses), "losses", 5e-5)
    assert_all_close(model.get_weights(), golden.trained_weights, "weights", 5e-5)


@pytest.mark.parametrize(("case", "golden"), rows(lambda case: case.calls))
def test_states_from_call_to_call(case: ModelCase, golden: Golden) -> None:
    model, _, _ = built(case, golden)
    for call in range(case.calls):
        found = as_list(model.predict_on_batch(one(case.inputs(call))))
        assert_all_close(found, golden[f"call_{call}"], f"call {call}")
    model.reset_states()
    assert_all_close(as_list(model.predict_on_batch(one(case.inputs()))), golden.call_0, "after reset_states")


def one(arrays: list[Any]) -> Any:
    return arrays if len(arrays) > 1 else arrays[0]


@pytest.mark.parametrize(("case", "golden"), rows(lambda case: True))
def test_configuration(case: ModelCase, golden: Golden) -> None:
    """A model rebuilt from its configuration, and a clone, compute the same."""
    model, _, _ = built(case, golden)
    config = model.get_config()
    again = keras.models.Model.from_config(config)
    assert again.get_config() == config
    clone = keras.models.clone_model(model)
    for other in (again, clone):
        other.set_weights(golden.weights)
        assert_all_close(
            as_list(other.predict_on_batch(one(case.inputs()))),
            golden["call_0" if case.calls else "outputs"],
            "outputs",
        )
