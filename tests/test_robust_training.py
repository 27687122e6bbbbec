"""Training that is interrupted, meets numbers that are none, or runs code that raises: the model stays usable."""

import _thread
import contextlib
import multiprocessing
import threading
import time

import numpy as np
import pytest

import kcompile
from kcompile import Sequential, layers
from kcompile import backend as K
from kcompile.callbacks import Callback, EarlyStopping, LambdaCallback, TerminateOnNaN
from kcompile.common.errors import KCompileError
from kcompile.runtime.storage import Storage
from kcompile.training.fitting import NonFiniteLoss
from kcompile.utils import Sequence
from tests.training_samples import (
    States,
    X,
    Y,
    assert_equal,
    assert_trains,
    at,
    interrupt,
    network,
    position,
    state,
    steps,
)

# ---- R29: Ctrl-C


def test_ctrl_c_in_a_callback_keeps_the_last_finished_step():
    made = network()
    with pytest.raises(KeyboardInterrupt):
        made.fit(X, Y, batch_size=4, epochs=9, callbacks=[at(12, interrupt)], verbose=0)
    assert position(made, steps()) == 13
    assert_trains(made)


@pytest.mark.parametrize("workers", [0, 1])
def test_ctrl_c_in_a_generator_keeps_the_last_finished_step(workers):
    def generate():
        for _ in range(3):
            yield X[:4], Y[:4]
        raise KeyboardInterrupt

    made, seen, threads = network(), States(), threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        made.fit(generate(), steps_per_epoch=9, workers=workers, callbacks=[seen], verbose=0)
    assert_equal(state(made), seen.found[-1])
    assert threading.active_count() == threads
    assert_trains(made)


