"""Tensors: operators, indexing, promotion, K.function, gradients, the learning phase."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kcompile as keras
from kcompile import backend as K

ARRAY = np.random.default_rng(0).standard_normal((4, 5, 6)).astype(np.float32)

OPERATORS = {
    "add": lambda x: x + 1, "radd": lambda x: 1.5 + x, "sub": lambda x: x - 2, "rsub": lambda x: 2 - x,
    "mul": lambda x: x * x, "div": lambda x: x / 3, "rdiv": lambda x: 3 / (x + 10), "pow": lambda x: x**2,
    "neg": lambda x: -x, "abs": lambda x: abs(x), "floordiv": lambda x: x // 0.7, "mod": lambda x: x % 0.7,
    "matmul": lambda x: x @ np.ones((6, 2), np.float32), "less": lambda x: x < 0, "ge": lambda x: x >= 0.5,
    "array": lambda x: ARRAY[0] + x, "and": lambda x: (x > 0) & (x < 1), "invert": lambda x: ~(x > 0),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_are_numpys(name: str) -> None:
    operation = OPERATORS[name]
    result = operation(K.constant(ARRAY))
    expected = operation(ARRAY)
    assert isinstance(result, type(K.constant(0.0)))
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_integers_divide_and_round_as_python_does() -> None:
    x = np.array([-7, -1, 0, 1, 7], np.int32)
    t = K.constant(x, dtype="int32")
    np.testing.assert_array_equal((t // 2).numpy(), x // 2)
    np.testing.assert_array_equal((t % 3).numpy(), x % 3)
    assert (t / 2).dtype == "float32"
    assert (t + 1).dtype == "int32"
    assert (t + 0.5).dtype == "float32"


indices = st.one_of(
    st.integers(-4, 3),
    st.slices(4),
    st.just(Ellipsis),
    st.none(),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(indices, min_size=1, max_size=3).filter(lambda keys: keys.count(Ellipsis) <= 1))
def test_indexing_is_numpys(keys: list) -> None:
    expected = ARRAY[tuple(keys)]
    np.testing.assert_array_equal(K.constant(ARRAY)[tuple(keys)].numpy(), expected)


def test_indexing_by_arrays_and_tensors() -> None:
    t = K.constant(ARRAY)
    np.testing.assert_array_equal(t[:, [3, 1]].numpy(), ARRAY[:, [3, 1]])
    np.testing.assert_array_equal(t[K.constant(2, dtype="int32")].numpy(), ARRAY[2])
    np.testing.assert_array_equal(t[1:, K.constant(2, dtype="int32"), ::2].numpy(), ARRAY[1:, 2, ::2])


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        (4, IndexError, "index 4 is out of range for axis 0 of size 4"),
        ((0, 0, 0, 0), IndexError, "too many indices: 4"),
        ("a", TypeError, "cannot be indexed with 'a'"),
        (([0], [1]), TypeError, "at most one array"),
    ],
)
def test_indices_that_do_not_fit(key: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        K.constant(ARRAY)[key]


def test_function_with_updates_and_intermediate_inputs() -> None:
    x = K.placeholder((None, 3))
    count = K.variable(0.0)
    hidden = x * 2.0
    y = K.sum(hidden + 1.0, axis=1)
    whole = K.function([x], [y, hidden], updates=[K.update_add(count, 1.0)])
    part = K.function([hidden], y)
    feed = np.arange(6, dtype=np.float32).reshape(2, 3)
    outputs = whole([feed])
    np.testing.assert_allclose(outputs[0], (feed * 2 + 1).sum(1))
    np.testing.assert_allclose(part([feed]), (feed + 1).sum(1))
    whole([feed])
    assert K.get_value(count) == 2


def test_function_checks_its_inputs() -> None:
    x, y = K.placeholder((None, 3)), K.placeholder((None, 3))
    with pytest.raises(ValueError, match="depends on input 'placeholder_"):
        K.function([x], [x + y])
    with pytest.raises(ValueError, match="takes 2 inputs, got 1"):
        K.function([x, y], [x + y])([np.zeros((1, 3))])
    with pytest.raises(ValueError, match=r"shape \(1, 2\); expected \(batch, 3\)"):
        K.function([x], [x])([np.zeros((1, 2))])
    with pytest.raises(ValueError, match="depends on input"):
        (x + 1).numpy()


def test_gradients_of_any_order() -> None:
    x = K.variable(np.array([0.5, -1.0, 2.0]))
    y = K.sum(x**3 + K.exp(x))
    (first,) = K.gradients(y, x)
    (second,) = K.gradients(K.sum(first), [x])
    value = x.numpy()
    np.testing.assert_allclose(first.numpy(), 3 * value**2 + np.exp(value), rtol=1e-5)
    np.testing.assert_allclose(second.numpy(), 6 * value + np.exp(value), rtol=1e-5)
    assert K.gradients(y, [K.variable(1.0)]) == [None]
    assert K.gradients(K.sum(K.stop_gradient(x) * 2.0), [x]) == [None]


def test_learning_phase_is_an_input_or_fixed() -> None:
    x = K.placeholder((None, 2))
    y = K.in_train_phase(x * 2.0, lambda: x + 1.0)
    both = K.function([x, K.learning_phase()], [y])
    feed = np.ones((1, 2), np.float32) * 3
    np.testing.assert_allclose(both([feed, 1])[0], feed * 2)
    np.testing.assert_allclose(both([feed, 0])[0], feed + 1)
    np.testing.assert_allclose(K.function([x], [y])([feed])[0], feed + 1)
    K.set_learning_phase(1)
    try:
        assert K.learning_phase() == 1
        np.testing.assert_allclose(K.function([x], [K.in_train_phase(x * 2.0, x)])([feed])[0], feed * 2)
    finally:
        K.clear_session()


def test_shapes_that_depend_on_the_batch() -> None:
    x = K.placeholder((None, 4, 6))
    flat = K.reshape(x, (K.shape(x)[0], -1))
    back = K.reshape(flat, K.shape(x))
    tiled = K.tile(x, (1, 2, 1))
    run = K.function([x], [flat, back, tiled, K.batch_flatten(x), K.zeros_like(x)])
    for batch in (1, 3):
        feed = ARRAY[:batch, :4]
        a, b, c, d, z = run([feed])
        np.testing.assert_array_equal(a, feed.reshape(batch, -1))
        np.testing.assert_array_equal(b, feed)
        np.testing.assert_array_equal(c, np.tile(feed, (1, 2, 1)))
        np.testing.assert_array_equal(d, a)
        np.testing.assert_array_equal(z, feed * 0)
    assert K.int_shape(flat) == (None, 24)


def test_random_tensors_are_new_at_each_run() -> None:
    draw = K.function([], [K.random_normal((1000,), mean=2.0, stddev=0.5), K.random_uniform((1000,), 1.0, 3.0)])
    normal, uniform = draw([])
    assert abs(normal.mean() - 2) < 0.1
    assert abs(normal.std() - 0.5) < 0.05
    assert uniform.min() >= 1
    assert uniform.max() < 3
    assert not np.array_equal(normal, draw([])[0])


def test_symbolic_tensors_have_no_truth_value() -> None:
    with pytest.raises(TypeError, match=r"use K\.switch"):
        bool(K.placeholder((None, 1)) > 0)
    x = keras.layers.Input((3,))
    assert x in [x]
    with pytest.raises(TypeError, match=r"use K\.switch"):
        assert x == 1


EQUAL = {
    "a number": lambda t, u: t == 1,
    "unequal to one": lambda t, u: t != 1.0,
    "from the left": lambda t, u: 1 == t,  # noqa: SIM300
    "a NumPy number": lambda t, u: np.float32(1) == t,
    "an array": lambda t, u: t == np.float32([1, 1, 2]),
    "an array from the left": lambda t, u: np.float32([1, 1, 2]) != t,
    "a list": lambda t, u: t == [1, 1, 2],
    "a tensor": lambda t, u: t == u,
    "itself, which tells NaN": lambda t, u: t == t,
    "a variable": lambda t, u: t == K.variable([1.0, 1.0, 2.0]),
}


@pytest.mark.parametrize("name", EQUAL)
def test_equality_is_elementwise(name: str) -> None:
    """In layers, losses and on values, as in tf.keras and NumPy."""
    function = EQUAL[name]
    x, y = np.float32([[1, 2, np.nan], [0, 1, 1]]), np.float32([[1, 0, 2], [0, 1, 2]])
    expected = function(x, y) if name != "a variable" else x == np.float32([1, 1, 2])
    a, b = keras.layers.Input((3,)), keras.layers.Input((3,))
    model = keras.models.Model([a, b], keras.layers.Lambda(lambda both: K.cast(function(*both), "float32"))([a, b]))
    np.testing.assert_array_equal(model.predict([x, y]), expected)
    np.testing.assert_array_equal(function(K.constant(x), K.constant(y)), expected)


def test_equality_of_what_cannot_be_equal() -> None:
    t, v = K.constant([1.0, 2.0]), K.variable([1.0, 2.0])
    for other in (None, "mean", object(), [1, 2, 3], np.zeros(3), K.constant([1.0, 2.0, 3.0]), [1, [2]]):
        assert (t == other) is False
        assert (t != other) is True
    assert v in [K.variable([1.0, 2.0]), v]  # of variables: the same one
    assert v not in [K.variable([1.0, 2.0])]
    np.testing.assert_array_equal(v == 1, [True, False])
    assert K.constant(2.0) == 2
    assert {v: 1}[v] == 1


def test_a_loss_that_leaves_out_marked_targets() -> None:
    model = keras.models.Sequential([keras.layers.Dense(3, kernel_initializer="ones", input_shape=(3,))])
    model.compile("sgd", lambda y, p: K.mean(K.cast(y != -1, "float32") * K.square(y - p), axis=-1))
    x, y = np.float32([[1, 2, 0], [0, 1, 1]]), np.float32([[-1, 5, -1], [-1, 2, 2]])
    assert model.evaluate(x, y, verbose=0) == pytest.approx(4 / 6)


def test_operators_on_truth_values_and_from_the_left() -> None:
    a, b = np.array([True, True, False]), np.array([True, False, False])
    t, u = K.constant(a, dtype="bool"), K.constant(b, dtype="bool")
    np.testing.assert_array_equal(t ^ u, a ^ b)
    np.testing.assert_array_equal(a ^ u, a ^ b)
    np.testing.assert_array_equal(True & u, b)
    np.testing.assert_array_equal(False | u, b)
    np.testing.assert_array_equal(7 % K.constant([2.0, 4.0]), [1, 3])
