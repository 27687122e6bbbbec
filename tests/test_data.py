"""What fit, evaluate and predict accept as data, and what they say about data that they don't."""

import io
import os
import signal
import subprocess
import sys
import textwrap
import time
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcompile.engine import data_checks
from kcompile.engine.array_feeder import ArrayFeeder
from kcompile.engine.data import (
    BatchSource,
    FeedSpec,
    TargetSpec,
    is_batch_source,
    refuse_array_arguments,
    standardize,
    standardized_batches,
    steps_and_batch_size,
    training_data,
)
from kcompile.engine.data_adapters import to_array
from kcompile.engine.data_weights import sample_weight_modes
from kcompile.errors import DataError, DataTypeError, KCompileError, ShapeError
from kcompile.utils import Sequence, normalize, to_categorical

IN = FeedSpec("features", (None, 3))
REGRESSION = TargetSpec("price", (None, 1), "same", "mean_squared_error")
SPARSE = TargetSpec("digit", (None, 3), "sparse", "sparse_categorical_crossentropy", dtype="int32")
CATEGORICAL = TargetSpec("digit", (None, 3), "categorical", "categorical_crossentropy")
BINARY = TargetSpec("spam", (None, 1), "binary", "binary_crossentropy")
X10 = np.arange(30, dtype="float32").reshape(10, 3)
Y10 = np.arange(10, dtype="float32")


class Tensor:
    """The part of a PyTorch tensor that matters here: needs detach before __array__ works."""

    def __init__(self, array, attached=True):
        self.array, self.attached = array, attached
        self.shape, self.dtype = array.shape, "torch.float32"

    def detach(self):
        return Tensor(self.array, attached=False)

    def cpu(self):
        return self

    def __array__(self, dtype=None, copy=None):
        if self.attached:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.")
        return self.array


class Frame:
    """The part of a pandas DataFrame that matters here."""

    iloc = None

    def __init__(self, columns):
        self.columns = list(columns)
        self.data = columns
        self.dtypes = [np.asarray(values).dtype for values in columns.values()]
        self.ndim, self.shape = 2, (len(next(iter(columns.values()))), len(columns))

    def to_numpy(self):
        return np.stack([np.asarray(values) for values in self.data.values()], axis=1)

    def __array__(self, dtype=None, copy=None):
        return self.to_numpy()