@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("number", [0, 1, 5, 12])
def test_ctrl_c_while_a_step_is_kept_keeps_all_of_it(number, first, monkeypatch):
    made, keep, calls = network(), Storage.keep, iter(range(10**9))
    made.train_on_batch(X[:4], Y[:4])

    def interrupted(storage, buffer):
        last = next(calls) == number
        if last and first:
            interrupt()
        keep(storage, buffer)
        if last:
            interrupt()

    monkeypatch.setattr(Storage, "keep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        made.train_on_batch(X[4:8], Y[4:8])
    monkeypatch.undo()
    reference = network()
    for start in (0, 4):
        reference.train_on_batch(X[start : start + 4], Y[start : start + 4])
    assert_equal(state(made), state(reference))


@pytest.mark.parametrize("delay", [0.001, 0.0037, 0.013, 0.031])
@pytest.mark.parametrize("options", [{}, {"steps_per_execution": 4}], ids=["single", "grouped"])
def test_ctrl_c_at_any_moment_leaves_a_whole_step(delay, options):
    """The signal comes from another thread, while a step may be running."""
    made, started = network(**options), threading.Event()
    made.train_on_batch(X[:4], Y[:4])  # compiled before the clock runs
    made.fit(X, Y, batch_size=4, verbose=0)

    def signal():
        started.wait(10)
        time.sleep(delay)
        _thread.interrupt_main()

    sender = threading.Thread(target=signal)
    sender.start()
    begin = LambdaCallback(on_train_begin=lambda logs: started.set())
    with pytest.raises(KeyboardInterrupt):
        made.fit(X, Y, batch_size=4, epochs=10**6, callbacks=[begin], verbose=0)
    sender.join()
    # Adam counts its steps; all weights and slots must be those of that step.
    epochs, last = divmod(int(made.optimizer.iterations.numpy()) - 11, 10)
    reference = network(**options)
    reference.train_on_batch(X[:4], Y[:4])
    reference.fit(X, Y, batch_size=4, epochs=epochs + 1, verbose=0)
    if last:
        halt = LambdaCallback(on_batch_end=lambda batch, logs: interrupt() if batch == last - 1 else None)
        with pytest.raises(KeyboardInterrupt):
            reference.fit(X, Y, batch_size=4, callbacks=[halt], verbose=0)
    assert_equal(state(made), state(reference))


class Batches(Sequence):
    """Ten batches of 4 rows; what `broken` says happens in one of them."""

    def __init__(self, broken=lambda: None):
        self.broken = broken

    def __len__(self):
        return 10

    def __getitem__(self, index):
        if index == 6:
            self.broken()
        return X[index * 4 : index * 4 + 4], Y[index * 4 : index * 4 + 4]


@pytest.mark.parametrize("end", ["error", "interrupt", "finish"])
def test_no_worker_process_outlives_fit(end):
    made = network()
    action = {"error": lambda: made.nothing, "interrupt": interrupt, "finish": lambda: None}[end]
    expected = {"error": AttributeError, "interrupt": KeyboardInterrupt, "finish": ()}[end]
    with contextlib.suppress(expected):
        made.fit(Batches(), workers=2, use_multiprocessing=True, callbacks=[at(3, action)], verbose=0)
    deadline = time.monotonic() + 100
    while multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not multiprocessing.active_children()
    assert_trains(made)


# ---- R30: generators


def test_the_users_exception_comes_out_unchanged_with_the_number_of_the_batch():
    class Mine(Exception):
        pass

    def broken():
        raise Mine("disk gone")

    made, seen = network(), States()
    with pytest.raises(Mine) as caught:
        made.fit(Batches(broken), shuffle=False, callbacks=[seen], verbose=0)
    assert str(caught.value) == "disk gone"
    assert any("batch 6" in note for note in caught.value.__notes__)
    assert len(seen.found) == 7
    assert_equal(state(made), seen.found[-1])


LATER = {
    "None": (None, "batch 2 is None; expected (x, y)"),
    "one of three": ((X, Y, Y, Y), "batch 2 is a tuple of 4; expected (x, y)"),
    "other features": ((X[:, :2], Y), "expects shape (None, 3), got an array of shape (40, 2)"),
    "other rank": ((X[None], Y[None]), "expects shape (None, 3), got an array of shape (1, 40, 3)"),
    "other type": ((X.astype(str), Y), "text"),
    "fewer targets": ((X, Y[:5]), "x has 40, y has 5"),
    "nothing": ((X[:0], Y[:0]), "x has 0 samples"),
}


@pytest.mark.parametrize("case", LATER)
@pytest.mark.parametrize("group", [1, 2])
def test_a_later_batch_that_does_not_fit(case, group):
    batch, words = LATER[case]
    made, seen = network(steps_per_execution=group), States()
    with pytest.raises(KCompileError) as caught:
        made.fit(iter([(X, Y), (X, Y), batch, (X, Y)]), steps_per_epoch=4, callbacks=[seen], verbose=0)
    assert words in str(caught.value)
    assert "batch 2" in " ".join([str(caught.value), *getattr(caught.value, "__notes__", ())])
    assert_equal(state(made), seen.found[-1])
    assert made.optimizer.iterations.numpy() == 2
    assert_trains(made)


def test_batches_may_change_in_size_and_kind():
    batches = [(X, Y), (X[:7].astype("float64"), Y[:7]), (X[:1].tolist(), [1]), (np.ones((5, 3), "uint8"), Y[:5, None])]
    made = network()
    made.fit(iter(batches), steps_per_epoch=4, verbose=0)
    assert made.optimizer.iterations.numpy() == 4


def test_an_early_end_is_a_warning_with_the_counts():
    with pytest.warns(RuntimeWarning, match="ended after 5 batches, 1 of the 4 steps of this epoch"):
        history = network().fit(iter([(X, Y)] * 5), steps_per_epoch=4, epochs=3, verbose=0)
    assert history.epoch == [0, 1]


def test_ctrl_c_while_the_generator_blocks():
    blocked, caught = threading.Event(), threading.Event()

    def generate():
        yield X, Y
        blocked.set()
        time.sleep(3600)

    def signal():
        blocked.wait(10)
        time.sleep(0.05)
        _thread.interrupt_main()
        # The first batch may be asked for long before the step is compiled, and Python drops an interrupt that falls
        # into the end of an object. A user presses the keys again, too.
        while not caught.wait(20):
            _thread.interrupt_main()

    made = network()
    threading.Thread(target=signal, daemon=True).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        made.fit(generate(), steps_per_epoch=2, verbose=0)
    caught.set()
    assert time.monotonic() - began < 100
    assert_trains(made)


# ---- R31: NaN


def poisoned(array, value):
    array = array.copy()
    array[9] = value
    return array


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("where", "words"), [("x", "x[9, 0] is "), ("y", "y[9] is ")])
def test_a_number_that_is_none_is_named_with_epoch_and_batch(where, words, value):
    x, y = (poisoned(X, value), Y) if where == "x" else (X, poisoned(Y, value))
    made, seen = network(), States()
    made.fit(X, Y, batch_size=4, verbose=0)
    with pytest.raises(NonFiniteLoss) as caught:
        made.fit(x, y, batch_size=4, epochs=7, initial_epoch=4, shuffle=False, callbacks=[seen], verbose=0)
    # The row of the user's array, not of the batch.
    text = str(caught.value)
    assert "at epoch 5, batch 2: " in text
    assert words in text
    assert "the weights are those before batch 2 " in text
    assert "on_nan='ignore'" in text
    assert isinstance(caught.value, ValueError)
    assert len(seen.found) == 3
    assert_equal(state(made), seen.found[-1])
    assert_trains(made)


