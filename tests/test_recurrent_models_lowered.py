"""Models with recurrent layers, exported: the operators that they become, and the same numbers as from their loops."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from kcompile.engine.inference_graph import predict_graph
from kcompile.ir import Graph, Target, interpret
from kcompile.ir.ops.recurrent.operators import RecurrentOperator
from kcompile.layers import (
    GRU,
    LSTM,
    RNN,
    Activation,
    BatchNormalization,
    Bidirectional,
    Dense,
    Dropout,
    Embedding,
    GRUCell,
    Input,
    LSTMCell,
    Masking,
    SimpleRNN,
    TimeDistributed,
)
from kcompile.models import Model, Sequential
from kcompile.passes.algebra.specialize import freeze
from kcompile.passes.onnx.emit import emit
from kcompile.passes.pipelines import INFERENCE, run_pipeline
from kcompile.runtime.storage import storage_of
from tests.op_checks import run_onnx


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=shape).astype("float32")


def padded() -> np.ndarray:
    """Sequences with masked steps at the end, inside, at the start, everywhere."""
    x = numbers(4, 6, 3)
    x[0, 4:] = x[1, 2] = x[2, :3] = x[3] = 0
    return x


def words() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 3, (4, 8)).astype("int32")


def sequences(*layers, shape: tuple[int | None, ...] = (6, 3)) -> Callable[[], Model]:
    return lambda: Sequential([Input(shape), *(layer() for layer in layers)])


def tagger() -> Model:
    x = Input((8,), dtype="int32")
    h = Embedding(5, 6, mask_zero=True)(x)
    h = Dropout(0.2)(Bidirectional(LSTM(5, return_sequences=True))(h))
    h = Bidirectional(LSTM(5, return_sequences=True))(h)
    return Model(x, TimeDistributed(Dense(7, activation="softmax"))(h))


def translator() -> Model:
    source, target = Input((8,), dtype="int32"), Input((None,), dtype="int32")
    _, h, c = LSTM(5, return_state=True)(Embedding(5, 6, mask_zero=True)(source))
    decoded = LSTM(5, return_sequences=True)(Embedding(5, 6)(target), initial_state=[h, c])
    return Model([source, target], Dense(9)(decoded))


# Per model: its inputs, how many operators it becomes, and how many ONNX nodes there may be.
MODELS = {
    "unrolled": (sequences(lambda: LSTM(5, unroll=True)), [numbers(4, 6, 3)], 1, 6),
    "backwards": (
        sequences(lambda: LSTM(5, go_backwards=True, return_sequences=True)), [numbers(4, 6, 3)], 1, 8
    ),
    "reset before": (sequences(lambda: GRU(5, reset_after=False, return_sequences=True)), [numbers(4, 6, 3)], 1, 7),
    **{
        f"merged by {mode}": (
            sequences(lambda mode=mode: Bidirectional(SimpleRNN(5, return_sequences=True), merge_mode=mode)),
            [numbers(4, 6, 3)], 1, most,
        )
        for mode, most in [("concat", 4), ("sum", 5), ("ave", 6), ("mul", 8)]
    },
    "masked, both directions": (
        sequences(Masking, lambda: Bidirectional(LSTM(5, return_sequences=True))), [padded()], 1, 54
    ),
    "masked backwards": (
        sequences(Masking, lambda: GRU(5, return_sequences=True, go_backwards=True)), [padded()], 1, 44
    ),
    "dropout": (sequences(lambda: LSTM(5, dropout=0.2, recurrent_dropout=0.2)), [numbers(4, 6, 3)], 1, 6),
    "dropout by gate": (
        sequences(lambda: GRU(5, implementation=1, recurrent_dropout=0.2)), [numbers(4, 6, 3)], 1, 6
    ),
    "any length": (
        sequences(lambda: Bidirectional(LSTM(5, return_sequences=True)), lambda: LSTM(4), shape=(None, 3)),
        [numbers(4, 6, 3)], 2, 10,
    ),
    "over steps and sequences": (
        sequences(lambda: TimeDistributed(LSTM(5)), lambda: GRU(4), shape=(2, 6, 3)), [numbers(4, 2, 6, 3)], 2, 13
    ),
    "cells": (sequences(lambda: RNN([LSTMCell(5), GRUCell(4)])), [numbers(4, 6, 3)], 2, 9),
    "masked, with others between": (
        sequences(
            lambda: Embedding(5, 6, mask_zero=True),
            lambda: LSTM(5, return_sequences=True),
            BatchNormalization,
            lambda: Activation("relu"),
            lambda: GRU(4),
            shape=(8,),
        ),
        [words().astype("float32")], 2, 26,
    ),
    "tagger": (tagger, [words()], 2, 41),
    "translator": (translator, [words(), words()[:, :5]], 2, 24),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_models(name: str) -> None:
    build, arrays, operators, most = MODELS[name]
    graph = frozen(build())
    lowered = run_pipeline(graph, INFERENCE)
    assert sum(isinstance(node.op, RecurrentOperator) for node in lowered.nodes()) == operators
    nodes = [node.op_type for node in emit(lowered).model.graph.node]
    assert len(nodes) <= most, nodes
    feeds = {value.op.label: array for value, array in zip(graph.inputs, arrays, strict=True)}
    expected = interpret(graph, feeds).outputs
    for label, array in run_onnx(lowered, feeds, Target()).items():
        np.testing.assert_allclose(array, expected[label], rtol=1e-5, atol=1e-6)


def frozen(model: Model) -> Graph:
    graph = predict_graph(model, "model")
    return freeze(graph, {variable: storage_of(variable).read() for variable in graph.variables()})
