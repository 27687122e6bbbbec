"""Bad data and bad arguments of fit, evaluate, predict and *_on_batch: one sentence, and nothing has changed."""

import hashlib
import warnings

import numpy as np
import pytest

from kcompile import Input, Model, Sequential, layers
from kcompile.common.errors import DataError, KCompileError
from tests import refusing_models
from tests.refused_calls import CASES
from tests.refusing_models import (
    CLASSES,
    GOOD,
    INDICES,
    MODELS,
    NARROW,
    X,
    Y,
    batches,
    drawn,
    fit,
    forever,
    predict,
    test,
    train,
)


def digest(made):
    """Everything that a refused call must leave as it was."""
    state = [*made.weights, *made.optimizer.weights, made.optimizer.lr]
    state += [weight for metric in made.metrics for weight in metric.weights]
    parts = [w.numpy().tobytes() for w in state] + [str(np.random.get_state()).encode()]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def check_sentence(error, words):
    """One sentence for a user: it has the words, and nothing of what lies below."""
    text = str(error)
    assert "\n" not in text
    assert len(text) < 400
    assert "ONNX" not in text
    assert isinstance(error, KCompileError)
    if isinstance(words, str):
        words = words.split()
    for word in words:
        assert word in text, text


@pytest.mark.parametrize("name", CASES)
def test_a_refused_call_says_why_and_changes_nothing(name):
    key, call, error, words = CASES[name]
    made = MODELS[key]()
    made.reset_metrics()  # as every run does that starts
    before = digest(made)
    with pytest.raises(error) as caught:
        call(made)
    check_sentence(caught.value, words)
    assert digest(made) == before


@pytest.mark.parametrize("name", MODELS)
def test_after_refused_calls_the_model_trains(name):
    made = MODELS[name]()
    for call in (fit(None, None), train("x", "y"), predict(np.array("x"))):
        with pytest.raises(KCompileError):
            call(made)
    before = digest(made)
    history = made.fit(*GOOD[name], epochs=2, verbose=0).history["loss"]
    assert np.isfinite(history).all()
    assert digest(made) != before


# R47: what is not ready yet.


@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch", "test_on_batch", "fit_generator"])
def test_before_compile(method):
    made = Sequential([layers.Dense(1, input_shape=(3,))], name="mine")
    arguments = (forever(), 1) if method == "fit_generator" else (X, Y)
    with pytest.raises(KCompileError, match=r"'mine' must be compiled .*model.compile\(optimizer, loss\)") as caught:
        getattr(made, method)(*arguments)
    check_sentence(caught.value, "")


def unbuilt():
    made = Sequential([layers.Dense(4), layers.Dense(1)], name="mine")
    made.compile("adam", "mse")
    return made


class Subclassed(Model):
    def __init__(self):
        super().__init__(name="mine")
        self.dense = layers.Dense(1)

    def call(self, x):
        return self.dense(x)


def subclassed():
    made = Subclassed()
    made.compile("adam", "mse")
    return made


NOT_BUILT = {
    "x missing": (fit(None, Y), "x is missing 'mine'"),
    "text": (predict(X.astype(str)), "x: text"),
    "a scalar": (fit(3.0, Y), "x: scalar"),
    "fewer y": (fit(NARROW, Y[:5]), "x has 10 y has 5"),
    "two columns of y": (train(NARROW, NARROW), "y: (10, 2) (None, 1)"),
    "empty": (fit(NARROW[:0], Y[:0]), "x has 0 samples"),
    "batch_size": (fit(NARROW, Y, batch_size=0), "batch_size at least 1"),
    "validation features": (fit(NARROW, Y, validation_data=(X, Y)), "validation_data: x: (None, 2) (10, 3)"),
    "generator": (drawn(NARROW.astype(str), Y), "text"),
}


@pytest.mark.parametrize("build", [unbuilt, subclassed])
@pytest.mark.parametrize("case", NOT_BUILT)
def test_a_model_that_was_not_built_is_not_built_by_a_refused_call(build, case):
    made = build()
    call, words = NOT_BUILT[case]
    with pytest.raises(KCompileError) as caught:
        call(made)
    check_sentence(caught.value, words)
    assert not made.weights
    made.fit(X, Y, verbose=0)  # another number of features than in the refused call
    assert made.predict(X).shape == (10, 1)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: m.summary(), "'mine' not built input_shape"),
        (lambda m: m.count_params(), "'mine' not built input_shape"),
        (lambda m: m.set_weights([X]), "'mine' 0 weights before it is built"),
        (lambda m: m.build(), "'mine' build input shape"),
    ],
)
def test_weights_of_a_model_that_is_not_built(call, words):
    with pytest.raises(KCompileError) as caught:
        call(unbuilt())
    check_sentence(caught.value, words)


@pytest.mark.parametrize("build", [Sequential, Model])
def test_a_model_without_layers(build):
    with pytest.raises(KCompileError, match=r"no layers|neither inputs and outputs nor a call method"):
        build(name="mine").predict(X)


def test_refused_data_compiles_nothing():
    made = refusing_models.regression()
    for call in (fit(NARROW, Y), fit(X, NARROW), fit(X, Y, batch_size=0), predict(NARROW)):
        with pytest.raises(KCompileError):
            call(made)
    assert not made.fit_trainer.steps
    assert made.fit_trainer.predictor is None


# What is accepted, perhaps with a warning.


def test_more_than_the_data_and_one_sample_are_fine():
    made = MODELS["regression"]()
    assert made.fit(X, Y, batch_size=1000, verbose=0).params["samples"] == 10
    made.fit(X[:1], Y[:1], verbose=0)
    assert made.predict(X[:0]).shape == (0, 1)