def test_a_group_of_steps_with_a_bad_one_is_not_kept():
    made, seen = network(steps_per_execution=4), States()
    with pytest.raises(NonFiniteLoss, match=r"batch 6: .*the weights are those before batch 4 ") as caught:
        made.fit(X, np.where(np.arange(40) == 25, np.nan, Y), batch_size=4, shuffle=False, callbacks=[seen], verbose=0)
    assert "y[25] is nan" in str(caught.value)
    assert_equal(state(made), seen.found[-1])
    assert made.optimizer.iterations.numpy() == 4


def test_train_on_batch_refuses_the_step_as_well():
    made = network()
    made.train_on_batch(X, Y)
    before = state(made)
    with pytest.raises(NonFiniteLoss, match=r"y\[9\] is nan; the weights are those before this batch"):
        made.train_on_batch(X, poisoned(Y, np.nan))
    assert_equal(state(made), before)
    assert np.isnan(made.test_on_batch(X, poisoned(Y, np.nan))[0])


def test_a_huge_learning_rate_and_bad_weights_are_named():
    made = network(kcompile.optimizers.SGD(1e30))
    with pytest.raises(NonFiniteLoss, match=r"(layer|loss) .* overflows: lower the learning rate") as caught:
        made.fit(X, Y, batch_size=4, epochs=5, verbose=0)
    assert all(np.isfinite(w).all() for w in made.get_weights())
    assert "epoch 1, batch" in str(caught.value)
    weights = made.get_weights()
    weights[2][3, 0] = np.nan
    made.set_weights(weights)
    with pytest.raises(NonFiniteLoss, match=r"weight price/kernel\[3, 0\] is nan"):
        made.fit(X, Y, verbose=0)


@pytest.mark.parametrize("group", [1, 4])
def test_a_gradient_that_is_none_while_the_loss_is_a_number(group):
    made = Sequential([layers.Dense(1, input_shape=(3,), kernel_initializer="zeros", name="root")])
    root = lambda t, p: K.mean(K.exp(0.5 * K.log(p * p)), -1)  # noqa: E731  sqrt(p^2), infinite slope at 0
    made.compile("sgd", root, steps_per_execution=group)
    with pytest.raises(NonFiniteLoss, match=r"loss is 0.0 at epoch 1, batch 0, but .* gradient of weight root/kernel"):
        made.fit(X, Y, batch_size=10, verbose=0)
    assert all(np.isfinite(w).all() for w in made.get_weights())
    assert made.optimizer.iterations.numpy() == 0


