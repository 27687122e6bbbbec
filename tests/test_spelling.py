"""What exported files write for activations: ONNX's own operator in each opset that has it, for the same numbers.

``tf2onnx`` is how many nodes tf2onnx 1.17 writes for the same model of tf_keras 2.21 (opset 17, a model of an input
and this layer alone); ours are never more, but where that would turn NaN into a number.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from kcompile import Input, Model, activations, layers
from kcompile import backend as K
from kcompile.passes.onnx.opsets import OPSETS

NUMBERS = [math.nan, math.inf, -math.inf, -0.0, 0.0, 0.3, -0.3, 1.5, -1.5, 2.5, -2.5, 7.0, -7.0, 100.0, -100.0]
X = np.array([NUMBERS, NUMBERS[::-1]], np.float32)
SLOPES = np.linspace(0.1, 0.9, len(NUMBERS)).astype(np.float32)
_erf = np.vectorize(math.erf, otypes=[np.float64])


@dataclass(frozen=True)
class Spelling:
    """A layer or function, its operators from each of these opsets on, and its formula in NumPy (float64)."""

    name: str
    function: Any
    operators: dict[int, str]
    formula: Callable[[np.ndarray], np.ndarray]
    tf2onnx: int
    more: bool = False
    weights: list[np.ndarray] = field(default_factory=list)

    def __str__(self) -> str:
        return self.name

    def model(self) -> Model:
        x = Input(X.shape[1:])
        layer = self.function if isinstance(self.function, layers.Layer) else layers.Lambda(self.function)
        model = Model(x, layer(x))
        model.set_weights(self.weights)
        return model


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _elu(alpha: float, scale: float = 1.0) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _leaky(alpha: Any) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: np.where(x >= 0, x, alpha * x)


def _gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + _erf(x * math.sqrt(0.5)))


def _gelu_tanh(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _hard_sigmoid(x: np.ndarray) -> np.ndarray:
    return np.clip(0.2 * x + 0.5, 0, 1)


def _sixth(x: np.ndarray) -> np.ndarray:
    return np.clip(x + 3, 0, 6) / 6


def _mish(x: np.ndarray) -> np.ndarray:
    return x * np.tanh(np.logaddexp(x, 0))


def _clip(low: float, high: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: np.clip(x, low, high)


def _above(theta: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: np.where(x > theta, x, 0)


ERF = "Add Erf Mul Mul Mul"
TANH = "Add Add Mul Mul Mul Mul Mul Tanh"
SELU = 1.0507009873554805, 1.6732632423543772

SPELLINGS = [
    Spelling("relu", K.relu, {17: "Relu"}, lambda x: np.maximum(x, 0), 1),
    Spelling("relu6", activations.relu6, {17: "Clip"}, _clip(0, 6), 1),
    Spelling("ReLU(6)", layers.ReLU(6.0), {17: "Clip"}, _clip(0, 6), 1),
    Spelling("ReLU(5)", layers.ReLU(5.0), {17: "Clip"}, _clip(0, 5), 3),
    Spelling("ReLU(6, 0.1)", layers.ReLU(6.0, 0.1), {17: "LeakyRelu Min"}, lambda x: np.minimum(_leaky(0.1)(x), 6), 5),
    Spelling("ReLU(threshold=1)", layers.ReLU(threshold=1.0), {17: "ThresholdedRelu"}, _above(1), 1),
    # Its product with 0 keeps NaN, which ThresholdedRelu does not.
    Spelling(
        "ThresholdedReLU", layers.ThresholdedReLU(), {17: "Cast Greater Mul"}, lambda x: x * (x > 1), 1, more=True
    ),
    Spelling("LeakyReLU", layers.LeakyReLU(), {17: "LeakyRelu"}, _leaky(0.3), 1),
    Spelling("leaky_relu", activations.leaky_relu, {17: "LeakyRelu"}, _leaky(0.2), 1),
    Spelling("max(x, x / 10)", lambda x: K.maximum(x, 0.1 * x), {17: "LeakyRelu"}, _leaky(0.1), 1),
    Spelling(
        "relu(x) - 0.3 * relu(-x)", lambda x: K.relu(x) - 0.3 * K.relu(-x), {17: "LeakyRelu"}, _leaky(0.3), 5
    ),
    # ONNX Runtime's kernel of PRelu takes several times as long as these.
    Spelling("PReLU", layers.PReLU(), {17: "Max Mul"}, _leaky(SLOPES), 5, weights=[SLOPES]),
    Spelling("PReLU(-)", layers.PReLU(), {17: "Add Min Mul Relu"}, _leaky(-SLOPES), 5, weights=[-SLOPES]),
    Spelling("PReLU(=)", layers.PReLU(), {17: "LeakyRelu"}, _leaky(0.5), 5, weights=[SLOPES * 0 + 0.5]),
    Spelling("elu", K.elu, {17: "Elu"}, _elu(1), 1),
    Spelling("ELU(0.7)", layers.ELU(0.7), {17: "Elu"}, _elu(0.7), 9),
    Spelling("selu", activations.selu, {17: "Selu"}, _elu(SELU[1], SELU[0]), 1),
    Spelling("hard_sigmoid", K.hard_sigmoid, {17: "HardSigmoid"}, _hard_sigmoid, 4),
    Spelling("hard_sigmoid_v3", activations.hard_sigmoid_v3, {17: "HardSigmoid"}, _sixth, 3),
    Spelling("relu6(x + 3) / 6", lambda x: K.relu(x + 3, max_value=6) / 6, {17: "HardSigmoid"}, _sixth, 3),
    Spelling("hard_swish", activations.hard_swish, {17: "HardSwish"}, lambda x: x * _sixth(x), 4),
    Spelling(
        "x * relu6(x + 3) / 6", lambda x: x * K.relu(x + 3, max_value=6) / 6, {17: "HardSwish"},
        lambda x: x * _sixth(x), 4,
    ),
    Spelling("gelu", activations.gelu, {17: ERF, 20: "Gelu"}, _gelu, 5),
    Spelling(
        "x * (1 + erf(x / 1.414)) / 2", lambda x: x * (0.5 * (1 + K.erf(x / math.sqrt(2)))), {17: ERF, 20: "Gelu"},
        _gelu, 5,
    ),
    Spelling("gelu(tanh)", lambda x: activations.gelu(x, True), {17: TANH, 20: "Gelu"}, _gelu_tanh, 8),
    Spelling("mish", activations.mish, {17: "Mul Softplus Tanh", 18: "Mish"}, _mish, 3),
    # ONNX Runtime joins these two; the Swish of opset 24 it takes apart.
    Spelling("swish", activations.swish, {17: "Mul Sigmoid"}, lambda x: x * _sigmoid(x), 3),
    Spelling("softplus", K.softplus, {17: "Softplus"}, lambda x: np.logaddexp(x, 0), 1),
    Spelling("softsign", K.softsign, {17: "Softsign"}, lambda x: x / (1 + abs(x)), 1),
    Spelling("clip", lambda x: K.clip(x, -1, 2), {17: "Clip"}, _clip(-1, 2), 2),
    Spelling(
        "min(max(x, -1), 2)", lambda x: K.minimum(K.maximum(x, -1.0), 2.0), {17: "Clip"}, _clip(-1, 2), 2
    ),
    Spelling("tanh", K.tanh, {17: "Tanh"}, np.tanh, 1),
    Spelling("sigmoid", K.sigmoid, {17: "Sigmoid"}, _sigmoid, 1),
]  # fmt: skip


SLOPES_AT_ENDS: dict[str, tuple[Any, list[float], list[float]]] = {
    "relu6": (activations.relu6, [-1, 0, 3, 6, 7], [0, 0, 1, 0, 0]),
    "relu(5)": (lambda x: K.relu(x, max_value=5), [-1, 0, 3, 5, 7], [0, 0, 1, 1, 0]),
    "hard_sigmoid": (K.hard_sigmoid, [-3, -2.5, 1, 2.5, 3], [0, 0.2, 0.2, 0.2, 0]),
    "hard_sigmoid_v3": (activations.hard_sigmoid_v3, [-4, -3, 1, 3, 4], [0, 0, 1 / 6, 0, 0]),
    "leaky_relu": (lambda x: K.relu(x, alpha=0.3), [-1, 0, 3], [0.3, 0.3, 1]),
    "leaky_relu(-)": (lambda x: K.relu(x, alpha=-0.3), [-1, 0, 3], [-0.3, -0.3, 1]),
    "prelu": (layers.PReLU("ones"), [-1, 0, 3], [1, 0, 1]),
    "elu": (K.elu, [-1, 0, 3], [math.exp(-1), 1, 1]),
    "elu(0.7)": (lambda x: K.elu(x, 0.7), [-1, 0, 3], [0.7 * math.exp(-1), 0.7, 1]),
    "selu": (activations.selu, [-1, 0, 3], [SELU[0] * SELU[1] * math.exp(-1), SELU[0], SELU[0]]),
    "clip": (lambda x: K.clip(x, -1, 2), [-2, -1, 0, 2, 3], [0, 1, 1, 1, 0]),
    "threshold": (lambda x: K.relu(x, threshold=1.0), [0, 1, 2], [0, 0, 1]),
}
"""Where functions have no slope or two: what tf_keras 2.21 gives there."""


@pytest.mark.parametrize("name", SLOPES_AT_ENDS)
def test_slopes_where_pieces_meet(name: str) -> None:
    function, numbers, slopes = SLOPES_AT_ENDS[name]
    x = K.placeholder((1, len(numbers)))
    (gradient,) = K.gradients(K.sum(function(x)), [x])
    found = K.function([x], [gradient])([np.array([numbers], np.float32)])[0][0]
    np.testing.assert_allclose(found, slopes, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:invalid value", "ignore:overflow")
@pytest.mark.parametrize("row", SPELLINGS, ids=str)
def test_operators_and_numbers(row: Spelling) -> None:
    model, expected = row.model(), row.formula(X.astype(np.float64))
    for opset in OPSETS:
        proto = model.to_onnx(opset=opset)
        onnx.checker.check_model(proto, full_check=True)
        wanted = row.operators[max(first for first in row.operators if first <= opset)]
        assert Counter(node.op_type for node in proto.graph.node) == Counter(wanted.split()), opset
        assert row.more == (len(proto.graph.node) > row.tf2onnx), opset
        session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
        (result,) = session.run(None, {session.get_inputs()[0].name: X})
        np.testing.assert_allclose(result, expected, rtol=2e-6, atol=2e-6, err_msg=f"opset {opset}")
    np.testing.assert_allclose(model.predict(X), expected, rtol=2e-6, atol=2e-6, err_msg="predict")
