"""ONNX's LSTM, GRU and RNN: directions, activations, lengths, states."""

import numpy as np

from kcompile.ir.ops.recurrent.operators import (
    ONNX_ACTIVATIONS,
    OnnxGRU,
    OnnxLSTM,
    OnnxRNN,
    RecurrentOperator,
    recurrent_operator,
)
from tests.op_examples import Example, floats

STEPS, BATCH, FEATURES, UNITS = 5, 4, 3, 6
LENGTHS = np.array([3, 0, 5, 1], np.int32)


def example(op: RecurrentOperator, label: str, lengths: np.ndarray | None = None, rtol: float = 1e-5) -> Example:
    """A row for ``op``, which has no gradient. No batch is empty: ONNX Runtime would abort the process."""
    directions, width = 2 if op.direction == "bidirectional" else 1, op.gates * UNITS
    arrays = [
        floats(STEPS, BATCH, FEATURES),
        floats(directions, width, FEATURES, low=-0.7, high=0.7),
        floats(directions, width, UNITS, low=-0.7, high=0.7),
        floats(directions, 2 * width, low=-0.7, high=0.7),
    ]
    if lengths is not None:
        arrays.append(lengths)
    if op.with_states:
        arrays += [floats(directions, BATCH, UNITS) for _ in range(op.states)]

    def build(x, w, r, b, *rest):
        given = list(rest)
        return recurrent_operator(op, x, w, r, b, given.pop(0) if op.with_lengths else None, given)

    return Example(op.name, build, arrays, label, wrt=(), rtol=rtol)


def rows(kind: type[RecurrentOperator], label: str, **attributes) -> list[Example]:
    """Each direction, with and without lengths and states."""
    found = []
    for direction in ("forward", "reverse", "bidirectional"):
        activations = kind.default_activations * (2 if direction == "bidirectional" else 1)
        found.append(example(kind(direction, activations, **attributes), f"{label}{direction}"))
        op = kind(direction, activations, True, True, **attributes)
        found.append(example(op, f"{label}{direction}-lengths", np.maximum(LENGTHS, kind is OnnxRNN)))
    return found


def activation_rows() -> list[Example]:
    """Every activation in every place."""
    found = []
    for name in ONNX_ACTIVATIONS:
        # Gates that grow without bound make numbers large, and their rounding with them.
        found.append(example(OnnxLSTM("forward", (name, "tanh", name)), name, rtol=5e-5))
        found.append(example(OnnxLSTM("forward", ("sigmoid", name, "tanh")), f"input-{name}"))
        found.append(example(OnnxGRU("forward", (name, "tanh")), name, rtol=5e-5))
        found.append(example(OnnxGRU("forward", ("sigmoid", name), False, False, True), f"output-{name}"))
        found.append(example(OnnxRNN("forward", (name,)), name, rtol=5e-5))
    return found


EXAMPLES = [
    *rows(OnnxLSTM, ""),
    *rows(OnnxGRU, ""),
    *rows(OnnxGRU, "linear before reset-", linear_before_reset=True),
    *rows(OnnxRNN, ""),
    *activation_rows(),
    example(
        OnnxLSTM("bidirectional", ("hard_sigmoid", "elu", "tanh", "hard_sigmoid_v3", "linear", "leaky_relu")),
        "parameters of both directions",
    ),
]
