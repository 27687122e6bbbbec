"""Random stacks of recurrent layers: what is optimized, frozen and run by ONNX Runtime is what the layers define."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kcompile import Input, Model, layers
from kcompile.engine.inference_graph import predict_graph
from kcompile.ir import Target, interpret
from kcompile.passes.algebra.specialize import freeze
from kcompile.passes.pipelines import FORWARD_INFERENCE, INFERENCE, run_pipeline
from kcompile.runtime.storage import storage_of
from kcompile.symbolic.tensor import Tensor
from tests.op_checks import run_onnx

BATCH, STEPS = 3, 7
FEW, MANY = range(16), range(16, 250)


class Stack:
    """Layers drawn one after the other, with masks, both kinds of padding, and states that are handed on."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.RandomState(seed)
        np.random.seed(seed)

    def choice(self, items: Any) -> Any:
        return items[self.rng.randint(len(items))]

    def chance(self, probability: float) -> bool:
        return bool(self.rng.uniform() < probability)

    def build(self) -> tuple[Model, np.ndarray]:
        time = self.choice([None, STEPS])
        if self.chance(0.5):
            inputs, array = Input((time,), dtype="int32"), self.rng.randint(0, 4, (BATCH, STEPS)).astype("int32")
            x = layers.Embedding(4, 5, mask_zero=self.chance(0.7))(inputs)
        else:
            inputs, array = Input((time, 3)), self.rng.normal(size=(BATCH, STEPS, 3)).astype("float32")
            array[self.rng.uniform(size=(BATCH, STEPS)) < 0.4] = 0
            x = layers.Masking()(inputs) if self.chance(0.7) else inputs
        for _ in range(self.rng.randint(1, 4)):
            x = self.recurrent(x, True)
            if self.chance(0.5):
                x = self.between(x)
        ends = [x] if self.chance(0.4) else [self.recurrent(x, False)]
        return Model(inputs, ends if len(ends) > 1 else ends[0]), array

    def recurrent(self, x: Tensor, sequences: bool) -> Tensor:
        kind = self.choice([layers.LSTM, layers.GRU, layers.SimpleRNN])
        options: dict[str, Any] = {
            "return_sequences": sequences,
            "activation": self.choice(["tanh", "tanh", "relu", "softsign", "softplus", "elu"]),
            "use_bias": self.chance(0.8),
            "dropout": self.choice([0.0, 0.2]),
            "bias_initializer": "normal",
        }
        if kind is not layers.SimpleRNN:
            options["recurrent_activation"] = self.choice(["sigmoid", "hard_sigmoid"])
        if kind is layers.GRU:
            options["reset_after"] = self.chance(0.5)
        if self.chance(0.5):
            mode = self.choice(["concat", "concat", "sum", "mul", "ave"])
            return layers.Bidirectional(kind(4, **options), merge_mode=mode)(x)
        if self.chance(0.2):
            y, *states = kind(4, return_state=True, **options)(x)
            return kind(4, **options)(y if sequences else x, initial_state=states)
        return kind(4, go_backwards=self.chance(0.3), **options)(x)

    def between(self, x: Tensor) -> Tensor:
        kind = self.rng.randint(6)
        if kind == 0:
            return layers.BatchNormalization()(x)
        if kind == 1:
            return layers.TimeDistributed(layers.Dense(3, activation="tanh"))(x)
        if kind == 2:
            return layers.add([x, layers.Activation("relu")(x)])
        if kind == 3:
            return layers.concatenate([x, layers.Dropout(0.5)(x)])
        if kind == 4:
            return layers.Dense(4)(layers.Activation("tanh")(x))
        return layers.SpatialDropout1D(0.2)(x)


def check(seed: int) -> None:
    model, array = Stack(seed).build()
    graph = predict_graph(model)
    graph = freeze(graph, {variable: storage_of(variable).read() for variable in graph.variables()})
    (value,) = graph.inputs
    feeds = {value.op.label: array}
    expected = interpret(run_pipeline(graph, FORWARD_INFERENCE[:1]), feeds).outputs
    for name, found in run_onnx(run_pipeline(graph, (*FORWARD_INFERENCE, *INFERENCE)), feeds, Target()).items():
        scale = np.abs(expected[name]).max(initial=1)
        np.testing.assert_allclose(found, expected[name], rtol=1e-4, atol=1e-5 * scale, err_msg=f"{seed}: {name}")


@pytest.mark.parametrize("seed", FEW)
def test_random_stacks(seed: int) -> None:
    check(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", MANY)
def test_many_random_stacks(seed: int) -> None:
    check(seed)
