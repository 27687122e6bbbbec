"""Recurrent layers, their cells, and cells as users write them, over all that changes what comes out.

The cases of a group share inputs: ``x``, a mask with a row of each kind, initial states, constants.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

SAMPLES, STEPS, FEATURES, UNITS = 5, 4, 3, 2

MASK = np.array([[0, 0, 1, 1], [1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]], dtype=bool)
"""Padded on the left, on the right, inside, everywhere, nowhere."""


@dataclass(frozen=True)
class RecurrentCase:
    """A layer, and what it is called with.

    ``make`` takes the Keras module. ``initial`` and ``constants`` list the shapes, without the batch, of the tensors
    that are given; ``inputs`` those of further sequences, without batch and time. With ``time_major``, inputs and mask
    are transposed before they enter the layer.
    """

    name: str
    make: Callable[[Any], Any]
    mask: bool = False
    initial: list[tuple[int, ...]] = field(default_factory=list)
    constants: list[tuple[int, ...]] = field(default_factory=list)
    inputs: list[tuple[int, ...]] = field(default_factory=list)
    time_major: bool = False


KINDS: dict[str, tuple[str, dict[str, Any], int]] = {
    "simple": ("SimpleRNN", {}, 1),
    "gru": ("GRU", {"reset_after": False}, 1),
    "gru_after": ("GRU", {"reset_after": True}, 1),
    "lstm": ("LSTM", {}, 2),
}
"""The layer's class, arguments, and number of states."""


def made(layer: str, **arguments: Any) -> Callable[[Any], Any]:
    return lambda keras: getattr(keras.layers, layer)(UNITS, **arguments)


def combinations(kind: str) -> list[RecurrentCase]:
    layer, own, states = KINDS[kind]
    cases = []
    for sequences, backwards, initial, masking in itertools.product((0, 1), (0, 1), (0, 1), ("", "masked", "zeros")):
        flags = {"return_sequences": sequences, "go_backwards": backwards, "initial": initial}
        name = "_".join([*(key for key, on in flags.items() if on), masking]).strip("_") or "plain"
        arguments = {
            "return_sequences": bool(sequences), "go_backwards": bool(backwards), "return_state": bool(initial),
            **({"zero_output_for_mask": True} if masking == "zeros" else {}), **own,
        }  # fmt: skip
        shapes = [(UNITS,)] * states if initial else []
        cases.append(RecurrentCase(name, made(layer, **arguments), bool(masking), shapes))
    sequence = {"return_sequences": True, "return_state": True, **own}
    some = [(UNITS,)] * states
    cases += [
        RecurrentCase("unroll", made(layer, **sequence, unroll=True), False, some),
        RecurrentCase("unroll_masked", made(layer, **sequence, unroll=True, go_backwards=True), True, some),
        RecurrentCase("unroll_zeros", made(layer, **sequence, unroll=True, zero_output_for_mask=True), True),
        RecurrentCase("time_major", made(layer, **sequence, time_major=True), True, some, time_major=True),
        RecurrentCase("no_bias", made(layer, **sequence, use_bias=False), True),
        RecurrentCase("state_only", made(layer, return_state=True, **own)),
    ]
    if kind != "simple":
        cases.append(RecurrentCase("implementation_1", made(layer, **sequence, implementation=1), True, some))
    return cases


def activations() -> list[RecurrentCase]:
    plain = ("relu", "linear", "hard_sigmoid", "elu", "softsign", "softplus", "sigmoid", "selu", "exponential", "swish")
    pairs = [
        ("tanh", "hard_sigmoid"), ("relu", "sigmoid"), ("softsign", "hard_sigmoid"), ("linear", "softsign"),
        ("sigmoid", "tanh"), ("elu", "relu"), ("tanh", "softmax"), ("selu", "sigmoid"),
    ]  # fmt: skip
    found = [RecurrentCase(f"simple_{a}", made("SimpleRNN", activation=a), True) for a in plain]
    for layer, own in (("LSTM", {}), ("GRU", {"reset_after": True}), ("GRU", {"reset_after": False})):
        for a, b in pairs:
            name = "_".join([layer.lower(), "after" if own.get("reset_after") else "", a, b]).replace("__", "_")
            arguments = {"activation": a, "recurrent_activation": b, "return_sequences": True, **own}
            found.append(RecurrentCase(name, made(layer, **arguments), True))
    return found


# ---- cells as users write them


def minimal_cell(keras: Any) -> Any:
    """One state, which is the output."""
    K = keras.backend

    class MinimalCell(keras.layers.Layer):
        def __init__(self, units: int, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.units = self.state_size = units

        def build(self, input_shape: Any) -> None:
            self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1], self.units))
            self.recurrent = self.add_weight(name="recurrent", shape=(self.units, self.units))
            self.built = True

        def call(self, inputs: Any, states: Any) -> Any:
            y = K.dot(inputs, self.kernel) + K.dot(states[0], self.recurrent)
            return y, [y]

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "units": self.units}

    return MinimalCell