class Sparse:
    """The part of a SciPy sparse matrix that matters here."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def toarray(self):
        return self.array


# R17, R54: layouts and kinds of data that give the same array as a contiguous native float32 copy.
def memory_map(tmp_path):
    written = np.memmap(tmp_path / "x.bin", dtype="float32", mode="w+", shape=X10.shape)
    written[:] = X10
    return written


ACCEPTED = {
    "big_endian": lambda p: X10.astype(">f4"),
    "big_endian_int": lambda p: X10.astype(">i8"),
    "fortran": lambda p: np.asfortranarray(X10),
    "negative_strides": lambda p: X10[::-1, ::-1].copy()[::-1, ::-1],
    "strided": lambda p: np.repeat(X10, 2, axis=1)[:, ::2],
    "zero_stride": lambda p: np.broadcast_to(X10[None, 0], (10, 3)),
    "memmap": memory_map,
    "matrix": lambda p: X10.view(np.matrix),
    "masked_nothing": lambda p: np.ma.masked_array(X10, mask=False),
    "float64": lambda p: X10.astype("float64"),
    "float16": lambda p: X10.astype("float16"),
    "uint8_image": lambda p: X10.astype("uint8"),
    "bool": lambda p: X10 > 4,
    "nested_list": lambda p: X10.tolist(),
    "list_of_rows": lambda p: list(X10),
    "tuple_of_rows": lambda p: tuple(X10),
    "list_of_tensors": lambda p: [Tensor(row) for row in X10],
    "wrapped_in_list": lambda p: [X10],
    "dict": lambda p: {"features": X10},
    "tensor": lambda p: Tensor(X10),
    "frame": lambda p: Frame({"a": X10[:, 0], "b": X10[:, 1].astype(int), "c": X10[:, 2]}),
    "sparse": lambda p: Sparse(X10),
}


@pytest.mark.parametrize("kind", ACCEPTED)
def test_every_layout_gives_the_native_contiguous_array(kind, tmp_path):
    value = ACCEPTED[kind](tmp_path)
    expected = X10
    if kind == "bool":
        expected = (X10 > 4).astype("float32")
    elif kind == "zero_stride":
        expected = np.repeat(X10[:1], 10, axis=0)
    (x,) = standardize(value, inputs=[IN]).x
    assert type(x) is np.ndarray
    assert x.dtype == np.dtype("float32")
    assert x.dtype.isnative
    assert x.flags.c_contiguous
    np.testing.assert_array_equal(x, expected)


def test_a_fitting_array_is_not_copied():
    assert np.shares_memory(standardize(X10, inputs=[IN]).x[0], X10)


def masked():
    return np.ma.masked_array(X10, mask=X10 == 4)


# R54: what is refused, and the words that tell the user why and where.
REFUSED = {
    "object": (
        np.array([[1, 2, "red"]] * 10, object),
        DataTypeError,
        ["x:", "object", "column 2", "'red'", "str"],
    ),
    "decimal": ([[Decimal(1)] * 3] * 10, DataTypeError, ["x:", "object", "Decimal"]),
    "text": (np.array([["1", "2", "x"]] * 10), DataTypeError, ["x:", "<U1", "text", "column 0"]),
    "complex": (X10 * 1j, DataTypeError, ["x:", "complex", "imaginary"]),
    "datetime": (
        np.full((10, 3), "2026-01-01", "datetime64[D]"),
        DataTypeError,
        ["x:", "datetime64", "date"],
    ),
    "timedelta": (np.ones((10, 3), "timedelta64[s]"), DataTypeError, ["x:", "timedelta64"]),
    "structured": (np.zeros(10, [("a", "f4")]), DataTypeError, ["x:", "not a number"]),
    "masked": (masked(), DataError, ["x:", "hides 1 value", "filled"]),
    "ragged": ([[1, 2, 3], [1, 2]], ShapeError, ["x:", "3, 2", "pad_sequences"]),
    "ragged_object": (np.array([[1, 2, 3], [1, 2]], object), ShapeError, ["x:", "3, 2", "pad_sequences"]),
    "frame_column": (
        Frame({"age": [1, 2], "city": ["a", "b"], "b": [1, 2]}),
        DataTypeError,
        ["x:", "'city'"],
    ),
    "none": (None, DataError, ["x is missing", "'features'"]),
    "string": ("data", DataTypeError, ["x:", "str 'data'"]),
    "scalar": (3.0, ShapeError, ["x:", "scalar"]),
    "empty": (X10[:0], DataError, ["x has 0 samples", "(0, 3)"]),
    # R47: wrong rank, features, keys.
    "features": (X10[:, :2], ShapeError, ["x:", "'features'", "(None, 3)", "(10, 2)"]),
    "one_sample": (X10[0], ShapeError, ["x:", "(None, 3)", "(3,)", "x[None]"]),
    "rank": (X10[..., None], ShapeError, ["x:", "(None, 3)", "(10, 3, 1)"]),
    "missing_key": ({"feature": X10}, DataError, ["missing 'features'", "did you mean 'features'?"]),
    "extra_key": ({"features": X10, "mask": X10}, DataError, ["extra key 'mask'", "'features'"]),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_data_that_cant_be_used_is_refused_with_the_reason(kind):
    value, error, words = REFUSED[kind]
    with pytest.raises(error) as raised:
        standardize(value, inputs=[IN])
    assert isinstance(raised.value, ValueError)
    for word in words:
        assert word in str(raised.value)


@pytest.mark.parametrize(
    ("shape", "expected", "hint"),
    [
        ((10, 28, 28), (None, 28, 28, 1), "x[..., None]"),
        ((10, 28, 28), (None, 1, 28, 28), "x[:, None]"),
        ((10, 3, 32, 24), (None, 32, 24, 3), "(0, 2, 3, 1)"),
        ((10, 32, 24, 3), (None, 3, 32, 24), "(0, 3, 1, 2)"),
        ((28, 28, 1), (None, 28, 28, 1), "x[None]"),
    ],
)
def test_shape_errors_say_how_to_fix_images(shape, expected, hint):
    with pytest.raises(ShapeError) as raised:
        standardize(np.zeros(shape, "float32"), inputs=[FeedSpec("image", expected)])
    assert hint in str(raised.value)
    assert str(shape) in str(raised.value)


def test_overflow_to_infinity_is_warned_of_with_its_place():
    x = X10.astype("float64")
    x[4, 1] = 1e300
    with pytest.warns(RuntimeWarning, match=r"x: 1 value .* 1e\+300 at sample 4, position \(1,\)") as caught:
        array = standardize(x, inputs=[IN]).x[0]
    assert np.isinf(array[4, 1])
    assert caught[0].filename == __file__  # the warning points at the user's line


def test_infinity_that_was_there_before_is_no_overflow(recwarn):
    x = X10.astype("float64")
    x[0, 0] = np.inf
    standardize(x, inputs=[IN])
    assert not recwarn.list


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([[1.5, 2, 3]], ["whole numbers", "1.5", "sample 0"]),
        ([[np.nan, 2, 3]], ["whole numbers", "nan"]),
        (np.array([[2**40, 0, 0]]), ["1099511627776", "int32"]),
    ],
)
def test_an_integer_input_refuses_what_it_would_change(value, words):
    with pytest.raises(KCompileError) as raised:
        standardize(value, inputs=[FeedSpec("ids", (None, 3), "int32")])
    for word in words:
        assert word in str(raised.value)


# R48
COUNTS = [
    ({"y": Y10[:8]}, ["x has 10", "y has 8"]),
    ({"y": Y10, "sample_weight": Y10[:7]}, ["x has 10", "y has 10", "sample_weight has 7"]),
]


@pytest.mark.parametrize(("arguments", "words"), COUNTS)
def test_sample_counts_that_differ_are_all_named(arguments, words):
    with pytest.raises(DataError) as raised:
        standardize(X10, inputs=[IN], targets=[REGRESSION], **arguments)
    for word in words:
        assert word in str(raised.value)


def test_one_sample_and_empty_predict_are_fine():
    assert standardize(X10[:1], Y10[:1], inputs=[IN], targets=[REGRESSION]).samples == 1
    assert standardize(X10[:0], inputs=[IN], allow_empty=True).x[0].shape == (0, 3)


@pytest.mark.parametrize("split", [1, 1.0, 1.5, -0.1, "0.1", None, True, np.nan])
def test_validation_split_outside_its_range_is_refused(split):
    with pytest.raises(KCompileError, match="validation_split"):
        training_data(X10, Y10, validation_split=split, inputs=[IN], targets=[REGRESSION])


@pytest.mark.parametrize(("samples", "split"), [(10, 0.99), (1, 0.5), (10, 1e-18)])
def test_a_split_that_leaves_nothing_names_the_numbers(samples, split):
    with pytest.raises(DataError, match=f"{samples} samples leaves none"):
        data_checks.split_point(samples, split)


@pytest.mark.parametrize(
    ("split", "train"), [(0, 10), (0.05, 9), (0.2, 8), (0.5, 5), (0.8, 1)]
)  # 0.8: Keras rounds 1.9999 down
def test_the_split_takes_the_last_samples(split, train):
    weights = Y10 + 1
    data, validation = training_data(
        X10, Y10, weights, validation_split=split, inputs=[IN], targets=[REGRESSION]
    )
    np.testing.assert_array_equal(data.x[0], X10[:train])
    if split == 0:
        assert validation is None
    else:
        np.testing.assert_array_equal(validation.x[0], X10[train:])
        np.testing.assert_array_equal(validation.y[0], Y10[train:, None])
        np.testing.assert_array_equal(validation.weights[0], weights[train:])


def test_validation_data_wins_over_the_split_and_has_no_class_weights():
    data, validation = training_data(
        X10,
        [0, 1] * 5,
        class_weight={0: 1, 1: 3},
        validation_split=0.5,
        validation_data=(X10[:4], np.zeros(4)),
        inputs=[IN],
        targets=[BINARY],
    )
    assert (data.samples, validation.samples) == (10, 4)
    assert data.weights[0].tolist() == [1, 3] * 5
    assert validation.weights == [None]


@pytest.mark.parametrize("value", [(X10,), (X10, Y10, Y10, Y10), X10, "xy", {"x": X10}])
def test_validation_data_of_another_form_is_refused(value):
    with pytest.raises(DataError, match=r"validation_data must be \(x, y\)"):
        training_data(X10, Y10, validation_data=value, inputs=[IN], targets=[REGRESSION])


def test_errors_in_validation_data_say_so():
    with pytest.raises(ShapeError, match=r"validation_data: x: input 'features'"):
        training_data(X10, Y10, validation_data=(X10[:, :1], Y10), inputs=[IN], targets=[REGRESSION])


# R18
@pytest.mark.parametrize("y", [Y10, Y10[:, None], Y10.tolist(), Y10.astype("int64"), Y10.astype("uint8")])
def test_a_vector_of_targets_is_a_column(y):
    data = standardize(X10, y, inputs=[IN], targets=[REGRESSION])
    np.testing.assert_array_equal(data.y[0], Y10[:, None])


WRONG_TARGETS = {
    "two_columns": (REGRESSION, np.ones((10, 2)), ["(10, 2)", "(None, 1)", "'price'", "2 units"]),
    "rank": (REGRESSION, np.ones((10, 1, 1)), ["(10, 1, 1)", "(None, 1)", "mean_squared_error"]),
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


# R55
@pytest.mark.parametrize(
    ("indices", "words"),
    [
        ([[0, 9, 10]], ["10 ", "position (2,)", "0..9", "'words'"]),
        ([[0, 1, 2], [0, -1, 1]], ["-1 ", "sample 1, position (1,)", "0..9"]),
        ([[0, 1.7, 1]], ["1.7", "whole numbers"]),
        ([[0, np.nan, 1]], ["nan", "whole numbers"]),
        (np.array([[0, 2**24 + 1, 1]]), ["0..9", "position (1,)"]),
    ],
)
def test_embedding_indices_are_checked_against_the_table(indices, words):
    spec = FeedSpec("ids", (None, 3), "float32", index_limit=10, index_owner="words")
    with pytest.raises(KCompileError) as raised:
        standardize(indices, inputs=[spec])
    for word in words:
        assert word in str(raised.value)


def test_embedding_indices_in_range_pass():
    spec = FeedSpec("ids", (None, 3), "int32", index_limit=10)
    for value in ([[0, 9, 1]], np.array([[0.0, 9.0, 1.0]]), np.array([[0, 9, 1]], "uint8")):
        assert standardize(value, inputs=[spec]).x[0].tolist() == [[0, 9, 1]]


# Several inputs and outputs.
TWO_IN = [FeedSpec("a", (None, 3)), FeedSpec("b", (None, 1))]
TWO_OUT = [TargetSpec("p", (None, 1)), TargetSpec("q", (None, 3), "sparse", dtype="int32")]


@pytest.mark.parametrize("x", [[X10, Y10], (X10, Y10), {"b": Y10, "a": X10}, [X10.tolist(), Y10.tolist()]])
def test_inputs_go_by_position_or_by_name(x):
    data = standardize(x, inputs=TWO_IN)
    np.testing.assert_array_equal(data.x[0], X10)
    np.testing.assert_array_equal(data.x[1], Y10[:, None])


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (X10, ["2 inputs", "'a', 'b'", "ndarray of shape (10, 3)"]),
        ([X10], ["2 arrays", "list of 1"]),
        ({"a": X10}, ["missing 'b'"]),
        ([X10, X10], ["x[1] ('b')", "(None, 1)"]),
    ],
)
def test_wrong_inputs_of_a_model_with_two(x, words):
    with pytest.raises(KCompileError) as raised:
        standardize(x, inputs=TWO_IN)
    for word in words:
        assert word in str(raised.value)


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
    assert data.with_weights().weights[0].tolist() == [1] * 10


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
    assert standardize(X10, np.zeros((10, 4, 3)), inputs=[IN], targets=[TEMPORAL]).with_weights().weights[
        0
    ].shape == (10, 4)


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


# R49
@pytest.mark.parametrize(
    ("check", "value"),
    [
        *[
            (lambda v: data_checks.check_batch_size("fit", v), value)
            for value in (0, -1, 2.5, "32", True, [32])
        ],
        *[(lambda v: data_checks.check_epochs(v), value) for value in (0, -1, 1.5, None, "3")],
        *[(lambda v: data_checks.check_steps("fit", "steps_per_epoch", v), value) for value in (0, -3, 2.0)],
        *[(data_checks.check_shuffle, value) for value in ("Batch", "yes", 2)],
        *[(data_checks.check_validation_freq, value) for value in (0, 1.5, "2", [0], [1, "a"])],
        *[(lambda v: data_checks.check_verbose("fit", v), value) for value in (3, -1, "loud")],
    ],
)
def test_arguments_of_fit_outside_their_range_are_refused(check, value):
    with pytest.raises(KCompileError, match=r"fit: \w+.* (must be|got)"):
        check(value)


def test_arguments_of_fit_that_are_fine():
    assert data_checks.check_batch_size("fit", None) is None
    assert data_checks.check_batch_size("fit", np.int64(7)) == 7
    assert data_checks.check_epochs(np.int32(3), 1) == (3, 1)
    assert [data_checks.check_verbose("fit", v) for v in (0, 1, 2, True, "auto")] == [0, 1, 2, 1, 1]
    with pytest.warns(RuntimeWarning, match="nothing to train"):
        data_checks.check_epochs(3, 3)
    run = data_checks.should_run_validation
    assert [run(data_checks.check_validation_freq(2), epoch) for epoch in range(4)] == [
        False,
        True,
        False,
        True,
    ]
    assert [run(data_checks.check_validation_freq((1, 3)), epoch) for epoch in range(4)] == [
        True,
        False,
        True,
        False,
    ]
    assert steps_and_batch_size(100, None, None) == (4, 32)
    assert steps_and_batch_size(100, 1000, None) == (1, 1000)
    assert steps_and_batch_size(100, None, 3) == (3, 34)
    assert steps_and_batch_size(100, 10, 25) == (25, 10)


# The feeder.
@given(
    samples=st.integers(1, 60),
    batch=st.integers(1, 20),
    group=st.integers(1, 4),
    chunk=st.sampled_from([1, 200, 10**6]),
    shuffle=st.sampled_from([True, False, "batch"]),
    dtype=st.sampled_from(["float32", "uint8"]),
    seed=st.integers(0, 5),
)
def test_an_epoch_has_every_sample_once_and_rows_stay_together(
    samples, batch, group, chunk, shuffle, dtype, seed
):
    x = (np.arange(samples)[:, None] * [1, 2]).astype(dtype)
    y = np.arange(samples, dtype="int64")
    feeder = ArrayFeeder(
        [x, y],
        batch,
        shuffle,
        dtypes=["float32", "int64"],
        steps_per_execution=group,
        chunk_bytes=chunk,
        rng=np.random.RandomState(seed),
    )
    order = y if not shuffle else np.random.RandomState(seed).permutation(samples)
    if shuffle == "batch":
        full = samples // batch
        blocks = np.random.RandomState(seed).permutation(full)
        order = np.concatenate([y[i * batch : (i + 1) * batch] for i in blocks] + [y[full * batch :]])
    batches = [(x.copy(), y.copy()) for x, y in feeder.epoch()]
    assert [len(b) for _, b in batches[:-1]] == [batch] * (feeder.steps - 1)
    np.testing.assert_array_equal(np.concatenate([b for _, b in batches]), order)
    for rows, labels in batches:
        assert rows.dtype == np.float32
        assert rows.flags.c_contiguous
        np.testing.assert_array_equal(rows, (labels[:, None] * [1, 2]).astype(dtype))

    grouped = [(k, x.copy(), y.copy()) for k, (x, y) in feeder.groups()]
    assert sum(k for k, _, _ in grouped) == feeder.steps
    assert all(x.shape[0] == y.shape[0] == k for k, x, y in grouped)
    assert all(k == group for k, _, _ in grouped[: samples // (batch * group)])
    assert sorted(np.concatenate([y.ravel() for _, _, y in grouped])) == list(range(samples))


def test_the_order_comes_from_numpys_global_seed():
    def order():
        feeder = ArrayFeeder([Y10.copy()], 3)
        return [batch[0].tolist() for _ in range(2) for batch in feeder.epoch()]

    np.random.seed(3)
    first = order()
    np.random.seed(3)
    assert order() == first
    np.random.seed(3)
    expected = Y10[np.random.permutation(10)].tolist()  # what Keras 2.3 draws for its first epoch
    assert [value for batch in first[:4] for value in batch] == expected
    assert first[:4] != first[4:]


def test_steps_beyond_the_data_go_through_it_again():
    feeder = ArrayFeeder([Y10], 4, shuffle=False)
    assert [len(batch[0]) for batch in feeder.epoch(5)] == [4, 4, 2, 4, 4]
    assert len(list(feeder.epoch(2))) == 2


def test_unshuffled_batches_are_views_and_full_batches_come_back_as_the_same_objects():
    assert all(np.shares_memory(batch[0], X10) for batch in ArrayFeeder([X10], 4, shuffle=False).epoch())
    feeder = ArrayFeeder([np.zeros((1000, 2), "float32")], 10, chunk_bytes=1600)
    first, later = ({id(batch) for batch in feeder.epoch()} for _ in range(2))
    assert first == later
    assert len(first) == 40  # two chunks of 20 batches


def test_the_feeder_costs_microseconds_per_step():
    x, y = np.zeros((60_000, 64), "float32"), np.zeros((60_000, 1), "int32")
    feeder = ArrayFeeder([x, y], 32)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        steps = sum(1 for _ in feeder.epoch())
        times.append((time.perf_counter() - start) / steps)
    assert min(times) < 20e-6  # about 2 us on an idle machine


class OnDisk:
    """An h5py-like dataset: slices only."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def __getitem__(self, key):
        assert isinstance(key, slice), "reads rows by slices only"
        return self.array[key]

    def __len__(self):
        return len(self.array)


