"""`fit` of a Keras-style package (kcompile, Keras 3), timed. Runs in the peer's environment."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks import models

MAXIMUM_EPOCHS = 1_000_000
Stamp = tuple[float, float]


def epoch_timer(keras: Any, seconds: float, minimum: int) -> Any:
    """A callback that stamps the first step and the end of each epoch.

    It stops after `seconds` and at least `minimum` epochs. It doesn't read the logs.
    """

    class EpochTimer(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.started = time.perf_counter()
            self.starts: list[Stamp] = []
            self.ends: list[Stamp] = []

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            if batch == 0:
                self.starts.append(stamp())

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.ends.append(stamp())
            if len(self.ends) >= minimum and self.ends[-1][0] - self.started >= seconds:
                self.model.stop_training = True

    return EpochTimer()


class KerasTraining:
    """One model trained by `model.fit` on synthetic data, in epochs of a part (1/`parts`) of the usual steps."""

    def __init__(self, name: str, keras: Any, parts: int = 1) -> None:
        self.name = name
        self.keras = keras
        self.benchmark = models.find(name)
        self.model: Any = None
        self.steps = max(1, self.benchmark.steps // parts)
        self.x, self.y = models.data(name, self.steps * self.benchmark.batch_size)

    def prepare(self) -> dict[str, float]:
        """Time from nothing to the end of the first training step; then one whole epoch as warm-up."""
        batch = self.benchmark.batch_size
        start = time.perf_counter()
        self.model = models.build(self.name, self.keras)
        built = time.perf_counter()
        self.model.fit(self.x[:batch], self.y[:batch], batch_size=batch, epochs=1, verbose=0)
        first = time.perf_counter()
        self.model.fit(self.x, self.y, batch_size=batch, epochs=1, verbose=0)
        return {"build": built - start, "first step": first - start, "layers": len(self.model.layers)}

    def round(self, seconds: float) -> dict[str, list[float]]:
        """One call of `fit` with many epochs, the first of which isn't counted."""
        timer = epoch_timer(self.keras, seconds, minimum=3)
        batch = self.benchmark.batch_size
        self.model.fit(self.x, self.y, batch_size=batch, epochs=MAXIMUM_EPOCHS, verbose=0, callbacks=[timer])
        return per_step(timer.starts, timer.ends, self.steps)


def stamp() -> Stamp:
    """Now, in wall-clock seconds and in seconds of processor time of this process."""
    return time.perf_counter(), time.process_time()


def per_step(starts: list[Stamp], ends: list[Stamp], steps: int) -> dict[str, list[float]]:
    """Seconds per step of each epoch but the first, and the seconds between the epochs.

    A step's share is that of the time from the start of the epoch's first step to the end of the epoch, in
    wall-clock and in processor time. What a package does between epochs, up to the first step (shuffling,
    setting up an input pipeline), stands apart: our epochs are far shorter than real ones.
    """
    pairs = list(zip(starts, ends, strict=True))[1:]
    return {
        "step": [(end[0] - start[0]) / steps for start, end in pairs],
        "step, processor": [(end[1] - start[1]) / steps for start, end in pairs],
        "between epochs": [start[0] - end[0] for (start, _), end in zip(pairs, ends[:-1], strict=True)],
    }


def timed_epochs(epoch: Callable[[], object], seconds: float, steps: int) -> dict[str, list[float]]:
    """The same measurement for a loop written by hand: run `epoch` for `seconds`, at least 3 times."""
    starts: list[Stamp] = [stamp()]
    ends: list[Stamp] = []
    while True:
        epoch()
        ends.append(stamp())
        if len(ends) >= 3 and ends[-1][0] - starts[0][0] >= seconds:
            return per_step(starts, ends, steps)
        starts.append(stamp())
