"""Attention layers and EinsumDense compute what Keras computes: called directly, in graphs, and with masks."""

import numpy as np
import pytest

import kcompile as keras
from kcompile import backend as K
from kcompile import layers as L
from tests.golden import Golden, load
from tests.golden.cases.attention import CASES, AttentionCase
from tests.golden.compare import assert_all_close

GOLDEN = load("attention")
X = np.ones((2, 3, 4), "float32") * np.arange(3, dtype="float32")[:, None]
ALL = [pytest.param(case, GOLDEN[case.name], id=case.name) for case in CASES]


def symbolic(case: AttentionCase, golden: Golden, length: bool = True):
    """The layer with the golden weights, its symbolic inputs, masks and outputs."""
    free = not length and case.layer != "EinsumDense"
    shapes = [tuple(None if free and 0 < i < x.ndim - 1 else n for i, n in enumerate(x.shape)) for x in golden.inputs]
    inputs = [keras.Input(shape=shape[1:]) for shape in shapes]
    masks = {
        name: keras.Input(batch_shape=mask.shape if mask.shape[0] == 1 else (None, *mask.shape[1:]), dtype="bool")
        for name, mask in case.mask_arrays().items()
    }
    layer = getattr(keras.layers, case.layer)(**case.arguments, name=case.name)
    outputs = case.call(keras, layer, inputs, masks)
    layer.set_weights(golden.weights)
    return layer, inputs, list(masks.values()), outputs


def test_weights_are_named_as_in_keras():
    for case in CASES:
        layer, *_ = symbolic(case, GOLDEN[case.name])
        assert [w.name.removesuffix(":0") for w in layer.weights] == GOLDEN[case.name].names, case.name


@pytest.mark.parametrize("length", [True, False], ids=["fixed", "free"])
@pytest.mark.parametrize(("case", "golden"), ALL)
def test_outputs_and_gradients(case: AttentionCase, golden: Golden, length: bool) -> None:
    layer, inputs, masks, outputs = symbolic(case, golden, length)
    cotangents = [keras.Input(shape=c.shape[1:]) for c in golden.cotangents]
    total = sum(K.sum(y * c) for y, c in zip(outputs, cotangents, strict=True))
    gradients = K.gradients(total, [*inputs, *layer.trainable_weights])
    step = K.function([*inputs, *masks, *cotangents], [*outputs, *gradients])
    found = step([*golden.inputs, *golden.get("masks", []), *golden.cotangents])
    count = len(outputs)
    assert_all_close(found[:count], golden.outputs, "outputs")
    assert_all_close(found[count : count + len(inputs)], golden.input_gradients, "gradients of the inputs")
    expected = golden.get("weight_gradients", [])
    found = [0 * x if is_zero(x, g) else x for x, g in zip(found[count + len(inputs) :], expected, strict=True)]
    expected = [0 * g if is_zero(g, g) else g for g in expected]
    assert_all_close(found, expected, "gradients of the weights")


def is_zero(x, expected) -> bool:
    """Whether it is zero but for rounding where that is expected: the softmax takes the bias of keys away."""
    return np.abs(expected).max() < 1e-5 and np.abs(x).max() < 1e-5


@pytest.mark.parametrize(("case", "golden"), ALL)
def test_called_on_arrays(case: AttentionCase, golden: Golden) -> None:
    if case.marked:
        pytest.skip("arrays have no masks")
    layer = getattr(keras.layers, case.layer)(**case.arguments)
    case.call(keras, layer, golden.inputs, case.mask_arrays())
    layer.set_weights(golden.weights)
    assert_all_close(case.call(keras, layer, golden.inputs, case.mask_arrays()), golden.outputs, "outputs")