OnDisk.__module__ = "h5py._hl.dataset"


def test_data_on_disk_is_read_by_slices():
    data, validation = training_data(
        OnDisk(X10), OnDisk(Y10), validation_split=0.2, inputs=[IN], targets=[REGRESSION]
    )
    assert validation.x[0].shape == (2, 3)
    rows = [(x.copy(), y.copy()) for x, y in data.feeder(3, shuffle="batch").epoch()]
    np.testing.assert_array_equal(np.sort(np.concatenate([y for _, y in rows]), axis=0)[:, 0], Y10[:8])
    for x, y in rows:
        np.testing.assert_array_equal(x[:, 0], y[:, 0] * 3)
    with pytest.raises(DataError, match="shuffle='batch'"):
        data.feeder(3, shuffle=True)
    with pytest.raises(DataError, match="label 9 outside"):
        standardize(OnDisk(X10), OnDisk(Y10[::-1].copy()), inputs=[IN], targets=[SPARSE])


def test_large_images_of_bytes_are_converted_by_chunks(monkeypatch):
    monkeypatch.setattr("kcompile.engine.data_adapters.DEFERRED_CAST_BYTES", 100)
    images = np.arange(300, dtype="uint8").reshape(100, 3)
    data = standardize(images, inputs=[IN])
    assert data.x[0].dtype == np.uint8
    assert np.shares_memory(data.x[0], images)
    batches = [x.copy() for (x,) in data.feeder(7, shuffle=True).epoch()]
    assert batches[0].dtype == np.float32
    assert sorted(np.concatenate(batches)[:, 0]) == sorted(images[:, 0].astype("float32"))


