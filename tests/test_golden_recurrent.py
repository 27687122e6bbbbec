"""Recurrent layers and cells compute what Keras computes, whatever their arguments: outputs, states, all gradients.

The cases of a group become one model, and all its gradients one function.
"""

from typing import Any

import numpy as np
import pytest

import kcompile as keras
from kcompile import backend as K
from tests.golden import data, load
from tests.golden.cases import recurrent, recurrent_training
from tests.golden.cases.recurrent import MASK, RecurrentCase
from tests.golden.compare import assert_all_close, assert_close

GOLDEN = {group: load(f"recurrent_{group}") for group in recurrent.GROUPS}
TRAININGS = load("recurrent_training")
TOLERANCE = 1e-4  # steps of optimizers in float32 carry rounding along


class Group:
    """The layers of a group, called on shared inputs, with gradients."""

    def __init__(self, group: str) -> None:
        self.feeds: dict[str, tuple[Any, np.ndarray]] = {}
        self.outputs: dict[str, list[Any]] = {}
        self.gradients: dict[str, list[Any]] = {}
        for case in recurrent.GROUPS[group]:
            self.add(case, group)
        self.inputs = [tensor for tensor, _ in self.feeds.values()]
        self.arrays = [array for _, array in self.feeds.values()]

    def tensor(self, label: str, array: np.ndarray) -> Any:
        if label not in self.feeds:
            made = keras.layers.Input(batch_shape=(None, *array.shape[1:]), dtype=array.dtype.name, name=label)
            self.feeds[label] = made, array
        return self.feeds[label][0]

    def add(self, case: RecurrentCase, group: str) -> None:
        given = {
            kind: [self.tensor(f"{kind}_{i}_{'x'.join(map(str, a.shape))}", a) for i, a in enumerate(listed)]
            for kind, listed in recurrent.tensors(case, group, data.normal).items()
        }
        layer = case.make(keras)
        inputs, mask = given["inputs"], self.tensor("mask", MASK) if case.mask else None
        if case.time_major:
            inputs, mask = [K.permute_dimensions(x, (1, 0, 2)) for x in inputs], K.permute_dimensions(mask, (1, 0))
        outputs = layer(
            tuple(inputs) if len(inputs) > 1 else inputs[0],
            mask=mask,
            initial_state=given["initial"] or None,
            constants=given["constants"] or None,
        )
        listed = list(outputs) if isinstance(outputs, list) else [outputs]
        weights = [data.normal(w.shape, group, "weight", i, scale=0.7) for i, w in enumerate(layer.weights)]
        layer.set_weights(weights)
        golden = GOLDEN[group][case.name].outputs
        seeds = [data.normal(y.shape, group, "cotangent", i) for i, y in enumerate(golden)]
        total = sum(K.sum(y * K.constant(seed)) for y, seed in zip(listed, seeds, strict=True))
        flat = [x for kind in given.values() for x in kind]
        found = K.gradients(total, [*flat, *layer.trainable_weights])
        self.outputs[case.name] = listed
        self.gradients[case.name] = [
            K.zeros_like(x) if g is None else g for g, x in zip(found, [*flat, *layer.trainable_weights], strict=True)
        ]


def unflattened(names: dict[str, list[Any]], results: list[np.ndarray]) -> dict[str, list[np.ndarray]]:
    rest = iter(results)
    return {name: [next(rest) for _ in listed] for name, listed in names.items()}


@pytest.mark.parametrize("group", list(recurrent.GROUPS))
def test_outputs_states_and_gradients(group: str) -> None:
    made = Group(group)
    flat = [y for kind in (made.outputs, made.gradients) for listed in kind.values() for y in listed]
    results = K.function(made.inputs, flat)(made.arrays)
    count = sum(map(len, made.outputs.values()))
    outputs, gradients = unflattened(made.outputs, results[:count]), unflattened(made.gradients, results[count:])
    for name, golden in GOLDEN[group].items():
        assert_all_close(outputs[name], golden.outputs, f"{name}: outputs")
        assert_all_close(gradients[name], golden.gradients, f"{name}: gradients")


@pytest.mark.parametrize("group", list(recurrent.GROUPS))
def test_inference(group: str) -> None:
    """The graph for inference, which has ONNX's recurrent operators, gives the same outputs."""
    made = Group(group)
    model = keras.models.Model(made.inputs, [y for listed in made.outputs.values() for y in listed])
    outputs = unflattened(made.outputs, keras.compile(model)(made.arrays))
    for name, golden in GOLDEN[group].items():
        assert_all_close(outputs[name], golden.outputs, f"{name}: outputs")


@pytest.mark.parametrize("name", recurrent_training.CASES)
def test_training(name: str) -> None:
    """Fit, evaluate, predict and single batches; states of stateful layers move on in all of them."""
    golden = TRAININGS[name]
    training = recurrent_training.CASES[name](keras, keras.optimizers)
    training.model.set_weights(golden.initial)
    for key, values in recurrent_training.answers(training).items():
        if isinstance(values[0], float):
            assert_close(values, np.array(golden[key]), key, TOLERANCE)
        else:
            assert_all_close(values, golden[key], key, TOLERANCE)
