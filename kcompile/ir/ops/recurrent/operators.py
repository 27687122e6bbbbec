"""ONNX's own recurrent operators LSTM, GRU and RNN, which hold a whole layer: projection, recurrence, both directions.

The pass ``lower_recurrence`` makes them for inference. They have no gradient, and one element type, float32: ONNX
Runtime has no other kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from kcompile.ir.core import Array, Builder, Gradients, Graph, Node, Op, Value, apply_multi, input_value
from kcompile.ir.dims import Size
from kcompile.ir.errors import IRError
from kcompile.ir.ops.loops.regions import zeros_of
from kcompile.ir.ops.recurrent.activations import activation_named
from kcompile.ir.ops.recurrent.operator_loops import (
    NextStates,
    gru_step,
    gru_step_after,
    loops,
    lstm_step,
    rnn_step,
)
from kcompile.ir.types import TensorType

Functions = Sequence[Callable[[Array], Array]]


class OnnxActivation(NamedTuple):
    """The name of an activation among ONNX's, and its parameters where it has some."""

    name: str
    alpha: float | None = None
    beta: float | None = None


ONNX_ACTIVATIONS: dict[str, OnnxActivation] = {
    "tanh": OnnxActivation("Tanh"),
    "sigmoid": OnnxActivation("Sigmoid"),
    "relu": OnnxActivation("Relu"),
    "linear": OnnxActivation("Affine", 1.0, 0.0),
    "hard_sigmoid": OnnxActivation("HardSigmoid", 0.2, 0.5),
    "hard_sigmoid_v3": OnnxActivation("HardSigmoid", 1 / 6, 0.5),
    "elu": OnnxActivation("Elu", 1.0),
    "leaky_relu": OnnxActivation("LeakyRelu", 0.2),
    "softsign": OnnxActivation("Softsign"),
}
"""The activations of recurrent ops that ONNX Runtime's kernels compute as well as its other operators do.

Softplus is not among them: theirs is infinite from 89 on.
"""

DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
"""For each ``direction`` which of the recurrences side by side run from the last step to the first."""