# R30: generators and Sequences.
class Numbers(Sequence):
    """Batches 0, 1, 2, ...; later ones are ready sooner, so that workers finish out of order."""

    def __init__(self, length=5, fail_at=None):
        self.length, self.fail_at, self.epoch = length, fail_at, 0

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        time.sleep(0.005 * (self.length - index))
        if index == self.fail_at:
            raise KeyError("lost file")
        return np.full((2, 3), index + 100 * self.epoch, "float32"), np.zeros(2)

    def on_epoch_end(self):
        self.epoch += 1


def generate(batches=12, wrong=None, at=3):
    for i in range(batches):
        yield wrong if wrong is not None and i == at else (np.full((2, 3), i, "float32"), np.zeros(2))


WORKERS = [
    {"workers": 0},
    {"workers": 1},
    {"workers": 3},
    {"workers": 3, "max_queue_size": 1},
    {"workers": 2, "use_multiprocessing": True},
]


def first_values(batches):
    return [int(x[0, 0]) for x, _, _ in batches]


@pytest.mark.parametrize("options", WORKERS, ids=str)
def test_batches_of_a_sequence_come_in_order_whatever_the_workers(options):
    with BatchSource(Numbers(), **options) as source:
        assert source.steps == 5
        for epoch in range(2):
            assert first_values(source.epoch()) == [100 * epoch + i for i in range(5)]
        assert first_values(source.epoch(7)) == [200, 201, 202, 203, 204, 300, 301]


