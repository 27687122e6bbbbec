"""How fit calls callbacks: errors, clean-up, batch hooks that cost nothing, and what is printed."""

import json
import re
import time

import pytest

from kcompile.callbacks import (
    BatchLogs,
    Callback,
    CallbackList,
    EarlyStopping,
    History,
    LambdaCallback,
    ProgbarLogger,
)
from tests.paper_model import train


# Errors in callbacks [R33].
class Recorder(Callback):
    def __init__(self):
        self.events = []

    def on_train_begin(self, logs=None):
        self.events.append("begin")

    def on_train_end(self, logs=None):
        self.events.append("end")


class Failing(Recorder):
    def __init__(self, hook, error=None):
        super().__init__()
        setattr(self, hook, self.fail)
        self.error = error or ValueError("mine")

    def fail(self, *arguments):
        raise self.error


@pytest.mark.parametrize(
    "hook", ["on_epoch_begin", "on_batch_begin", "on_train_batch_end", "on_batch_end", "on_epoch_end"]
)
def test_an_error_in_a_callback_surfaces_and_the_others_clean_up(hook):
    before, after, error = Recorder(), Recorder(), ValueError("mine")
    failing = Failing(hook, error)
    with pytest.raises(ValueError, match="mine") as raised:
        train([before, failing, after], [1])
    assert raised.value is error
    assert "Raised in Failing.on_" in raised.value.__notes__[0]
    assert before.events == after.events == failing.events == ["begin", "end"]


def test_an_error_at_the_start_only_cleans_up_what_was_started():
    before, after = Recorder(), Recorder()
    with pytest.raises(ValueError, match="mine"):
        train([before, Failing("on_train_begin"), after], [1])
    assert before.events == ["begin", "end"]
    assert after.events == []


def test_an_error_at_the_end_does_not_keep_others_from_theirs():
    before, after = Recorder(), Recorder()
    with pytest.raises(ValueError, match="mine"):
        train([before, Failing("on_train_end"), after], [1])
    assert before.events == after.events == ["begin", "end"]


def test_ctrl_c_cleans_up_and_further_errors_become_notes():
    recorder, failing = Recorder(), Failing("on_train_end")
    with pytest.raises(KeyboardInterrupt) as raised:
        train([failing, recorder, Failing("on_epoch_end", KeyboardInterrupt())], [1])
    assert recorder.events == ["begin", "end"]
    assert any("Failing.on_train_end raised ValueError: mine" in note for note in raised.value.__notes__)


# Batch hooks and lazy logs.
def test_batch_hooks_are_found_wherever_they_are_defined():
    calls = []

    class Old(Callback):
        def on_batch_end(self, batch, logs=None):
            calls.append("old")

    class New(Callback):
        def on_train_batch_end(self, batch, logs=None):
            calls.append("new")

    class Child(Old):
        pass

    functions = LambdaCallback(on_batch_end=lambda batch, logs: calls.append("lambda"))
    quiet = CallbackList([History(), EarlyStopping(), Recorder(), LambdaCallback(on_epoch_end=print)])
    assert not (quiet.has_train_batch_begin)
    assert not (quiet.has_train_batch_end)
    assert not (quiet.has_test_batch)
    loud = CallbackList([Old(), New(), Child(), functions])
    assert loud.has_train_batch_end
    assert not loud.has_train_batch_begin
    loud.on_batch_end(0, {})
    assert calls == ["old", "new", "old", "lambda"]


def test_callbacks_of_another_keras_and_without_super_init_work():
    class Other:
        def __init__(self):
            self.seen = []

        def set_model(self, model):
            self.model = model

        def set_params(self, params):
            self.params = params

        def on_epoch_end(self, epoch, logs=None):
            self.seen.append(epoch)

    class Careless(Callback):
        def __init__(self):
            self.losses = []

        def on_batch_end(self, batch, logs=None):
            self.losses.append((logs or {}).get("loss"))

    other, careless = Other(), Careless()
    train([other, careless], [5, 6], batches=2)
    assert other.seen == [0, 1]
    assert careless.losses == [5, 5, 6, 6]


def test_an_unobserved_batch_costs_nothing():
    callbacks = CallbackList([History(), EarlyStopping()])
    times = []
    for _ in range(5):
        start = time.thread_time()
        for batch in range(10_000):
            callbacks.on_train_batch_end(batch)
        times.append((time.thread_time() - start) / 10_000)
    assert min(times) < 2e-6  # 0.1 us on an idle machine


