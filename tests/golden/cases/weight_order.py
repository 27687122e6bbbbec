"""Models whose weights lie in layers inside layers: in what order Keras lists them.

Each case is a function of the Keras module and returns a built model; every layer has a name of its own.
``FROZEN`` tells for each case which layers are frozen in turn (``None``: nothing is).
"""

from collections.abc import Callable
from typing import Any


def _shape(x: Any) -> Any:
    return x.shape[-1]


def _block(keras: Any, kind: Any, name: str, width: int) -> Any:
    """A user's layer: Dense, BatchNormalization, Dense as attributes, and a weight of its own."""

    class Block(kind):  # type: ignore[misc]
        def __init__(self, width: int, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.first = keras.layers.Dense(width, name=f"{name}_first")
            self.norm = keras.layers.BatchNormalization(name=f"{name}_norm")
            self.second = keras.layers.Dense(3, name=f"{name}_second")

        def build(self, shape: Any) -> None:
            self.own = self.add_weight(name="own", shape=(3,), initializer="zeros")
            self.fixed = self.add_weight(name="fixed", shape=(3,), initializer="zeros", trainable=False)
            super().build(shape)

        def call(self, x: Any) -> Any:
            return self.second(self.norm(self.first(x))) + self.own + self.fixed

    return Block(width, name=name)


def own_layer(keras: Any) -> Any:
    x = keras.Input((3,), name="x")
    y = _block(keras, keras.layers.Layer, "a", 4)(x)
    y = keras.layers.BatchNormalization(name="norm")(y)
    return keras.Model(x, _block(keras, keras.layers.Layer, "b", 5)(y), name="model")


def own_layer_in_own_layer(keras: Any) -> Any:
    class Outer(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.norm = keras.layers.BatchNormalization(name="outer_norm")
            self.block = _block(keras, keras.layers.Layer, "a", 4)
            self.last = keras.layers.Dense(2, name="outer_last")

        def call(self, x: Any) -> Any:
            return self.last(self.block(self.norm(x)))

    x = keras.Input((3,), name="x")
    return keras.Model(x, Outer(name="outer")(x), name="model")


def _inner(keras: Any, name: str) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Dense(4, input_shape=(3,), name=f"{name}_first"),
            layers.BatchNormalization(name=f"{name}_norm"),
            layers.Dense(3, name=f"{name}_second"),
        ],
        name=name,
    )


def nested_model(keras: Any) -> Any:
    x = keras.Input((3,), name="x")
    y = _inner(keras, "a")(x)
    y = keras.layers.BatchNormalization(name="norm")(y)
    return keras.Model(x, keras.layers.Dense(2, name="last")(_inner(keras, "b")(y)), name="model")


def nested_twice(keras: Any) -> Any:
    x = keras.Input((3,), name="middle_x")
    y = keras.layers.Dense(3, name="middle_last")(_inner(keras, "a")(x))
    middle = keras.Model(x, y, name="middle")
    return keras.Sequential(
        [middle, keras.layers.BatchNormalization(name="norm"), keras.layers.Dense(2, name="last")], name="model"
    )