@pytest.mark.parametrize("options", WORKERS, ids=str)
def test_a_shuffled_sequence_gives_each_batch_once_and_follows_the_seed(options):
    orders = []
    for _ in range(2):
        np.random.seed(1)
        with BatchSource(Numbers(), shuffle=True, **options) as source:
            orders.append(first_values(source.epoch()))
    assert orders[0] == orders[1]
    assert sorted(orders[0]) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("options", WORKERS[:4], ids=str)
def test_a_generator_goes_on_over_epochs_and_its_early_end_is_a_warning(options):
    with BatchSource(generate(), **options) as source:
        assert first_values(source.epoch(5)) == [0, 1, 2, 3, 4]
        assert first_values(source.epoch(5)) == [5, 6, 7, 8, 9]
        with pytest.warns(RuntimeWarning, match="ended after 12 batches, 2 of the 5 steps"):
            assert first_values(source.epoch(5)) == [10, 11]
        assert source.exhausted


@pytest.mark.parametrize("options", WORKERS, ids=str)
def test_the_users_exception_surfaces_with_the_number_of_the_batch(options):
    with BatchSource(Numbers(fail_at=2), **options) as source, pytest.raises(KeyError) as raised:
        first_values(source.epoch())
    assert raised.value.args == ("lost file",)
    assert any("batch 2 of generator" in note for note in raised.value.__notes__)


