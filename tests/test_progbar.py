"""The progress bar: tf.keras' format on terminals, few lines elsewhere."""

import io
import sys

import pytest

from kcompile.common import progbar as module
from kcompile.utils import Progbar


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """Time that only moves when told."""

    class Clock:
        now = 1000.0

        def time(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def draw(monkeypatch, clock, updates, stream=Terminal, **options):
    """Feed `(seconds passed, current, values)` to a bar and return what was written."""
    monkeypatch.setattr(sys, "stdout", stream())
    bar = Progbar(**options)
    for seconds, current, values in updates:
        clock.now += seconds
        bar.update(current, values)
    return sys.stdout.getvalue()


# Each written out by hand from Keras 2.3's rules.
FORMATS = [
    (10, [(2, 5, [("loss", 0.5)])], "\r 5/10 [==============>...............] - ETA: 2s - loss: 0.5000"),
    (10, [(2, 10, [])], "\r10/10 [==============================] - 2s 200ms/step\n"),
    (1000, [(0.5, 1000, [])], "\r1000/1000 [==============================] - 0s 500us/step\n"),
    (2, [(3, 2, [])], "\r2/2 [==============================] - 3s 2s/step\n"),
    (100, [(1, 1, [])], "\r  1/100 [..............................] - ETA: 1:39"),
    (10_000, [(1, 1, [])], "\r    1/10000 [..............................] - ETA: 2:46:39"),
    (None, [(1, 4, [("loss", 2e-4)])], "\r      4/Unknown - 1s 250ms/step - loss: 2.0000e-04"),
    (
        4,
        [(1, 4, [("a", float("nan")), ("b", -1.5)])],
        "\r4/4 [==============================] - 1s 250ms/step - a: nan - b: -1.5000\n",
    ),
]


@pytest.mark.parametrize(("target", "updates", "expected"), FORMATS)
def test_formats_of_keras(monkeypatch, clock, target, updates, expected):
    assert draw(monkeypatch, clock, updates, target=target) == expected


def test_a_redrawn_line_covers_the_one_before(monkeypatch, clock):
    long, short = [("loss", 1000.0)], [("loss", -999.9)]
    text = draw(monkeypatch, clock, [(1, 1, long), (1, 2, short)], target=4, stateful_metrics=["loss"])
    first, second = text.split("\r")[1:]
    assert first == "1/4 [======>.......................] - ETA: 3s - loss: 1000.0000" + "\b" * 64
    assert second.rstrip() == "2/4 [==============>...............] - ETA: 2s - loss: -999.9000"
    assert len(second) >= 64


def test_values_are_averaged_over_steps_unless_stateful(monkeypatch, clock):
    updates = [(1, 2, [("loss", 1.0), ("acc", 0.1)]), (1, 8, [("loss", 3.0), ("acc", 0.7)])]
    text = draw(monkeypatch, clock, updates, target=8, stateful_metrics=["acc"])
    assert text.endswith(" - loss: 2.5000 - acc: 0.7000\n")


def test_drawings_are_at_least_the_interval_apart_but_values_still_count(monkeypatch, clock):
    updates = [(0.01, i + 1, [("loss", float(i))]) for i in range(10)]
    text = draw(monkeypatch, clock, updates, target=10, interval=0.05)
    assert text.count("\r") == 3  # at 1, 6 and 10
    assert text.endswith("loss: 4.5000\n")


def test_verbose_2_is_one_line_at_the_end(monkeypatch, clock):
    text = draw(monkeypatch, clock, [(1, 1, [("loss", 1.0)]), (1, 2, [("loss", 2.0)])], target=2, verbose=2)
    assert text == "2/2 - 2s - loss: 1.5000 - 2s/epoch - 1s/step\n"


def test_the_first_step_which_compiles_does_not_count_for_the_others(monkeypatch, clock):
    text = draw(monkeypatch, clock, [(5, 1, []), (1, 2, []), (1, 3, [])], target=3)
    assert text.split("\r")[2].startswith("2/3 [===================>..........] - ETA: 1s")
    assert text.endswith("3/3 [==============================] - 7s 1s/step\n")


def test_a_program_without_a_console_draws_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    Progbar(2).update(2, [("loss", 1.0)])


def test_verbose_0_is_silent(monkeypatch, clock):
    assert draw(monkeypatch, clock, [(1, 1, []), (1, 2, [])], target=2, verbose=0) == ""


def test_a_log_file_gets_a_line_every_five_seconds_and_the_last(monkeypatch, clock):
    updates = [(1, i + 1, [("loss", 1.0)]) for i in range(12)]
    text = draw(monkeypatch, clock, updates, stream=io.StringIO, target=12)
    lines = text.splitlines()
    assert [line.split("/")[0].strip() for line in lines] == ["5", "10", "12"]
    assert "\r" not in text
    assert "\b" not in text
    assert lines[-1] == "12/12 [==============================] - 12s 1s/step - loss: 1.0000"


def test_add_counts_on_and_finalize_ends_a_line_before_the_target(monkeypatch, clock):
    monkeypatch.setattr(sys, "stdout", Terminal())
    bar = Progbar(10, stateful_metrics=["loss"])
    bar.add(3)
    bar.add(4)
    clock.now += 7
    bar.update(7, [("loss", 1.0)], finalize=True)
    text = sys.stdout.getvalue()
    assert text.split("\r")[-1].rstrip(" ") == " 7/10 [====================>.........] - 7s 1s/step - loss: 1.0000\n"
