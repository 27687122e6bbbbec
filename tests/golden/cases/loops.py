"""Which hooks of callbacks fit, evaluate and predict call, with which keys in the logs.

Each case is a function of the Keras module and a callback; the oracle and kcompile run the same lines.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

X = np.arange(15, dtype="float32").reshape(5, 3) / 15
Y = np.arange(5, dtype="float32")[:, None] / 5
VALIDATION = (X[:3], Y[:3])

LOOPS = {"train": ("epoch", "train_batch"), "test": ("test_batch",), "predict": ("predict_batch",)}
HOOKS = [f"on_{name}_{end}" for loop, inner in LOOPS.items() for name in (loop, *inner) for end in ("begin", "end")]


def recorder(keras: Any) -> Any:
    """A callback that notes each call as ``hook number keys``."""

    class Recorder(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.calls: list[str] = []

    def note(hook: str) -> Callable[..., None]:
        def method(self: Any, *arguments: Any, logs: Any = None) -> None:
            *number, logs = arguments if logs is None else (*arguments, logs)
            self.calls.append(" ".join([hook.removeprefix("on_"), *map(str, number), *logs]))

        return method

    for hook in HOOKS:
        setattr(Recorder, hook, note(hook))
    return Recorder()


def sequence(keras: Any, length: int, change: int = 0) -> Any:
    """A Sequence that changes its length at the end of each epoch."""

    class Batches(keras.utils.Sequence):
        length = 0

        def __len__(self) -> int:
            return self.length

        def __getitem__(self, index: int) -> Any:
            return X[index : index + 2], Y[index : index + 2]

        def on_epoch_end(self) -> None:
            self.length += change

    found = Batches()
    found.length = length
    return found


def stop(keras: Any, model: Any) -> Any:
    return keras.callbacks.LambdaCallback(on_train_batch_end=lambda *_: setattr(model, "stop_training", True))


CASES: dict[str, Callable[[Any, Any, dict[str, Any]], Any]] = {
    "fit": lambda k, m, c: m.fit(X, Y, batch_size=2, epochs=2, **c),
    "validation": lambda k, m, c: m.fit(X, Y, batch_size=2, validation_data=VALIDATION, **c),
    "validation_freq": lambda k, m, c: m.fit(
        X, Y, batch_size=4, epochs=2, validation_data=VALIDATION, validation_freq=2, **c
    ),
    "validation_batch_size": lambda k, m, c: m.fit(
        X, Y, batch_size=5, validation_data=VALIDATION, validation_batch_size=1, **c
    ),
    "validation_split": lambda k, m, c: m.fit(X, Y, batch_size=2, validation_split=0.4, **c),
    "steps_per_execution 2": lambda k, m, c: m.fit(
        X, Y, batch_size=1, validation_data=VALIDATION, validation_batch_size=1, **c
    ),
    "steps_per_execution 2, evaluate": lambda k, m, c: m.evaluate(X, Y, batch_size=1, **c),
    "steps_per_execution 2, predict": lambda k, m, c: m.predict(X, batch_size=1, **c),
    "evaluate": lambda k, m, c: m.evaluate(X, Y, batch_size=2, **c),
    "predict": lambda k, m, c: m.predict(X, batch_size=2, **c),
    "predict one batch": lambda k, m, c: m.predict(X, **c),
    "sequence": lambda k, m, c: m.fit(sequence(k, 3), validation_data=sequence(k, 2), **c),
    "sequence, evaluate": lambda k, m, c: m.evaluate(sequence(k, 3), **c),
    "sequence, predict": lambda k, m, c: m.predict(sequence(k, 3), **c),
    "growing sequences": lambda k, m, c: m.fit(sequence(k, 1, 1), epochs=3, validation_data=sequence(k, 1, 1), **c),
    "shrinking sequence": lambda k, m, c: m.fit(sequence(k, 2, -1), epochs=2, **c),
    "stopped": lambda k, m, c: m.fit(
        X, Y, batch_size=2, epochs=2, validation_data=VALIDATION, **{**c, "callbacks": [*c["callbacks"], stop(k, m)]}
    ),
}


def run(keras: Any, name: str) -> list[str]:
    """The calls of one case."""
    model = keras.models.Sequential([keras.layers.Dense(1, input_shape=(3,))])
    options = {"steps_per_execution": 2} if name.startswith("steps_per_execution") else {}
    model.compile("sgd", "mse", metrics=["mae"], **options)
    seen = recorder(keras)
    CASES[name](keras, model, {"callbacks": [seen], "verbose": 0})
    return list(seen.calls)