WRONG_BATCHES = {
    "none": (lambda: iter([(X10, Y10), None]), ["batch 1 is None", "(x, y)"]),
    "one": (lambda: iter([(X10, Y10), (X10,)]), ["batch 1 is a tuple of 1", "(x, y, sample_weight)"]),
    "four": (lambda: iter([(X10, Y10), (X10,) * 4]), ["batch 1 is a tuple of 4"]),
    "array": (lambda: iter([(X10, Y10), X10[:2]]), ["batch 1 is an array of shape (2, 3)"]),
    "shape": (lambda: iter([(X10, Y10), (X10[:, :2], Y10)]), ["x:", "(None, 3)", "(10, 2)", "batch 1 of"]),
    "dtype": (lambda: iter([(X10, Y10), (X10.astype(str), Y10)]), ["x:", "text", "batch 1 of"]),
    "counts": (lambda: iter([(X10, Y10), (X10, Y10[:3])]), ["x has 10", "y has 3", "batch 1 of"]),
    "nothing": (lambda: iter([]), ["yielded no batch", "2"]),
}


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("kind", WRONG_BATCHES)
def test_batches_that_cant_be_used_are_named(kind, workers):
    make, words = WRONG_BATCHES[kind]
    with BatchSource(make(), workers=workers) as source, pytest.raises(ValueError) as raised:  # noqa: PT011
        list(standardized_batches(source, 2, inputs=[IN], targets=[REGRESSION]))
    text = "\n".join([str(raised.value), *getattr(raised.value, "__notes__", [])])
    for word in words:
        assert word in text


