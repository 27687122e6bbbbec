"""What was not measured is not logged: generators that end, data that begin again or change their length, no data."""

import warnings

import numpy as np
import pytest

from kcompile import Sequential, layers
from kcompile.callbacks import EarlyStopping, LambdaCallback, ModelCheckpoint, ReduceLROnPlateau
from kcompile.common.errors import DataError
from kcompile.utils import PyDataset, Sequence
from tests.training_samples import X, Y


def model():
    made = Sequential([layers.Dense(1, input_shape=(3,))])
    made.compile("sgd", "mse", metrics=["mae"])
    return made


def batches(count):
    for i in range(count):
        yield X[i : i + 4], Y[i : i + 4]


class Again:
    """Starts anew for each pass, and may know its length."""

    def __iter__(self):
        return batches(3)


class Counted(Again):
    def __len__(self):
        return 3


class Unsure(Again):
    """As tf.data's and PyTorch's iterables of unknown length."""

    def __len__(self):
        raise TypeError("length unknown")


class Numbered(Sequence):
    """Changes its length at the end of each epoch; notes which batches were asked for."""

    def __init__(self, length, change=0):
        super().__init__()
        self.length, self.change, self.asked = length, change, []

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        self.asked.append(index)
        return X[index : index + 4], Y[index : index + 4]

    def on_epoch_end(self):
        self.length += self.change


class Numberless(PyDataset):
    """Keras 3's spelling, without an end."""

    num_batches = None

    def __getitem__(self, index):
        return X[:4], Y[:4]


# Data, arguments of fit, epochs with a loss, epochs with a val_loss, words of the warning.
FITS = {
    "generator": (lambda: batches(4), {}, 1, 0, "x ended after 4 batches, before epoch 2"),
    "generator, steps": (lambda: batches(6), {"steps_per_epoch": 2}, 3, 0, None),
    "generator, between epochs": (lambda: batches(4), {"steps_per_epoch": 2}, 2, 0, "0 of the 2 steps"),
    "generator, within an epoch": (lambda: batches(3), {"steps_per_epoch": 2}, 2, 0, "1 of the 2 steps"),
    "iterable": (Again, {}, 3, 0, None),
    "iterable with a length": (Counted, {}, 3, 0, None),
    "iterable without one": (Unsure, {}, 3, 0, None),
    "iterable, more steps": (Counted, {"steps_per_epoch": 5}, 3, 0, None),
    "validated by a generator": (
        lambda: Numbered(2), {"validation_data": lambda: batches(3)}, 3, 1, "validation_data ended after 3 batches",
    ),
    "validated by steps": (
        lambda: Numbered(2),
        {"validation_data": lambda: batches(3), "validation_steps": 2},
        3,
        2,
        "1 of the 2 steps of this epoch; nothing is validated any more",
    ),
    "validated by an iterable": (lambda: Numbered(2), {"validation_data": Again}, 3, 3, None),
    "validated by one with a length": (lambda: Numbered(2), {"validation_data": Counted}, 3, 3, None),
    "shrinking": (lambda: Numbered(2, -1), {}, 2, 0, "none of the steps of this epoch"),
    "shrinking validation": (
        lambda: Numbered(2), {"validation_data": lambda: Numbered(2, -1)}, 3, 2, "none of the steps",
    ),
    "without an end": (Numberless, {"steps_per_epoch": 2}, 3, 0, None),
}  # fmt: skip


@pytest.mark.parametrize("name", FITS)
@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_without_data_has_no_entry(name, workers):
    make, options, losses, validated, words = FITS[name]
    options = {key: value() if callable(value) else value for key, value in options.items()}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = model().fit(make(), epochs=3, verbose=0, workers=workers, **options)
    assert len(history.history["loss"]) == len(history.history["mae"]) == len(history.epoch) == losses
    assert len(history.history.get("val_loss", [])) == validated
    assert all(value > 0 for values in history.history.values() for value in values)
    said = [str(w.message) for w in caught]
    assert len(said) == (0 if words is None else 1)
    assert words is None or words in said[0]