@pytest.mark.parametrize(("case", "golden"), ALL)
def test_in_a_model_and_inside_of_another(case: AttentionCase, golden: Golden) -> None:
    _, inputs, masks, outputs = symbolic(case, golden)
    model = keras.Model([*inputs, *masks], outputs)
    data = [*golden.inputs, *golden.get("masks", [])]
    if all(len(x) == len(data[0]) for x in data):
        found = model.predict(data, batch_size=len(data[0]))
        assert_all_close(found if isinstance(found, list) else [found], golden.outputs, "outputs")
    again = [keras.Input(batch_shape=tuple(x.shape), dtype=x.dtype) for x in model.inputs]
    nested = model(again)
    outer = K.function(again, nested if isinstance(nested, list) else [nested])
    assert_all_close(outer(data), golden.outputs, "outputs of the model inside")


@pytest.mark.parametrize(("case", "golden"), ALL)
def test_configuration(case: AttentionCase, golden: Golden) -> None:
    layer, *_ = symbolic(case, golden)
    config = layer.get_config()
    again = type(layer).from_config(config)
    assert without_shapes(again.get_config()) == without_shapes(config)
    for key, value in without_shapes(golden.config).items():
        if key in config and not isinstance(value, dict) and key not in ("dtype", "activation"):
            mine = config[key]
            assert (list(mine) if isinstance(mine, tuple) else mine) == value, key


def without_shapes(config):
    """The configuration without what tf_keras says of the last call."""
    return {key: value for key, value in config.items() if key not in ("query_shape", "key_shape", "value_shape")}


# ---- arguments


BAD = {
    "num_heads": lambda: L.MultiHeadAttention(0, 3),
    "key_dim": lambda: L.MultiHeadAttention(2, "3"),
    "flash_attention=True": lambda: L.MultiHeadAttention(2, 3, flash_attention=True),
    "multiple of num_key_value_heads": lambda: L.GroupQueryAttention(3, 4, 3),
    "attention_axes": lambda: L.MultiHeadAttention(2, 3, attention_axes=(0,))(X, X),
    "query and a value": lambda: L.MultiHeadAttention(2, 3)(X),
    "of equally many axes": lambda: L.MultiHeadAttention(2, 3)(X, X[0]),
    "equally many features": lambda: L.GroupQueryAttention(3, 4, 2)(X, X[..., :2]),
    "more axes than the scores": lambda: L.MultiHeadAttention(2, 3)(X, X, attention_mask=np.ones((1, 1, 2, 3, 3))),
    "score_mode": lambda: L.Attention(score_mode="cosine"),
    "dropout": lambda: L.AdditiveAttention(dropout=2.0),
    "called on a list": lambda: L.Attention()(X),
    r"\[query, value\], or": lambda: L.Attention()([X, X, X, X]),
    "mask must be a list": lambda: L.Attention()([X, X], mask=np.ones((2, 3), "bool")),
    "equation must be of the form": lambda: L.EinsumDense("abc->ab", 4),
    "has a letter twice": lambda: L.EinsumDense("abb,bc->ac", 4),
    "none of the input or the kernel": lambda: L.EinsumDense("ab,bc->ad", 4),
    "none of the input or the output": lambda: L.EinsumDense("ab,bcd->ac", 4),
    "bias_axes names 'x'": lambda: L.EinsumDense("ab,bc->ac", 4, bias_axes="x"),
    "output_shape must be": lambda: L.EinsumDense("ab,bc->ac", None),
    "is 3 in the input": lambda: L.EinsumDense("abc,cd->abd", (2, 4))(X),
    "a size for each": lambda: L.EinsumDense("abc,cd->abd", 4)(X),
    "is for inputs of 2 axes": lambda: L.EinsumDense("ab,bc->ac", 4)(X),
    "needs to know the size of axis 'd'": lambda: L.EinsumDense("abc,cd->abd", (None, None))(X),
}