def test_batches_may_change_in_size_and_carry_weights():
    batches = [(X10, Y10), (X10[:3], Y10[:3], np.arange(3)), [X10[:1], Y10[:1]]]
    with BatchSource(iter(batches)) as source:
        got = list(standardized_batches(source, 3, inputs=[IN], targets=[REGRESSION]))
    assert [data.samples for data in got] == [10, 3, 1]
    assert [data.weighted for data in got] == [False, True, False]


def test_predict_takes_x_alone_or_first_of_a_tuple():
    for batch in (X10, (X10,), (X10, Y10), (X10, Y10, Y10)):
        with BatchSource(iter([batch]), with_targets=False) as source:
            (data,) = standardized_batches(source, 1, inputs=[IN])
        np.testing.assert_array_equal(data.x[0], X10)


def test_a_generator_needs_steps_and_arrays_are_no_source():
    with BatchSource(generate()) as source, pytest.raises(DataError, match="number of steps must be given"):
        next(source.epoch())
    for value in (X10, [X10], {"x": X10}, None, "abc", Tensor(X10), Frame({"a": Y10})):
        assert not is_batch_source(value)
    with pytest.raises(DataTypeError, match="expected a generator or a Sequence, got ndarray"):
        BatchSource(X10)
    for wrong in ({"y": Y10}, {"sample_weight": Y10}, {"batch_size": 3}, {"validation_split": 0.1}):
        with pytest.raises(DataError, match=next(iter(wrong))):
            refuse_array_arguments("fit", **wrong)


