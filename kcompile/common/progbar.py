"""The progress bar of fit, evaluate and predict, in tf.keras' format."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

_LINE_INTERVAL = 5.0  # seconds between lines where a bar cannot be redrawn in place (files, pipes, CI logs)


class Progbar:
    """Shows progress towards ``target`` on standard output.

    On a terminal (and in notebooks) one line is redrawn; elsewhere a line is written at most every five
    seconds, and a last one when the target is reached.

    Args:
        target: total number of steps, or None when unknown.
        width: width of the bar in characters.
        verbose: 0 silent, 1 a bar, 2 one line at the end: ``3/3 - 2s - loss: 0.5000 - 2s/epoch - 667ms/step``.
        interval: shortest time between two drawings, in seconds.
        stateful_metrics: names of values to show as they are; all others are averaged over the steps.
    """

    def __init__(
        self,
        target: int | None,
        width: int = 30,
        verbose: int = 1,
        interval: float = 0.05,
        stateful_metrics: Iterable[str] | None = None,
    ):
        self.target = target
        self.width = width
        self.verbose = verbose
        self.stateful_metrics = set(stateful_metrics or ())
        self._redraws = _redraws(sys.stdout)
        self.interval = interval if self._redraws else max(interval, _LINE_INTERVAL)
        self._drawn_width = 0
        self._seen = 0
        self._values: dict[str, tuple[float, float]] = {}  # name -> (weighted sum, weight)
        self._start = time.time()
        self._first_done: float | None = None  # when the first step was: it compiles, and says little about the others
        # The first drawing comes at once on a terminal; a log gets no line before the interval has passed.
        self._last_drawn = 0.0 if self._redraws else self._start

    def due(self, current: int) -> bool:
        """Whether ``update(current)`` would draw now; ask before collecting values that cost something to
        read.
        """
        finished = self.target is not None and current >= self.target
        if self.verbose != 1:
            return self.verbose == 2 and finished
        return finished or time.time() - self._last_drawn >= self.interval

    def update(
        self, current: int, values: Sequence[tuple[str, Any]] | None = None, finalize: bool | None = None
    ) -> None:
        """Set the number of steps done, and add ``(name, value of the steps since the last call)`` pairs.

        ``finalize=True`` draws and ends the line even if the target was not reached.
        """
        for name, value in values or ():
            if name in self.stateful_metrics:
                self._values[name] = (_as_number(value), 1.0)
            else:
                steps = current - self._seen
                total, weight = self._values.get(name, (0.0, 0.0))
                self._values[name] = (total + _as_number(value) * steps, weight + steps)
        self._seen = current
        if current == 1 and self._first_done is None:
            self._first_done = time.time()
        if finalize is None:
            finalize = self.target is not None and current >= self.target
        if not self.verbose or not (finalize or self.due(current)):
            return
        now = time.time()
        if self.verbose == 1:
            self._draw(current, now, finalize)
        else:
            self._write(self._line(current, now - self._start) + "\n")
        self._last_drawn = now

    def add(self, n: int, values: Sequence[tuple[str, Any]] | None = None) -> None:
        """Count ``n`` more steps; ``values`` as in ``update``."""
        self.update(self._seen + n, values)

    def _line(self, current: int, elapsed: float) -> str:
        """The one line of an epoch."""
        target = current if self.target is None else self.target
        per_step = elapsed / current if current else 0.0
        return (
            f"{current:{len(str(target))}d}/{target} - {elapsed:.0f}s{self._values_text()}"
            f" - {_duration(elapsed)}/epoch - {_duration(per_step)}/step"
        )

    def _draw(self, current: int, now: float, final: bool) -> None:
        target = current if final and self.target is None else self.target
        line = self._bar(current, target) + self._timing(current, now, final) + self._values_text()
        if not self._redraws:
            self._write(line + "\n")
            return
        padding = " " * max(0, self._drawn_width - len(line))
        back = "\b" * self._drawn_width + "\r"
        self._write(back + line + padding + ("\n" if final else ""))
        self._drawn_width = len(line)

    def _bar(self, current: int, target: int | None) -> str:
        if target is None:
            return f"{current:7d}/Unknown"
        filled = int(self.width * (current / target)) if target else self.width
        filled = min(filled, self.width)
        bar = ""
        if filled > 0:
            bar = "=" * (filled - 1) + (">" if current < target else "=")
        return f"{current:{len(str(target))}d}/{target} [{bar}{'.' * (self.width - filled)}]"

    def _timing(self, current: int, now: float, final: bool) -> str:
        elapsed = now - self._start
        per_step = elapsed / current if current else 0.0
        if self._first_done is not None and current > 1:
            per_step = (now - self._first_done) / (current - 1)
        if self.target is not None and not final:
            eta = int(per_step * (self.target - current))
            if eta > 3600:
                return f" - ETA: {eta // 3600}:{eta % 3600 // 60:02d}:{eta % 60:02d}"
            return f" - ETA: {eta // 60}:{eta % 60:02d}" if eta > 60 else f" - ETA: {eta}s"
        return f" - {elapsed:.0f}s {_duration(per_step)}/step"

    def _values_text(self) -> str:
        text = ""
        for name, (total, weight) in self._values.items():
            average = total / max(1.0, weight)
            text += f" - {name}: {average:.4f}" if abs(average) > 1e-3 else f" - {name}: {average:.4e}"
        return text

    @staticmethod
    def _write(text: str) -> None:
        if sys.stdout is not None:  # as in programs without a console
            sys.stdout.write(text)
            sys.stdout.flush()


def _redraws(stream: Any) -> bool:
    """Whether a line on this stream can be drawn again: on terminals, and where notebooks show it."""
    if "ipykernel" in sys.modules or "PYCHARM_HOSTED" in os.environ:
        return True
    return bool(stream.isatty()) if hasattr(stream, "isatty") else False


def _duration(seconds: float) -> str:
    if seconds >= 1 or seconds == 0:
        return f"{seconds:.0f}s"
    return f"{seconds * 1e3:.0f}ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f}us"


def _as_number(value: Any) -> float:
    """A value as it is shown: of several, such as those of a metric with several thresholds, the mean."""
    return float(value.mean() if getattr(value, "ndim", 0) else value)
