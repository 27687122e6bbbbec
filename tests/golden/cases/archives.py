"""Models in ``.keras`` archives: those of HDF5 files, and what only archives hold."""

from collections.abc import Callable
from typing import Any

from tests.golden import data
from tests.golden.cases import files
from tests.golden.cases.files import SAMPLES, Saved


def operations(keras: Any, optimizers: Any) -> Saved:
    """Operators and slices between layers."""
    layers = keras.layers
    first, second = layers.Input(shape=(4, 3), name="first"), layers.Input(shape=(4, 3), name="second")
    x = layers.Dense(3, activation="tanh", name="dense")(first)
    x = (2.0 * x - second / 4.0 + 1.0) * x
    x = layers.Flatten(name="flat")(x[:, 1:, :2] - x[:, :-1, 1:])
    y = layers.Dense(2, name="scores")(x)
    model = keras.models.Model([first, second], 1.0 - y, name="operations")
    model.compile(optimizers.Adagrad(learning_rate=0.05), "mse")
    inputs = [data.normal((SAMPLES, 4, 3), "operations", side) for side in ("first", "second")]
    return Saved(model, inputs, data.normal((SAMPLES, 2), "operations", "y"))


def states(keras: Any, optimizers: Any) -> Saved:
    """States that one recurrent layer gives to another; arguments of calls that are tensors."""
    layers = keras.layers
    source, target = layers.Input(shape=(4, 3), name="source"), layers.Input(shape=(None, 2), name="target")
    _, h, c = layers.LSTM(3, return_state=True, name="encoder")(source)
    y = layers.LSTM(3, return_sequences=True, name="decoder")(target, initial_state=[h, c])
    y = layers.LeakyReLU(0.1, name="slope")(y)
    y = layers.TimeDistributed(layers.Dense(2, name="inner"), name="steps")(y)
    model = keras.models.Model([source, target], y, name="translator")
    model.compile(optimizers.Adamax(learning_rate=0.05), "mse")
    inputs = [data.normal((SAMPLES, 4, 3), "states", "source"), data.normal((SAMPLES, 5, 2), "states", "target")]
    return Saved(model, inputs, data.normal((SAMPLES, 5, 2), "states", "y"))


CASES: dict[str, Callable[[Any, Any], Saved]] = {**files.CASES, "operations": operations, "states": states}
