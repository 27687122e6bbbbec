"""A call that fails, or that is to leave nothing, leaves what layers have noted (``call_notes``) as it was."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kcompile import backend as K
from kcompile.engine.layer import Layer
from kcompile.engine.layer_base import Notes, noting
from kcompile.layers import (
    RNN,
    BatchNormalization,
    Bidirectional,
    Dense,
    Dropout,
    GRUCell,
    Input,
    SimpleRNN,
    TimeDistributed,
    Wrapper,
)
from kcompile.models import Model, Sequential


class Noisy(Layer):
    """Adds a loss, an update and a metric, calls a layer inside, and fails where it is told to."""

    def __init__(self, fails: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inner = Dense(3, activity_regularizer="l2")
        self.norm = BatchNormalization()
        self.fails = fails

    def build(self, input_shape: Any) -> None:
        self.count = self.add_weight(name="count", shape=(), initializer="zeros", trainable=False)
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        y = self.norm(self.inner(inputs))
        self.add_loss(K.mean(y), inputs)
        self.add_update((self.count, self.count + 1))
        self.add_metric(K.sum(y), name="size")
        if self.fails:
            raise ValueError("it fails")
        return y


class ByPhase(Noisy):
    """The same, traced in both phases."""

    def call(self, inputs: Any, training: Any = None) -> Any:
        return super().call(inputs) if training else super().call(inputs) * 2


class Around(Wrapper):
    """Calls its layer."""

    def call(self, inputs: Any) -> Any:
        return self.layer(inputs)


class Cell(Layer):
    """A cell in which a layer of a user's is called."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.noisy = Noisy()
        self.state_size = self.output_size = 3

    def call(self, inputs: Any, states: Any) -> Any:
        y = self.noisy(inputs) + states[0]
        return y, [y]


def as_model(layer: Layer) -> Model:
    x = Input((3,))
    return Model(x, layer(x))


KINDS: dict[str, tuple[Callable[[Noisy], Layer], tuple[int, ...]]] = {
    "layer": (lambda noisy: noisy, (4, 3)),
    "wrapper": (Around, (4, 3)),
    "time_distributed": (TimeDistributed, (4, 2, 3)),
    "two_around": (lambda noisy: Around(Around(noisy)), (4, 3)),
    "model": (as_model, (4, 3)),
    "sequential": (lambda noisy: Sequential([Dense(3, input_shape=(3,)), noisy]), (4, 3)),
}


def notes(*layers: Layer) -> dict[Layer, Notes]:
    return {item: item.call_notes for layer in layers for item in layer.layer_and_those_inside()}


def noted(layer: Layer) -> int:
    return sum(len(x.inbound_nodes) + x.contributions() for x in notes(layer).values())


@pytest.mark.parametrize("phases", [Noisy, ByPhase])
@pytest.mark.parametrize("kind", KINDS)
def test_a_failed_call_leaves_the_notes_as_they_were(kind: str, phases: type[Noisy]) -> None:
    make, shape = KINDS[kind]
    noisy = phases()
    layer = make(noisy)
    x = Input(batch_shape=shape)
    layer(x)
    before = notes(layer, x.keras_history[0])
    noisy.fails = True
    with pytest.raises(ValueError, match="it fails"):
        layer(x)
    assert notes(layer, x.keras_history[0]) == before
    noisy.fails = False
    layer(x)
    assert notes(layer) != before


@pytest.mark.parametrize("kind", KINDS)
def test_a_first_call_that_fails(kind: str) -> None:
    make, shape = KINDS[kind]
    noisy = Noisy()
    layer = make(noisy)
    before = notes(layer)
    x = Input(batch_shape=shape)
    noisy.fails = True
    with pytest.raises(ValueError, match="it fails"):
        layer(x)
    assert notes(layer) == before
    assert x.keras_history[0].call_notes.outbound_nodes == ()


@pytest.mark.parametrize("kind", KINDS)
def test_silent_calls(kind: str) -> None:
    make, shape = KINDS[kind]
    noisy = ByPhase()
    layer = make(noisy)
    array = np.ones(shape, "float32")
    layer(array)  # the first call of most, which makes their weights
    x = Input(batch_shape=shape)
    layer(x)
    before = notes(layer)
    layer(array)
    layer.compute_output_shape(shape)
    layer.compute_mask(x, None)
    assert notes(layer) == before
    noisy.fails = True
    with pytest.raises(ValueError, match="it fails"):
        layer(array)
    with pytest.raises(ValueError, match="it fails"):
        noisy.compute_output_shape((4, 3))
    assert notes(layer) == before