def test_callbacks_that_watch_see_no_number_that_was_not_measured(tmp_path):
    made, path = model(), tmp_path / "best.h5"
    best = ModelCheckpoint(path, save_best_only=True)
    stopping, plateau = EarlyStopping(patience=1), ReduceLROnPlateau(patience=1)
    with pytest.warns(RuntimeWarning, match="nothing is validated any more"):
        history = made.fit(
            X, Y, epochs=5, validation_data=batches(2), verbose=0, callbacks=[best, stopping, plateau]
        ).history
    (measured,) = history["val_loss"]
    assert best.best == stopping.best == plateau.best == measured > 0
    assert len(history["loss"]) == 5


def test_a_length_that_changes_is_asked_again():
    seen, made = [], model()
    training, validation = Numbered(1, +1), Numbered(2, +1)
    counts = LambdaCallback(
        on_epoch_begin=lambda epoch, logs: seen.append([counts.params["steps"], 0]),
        on_batch_end=lambda batch, logs: seen[-1].__setitem__(1, batch + 1),
    )
    made.fit(training, epochs=3, shuffle=False, validation_data=validation, callbacks=[counts], verbose=0)
    assert seen == [[1, 1], [2, 2], [3, 3]]
    assert training.asked == [0, 0, 1, 0, 1, 2]
    assert validation.asked == [0, 1, 0, 1, 2, 0, 1, 2, 3]


def test_each_validation_sees_the_same_batches_as_in_tf_keras():
    validation = Numbered(5)
    made = model()
    made.fit(X, Y, epochs=3, validation_data=validation, validation_steps=2, workers=0, verbose=0)
    assert validation.asked == [0, 1] * 3


REFUSED = {
    "no batches": (lambda m: m.fit(Numbered(0), verbose=0), "Numbered has 0 batches"),
    "no batches to validate": (lambda m: m.fit(X, Y, validation_data=Numbered(0)), "validation_data: Numbered has 0"),
    "no batches to evaluate": (lambda m: m.evaluate(Numbered(0)), "x: Numbered has 0 batches"),
    "used up": (lambda m: m.evaluate(batches(0)), "x yielded no batch"),
    "used up, predict": (lambda m: m.predict(batches(0)), "x yielded no batch"),
    "no samples": (lambda m: m.fit(X[:0], Y[:0]), "x has 0 samples"),
    "no samples to validate": (lambda m: m.fit(X, Y, validation_data=(X[:0], Y[:0])), "has 0 samples"),
    "no steps": (lambda m: m.evaluate(X, Y, steps=0), "at least 1, got 0"),
    "no end": (lambda m: m.fit(Numberless()), "never ends, so steps_per_epoch must be given"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_no_data_at_all_is_an_error_before_anything_runs(name):
    call, words = REFUSED[name]
    made = model()
    before = made.get_weights()
    with pytest.raises(DataError if name != "no steps" else ValueError, match=words):
        call(made)
    np.testing.assert_array_equal(made.get_weights()[0], before[0])


def test_evaluating_counts_each_sample_once():
    made = model()
    with pytest.warns(RuntimeWarning, match="ended after 4 batches of 12, before the 9 steps"):
        assert made.evaluate(X, Y, batch_size=12, steps=9, verbose=0) == made.evaluate(X, Y, batch_size=12, verbose=0)
    with pytest.warns(RuntimeWarning, match="2 of the 5 steps"):
        found = made.evaluate(batches(2), steps=5, verbose=0)
    assert found == made.evaluate(batches(2), verbose=0)


def test_loss_and_metrics_go_on_without_reset_metrics():
    made = model()
    first = made.test_on_batch(X[:10], Y[:10], return_dict=True)
    both = made.test_on_batch(X[10:], Y[10:], reset_metrics=False, return_dict=True)
    assert both == pytest.approx(made.evaluate(X, Y, verbose=0, return_dict=True), rel=1e-5)
    assert first == pytest.approx(made.evaluate(X[:10], Y[:10], verbose=0, return_dict=True), rel=1e-5)
