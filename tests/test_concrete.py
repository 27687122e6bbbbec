"""A tensor that depends on no input is a number to print, format, compare and decide by; one that does is not."""

import numpy as np
import pytest

import kcompile as keras
from kcompile import backend as K

Y, P = np.float32([[0, 1], [0, 0]]), np.float32([[1, 1], [1, 0]])
SYMBOLIC = keras.layers.Input((2,), name="x")


def test_a_loss_of_arrays_prints_its_numbers():
    values = keras.losses.mean_squared_error(Y, P)
    assert "shape=(2,) dtype=float32 value=[0.5, 0.5]>" in repr(values)
    assert "value=0.5>" in str(keras.losses.MeanSquaredError()(Y, P))
    metric = keras.metrics.MeanAbsoluteError()
    assert "value=0.5>" in repr(metric(Y, P))
    weight = K.variable(3.0, name="w")
    assert repr(weight) == "<Variable 'w' shape=() dtype=float32 value=3.0>"
    assert "value=9.0>" in repr(K.square(weight))
    K.set_value(weight, 4.0)
    assert "value=16.0>" in repr(K.square(weight))


def test_python_numbers():
    loss = keras.losses.MeanSquaredError()(Y, P)
    assert f"{loss:.3f} {loss:8.1e}" == "0.500  5.0e-01"
    assert (float(loss), int(loss * 4), round(loss / 3, 2)) == (0.5, 2, 0.17)
    assert f"{K.constant([7], dtype='int32')[0]:d}" == "7"
    assert min([loss, loss * 0.5], key=float) is not loss
    assert loss < 1
    assert not loss > 1
    assert sorted([2 * loss, loss])[0] is loss
    assert not K.constant(0.0)


def test_rows():
    x = K.constant([[1.0, 2.0], [3.0, 4.0]])
    assert len(x) == 2
    assert [float(row[1]) for row in x] == [2.0, 4.0]
    _, second = x
    assert "value=[3., 4.]>" in repr(second)
    assert float(K.constant([[5.0]])) == 5


def test_many_numbers_are_cut():
    assert len(repr(K.constant(np.arange(1000.0)))) < 120
    assert "value" not in repr(K.zeros((200, 200)) + 1)


@pytest.mark.parametrize(
    "act",
    [float, int, bool, iter, lambda x: f"{x:.2f}", round, lambda x: list(x), lambda x: 1 if x else 2],
)
def test_what_depends_on_inputs_has_no_value(act):
    with pytest.raises((TypeError, ValueError), match=r"<Tensor 'x:0' shape=\(None, 2\) dtype=float32>|known only"):
        act(SYMBOLIC) if act is not iter else next(act(SYMBOLIC))
    assert "value" not in repr(SYMBOLIC * 2)
    assert f"{SYMBOLIC}" == repr(SYMBOLIC)


@pytest.mark.parametrize("act", [float, int, lambda x: f"{x:.2f}"])
def test_several_numbers_are_no_number(act):
    with pytest.raises(TypeError, match="2 elements"):
        act(K.constant([1.0, 2.0]))


def test_a_scalar_has_no_length():
    with pytest.raises(TypeError, match="scalar"):
        len(K.constant(1.0))


def test_printing_draws_no_random_numbers():
    x = K.random_uniform((1,))
    assert "value" not in repr(x)


def test_no_decision_by_a_variable_while_a_layer_is_traced():
    """It would be made once, for good."""
    switch = K.variable(1.0)

    class Own(keras.layers.Layer):
        def call(self, x):
            return x if switch else -x

    with pytest.raises(TypeError, match="truth value while the model is being built"):
        Own()(SYMBOLIC)
    assert switch