def test_what_was_never_called_on_a_tensor_has_no_notes() -> None:
    for kind in ("layer", "wrapper", "time_distributed", "two_around"):
        make, shape = KINDS[kind]
        layer = make(Noisy())
        layer(np.ones(shape, "float32"))
        layer.compute_output_shape(shape)
        assert noted(layer) == 0, kind


def test_steps_of_time_distributed_and_of_recurrent_layers() -> None:
    """Where the number of steps is open, a layer that goes on from step to step is refused."""
    for layer in (TimeDistributed(Noisy()), RNN(Cell())):
        with pytest.raises(ValueError, match=r"known|no value"):
            layer(Input(batch_shape=(4, None, 3)))
        assert noted(layer) == 0


def test_directions_of_recurrent_layers() -> None:
    layer = Bidirectional(RNN(GRUCell(2)))
    layer(Input((5, 3)))
    before = notes(layer)
    layer(np.ones((1, 5, 3), "float32"))
    with pytest.raises(ValueError, match=r"shape|axes"):
        layer(Input((5, 4)))
    assert notes(layer) == before
    simple = Bidirectional(SimpleRNN(2, activity_regularizer="l2"))
    simple(np.ones((1, 5, 3), "float32"))
    assert noted(simple) == 0


def test_a_traced_step() -> None:
    class Own(Model):
        def train_step(self, data: Any) -> Any:
            self(data[0], training=True)
            if self.broken:
                raise ValueError("it fails")
            return super().train_step(data)

    x = Input((3,))
    model = Own(x, ByPhase()(x))
    model.compile("sgd", "mse")
    model.broken = False
    before = notes(model)
    model.fit(np.ones((4, 3)), np.ones((4, 3)), verbose=0)
    assert notes(model) == before
    model.compile("sgd", "mse")
    model.broken = True
    with pytest.raises(ValueError, match="it fails"):
        model.fit(np.ones((4, 3)), np.ones((4, 3)), verbose=0)
    assert notes(model) == before


def test_a_model_that_is_made_inside_a_silent_call_is_whole() -> None:
    made: list[Model] = []

    class Late(Layer):
        def call(self, inputs: Any) -> Any:
            if not made:
                x = Input((3,))
                made.append(Model(x, Dense(2)(x)))
            return Dropout(0.5)(inputs)

    Late()(np.ones((1, 3), "float32"))
    assert [len(layer.inbound_nodes) for layer in made[0].layers] == [1, 1]
    assert made[0].from_config(made[0].get_config()).predict(np.ones((1, 3))).shape == (1, 2)


def called_and_failing(layer: Layer, x: Any) -> None:
    layer(x)
    raise ValueError("it fails")


def test_scopes_inside_scopes() -> None:
    layer, x = Noisy(), Input((3,))
    layer(x)
    before = notes(layer)
    with noting(lasting=False):
        layer(x)
        inside = notes(layer)
        with noting(lasting=False):
            layer(x)
        assert notes(layer) == inside
        with pytest.raises(ValueError, match="it fails"), noting():
            called_and_failing(layer, x)
        assert notes(layer) == inside
        with noting():
            layer(x)
        assert notes(layer) != inside
    assert notes(layer) == before


def test_what_keras_calls_them() -> None:
    """Scripts read and assign these."""
    x = Input((3,))
    layer = Dense(2)
    y = layer(x)
    assert y._keras_history == y.keras_history == (layer, 0, 0)
    assert layer._inbound_nodes == layer.inbound_nodes == list(layer.call_notes.inbound_nodes)
    assert x._keras_history[0]._outbound_nodes == layer._inbound_nodes
    layer._inbound_nodes = []
    assert layer.inbound_nodes == []
    y._keras_mask = mask = K.cast(y, "bool")[:, 0]
    assert y.keras_mask is mask
    y._keras_history = None
    assert y.keras_history is None