def gated_sum_cell(keras: Any) -> Any:
    """Three states of different ranks, an output that is none of them, and a constant."""
    K = keras.backend

    class GatedSumCell(keras.layers.Layer):
        def __init__(self, units: int, shape: Any, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.units = units
            self.state_size = [units, shape((2, 3)), 1]
            self.output_size = 3

        def build(self, input_shape: Any) -> None:
            self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1], self.units))
            self.mix = self.add_weight(name="mix", shape=(self.units, 3))
            self.built = True

        def call(self, inputs: Any, states: Any, constants: Any = None) -> Any:
            a, b, count = states
            a = K.tanh(0.3 * K.dot(inputs, self.kernel) + 0.2 * a * count)
            if constants:
                a = a + constants[0]
            b = 0.5 * b + K.expand_dims(K.dot(a, self.mix), 1)
            return K.sum(b, axis=1) * count + 1.0, [a, b, 0.5 * count + 1.0]

    return GatedSumCell


def nested_cell(keras: Any) -> Any:
    """Two sequences go in, two come out, with a state each."""
    K = keras.backend

    class NestedCell(keras.layers.Layer):
        def __init__(self, sizes: tuple[int, int], **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.state_size = list(sizes)
            self.output_size = tuple(sizes)

        def build(self, input_shapes: Any) -> None:
            (first, second) = input_shapes
            self.one = self.add_weight(name="one", shape=(first[-1], self.state_size[0]))
            self.two = self.add_weight(name="two", shape=(second[-1], self.state_size[1]))
            self.built = True

        def call(self, inputs: Any, states: Any) -> Any:
            x, y = inputs
            a = K.tanh(K.dot(x, self.one) + states[0])
            b = K.sigmoid(K.dot(y, self.two) * states[1] + K.sum(states[0], axis=-1, keepdims=True))
            return (a, b), (a, b)

    return NestedCell


def shape_type(keras: Any) -> Any:
    """What answers ``as_list``: a state of several axes is given as such."""
    import importlib

    if keras.__name__ == "kcompile":
        return importlib.import_module("kcompile.symbolic.tensor").TensorShape
    return importlib.import_module("tensorflow").TensorShape


def stack(keras: Any) -> list[Any]:
    layers = keras.layers
    return [layers.LSTMCell(3), layers.GRUCell(2, reset_after=True), layers.SimpleRNNCell(4)]


def cells() -> list[RecurrentCase]:
    cases = []
    for backwards, masking in itertools.product((0, 1), ("", "masked", "zeros")):
        name = "_".join(["backwards"] * backwards + [masking] * bool(masking))
        flags = {
            "return_sequences": True, "return_state": True, "go_backwards": bool(backwards),
            **({"zero_output_for_mask": True} if masking == "zeros" else {}),
        }  # fmt: skip
        mask = bool(masking)

        def run(cell: Callable[[Any], Any], flags: dict[str, Any] = flags) -> Callable[[Any], Any]:
            return lambda keras: keras.layers.RNN(cell(keras), **flags)

        def unrolled(cell: Callable[[Any], Any], flags: dict[str, Any] = flags) -> Callable[[Any], Any]:
            return lambda keras: keras.layers.RNN(cell(keras), unroll=True, **flags)

        minimal = lambda keras: minimal_cell(keras)(2)  # noqa: E731
        several = lambda keras: gated_sum_cell(keras)(2, shape_type(keras))  # noqa: E731
        nested = lambda keras: nested_cell(keras)((2, 3))  # noqa: E731
        shapes = [(2,), (2, 3), (1,)]
        cases += [
            RecurrentCase(f"minimal_{name}", run(minimal), mask),
            RecurrentCase(f"minimal_initial_{name}", run(minimal), mask, [(2,)]),
            RecurrentCase(f"several_{name}", run(several), mask, shapes),
            RecurrentCase(f"several_constants_{name}", run(several), mask, shapes, [(2,)]),
            RecurrentCase(f"nested_{name}", run(nested), mask, [(2,), (3,)], inputs=[(2,)]),
            RecurrentCase(f"stacked_{name}", run(stack), mask),
            RecurrentCase(
                f"stacked_with_minimal_{name}", run(lambda k: [k.layers.LSTMCell(3), minimal_cell(k)(2)]), mask
            ),
        ]
        if not (backwards and masking == "zeros"):  # tf_keras then zeroes by the mask in the order of the inputs
            cases.append(RecurrentCase(f"several_unrolled_{name}", unrolled(several), mask, shapes, [(2,)]))
    return cases


GROUPS: dict[str, list[RecurrentCase]] = {
    **{kind: combinations(kind) for kind in KINDS},
    "activations": activations(),
    "cells": cells(),
}


def tensors(case: RecurrentCase, group: str, values: Callable[..., np.ndarray]) -> dict[str, list[np.ndarray]]:
    """The arrays that a case is called with, by kind; equal for all cases of a group that take them."""
    shapes = {
        "inputs": [(SAMPLES, STEPS, FEATURES), *((SAMPLES, STEPS, *s) for s in case.inputs)],
        "initial": [(SAMPLES, *s) for s in case.initial],
        "constants": [(SAMPLES, *s) for s in case.constants],
    }
    return {kind: [values(s, group, kind, i) for i, s in enumerate(listed)] for kind, listed in shapes.items()}
