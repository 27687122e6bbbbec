"""`fit` of a Keras-style package (kcompile, Keras 3), timed. Runs in the peer's environment."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from benchmarks import models

MAXIMUM_EPOCHS = 1_000_000
Stamp = tuple[float, float]


def epoch_timer(keras: Any, seconds: float, minimum: int) -> Any:
    """A callback that stamps the end of each epoch and stops after `seconds` and at least `minimum` epochs.

    It has no batch hooks, so it costs nothing within an epoch.
    """

    class EpochTimer(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.start = time.perf_counter()
            self.ends: list[Stamp] = []

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.ends.append(stamp())
            if len(self.ends) >= minimum and self.ends[-1][0] - self.start >= seconds:
                self.model.stop_training = True

    return EpochTimer()


class KerasTraining:
    """One model trained by `model.fit` on synthetic data."""

    def __init__(self, name: str, keras: Any) -> None:
        self.name = name
        self.keras = keras
        self.benchmark = models.find(name)
        self.model: Any = None
        self.x, self.y = models.data(name, self.benchmark.steps * self.benchmark.batch_size)

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
        """One call of `fit` with many epochs. The first isn't counted: the start of `fit` is in it.

        An epoch lasts from the end of the one before it to its own end: what happens between epochs counts.
        """
        timer = epoch_timer(self.keras, seconds, minimum=3)
        batch = self.benchmark.batch_size
        self.model.fit(self.x, self.y, batch_size=batch, epochs=MAXIMUM_EPOCHS, verbose=0, callbacks=[timer])
        return per_step(timer.ends, self.benchmark.steps)


def stamp() -> Stamp:
    """Now, in wall-clock seconds and in seconds of processor time of this process."""
    return time.perf_counter(), time.process_time()


def per_step(ends: list[Stamp], steps: int) -> dict[str, list[float]]:
    """Wall-clock and processor seconds per step of each epoch but the first, from the epochs' ends."""
    wall, processor = (list(times) for times in zip(*ends, strict=True))
    figures = {"step": wall, "step, processor": processor}
    return {
        name: [(end - start) / steps for start, end in pairwise(times)] for name, times in figures.items()
    }


def timed_epochs(epoch: Callable[[], object], seconds: float, steps: int) -> dict[str, list[float]]:
    """The same measurement for a loop written by hand: run `epoch` for `seconds`, at least 3 times."""
    start = time.perf_counter()
    ends: list[Stamp] = []
    while len(ends) < 3 or ends[-1][0] - start < seconds:
        epoch()
        ends.append(stamp())
    return per_step(ends, steps)
