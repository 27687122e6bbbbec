"""A layer that takes one tensor takes it in a list too, as Keras' layers do: functions often return such lists."""

import pytest

import kcompile as keras
from kcompile import layers as L
from tests.layer_samples import APART, SAMPLES

WITH_A_LIST = {
    "Lambda",
    "TimeDistributed",
    *APART,
}  # the function of the one gets the list itself, the layer of the other too


@pytest.mark.parametrize("name", [n for n, (_, shapes) in SAMPLES.items() if len(shapes) == 1 and n not in WITH_A_LIST])
def test_of_every_layer(name: str) -> None:
    make, (shape,) = SAMPLES[name]
    x = L.Input(shape, dtype="int32" if name == "Embedding" else None)
    assert make()([x]).shape == make()(x).shape


def test_after_a_function_that_returns_a_list() -> None:
    model = keras.Sequential([L.Lambda(lambda x: [x]), L.Conv1D(2, 2), L.Flatten()])
    model.build((None, 5, 3))
    assert model.output_shape == (None, 8)


def test_a_class_that_derives_from_such_a_layer() -> None:
    class Same(L.Dense):
        pass

    x = L.Input((3,))
    assert Same(2)([x]).shape == (None, 2)