@dataclass(frozen=True)
class RecurrentOperator(Op, abstract=True):
    """One or two recurrences over the same sequence.

    Operands, with D directions and G gates: ``x`` ``[T, N, K]``, ``w`` ``[D, G * H, K]``, ``r`` ``[D, G * H, H]``, the
    biases ``b`` ``[D, 2 * G * H]`` (of ``w``, then of ``r``), ``sequence_lens`` int32 ``[N]`` if ``with_lengths``, and
    the initial states ``[D, N, H]`` if ``with_states`` (else zeros). Results: ``y`` ``[T, D, N, H]`` and the last
    states, ``[D, N, H]``.

    Each sequence ends after its length, which is where a reverse recurrence starts; ``y`` is zero from there on. As in
    ONNX Runtime, the last states of a sequence of length 0 are zeros, not the initial ones.

    ONNX Runtime's kernels turn NaN into a number when they add biases (1.31). This op, in NumPy, does not.
    """

    aborts_if_empty = True  # LSTM and GRU of ONNX Runtime 1.31

    direction: str
    activations: tuple[str, ...]
    with_lengths: bool = False
    with_states: bool = False

    onnx: ClassVar[str]
    gates: ClassVar[int]
    states: ClassVar[int] = 1
    default_activations: ClassVar[tuple[str, ...]]

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        wanted_count = 4 + self.with_lengths + self.with_states * self.states
        if len(types) != wanted_count:
            raise IRError(f"takes {wanted_count} operands, got {len(types)}")
        x, w, r, b, *rest = types
        if self.direction not in DIRECTIONS:
            raise IRError(f"direction is {self.direction!r}; choose from {', '.join(DIRECTIONS)}")
        count = len(DIRECTIONS[self.direction])
        if len(self.activations) != count * len(self.default_activations):
            raise IRError(f"needs {len(self.default_activations)} activations per direction, got {self.activations}")
        unknown = [name for name in self.activations if name not in ONNX_ACTIVATIONS]
        if unknown:
            raise IRError(f"{self.onnx} has no activation {unknown[0]!r}; it has {', '.join(ONNX_ACTIVATIONS)}")
        if x.rank != 3 or r.rank != 3 or x.dtype != "float32":
            raise IRError(f"needs float32 x [T, N, K] and r [D, {self.gates} * H, H], got {x} and {r}")
        units = r.shape[2]
        width = self.gates * units
        wanted = {
            "w": (w, x.with_shape((count, width, x.shape[2]))),
            "r": (r, x.with_shape((count, width, units))),
            "b": (b, x.with_shape((count, 2 * width))),
        }
        if self.with_lengths:
            wanted["sequence_lens"] = rest[0], TensorType("int32", (x.shape[1],))
        state = x.with_shape((count, x.shape[1], units))
        for index, type in enumerate(rest[self.with_lengths :]):
            wanted[f"state {index}"] = type, state
        for name, (type, needed) in wanted.items():
            if not type.may_be(needed):
                raise IRError(f"{name} must be {needed}, got {type}")
        return (x.with_shape((x.shape[0], *state.shape)), *(state for _ in range(self.states)))

    def evaluate(self, *arrays: Array) -> tuple[Array, ...]:
        x, w, r, b, *rest = arrays
        steps, batch, units = len(x), x.shape[1], r.shape[2]
        lengths = rest.pop(0) if self.with_lengths else np.full(batch, steps)
        reverses = DIRECTIONS[self.direction]
        y = np.zeros((steps, len(reverses), batch, units), x.dtype)
        finals = [np.zeros((len(reverses), batch, units), x.dtype) for _ in range(self.states)]
        for d, reverse in enumerate(reverses):
            functions = [activation_named(name).evaluate for name in self._activations_of(d)]
            states = [state[d] for state in rest] if self.with_states else [final[d] for final in finals]
            bias_w, bias_r = np.split(b[d], 2)
            for t in reversed(range(steps)) if reverse else range(steps):
                after = self._step(functions, x[t] @ w[d].T + bias_w, states, r[d], bias_r)
                active = (t < lengths)[:, np.newaxis]
                states = [np.where(active, new, old) for new, old in zip(after, states, strict=True)]
                y[t, d] = np.where(active, states[0], 0)
            for final, state in zip(finals, states, strict=True):
                final[d] = np.where((lengths > 0)[:, np.newaxis], state, 0) if self.with_lengths else state
        return (y, *finals)

    def _step(self, functions: Functions, x: Array, states: Sequence[Array], r: Array, bias: Array) -> list[Array]:
        """The next states, from the projected input with its bias."""
        raise NotImplementedError(type(self).__name__)

    def _activations_of(self, direction: int) -> tuple[str, ...]:
        count = len(self.default_activations)
        return self.activations[direction * count : (direction + 1) * count]

    def flops(self, node: Node, size: Size) -> int:
        """Each step multiplies with all of ``w`` and ``r``."""
        x, w, r = (value.type for value in node.inputs[:3])
        return 2 * size(x.shape[0]) * size(x.shape[1]) * (w.elements(size) + r.elements(size))

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        raise IRError(f"{self.name} is for inference and has no gradient; take gradients before lower_recurrence")

    @property
    def known_to_cudnn(self) -> bool:
        """Whether ONNX Runtime's kernels for CUDA compute this.

        They know the usual activations, no clipping, and a GRU's reset gate after the product only; they reverse padded
        sequences with their padding (``RNNNeedFallbackToCPU`` and ``CudnnRnnBase`` in its sources).
        """
        usual = self.activations == self.default_activations * len(DIRECTIONS[self.direction])
        return usual and not (self.with_lengths and self.direction == "reverse")

    def lower(self, b: Builder, node: Node, *names: str) -> tuple[str, ...]:
        if b.target.provider == "cuda" and not self.known_to_cudnn:
            return self._lower_to_loops(b, node, *names)
        x, w, r, bias, *rest = names
        lengths = rest.pop(0) if self.with_lengths else ""
        return b.multi(
            self.onnx,
            *(x, w, r, bias),
            *((lengths, *rest) if lengths or rest else ()),
            outputs=1 + self.states,
            hidden_size=node.inputs[2].shape[2],
            direction=None if self.direction == "forward" else self.direction,
            **self._activation_attributes(),
            **self._more_attributes(),
        )

    def _lower_to_loops(self, b: Builder, node: Node, *names: str) -> tuple[str, ...]:
        inputs = [input_value(f"operand_{i}", value.dtype, value.shape) for i, value in enumerate(node.inputs)]
        x, w, r, bias, *rest = inputs
        lengths = rest.pop(0) if self.with_lengths else None
        states = rest or [zeros_of(value.type) for value in node.outputs[1:]]
        directions = [
            (reverse, [activation_named(name).apply for name in self._activations_of(d)])
            for d, reverse in enumerate(DIRECTIONS[self.direction])
        ]
        return b.inline(Graph(inputs, loops(self.next_states, directions, x, w, r, bias, lengths, states)), names)

    @property
    def next_states(self) -> NextStates:
        """One step of the loop that computes the same."""
        raise NotImplementedError(type(self).__name__)

    def _activation_attributes(self) -> dict[str, Any]:
        """The attributes that differ from the defaults: kernels for CUDA accept no others."""
        if self.activations == self.default_activations * len(DIRECTIONS[self.direction]):
            return {}
        used = [ONNX_ACTIVATIONS[name] for name in self.activations]
        attributes: dict[str, Any] = {"activations": [activation.name for activation in used]}
        # Only those activations that have a parameter take one from the list.
        for key in ("alpha", "beta"):
            numbers = [number for number in (getattr(activation, key) for activation in used) if number is not None]
            if numbers:
                attributes[f"activation_{key}"] = numbers
        return attributes

    def _more_attributes(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True)