@pytest.mark.parametrize("message", BAD)
def test_what_is_refused(message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        BAD[message]()
    assert "\n" not in str(caught.value)


# ---- life of a layer


def test_masks_travel_and_training_drops_scores() -> None:
    x = keras.Input((3,), dtype="int32")
    y = L.Embedding(5, 4, mask_zero=True)(x)
    found, weights = L.MultiHeadAttention(2, 3)(y, y, return_attention_scores=True)
    assert (found.keras_mask is y.keras_mask, weights.keras_mask) == (True, None)
    found, weights = L.Attention()([found, y], return_attention_scores=True)
    assert (found.keras_mask is y.keras_mask, weights.keras_mask) == (True, None)
    for layer in (L.MultiHeadAttention(2, 3, dropout=0.5), L.GroupQueryAttention(3, 4, 2, dropout=0.5)):
        assert not np.allclose(layer(X, X, training=True), layer(X, X))
        np.testing.assert_array_equal(layer(X, X, training=False), layer(X, X))
    for layer in (L.Attention(dropout=0.5, seed=1), L.AdditiveAttention(dropout=0.5)):
        assert not np.allclose(layer([X, X], training=True), layer([X, X]))


def test_an_encoder_learns_to_look_at_the_first_step() -> None:
    rng = np.random.default_rng(0)
    np.random.seed(0)
    data = rng.standard_normal((256, 5, 8)).astype("float32")
    wanted = np.repeat(data[:, :1], 5, axis=1)
    x = keras.Input((5, 8))
    place = L.Dense(8)(x)
    hidden = L.add([x, L.MultiHeadAttention(2, 8, dropout=0.05)(place, place)])
    model = keras.Model(x, L.Dense(8)(L.Dense(32, "relu")(hidden)))
    model.compile(keras.optimizers.Adam(0.01), "mse")
    losses = model.fit(data, wanted, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < 0.9 * losses[0]


def test_a_build_of_several_shapes_gets_them_by_the_names_of_arguments() -> None:
    class Joined(keras.layers.Layer):
        def build(self, first_shape, second_shape, third_shape=None):
            self.shapes = first_shape, second_shape, third_shape
            self.kernel = self.add_weight(name="kernel", shape=(first_shape[-1], second_shape[-1]))

        def call(self, first, second, third=None):
            return K.dot(first, self.kernel) + second

    layer = Joined()
    layer(keras.Input((3, 4)), second=keras.Input((3, 2)))
    assert layer.shapes == ((None, 3, 4), (None, 3, 2), None)


# ---- files of Keras

FILES = load("attention_files")


@pytest.mark.parametrize("kind", ["h5", "keras"])
@pytest.mark.parametrize("library", ["tf_keras", "keras"])
def test_files_of_keras(library: str, kind: str, tmp_path) -> None:
    golden = FILES[f"{library}.{kind}"]
    path, weights = tmp_path / f"model.{kind}", tmp_path / "model.weights.h5"
    path.write_bytes(golden.file[0].tobytes())
    weights.write_bytes(FILES[f"{library}.weights.h5"].file[0].tobytes())
    model = keras.models.load_model(path, compile=False)
    assert_all_close(model.predict(golden.inputs), golden.outputs, "outputs")
    model.set_weights([0 * w for w in model.get_weights()])
    model.load_weights(weights)
    assert_all_close(model.predict(golden.inputs), golden.outputs, "outputs with the weights of the other file")


def test_dropped_scores_are_the_same_after_a_file(tmp_path) -> None:
    x = keras.Input((3, 4))
    y = L.Attention(dropout=0.3)([L.MultiHeadAttention(2, 3, dropout=0.5)(x, x), x])
    model = keras.Model(x, L.Dense(1)(L.Flatten()(y)))
    model.compile("sgd", "mse")
    for kind in ("h5", "keras"):
        model.save(tmp_path / f"model.{kind}")
    first = model.train_on_batch(X, np.ones((2, 1)))
    wanted = [first, model.train_on_batch(X, np.ones((2, 1)))]
    for kind in ("h5", "keras"):
        again = keras.models.load_model(tmp_path / f"model.{kind}")
        assert [again.train_on_batch(X, np.ones((2, 1))) for _ in range(2)] == wanted