def test_terminate_on_nan_stops_and_ignore_goes_on(capsys):
    y = poisoned(Y, np.nan)
    made, seen = network(), States()
    history = made.fit(X, y, batch_size=4, epochs=3, shuffle=False, callbacks=[TerminateOnNaN(), seen], verbose=0)
    assert capsys.readouterr().out == "Batch 2: Invalid loss, terminating training\n"
    assert history.epoch == [0]
    assert len(seen.found) == 4
    assert_equal(state(made), seen.found[2])  # the bad step is not kept
    tolerant = network(on_nan="ignore")
    assert np.isnan(tolerant.fit(X, y, batch_size=4, epochs=2, verbose=0).history["loss"]).all()
    assert tolerant.optimizer.iterations.numpy() == 20
    assert np.isnan(tolerant.get_weights()[0]).any()


def test_evaluate_and_predict_tell_what_there_is():
    made = network()
    assert np.isnan(made.evaluate(X, poisoned(Y, np.nan), verbose=0)[0])
    assert np.isnan(made.predict(poisoned(X, np.nan))).sum() == 1


# ---- R33: callbacks


class Recorder(Callback):
    """What was called."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def on_train_begin(self, logs=None):
        self.calls.append("begin")

    def on_train_end(self, logs=None):
        self.calls.append("end")


STEPS_BEFORE = {
    "on_train_begin": 0,
    "on_epoch_begin": 0,
    "on_batch_begin": 0,
    "on_batch_end": 1,
    "on_epoch_end": 10,
    "on_train_end": 20,
}


@pytest.mark.parametrize("hook", STEPS_BEFORE)
def test_an_exception_in_a_callback_surfaces_and_the_others_clean_up(hook):
    def fail(*arguments):
        raise ZeroDivisionError("mine")

    made, before, after = network(), Recorder(), Recorder()
    with pytest.raises(ZeroDivisionError) as caught:
        made.fit(X, Y, batch_size=4, epochs=2, callbacks=[before, LambdaCallback(**{hook: fail}), after], verbose=0)
    assert str(caught.value) == "mine"
    assert before.calls == ["begin", "end"]
    assert after.calls == ([] if hook == "on_train_begin" else ["begin", "end"])
    full = hook.replace("on_batch", "on_train_batch")
    assert any(f"LambdaCallback.{full}" in note for note in caught.value.__notes__)
    assert position(made, steps(20)) == STEPS_BEFORE[hook]
    assert_trains(made)


def test_what_a_callback_changes_takes_effect_on_the_next_step():
    def freeze():
        made.optimizer.lr = 0.0

    made, seen = network("sgd"), States()
    made.fit(X, Y, batch_size=4, callbacks=[at(4, freeze), seen], verbose=0)
    assert not np.array_equal(seen.found[4][0], seen.found[5][0])
    assert_equal(seen.found[5][:4], seen.found[10][:4])

    made, seen = network(), States()
    ones = [np.ones_like(w) for w in made.get_weights()]
    made.fit(X, Y, batch_size=4, callbacks=[at(4, lambda: made.set_weights(ones)), seen], verbose=0)
    assert_equal(seen.found[5][:4], ones)
    assert np.abs(seen.found[6][0] - 1).max() < 0.01  # one step of Adam from there

    made, seen = network(), States()
    stop = at(4, lambda: setattr(made, "stop_training", True))
    history = made.fit(X, Y, batch_size=4, epochs=5, callbacks=[stop, seen], verbose=0)
    assert (len(seen.found), history.epoch) == (6, [0])

    made = network()
    rate = LambdaCallback(on_epoch_begin=lambda epoch, logs: K.set_value(made.optimizer.lr, 0.0 if epoch else 0.1))
    losses = made.fit(X, Y, epochs=3, callbacks=[rate], validation_data=(X, Y), verbose=0).history["val_loss"]
    assert losses[0] == losses[1] == losses[2]


def test_best_weights_come_back():
    made, seen = network(kcompile.optimizers.SGD(0.05)), States()
    worsen = LambdaCallback(
        on_epoch_begin=lambda epoch, logs: K.set_value(made.optimizer.lr, 3.0 if epoch > 1 else 0.05)
    )
    stopping = EarlyStopping("val_loss", patience=1, restore_best_weights=True)
    made.fit(X, Y, epochs=9, validation_data=(X, Y), callbacks=[worsen, stopping, seen], verbose=0)
    assert_equal(made.get_weights(), seen.found[2 * 2][:4])