def model_in_own_layer(keras: Any) -> Any:
    class Holder(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.inner = _inner(keras, "a")
            self.last = keras.layers.Dense(2, name="holder_last")

        def call(self, x: Any) -> Any:
            return self.last(self.inner(x))

    x = keras.Input((3,), name="x")
    return keras.Model(x, Holder(name="holder")(x), name="model")


def time_distributed(keras: Any) -> Any:
    x = keras.Input((2, 3), name="x")
    y = keras.layers.TimeDistributed(_inner(keras, "a"), name="steps")(x)
    y = keras.layers.TimeDistributed(keras.layers.BatchNormalization(name="norm"), name="norms")(y)
    return keras.Model(x, keras.layers.TimeDistributed(keras.layers.Dense(2, name="d"), name="last")(y), name="model")


def recurrent(keras: Any) -> Any:
    layers = keras.layers
    x = keras.Input((2, 3), name="x")
    y = layers.Bidirectional(layers.LSTM(2, return_sequences=True, name="lstm"), name="both")(x)
    cells = [layers.LSTMCell(3, name="c1"), layers.GRUCell(2, reset_after=True, name="c2")]
    y = layers.RNN(cells, return_sequences=True, name="rnn")(y)
    return keras.Model(x, layers.GRU(2, reset_after=True, name="gru")(y), name="model")


def shared(keras: Any) -> Any:
    x = keras.Input((3,), name="x")
    inner = _inner(keras, "a")
    dense = keras.layers.Dense(3, name="dense")
    return keras.Model(x, keras.layers.add([dense(inner(x)), inner(dense(x))], name="add"), name="model")


def _built(model: Any) -> Any:
    import numpy as np

    model.predict(np.zeros((2, 3), "float32"))
    return model


def subclassed(keras: Any) -> Any:
    return _built(_block(keras, keras.Model, "a", 4))


def _containers(keras: Any, kind: Any) -> Any:
    """Layers in a list that grows, a dictionary, nested lists, a tuple; replaced and removed ones."""
    layers = keras.layers

    class Parts(kind):  # type: ignore[misc]
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.late: Any = None
            self.last = layers.Dense(2, name="last")
            self.parts: list[Any] = []
            self.parts.append(layers.Dense(4, name="p0"))
            self.parts += [layers.BatchNormalization(name="p1"), layers.Dense(3, name="p2")]
            self.named = {"z": layers.Dense(3, name="z"), "b": layers.BatchNormalization(name="b")}
            self.named["a"] = layers.Dense(3, name="a")
            self.nested = [[layers.Dense(3, name="n0")], {"k": [layers.BatchNormalization(name="n1")]}]
            self.nested[0].append(layers.Dense(3, name="n2"))
            self.pair = (layers.Dense(3, name="t0"), [layers.Dense(3, name="t1")], 5)
            self.numbers = [1, 2, "text", None]
            self.gone = layers.Dense(7, name="gone")
            self.replaced = layers.Dense(3, name="r0")
            self.popped = [layers.Dense(3, name="q0"), layers.Dense(3, name="q1")]
            del self.gone
            self.replaced = layers.Dense(3, name="r1")
            self.popped.pop(0)
            self.late = layers.Dense(3, name="late")
            self._private = layers.Dense(3, name="private")
            self.again = self.last

        def call(self, x: Any) -> Any:
            for layer in self.parts:
                x = layer(x)
            for key in ("z", "b", "a"):
                x = self.named[key](x)
            x = self.nested[1]["k"][0](self.nested[0][1](self.nested[0][0](x)))
            x = self.pair[1][0](self.pair[0](x))
            return self.last(self._private(self.late(self.popped[0](self.replaced(x)))))

    return Parts(name="parts_of")


def containers_in_layer(keras: Any) -> Any:
    x = keras.Input((3,), name="x")
    y = _containers(keras, keras.layers.Layer)(x)
    return keras.Model(x, keras.layers.Dense(2, name="outer_last")(y), name="model")


def containers_in_model(keras: Any) -> Any:
    return _built(_containers(keras, keras.Model))


def containers_in_sublayer_of_model(keras: Any) -> Any:
    class Outer(keras.Model):  # type: ignore[misc]
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.blocks = [_containers(keras, keras.layers.Layer)]
            self.models = {"m": _inner(keras, "m")}
            self.out = keras.layers.Dense(2, name="out")

        def build(self, shape: Any) -> None:
            self.own = self.add_weight(name="own", shape=(2,), initializer="zeros")
            super().build(shape)

        def call(self, x: Any) -> Any:
            return self.out(self.blocks[0](self.models["m"](x))) + self.own

    return _built(Outer(name="outer"))


CASES: dict[str, Callable[[Any], Any]] = {
    function.__name__: function
    for function in (
        own_layer, own_layer_in_own_layer, nested_model, nested_twice, model_in_own_layer, time_distributed, recurrent,
        shared, subclassed, containers_in_layer, containers_in_model, containers_in_sublayer_of_model,
    )
}  # fmt: skip

FROZEN: dict[str, list[str]] = {
    "own_layer": ["a", "a_first", "a_norm", "norm", "model"],
    "own_layer_in_own_layer": ["outer", "a", "a_first", "outer_norm"],
    "nested_model": ["a", "a_first", "a_norm", "b_second", "norm", "model"],
    "nested_twice": ["middle", "a", "a_norm", "a_first", "model"],
    "model_in_own_layer": ["holder", "a", "a_first", "a_norm"],
    "time_distributed": ["steps", "a", "a_first", "norms", "model"],
    "recurrent": ["both", "rnn", "gru", "model"],
    "shared": ["a", "a_first", "dense", "model"],
    "subclassed": ["a_first", "a_norm", "a"],
    "containers_in_layer": ["p0", "b", "n1", "parts_of"],
    "containers_in_model": ["p0", "b", "n1", "parts_of"],
    "containers_in_sublayer_of_model": ["p0", "b", "n1", "parts_of", "m", "outer"],
}

FILES: list[tuple[str, str, str, str]] = [
    *(("tf_keras", name, ".h5", frozen[1]) for name, frozen in FROZEN.items()),
    ("tf_keras", "subclassed", ".weights.h5", ""),
    ("tf_keras", "containers_in_layer", ".weights.h5", ""),
    ("keras_3", "subclassed", ".weights.h5", ""),
    ("keras_3", "containers_in_layer", ".weights.h5", ""),
    ("keras_3", "containers_in_sublayer_of_model", ".weights.h5", ""),
]
"""Files of weights: who wrote it, the case, the ending, the layer that was frozen. In the order of the case's weights
they are filled with 0, 1, 2..."""


def labels(model: Any, children: Callable[[Any], list[Any]]) -> dict[int, str]:
    """Names of all weights by the ids of the variables: layer and number there, the same in every Keras."""
    found: dict[int, str] = {}

    def walk(layer: Any, owner: str) -> None:
        name = owner if "cell" in layer.name or layer.name == owner else layer.name
        kind = "weights" if hasattr(layer, "_trainable_weights") else "variables"  # Keras 3 says variables
        own = [*getattr(layer, f"_trainable_{kind}"), *getattr(layer, f"_non_trainable_{kind}")]
        for number, weight in enumerate(own):
            found.setdefault(id(weight), f"{name}.{number}")
        for child in children(layer):
            walk(child, name)

    walk(model, "")
    return found