class OnnxLSTM(RecurrentOperator):
    """LSTM without peepholes; gates in the order i, o, f, c. Activations are those of gates, input, and output."""

    onnx, gates, states = "LSTM", 4, 2
    default_activations = ("sigmoid", "tanh", "tanh")

    @property
    def next_states(self) -> NextStates:
        return lstm_step

    def _step(self, functions: Functions, x: Array, states: Sequence[Array], r: Array, bias: Array) -> list[Array]:
        gate, activation, output = functions
        i, o, f, g = np.split(x + states[0] @ r.T + bias, 4, axis=-1)
        c = gate(f) * states[1] + gate(i) * activation(g)
        return [gate(o) * output(c), c]


@dataclass(frozen=True)
class OnnxGRU(RecurrentOperator):
    """GRU; gates in the order z, r, h. Activations are those of gates and of the new state.

    With ``linear_before_reset`` the reset gate multiplies ``h @ r + b`` (Keras' ``reset_after``), else ``h``.
    """

    linear_before_reset: bool = False

    onnx, gates = "GRU", 3
    default_activations = ("sigmoid", "tanh")

    @property
    def next_states(self) -> NextStates:
        return gru_step_after if self.linear_before_reset else gru_step

    @property
    def known_to_cudnn(self) -> bool:
        return self.linear_before_reset and super().known_to_cudnn

    def _step(self, functions: Functions, x: Array, states: Sequence[Array], r: Array, bias: Array) -> list[Array]:
        gate, activation = functions
        (h,) = states
        (x_z, x_r, x_h), (r_z, r_r, r_h), (b_z, b_r, b_h) = np.split(x, 3, -1), np.split(r, 3), np.split(bias, 3)
        update, reset = gate(x_z + h @ r_z.T + b_z), gate(x_r + h @ r_r.T + b_r)
        inner = reset * (h @ r_h.T + b_h) if self.linear_before_reset else (reset * h) @ r_h.T + b_h
        return [update * h + (1 - update) * activation(x_h + inner)]

    def _more_attributes(self) -> dict[str, Any]:
        return {"linear_before_reset": 1} if self.linear_before_reset else {}


@dataclass(frozen=True)
class OnnxRNN(RecurrentOperator):
    """``h = f(x @ w' + h @ r' + biases)``.

    Lengths are at least 1: at 0 ONNX Runtime's kernel reads outside of its memory (up to 1.25) and may end the process.
    """

    onnx, gates = "RNN", 1
    default_activations = ("tanh",)

    @property
    def next_states(self) -> NextStates:
        return rnn_step

    @property
    def known_to_cudnn(self) -> bool:
        return set(self.activations) in ({"tanh"}, {"relu"}) and not self.with_lengths

    def _step(self, functions: Functions, x: Array, states: Sequence[Array], r: Array, bias: Array) -> list[Array]:
        return [functions[0](x + states[0] @ r.T + bias)]


def recurrent_operator(
    op: RecurrentOperator,
    x: Value,
    w: Value,
    r: Value,
    b: Value,
    lengths: Value | None = None,
    states: Sequence[Value] = (),
) -> tuple[Value, ...]:
    """``y`` and the last states of an operator whose ``with_lengths`` and ``with_states`` say what it is given.

    Raises:
        IRError: operands are missing, or do not fit together.
    """
    return apply_multi(op, x, w, r, b, *([] if lengths is None else [lengths]), *states)
