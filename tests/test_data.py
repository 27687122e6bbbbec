"""What fit, evaluate and predict accept as x, and what they say about data that they don't."""

from decimal import Decimal

import numpy as np
import pytest

from kcompile.common.errors import DataError, DataTypeError, KCompileError, ShapeError
from kcompile.data import checks as data_checks
from kcompile.data.standardize import (
    FeedSpec,
    standardize,
    steps_and_batch_size,
    training_data,
)
from tests.data_samples import BINARY, IN, REGRESSION, TWO_IN, X10, Y10, Frame, Sparse, Tensor


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
    "ragged": ([[1, 2, 3], [1, 2]], ShapeError, ["x:", "3, 2", "np.pad"]),
    "ragged_object": (np.array([[1, 2, 3], [1, 2]], object), ShapeError, ["x:", "3, 2", "np.pad"]),
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
    data, validation = training_data(X10, Y10, weights, validation_split=split, inputs=[IN], targets=[REGRESSION])
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


# R49
@pytest.mark.parametrize(
    ("check", "value"),
    [
        *[(lambda v: data_checks.check_batch_size("fit", v), value) for value in (0, -1, 2.5, "32", True, [32])],
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