def test_an_iterable_starts_again_for_each_epoch():
    class Loader:
        def __iter__(self):
            return generate(3)

    with BatchSource(Loader()) as source:
        assert [first_values(source.epoch()) for _ in range(2)] == [[0, 1, 2], [0, 1, 2]]
        assert first_values(source.epoch(5)) == [0, 1, 2, 0, 1]


def test_a_generator_that_blocks_ends_in_a_timeout():
    def blocked():
        yield X10, Y10
        time.sleep(3600)

    start = time.perf_counter()
    with (
        BatchSource(blocked(), timeout=0.2) as source,
        pytest.raises(TimeoutError, match=r"0\.2 seconds") as raised,
    ):
        list(source.epoch(2))
    assert time.perf_counter() - start < 3
    assert any("batch 1 of generator" in note for note in raised.value.__notes__)


def run_child(script, **options):
    code = textwrap.dedent(script)
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment, **options
    )


@pytest.mark.parametrize("processes", [False, True])
def test_ctrl_c_while_the_generator_blocks_ends_the_program(processes):
    child = run_child(
        f"""
        import numpy as np, time
        from kcompile.engine.data import BatchSource

        def blocked():
            print("blocked", flush=True)
            while True:
                time.sleep(1)
            yield

        with BatchSource(blocked(), use_multiprocessing={processes}) as source:
            list(source.epoch(2))
    """,
        stderr=subprocess.DEVNULL,
    )
    assert child.stdout.readline() == "blocked\n"
    child.send_signal(signal.SIGINT)
    assert child.wait(10) != 0


def test_a_killed_worker_process_is_an_error_and_none_is_left():
    child = run_child("""
        import multiprocessing, os, signal
        from kcompile.engine.data import BatchSource
        from kcompile.utils import Sequence

        class Killed(Sequence):
            def __len__(self):
                return 4
            def __getitem__(self, index):
                os.kill(os.getpid(), signal.SIGKILL)

        with BatchSource(Killed(), use_multiprocessing=True, workers=2) as source:
            try:
                list(source.epoch())
            except RuntimeError as error:
                print(error)
        print(len(multiprocessing.active_children()))
    """)
    output, _ = child.communicate(timeout=20)
    assert "worker process died (exit code -9)" in output
    assert output.endswith("\n0\n")


# to_categorical and normalize.
def test_to_categorical():
    np.testing.assert_array_equal(to_categorical([0, 1, 2], 3), np.eye(3, dtype="float32"))
    assert to_categorical([[0], [2]]).shape == (2, 3)
    assert to_categorical(np.zeros((2, 4)), 5, dtype="int8").shape == (2, 4, 5)
    for wrong, classes, words in [
        ([0, 3], 3, "label 3 at index 1 is outside 0..2"),
        ([-1], None, "label -1"),
        ([1.5], 3, "1.5"),
        (["a"], 3, "dtype"),
        ([], None, "num_classes"),
        ([1], 0, "num_classes"),
    ]:
        with pytest.raises(KCompileError, match="to_categorical") as raised:
            to_categorical(wrong, classes)
        assert words in str(raised.value)


def test_normalize():
    x = np.array([[3.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(normalize(x), [[0.6, 0.8], [0, 0]])
    np.testing.assert_allclose(normalize(x, axis=0, order=1), [[1, 1], [0, 0]])
    with pytest.raises(DataError, match="axis=2"):
        normalize(x, axis=2)


def test_an_array_saved_by_numpy_keeps_its_values():
    stream = io.BytesIO()
    np.save(stream, np.asfortranarray(X10.astype(">f8")))
    stream.seek(0)
    np.testing.assert_array_equal(to_array(np.load(stream), "x"), X10)
