"""Labels and weights: what fits a loss, and what is refused before the first step."""

import numpy as np
import pytest

from kcompile.common.errors import DataError, DataTypeError, KCompileError, ShapeError
from kcompile.data import checks as data_checks
from kcompile.data.standardize import (
    TargetSpec,
    standardize,
)
from kcompile.data.weights import sample_weight_modes
from tests.data_samples import BINARY, CATEGORICAL, IN, REGRESSION, SPARSE, TWO_IN, TWO_OUT, X10, Y10


# R18
@pytest.mark.parametrize("y", [Y10, Y10[:, None], Y10.tolist(), Y10.astype("int64"), Y10.astype("uint8")])
def test_a_vector_of_targets_is_a_column(y):
    data = standardize(X10, y, inputs=[IN], targets=[REGRESSION])
    np.testing.assert_array_equal(data.y[0], Y10[:, None])


WRONG_TARGETS = {
    "two_columns": (REGRESSION, np.ones((10, 2)), ["(10, 2)", "(None, 1)", "'price'", "2 units"]),
    "rank": (REGRESSION, np.ones((10, 1, 2)), ["(10, 1, 2)", "(None, 1)", "mean_squared_error"]),
    "one_for_three": (TargetSpec("o", (None, 3), "same", "mse"), Y10, ["(10,)", "(None, 3)"]),
    # R53
    "sparse_for_categorical": (
        CATEGORICAL,
        Y10 % 3,
        ["sparse_categorical_crossentropy", "to_categorical(y, 3)"],
    ),
    "column_for_categorical": (
        CATEGORICAL,
        (Y10 % 3)[:, None],
        ["sparse_categorical_crossentropy", "(10, 1)"],
    ),
    "one_hot_for_sparse": (
        SPARSE,
        np.eye(3)[[0, 1] * 5],
        ["one-hot", "'categorical_crossentropy'", "(10, 3)"],
    ),
    "one_hot_steps_for_sparse": (
        TargetSpec("tags", (None, 5, 3), "sparse", "sparse_categorical_crossentropy"),
        np.zeros((10, 5, 3)),
        ["one-hot", "(None, 5, 1)"],
    ),
    "classes_for_binary": (
        TargetSpec("o", (None, 4), "binary", "binary_crossentropy"),
        Y10,
        ["sparse_categorical"],
    ),
    # R19
    "label_3": (
        SPARSE,
        [0, 1, 2, 0, 1, 2, 0, 3, 1, 4],
        ["y: label 3 outside 0..2 (3 classes) at sample 7", "2 such"],
    ),
    "label_-1": (SPARSE, [0] * 9 + [-1], ["label -1 outside 0..2 (3 classes) at sample 9"]),
    "label_1e9": (SPARSE, [0] * 9 + [1e9], ["label 1e+09 outside 0..2", "sample 9"]),
    "label_2**40": (SPARSE, [2**40, *[0] * 9], ["outside 0..2", "sample 0"]),
    "label_1.5": (SPARSE, [0] * 9 + [1.5], ["label 1.5 is not a whole number", "sample 9"]),
    "label_nan": (SPARSE, [0] * 9 + [np.nan], ["label nan is not a whole number", "sample 9"]),
    "label_inf": (SPARSE, [0] * 9 + [np.inf], ["label inf outside 0..2"]),
    "nan_for_binary": (BINARY, [0] * 9 + [np.nan], ["label nan at sample 9", "binary_crossentropy"]),
    "label_in_step": (
        TargetSpec("tags", (None, 2, 3), "sparse", "scce"),
        [[0, 1]] * 9 + [[0, 3]],
        ["sample 9, position (1, 0)"],
    ),
    "missing": (REGRESSION, None, ["y is missing", "'price'"]),
}


@pytest.mark.parametrize("kind", WRONG_TARGETS)
def test_targets_that_dont_fit_the_loss_are_refused(kind):
    spec, y, words = WRONG_TARGETS[kind]
    with pytest.raises(KCompileError) as raised:
        standardize(X10, y, inputs=[IN], targets=[spec])
    for word in words:
        assert word in str(raised.value)


@pytest.mark.parametrize("y", [Y10 % 3, (Y10 % 3)[:, None], (Y10 % 3).astype("uint8"), (Y10 % 3).tolist()])
def test_class_indices_of_every_form_are_a_column_of_integers(y):
    labels = standardize(X10, y, inputs=[IN], targets=[SPARSE]).y[0]
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, (Y10 % 3).astype("int32")[:, None])


