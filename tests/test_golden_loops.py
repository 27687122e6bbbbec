"""Hooks of callbacks come in Keras' order, with the keys of tf.keras' logs; and what rows and classes errors name."""

import numpy as np
import pytest

import kcompile as keras
from kcompile import Model, layers
from kcompile.callbacks import Callback, History, ProgbarLogger
from kcompile.common.errors import DataTypeError
from kcompile.training.fitting import NonFiniteLoss
from kcompile.utils import Sequence
from tests.golden import load
from tests.golden.cases.loops import CASES, X, Y, run

GOLDEN = load("loops")


@pytest.mark.parametrize("name", CASES)
def test_hooks_and_the_keys_of_their_logs(name):
    assert run(keras, name) == GOLDEN[name].calls


def made(**options):
    model = keras.Sequential([layers.Dense(1, input_shape=(3,))])
    model.compile("sgd", "mse", metrics=["mae"], **options)
    return model


def test_logs_are_numbers_that_were_measured():
    class Last(Callback):
        def on_test_end(self, logs=None):
            self.tested = dict(logs)

        def on_train_end(self, logs=None):
            self.trained = dict(logs)

        def on_predict_batch_end(self, batch, logs=None):
            self.predicted = logs["outputs"]

    model, last = made(), Last()
    history = model.fit(X, Y, epochs=2, validation_data=(X, Y), callbacks=[last], verbose=0).history
    assert last.trained == {key: values[-1] for key, values in history.items()}
    assert {f"val_{key}": value for key, value in last.tested.items()}.items() <= last.trained.items()
    assert model.evaluate(X, Y, callbacks=[last], verbose=0, return_dict=True) == last.tested
    np.testing.assert_array_equal(model.predict(X, callbacks=[last]), last.predicted)


def test_callbacks_of_the_users_own_take_the_place_of_the_usual_ones(capsys):
    mine = History()
    assert made().fit(X, Y, callbacks=[mine, ProgbarLogger("samples")]) is mine
    assert capsys.readouterr().out.count("5/5 [") == 1


@pytest.mark.parametrize("verbose", [1, 2, "auto"])
def test_every_loop_counts_steps(verbose, capsys):
    model, line = made(), "2/2 - " if verbose == 2 else "2/2 [==="
    model.fit(X, Y, batch_size=3, verbose=verbose)
    fitted = capsys.readouterr().out.splitlines()
    assert fitted[0] == "Epoch 1/1"
    assert fitted[1].startswith(line)
    assert " - mae: " in fitted[1]
    model.evaluate(X, Y, batch_size=3, verbose=verbose)
    evaluated = capsys.readouterr().out
    assert evaluated.startswith(line)
    assert " - mae: " in evaluated
    model.predict(X, batch_size=3, verbose=verbose)
    assert capsys.readouterr().out.startswith(line)
    model.predict(X, verbose=verbose)  # one batch
    assert capsys.readouterr().out.startswith(line.replace("2", "1") if verbose != 2 else "1/1 - ")


# ---- a number that is none is told by its place in what the user gave


def bad(row, column=1, rows=40, columns=3):
    array = np.ones((rows, columns), "float32")
    array[row, column] = np.nan
    return array


class Shuffled(Sequence):
    """Ten batches of 4 rows of an array."""

    def __init__(self, array):
        super().__init__()
        self.array = array

    def __len__(self):
        return 10

    def __getitem__(self, index):
        return self.array[index * 4 : index * 4 + 4], np.ones(4)


ONES = np.ones(40, "float32")
PLACES = {
    "shuffled": (lambda m: m.fit(bad(33), ONES, batch_size=4, verbose=0), "x[33, 1] is nan"),
    "shuffled batches": (lambda m: m.fit(bad(33), ONES, batch_size=4, shuffle="batch", verbose=0), "x[33, 1] is nan"),
    "split": (lambda m: m.fit(bad(3), ONES, batch_size=4, validation_split=0.5, verbose=0), "x[3, 1] is nan"),
    "targets": (lambda m: m.fit(bad(0)[1:], np.where(np.arange(39) == 21, np.nan, 1), verbose=0), "y[21] is nan"),
    "list": (lambda m: m.fit(bad(7).tolist(), ONES, verbose=0), "x[7, 1] is nan"),
    "batch": (lambda m: m.train_on_batch(bad(7), ONES), "x[7, 1] is nan"),
    "sequence": (lambda m: m.fit(Shuffled(bad(33)), verbose=0), "x[1, 1] in batch 8 of x is nan"),
    "generator": (
        lambda m: m.fit(iter([(bad(1, rows=3), ONES[:3])] * 2), steps_per_epoch=2, verbose=0),
        "x[1, 1] in batch 0 of x (counted from 0 since the start) is nan",
    ),
}


@pytest.mark.parametrize("group", [1, 3])
@pytest.mark.parametrize("name", PLACES)
def test_a_number_that_is_none_is_told_by_the_users_row(name, group):
    call, words = PLACES[name]
    with pytest.raises(NonFiniteLoss) as caught:
        call(made(steps_per_execution=group))
    assert words in str(caught.value)


def test_several_inputs_are_told_apart():
    a, b = layers.Input((3,), name="a"), layers.Input((2,), name="b")
    model = Model([a, b], layers.Dense(1)(layers.concatenate([a, b])))
    model.compile("sgd", "mse")
    good, wrong = np.ones((40, 3)), bad(17, columns=2)
    for x, words in (([good, wrong], "x[1][17, 1] ('b') is nan"), ({"a": good, "b": wrong}, "x['b'][17, 1] is nan")):
        with pytest.raises(NonFiniteLoss) as caught:
            model.fit(x, ONES, batch_size=4, verbose=0)
        assert words in str(caught.value)


def test_a_row_in_a_file_is_told_with_the_file(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        file["images"] = bad(29)
        with pytest.raises(NonFiniteLoss, match=r"x\[29, 1\] \(row 29 of .*rows.h5: /images\) is nan"):
            made().fit(file["images"], ONES, batch_size=4, shuffle="batch", verbose=0)


# ---- names where numbers are wanted


class Series:
    """The part of a pandas Series that matters here."""

    iloc = None
    ndim = 1

    def __init__(self, values, dtype):
        self.values, self.dtype, self.shape = values, dtype, (len(values),)

    def to_numpy(self):
        return np.array(self.values, object)

    def __array__(self, dtype=None, copy=None):
        return self.to_numpy()


@pytest.mark.parametrize(
    ("dtype", "advice"), [("category", "y.cat.codes"), ("object", "y.astype('category').cat.codes")]
)
def test_a_series_of_names_gets_one_clear_sentence(dtype, advice):
    names = Series(["cat", "dog", "cat", "dog", "cat"], dtype)
    with pytest.raises(DataTypeError) as caught:
        made().fit(X, names, verbose=0)
    text = str(caught.value)
    assert text.startswith(f"y: a pandas Series of dtype {dtype} ('cat', ...) holds names, not numbers: ")
    assert advice in text