@pytest.mark.parametrize(
    "y", [Y, Y[:, None], Y.tolist(), Y.astype(">f8")], ids=["vector", "column", "list", "big_endian"]
)
def test_a_vector_of_targets_is_a_column_and_never_a_matrix(y):
    made = MODELS["regression"]()
    expected = float(np.mean((made.predict(X)[:, 0] - Y) ** 2))
    assert made.evaluate(X, y, verbose=0)[0] == pytest.approx(expected, rel=1e-5)
    weights = np.arange(10.0)
    weighted = float(np.mean(weights * (made.predict(X)[:, 0] - Y) ** 2))
    for w in (weights, weights[:, None]):
        assert made.evaluate(X, y, sample_weight=w, verbose=0)[0] == pytest.approx(weighted, rel=1e-5)


WARNED = {
    "a class too many": ("sparse", fit(X, CLASSES, class_weight=dict.fromkeys((0, 1, 2, 7), 1)), "class 7 never"),
    "beyond float32": ("regression", predict(X.astype("float64") * 1e300), "beyond the range of float32 .* sample 0"),
    "signs for probabilities": ("binary", test(X, np.sign(Y)), "between -1 and 1 .*'hinge'"),
    "nothing left to train": ("regression", fit(X, Y, epochs=2, initial_epoch=2), "initial_epoch=2 with epochs=2"),
    "an early end": ("regression", fit(batches((X, Y)), steps_per_epoch=3), "ended after 1 batches, 1 of the 3 steps"),
}  # fmt: skip


@pytest.mark.parametrize("name", WARNED)
def test_what_is_doubtful_is_warned_of_at_the_users_line(name):
    key, call, words = WARNED[name]
    with pytest.warns(RuntimeWarning, match=words) as caught:
        call(MODELS[key]())
    assert {warning.filename for warning in caught} == {refusing_models.__file__}  # where the calls are written


def layouts(tmp_path):
    """R17: the same numbers in other layouts."""
    mapped = np.memmap(tmp_path / "x.bin", "float32", "w+", shape=X.shape)
    mapped[:] = X
    return {
        "big-endian": X.astype(">f4"),
        "big-endian double": X.astype(">f8"),
        "fortran": np.asfortranarray(X),
        "negative strides": X[::-1, ::-1].copy()[::-1, ::-1],
        "every second": np.repeat(X, 2, axis=1)[:, ::2],
        "memory map": mapped,
        "matrix": X.view(np.matrix),
        "nothing masked": np.ma.masked_array(X, mask=False),
        "list": X.tolist(),
        "rows": list(X),
    }


def test_every_layout_of_the_data_gives_the_same_numbers(tmp_path):
    made = MODELS["regression"]()
    outputs, scores = made.predict(X), made.evaluate(X, Y, verbose=0)
    start, state = made.get_weights(), made.optimizer.get_weights()
    trained = None
    for name, x in {"native": X, **layouts(tmp_path)}.items():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            # Weights at rest are compiled into the graph, which may change the last bit of an output.
            np.testing.assert_allclose(made.predict(x), outputs, rtol=1e-6, atol=1e-6, err_msg=name)
            np.testing.assert_allclose(made.predict_on_batch(x), outputs, rtol=1e-6, atol=1e-6, err_msg=name)
            assert made.evaluate(x, Y, verbose=0) == scores, name
            made.set_weights(start)
            made.optimizer.set_weights(state)
            made.fit(x, Y, batch_size=4, shuffle=False, verbose=0)
        trained = trained or made.get_weights()
        for got, expected in zip(made.get_weights(), trained, strict=True):
            np.testing.assert_array_equal(got, expected, name)
        made.set_weights(start)
        made.optimizer.set_weights(state)
    row = np.broadcast_to(X[:1], X.shape)  # strides of 0
    np.testing.assert_allclose(made.predict(row), np.repeat(made.predict(X[:1]), 10, axis=0), rtol=1e-6, atol=1e-6)
    with pytest.raises(DataError, match="masked array hides 1 values"):
        made.predict(np.ma.masked_array(X, mask=X[2, 1] == X))


class Words(Model):
    """Indices go into the table from a subclass, or through a nested model."""

    def __init__(self, nested):
        super().__init__()
        table = layers.Embedding(10, 2, input_length=4, name="words")
        self.table = Sequential([table]) if nested else table

    def call(self, x):
        return self.table(x)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("dtype", ["int64", "float32"])
def test_indices_of_models_in_models_are_checked(nested, dtype):
    with pytest.raises(DataError, match=r"index 10 at sample 5, position \(1,\) is outside 0\.\.9 .*'words'"):
        Words(nested).predict(np.where(np.arange(40).reshape(10, 4) == 21, 10, INDICES).astype(dtype))


@pytest.mark.parametrize(("shift", "index"), [(1, 9), (-1, 0)])
def test_computed_indices_never_count_from_the_end(shift, index):
    tokens = Input((1,), dtype="int32")
    shifted = layers.Lambda(lambda x: x + shift)(tokens)
    made = Model(tokens, layers.Embedding(10, 2, name="words")(shifted))
    table = made.get_weights()[0]
    np.testing.assert_array_equal(made.predict([[5]])[0, 0], table[5 + shift])
    with pytest.raises(KCompileError, match=r"Gather 'words/Gather.*': indices element out of data bounds") as caught:
        made.predict([[index]])
    check_sentence(caught.value, "'predict' failed")