def test_class_indices_per_pixel_with_channels_first():
    spec = TargetSpec("mask", (None, 3, 4, 4), "sparse", class_axis=1, dtype="int32")
    labels = standardize(X10, np.ones((10, 4, 4)), inputs=[IN], targets=[spec]).y[0]
    assert labels.shape == (10, 1, 4, 4)


def test_a_users_own_loss_gets_the_labels_as_they_are():
    spec = TargetSpec("o", (None, 3), "any")
    assert standardize(X10, np.ones((10, 7, 2)), inputs=[IN], targets=[spec]).y[0].shape == (10, 7, 2)


@pytest.mark.parametrize(("spec", "y"), [(BINARY, Y10), (CATEGORICAL, np.full((10, 3), 2.0))])
def test_labels_outside_probabilities_are_warned_of(spec, y):
    with pytest.warns(RuntimeWarning, match=r"expects 0\.\.1"):
        standardize(X10, y, inputs=[IN], targets=[spec])


@pytest.mark.parametrize(
    ("loss", "activation", "units", "logits", "advice"),
    [
        ("categorical_crossentropy", "sigmoid", 3, False, "softmax"),
        ("sparse_categorical_crossentropy", None, 3, False, "from_logits=True"),
        ("categorical_crossentropy", "softmax", 1, False, "sigmoid"),
        ("sparse_categorical_crossentropy", "sigmoid", 1, False, "binary_crossentropy"),
        ("binary_crossentropy", "linear", 1, False, "sigmoid"),
        ("binary_crossentropy", "softmax", 3, False, "categorical_crossentropy"),
        ("categorical_crossentropy", "softmax", 3, True, "logits"),
    ],
)
def test_losses_that_dont_go_with_the_activation_are_warned_of(loss, activation, units, logits, advice):
    with pytest.warns(RuntimeWarning, match=advice):
        data_checks.warn_of_loss_and_activation(loss, activation, "out", units, logits)


def test_usual_losses_and_activations_are_not_warned_of(recwarn):
    for loss, activation, units, logits in [
        ("categorical_crossentropy", "softmax", 3, False),
        ("sparse_categorical_crossentropy", "linear", 3, True),
        ("binary_crossentropy", "sigmoid", 3, False),
        ("mean_squared_error", "linear", 1, False),
    ]:
        data_checks.warn_of_loss_and_activation(loss, activation, "out", units, logits)
    assert not recwarn.list


# R50
def weights_of(class_weight, y, spec=SPARSE, **options):
    data = standardize(X10, y, class_weight=class_weight, inputs=[IN], targets=[spec], **options)
    return data.weights[0]


ALTERNATING = [0, 1] * 5


@pytest.mark.parametrize(
    ("y", "spec"),
    [
        (ALTERNATING, SPARSE),
        (np.array(ALTERNATING)[:, None], SPARSE),
        (np.eye(3)[ALTERNATING], CATEGORICAL),
        (ALTERNATING, BINARY),
    ],
)
def test_class_weights_become_sample_weights(y, spec):
    table = {0: 0.5, 1: 2} if spec is not CATEGORICAL else {0: 0.5, np.int64(1): 2.0}
    assert weights_of(table, y, spec).tolist() == [0.5, 2] * 5


def test_class_weights_multiply_sample_weights():
    got = weights_of({0: 0.5, 1: 2}, ALTERNATING, sample_weight=Y10)
    np.testing.assert_array_equal(got, Y10 * np.tile([0.5, 2], 5))


WRONG_CLASS_WEIGHTS = [
    (
        {0: 1, 1: 1},
        [0, 1, 2] * 3 + [0],
        DataError,
        ["no weight for class 2", "classes 0, 1, 2", "classes 0, 1."],
    ),
    ({"0": 1, "1": 2}, ALTERNATING, DataTypeError, ["'0' (str)", "integers"]),
    ({0.5: 1, 1: 2}, ALTERNATING, DataTypeError, ["0.5", "integers"]),
    ({-1: 1, 0: 1, 1: 2}, ALTERNATING, DataError, ["-1"]),
    ({0: -1, 1: 2}, ALTERNATING, DataError, ["class_weight[0]", "-1", "at least 0"]),
    ({0: np.nan, 1: 2}, ALTERNATING, DataError, ["class_weight[0]", "nan"]),
    ({0: "a", 1: 2}, ALTERNATING, DataTypeError, ["class_weight[0]", "'a' (str)"]),
    ([1, 2], ALTERNATING, DataTypeError, ["dict(enumerate(weights))"]),
    ("balanced", ALTERNATING, DataTypeError, ["'balanced'", "np.bincount"]),
]


