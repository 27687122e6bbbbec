"""Cells as users write them, for ``RNN``: each with the shape of its step's input, and of its constants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kcompile import backend as K
from kcompile import layers as L
from kcompile.symbolic.tensor import TensorShape


class Minimal(L.Layer):
    """The cell of Keras' documentation."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        self.units = units
        self.state_size = units
        super().__init__(**kwargs)

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units), initializer="uniform", name="kernel")
        self.recurrent_kernel = self.add_weight(
            shape=(self.units, self.units), initializer="uniform", name="recurrent_kernel"
        )
        self.built = True

    def call(self, inputs: Any, states: Any) -> Any:
        prev_output = states[0]
        h = K.dot(inputs, self.kernel)
        output = h + K.dot(prev_output, self.recurrent_kernel)
        return output, [output]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


class Attention(L.Layer):
    """Two states, one a pair of tensors; looks at constants, whose weighted sum it takes in."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.state_size = [units, (units, 2)]
        self.output_size = 2 * units
        self.inner = L.Dense(units, activation="tanh")

    def build(self, input_shape: Any) -> None:
        self.query = self.add_weight(shape=(self.units, 3), initializer="uniform", name="query")
        self.leak = self.add_weight(shape=(self.units,), initializer="ones", name="leak")
        self.inner.build((None, input_shape[-1] + 3))
        self.built = True

    def call(self, inputs: Any, states: Any, constants: Any = None) -> Any:
        h, (a, b) = states
        (memory,) = constants
        scores = K.softmax(K.sum(memory * K.expand_dims(K.dot(h, self.query), 1), axis=2))
        seen = K.sum(memory * K.expand_dims(scores, 2), axis=1)
        new = self.inner(K.concatenate([inputs, seen]))
        a = K.sigmoid(self.leak) * a + new
        b = 0.5 * b + scores[:, :2]
        return K.concatenate([new, a]), [new * K.tanh(K.sum(b, axis=1, keepdims=True)), (a, b)]


class Phases(L.Layer):
    """Behaves otherwise in training, decided in Python."""

    state_size = 3

    def build(self, input_shape: Any) -> None:
        self.scale = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="scale")
        self.built = True

    def call(self, inputs: Any, states: Any, training: Any = None) -> Any:
        h = K.tanh(states[0] + self.scale * inputs)
        if training:
            h = h * 0.5
        return h, [h]


class Dropping(L.Layer):
    """Has a layer that drops inputs in training, and asks for the phase itself."""

    state_size = 3

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.drop = L.Dropout(0.5)

    def call(self, inputs: Any, states: Any) -> Any:
        h = K.tanh(K.in_train_phase(states[0] * 0.5, states[0]) + self.drop(inputs))
        return h, [h]


class Convolutional(L.Layer):
    """A state that is an image."""

    state_size = TensorShape((4, 4, 2))

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.of_input = L.Conv2D(4, 3, padding="same")
        self.of_state = L.Conv2D(4, 3, padding="same", use_bias=False)

    def build(self, input_shape: Any) -> None:
        self.of_input.build(input_shape)
        self.of_state.build((None, 4, 4, 2))
        self.built = True

    def call(self, inputs: Any, states: Any) -> Any:
        both = self.of_input(inputs) + self.of_state(states[0])
        gate = K.sigmoid(both[..., :2])
        h = gate * states[0] + (1 - gate) * K.tanh(both[..., 2:])
        return h, [h]


class Counting(L.Layer):
    """Counts its steps in whole numbers; the mean of all inputs so far."""

    state_size = [3, 1]

    def get_initial_state(self, inputs: Any = None, batch_size: Any = None, dtype: Any = None) -> Any:
        return [K.ones((batch_size, 3)), K.zeros((batch_size, 1), dtype="int32")]

    def call(self, inputs: Any, states: Any) -> Any:
        mean, count = states
        count = count + 1
        mean = mean + (inputs * inputs - mean) / K.cast(count, K.dtype(mean))
        return mean, [mean, count]


class Plain:
    """No layer at all."""

    state_size = 3
    output_size = 2

    def call(self, inputs: Any, states: Any) -> Any:
        h = K.maximum(inputs, 0.9 * states[0])
        return h[:, 1:] * inputs[:, :2], [h]


@dataclass(frozen=True)
class Case:
    """``make`` a cell for steps of shape ``features``; ``constants`` are shapes too."""

    name: str
    make: Any
    features: tuple[int, ...]
    constants: tuple[tuple[int, ...], ...] = ()


CASES = [
    Case("minimal", lambda: Minimal(3), (5,)),
    Case("attention", lambda: Attention(2), (4,), ((3, 3),)),
    Case("phases", Phases, (3,)),
    Case("convolutional", Convolutional, (4, 4, 1)),
    Case("counting", Counting, (3,)),
    Case("plain", Plain, (3,)),
    Case("stacked", lambda: L.StackedRNNCells([Minimal(3), Phases(), Minimal(2)]), (3,)),
]