def test_batch_logs_read_the_device_once_and_only_when_asked():
    reads = []
    logs = BatchLogs(3, 32, ["loss", "acc"], lambda: reads.append(1) or {"loss": 0.5, "acc": 0.25})
    assert logs
    assert "loss" in logs
    assert "val_loss" not in logs
    # The keys of tf.keras; those that Keras 2.3 has besides are there for who asks for them.
    assert list(logs) == list(logs.keys()) == ["loss", "acc"]
    assert (logs["batch"], logs.get("size"), len(logs), logs.get("nothing", 7)) == (3, 32, 2, 7)
    assert "size" in logs
    assert not reads
    expected = {"loss": 0.5, "acc": 0.25}
    for copy in (dict(logs), {**logs}, dict(logs.items()), logs.copy(), json.loads(json.dumps(logs))):
        assert copy == expected
    assert "{loss}".format(**logs) == "0.5"
    assert logs == expected
    assert repr(logs) == repr(expected)
    assert reads == [1]
    logs["loss"] = 1.0
    assert logs["loss"] == 1.0
    with pytest.raises(KeyError):
        logs["nothing"]


def test_the_progress_bar_reads_logs_only_to_draw(capsys):
    reads = []
    logger = ProgbarLogger("steps")
    logger.set_params({"verbose": 1, "epochs": 1, "steps": 1000, "metrics": ["loss"]})
    logger.on_train_begin()
    logger.on_epoch_begin(0)
    for batch in range(1000):
        logger.on_batch_end(batch, BatchLogs(batch, 4, ["loss"], None, lambda: reads.append(1) or {"loss": 2.0}))
    logger.on_epoch_end(0, {"loss": 3.0})
    assert len(reads) <= 3
    assert capsys.readouterr().out.endswith(" - loss: 3.0000\n")


# Output of a whole training.
def output(capsys, count_mode, verbose, validation=2):
    logger = ProgbarLogger(count_mode)
    logger.set_params(
        {
            "verbose": verbose, "epochs": 2, "steps": 3, "samples": 10, "validation_samples": validation,
            "metrics": ["loss", "acc", "val_loss", "val_acc"],
        }
    )  # fmt: skip
    logger.on_train_begin()
    for epoch in range(2):
        logger.on_epoch_begin(epoch)
        for batch, size in enumerate((4, 4, 2)):
            logger.on_batch_end(batch, {"batch": batch, "size": size, "loss": batch, "acc": 0.5})
        logger.on_epoch_end(epoch, {"loss": 0.8, "acc": 0.5, "val_loss": 2.0, "val_acc": 1e-4})
    return capsys.readouterr().out


VALUES = "loss: 0.8000 - acc: 0.5000 - val_loss: 2.0000 - val_acc: 1.0000e-04"


@pytest.mark.parametrize(("count_mode", "done"), [("samples", "10/10"), ("steps", "3/3")])
def test_output_of_fit(capsys, count_mode, done):
    lines = output(capsys, count_mode, 1).splitlines()
    if count_mode == "samples":  # Keras 2.3
        assert lines.pop(0) == "Train on 10 samples, validate on 2 samples"
    assert [lines[0], lines[2]] == ["Epoch 1/2", "Epoch 2/2"]
    assert re.fullmatch(rf"{done} \[={{30}}\] - 0s \d+[um]s/step - {VALUES}", lines[1])  # however busy the machine is
    assert len(lines) == 4


def test_output_of_fit_with_verbose_2_and_0(capsys):
    line = rf"3/3 - 0s - {VALUES} - \d+[um]s/epoch - \d+[um]s/step\n"
    assert re.fullmatch(rf"Epoch 1/2\n{line}Epoch 2/2\n{line}", output(capsys, "steps", 2))
    assert output(capsys, "samples", 0) == ""
    assert not output(capsys, "steps", 1, validation=None).startswith("Train on")


def test_slow_batch_hooks_are_warned_of_once():
    callbacks = CallbackList([LambdaCallback(on_batch_end=lambda batch, logs: time.sleep(0.11))], queue_length=2)
    with pytest.warns(RuntimeWarning, match=r"on_train_batch_end of the callbacks takes \d\.\d\d s") as caught:
        _ = [callbacks.on_train_batch_end(batch, {}) for batch in range(4)]
    assert len(caught) == 1