@pytest.mark.parametrize(("table", "y", "error", "words"), WRONG_CLASS_WEIGHTS)
def test_class_weights_that_cant_be_meant_are_refused(table, y, error, words):
    with pytest.raises(error) as raised:
        weights_of(table, y)
    for word in words:
        assert word in str(raised.value)


def test_a_class_that_never_occurs_is_warned_of_but_not_in_single_batches(recwarn):
    weights_of({0: 1, 1: 1, 2: 1}, ALTERNATING, whole_data=False)
    assert not recwarn.list
    with pytest.warns(RuntimeWarning, match="class 2 never occurs in the data, which has classes 0, 1"):
        weights_of({0: 1, 1: 1, 2: 1}, ALTERNATING)


@pytest.mark.parametrize("table", [{"q": {0: 1, 1: 3}}, [None, {0: 1, 1: 3}]])
def test_class_weights_per_output(table):
    data = standardize([X10, Y10], [Y10, ALTERNATING], class_weight=table, inputs=TWO_IN, targets=TWO_OUT)
    assert data.weights[0] is None
    assert data.weights[1].tolist() == [1, 3] * 5


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({0: 1, 1: 3}, ["2 outputs", "'p', 'q'"]),
        ({"r": {0: 1}, "q": {0: 1}}, ["'r'", "'p', 'q'"]),
        ([{0: 1}], ["2 outputs", "got 1"]),
    ],
)
def test_class_weights_that_name_no_output(table, words):
    with pytest.raises(KCompileError) as raised:
        standardize([X10, Y10], [Y10, ALTERNATING], class_weight=table, inputs=TWO_IN, targets=TWO_OUT)
    for word in words:
        assert word in str(raised.value)


def test_class_weights_need_one_label_per_sample():
    spec = TargetSpec("tags", (None, 5, 3), "sparse")
    with pytest.raises(ShapeError, match="temporal"):
        standardize(X10, np.zeros((10, 5)), class_weight={0: 1}, inputs=[IN], targets=[spec])


# Sample weights.
TEMPORAL = TargetSpec("tags", (None, 4, 3), "same", sample_weight_mode="temporal")


def test_sample_weights_are_one_per_sample_or_per_step():
    column = standardize(X10, Y10, Y10[:, None], inputs=[IN], targets=[REGRESSION])
    assert column.weights[0].shape == (10,)
    steps = standardize(X10, np.zeros((10, 4, 3)), np.ones((10, 4)), inputs=[IN], targets=[TEMPORAL])
    assert steps.weights[0].shape == (10, 4)


@pytest.mark.parametrize(
    ("spec", "y", "weights", "words"),
    [
        (REGRESSION, Y10, np.ones((10, 2)), ["sample_weight", "(10,)", "(10, 2)", "temporal"]),
        (REGRESSION, Y10, np.ones((10, 10)), ["sample_weight", "(10, 10)"]),
        (REGRESSION, Y10, [1] * 9 + [np.nan], ["sample_weight", "nan", "sample 9"]),
        (REGRESSION, Y10, ["a"] * 10, ["sample_weight", "text"]),
        (TEMPORAL, np.zeros((10, 4, 3)), np.ones(10), ["(10, 4)", "(10,)"]),
        (TEMPORAL, np.zeros((10, 4, 3)), np.ones((10, 3)), ["(10, 4)", "(10, 3)"]),
    ],
)
def test_sample_weights_of_another_shape_are_refused(spec, y, weights, words):
    with pytest.raises(KCompileError) as raised:
        standardize(X10, y, weights, inputs=[IN], targets=[spec])
    for word in words:
        assert word in str(raised.value)


def test_sample_weight_modes_in_every_form():
    for mode in ("temporal", ["temporal", "temporal"], {"p": "temporal", "q": "temporal"}):
        assert sample_weight_modes(mode, ["p", "q"]) == ["temporal", "temporal"]
    assert sample_weight_modes({"q": "temporal"}, ["p", "q"]) == [None, "temporal"]
    for wrong, word in [("temporel", "did you mean 'temporal'"), ({"r": None}, "'r'"), ([None], "1 modes")]:
        with pytest.raises(KCompileError, match=word):
            sample_weight_modes(wrong, ["p", "q"])
