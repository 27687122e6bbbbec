"""What mask each layer passes on, against tf.keras."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kcompile import backend as K
from kcompile import layers
from kcompile.models import Model, Sequential, clone_model, load_model
from kcompile.symbolic.tensor import Tensor
from tests.golden import data
from tests.golden.cases.masks import CASES, MaskCase
from tests.golden.storage import load

RECORDS = load("masks")


def made(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return getattr(layers, value["layer"])(**{key: item for key, item in value.items() if key != "layer"})


def output_of(case: MaskCase) -> tuple[list[Tensor], Tensor]:
    inputs = [layers.Input(batch_shape=shape) for shape in case.shapes]
    tensors = [layers.Masking()(x) if masked else x for x, masked in zip(inputs, case.masks, strict=True)]
    layer = getattr(layers, case.layer)(**{key: made(value) for key, value in case.arguments.items()})
    return inputs, layer(tensors if len(tensors) > 1 else tensors[0])


@pytest.mark.filterwarnings("ignore:.*does not support masks")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_mask(case: MaskCase) -> None:
    expected = RECORDS[case.name]["mask"]
    if expected == "refused":
        return
    if case.layer == "ConvLSTM2D":  # a mask of single pixels, which tf.keras takes
        with pytest.raises(ValueError, match="mask must have the shape"):
            output_of(case)
        return
    inputs, y = output_of(case)
    if isinstance(expected, str):
        assert y._keras_mask is None
        return
    arrays = [data.masked(shape, case.name, i) for i, shape in enumerate(case.shapes)]
    np.testing.assert_array_equal(K.function(inputs, [y._keras_mask])(arrays)[0], expected[0])


def test_masks_that_tf_keras_cannot_use() -> None:
    """A softmax leaves the features of a step alone; time distribution keeps the steps that have something."""
    x = layers.Input((4, 3))
    masked = layers.Masking()(x)
    y = layers.Softmax()(masked)
    images = layers.Input((4, 4, 3))
    z = layers.TimeDistributed(layers.Flatten())(layers.Masking()(images))
    array = data.masked((2, 4, 3), "softmax")
    softmax, mask = K.function([x], [y, y._keras_mask])([array])
    np.testing.assert_allclose(softmax.sum(-1), np.ones((2, 4)), rtol=1e-6)
    np.testing.assert_array_equal(mask, array.any(-1))
    array = data.masked((2, 4, 4, 3), "flatten")
    np.testing.assert_array_equal(K.function([images], [z._keras_mask])([array])[0], array.any((2, 3)))


def test_softmax_with_a_mask_of_its_own() -> None:
    """tf_keras.layers.Softmax()([[1, 2, 3]], mask=[[True, False, True]]): 0.11920292, 0, 0.880797."""
    x = layers.Input((3,))
    y = layers.Softmax()(x, mask=K.constant([[True, False, True]], "bool"))
    np.testing.assert_allclose(Model(x, y).predict(np.array([[1.0, 2, 3]])), [[0.11920292, 0, 0.880797]], rtol=1e-6)


class Users(layers.Layer):
    """A layer that knows nothing of masks."""

    def call(self, inputs: Any) -> Any:
        return inputs * 2


class Attention(layers.Layer):
    """One that uses a mask up."""

    def call(self, inputs: Any, mask: Any = None) -> Any:
        return K.sum(inputs * K.expand_dims(K.cast(mask, "float32")), 1)


DROPPING = {
    "Conv1D": lambda: layers.Conv1D(2, 2),
    "Flatten": layers.Flatten,
    "GlobalMaxPooling1D": layers.GlobalMaxPooling1D,
    "Reshape": lambda: layers.Reshape((12,)),
    "a user's": Users,
}


@pytest.mark.parametrize("name", DROPPING)
def test_a_mask_that_ends_is_told_once(name: str, tmp_path: Path) -> None:
    x = layers.Input((4,), dtype="int32")
    embedded = layers.Embedding(5, 3, mask_zero=True)(x)
    with pytest.warns(RuntimeWarning, match="does not support masks, so the mask that it got ends there") as seen:
        y = DROPPING[name]()(embedded)
    assert len(seen) == 1
    assert y._keras_mask is None
    model = Model(x, layers.Dense(1)(y))
    ids = np.array([[1, 2, 0, 0], [3, 4, 1, 0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.compile("sgd", "mse")
        model.train_on_batch(ids, np.ones_like(model.predict(ids)))
        nested, copy = Sequential([model]), clone_model(model)
        copy.set_weights(model.get_weights())
        model.save(tmp_path / "model.keras")
        loaded = load_model(tmp_path / "model.keras", custom_objects={"Users": Users})
    for other in (nested, copy, loaded):
        np.testing.assert_allclose(other.predict(ids), model.predict(ids), rtol=1e-5, atol=1e-7)


def test_a_layer_that_uses_its_mask_up_warns_of_nothing(recwarn: pytest.WarningsRecorder) -> None:
    x = layers.Input((4,), dtype="int32")
    y = Attention()(layers.Embedding(5, 3, mask_zero=True, embeddings_initializer="ones")(x))
    assert y._keras_mask is None
    assert not list(recwarn)
    np.testing.assert_array_equal(Model(x, y).predict(np.array([[1, 2, 0, 0]])), [[2, 2, 2]])
