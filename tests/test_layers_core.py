"""Core, embedding, merging and activation layers: what the golden comparison does not show."""

import re

import numpy as np
import pytest

import kcompile as keras
from kcompile import backend as K
from kcompile import layers as L


def outputs(inputs, outputs, arrays, training=False):
    """The values of symbolic tensors in one learning phase."""
    inputs = inputs if isinstance(inputs, list) else [inputs]
    outputs = outputs if isinstance(outputs, list) else [outputs]
    function = K.function([*inputs, K.learning_phase()], outputs)
    return function([*(arrays if isinstance(arrays, list) else [arrays]), training])


def shown(shape):
    return L.Input(shape)


# ---- wrong arguments: (what is done, what the message says)

WRONG = [
    (lambda: L.Dense(-1), "Dense: units must be an integer of at least 1, got -1"),
    (lambda: L.Dense(2.5), "Dense: units must be an integer of at least 1, got 2.5"),
    (lambda: L.Dense(3, activaton="relu"), "unknown argument 'activaton'; did you mean 'activation'?"),
    (lambda: L.Dense(3, activation="rellu"), "Unknown activation 'rellu'; did you mean 'relu'?"),
    (lambda: L.Dense(3, kernel_initializer="glorot_unifrm"), "did you mean 'glorot_uniform'?"),
    (lambda: L.Dense(3)(shown((None,))), "needs to know the size of the last axis of its input, got (None, None)"),
    (lambda: L.Dense(3, name="d")(shown(())), "layer 'd' (Dense) got shape (batch), which has 1 axes"),
    (lambda: L.Dense(3)(L.Dense(2)), "call it on that layer's output"),
    (lambda: L.Dense(3, name="d").kernel, "layer 'd' (Dense) has no attribute 'kernel'; it is not built yet"),
    (lambda: L.Dense(3).count_params(), "is not built, so it has no weights to count"),
    (lambda: L.Dense(3).output, "was never called, so it has no output"),
    (lambda: L.Dense(3).set_weights([np.zeros(3)]), "it has none before it is built"),
    (lambda: L.Dropout(1.5), "Dropout: rate must be a number between 0 and 1, got 1.5"),
    (lambda: L.Dropout(-0.1), "Dropout: rate must be a number between 0 and 1, got -0.1"),
    (lambda: L.Dropout(0.5, noise_shape=(1,))(shown((4,))), "noise_shape (1,) has 1 sizes"),
    (lambda: L.SpatialDropout2D(0.5)(shown((4, 3))), "which has 3 axes; expected 4"),
    (lambda: L.Flatten("channels_frist"), "use 'channels_last' or 'channels_first'"),
    (lambda: L.Reshape((5,))(shown((4,))), "samples of shape (4,) with 4 elements into (5,)"),
    (lambda: L.Reshape((3, -1))(shown((4,))), "samples of shape (4,) with 4 elements into (3, -1)"),
    (lambda: L.Reshape((-1, -1)), "target_shape may have one -1"),
    (lambda: L.Permute((0, 1)), "Permute: dims must be an integer of at least 1, got 0"),
    (lambda: L.Permute((1, 3)), "dims must hold each of 1 to 2 once"),
    (lambda: L.RepeatVector(0), "RepeatVector: n must be an integer of at least 1, got 0"),
    (lambda: L.RepeatVector(2)(shown((2, 3))), "which has 3 axes; expected 2"),
    (lambda: L.Lambda(3), "Lambda: function must be callable, got 3"),
    (lambda: L.Embedding(0, 3), "Embedding: input_dim must be an integer of at least 1, got 0"),
    (lambda: L.Embedding(3, 2, input_length=4)(shown((5,))), "has input_length 4, got input shape (None, 5)"),
    (lambda: L.Add()(shown((3,))), "is called on a list of at least 2 tensors, got one tensor"),
    (lambda: L.Subtract()([shown((3,))] * 3), "is called on a list of 2 tensors, got 3"),
    (lambda: L.Add()([shown((3,)), shown((4,))]), "(None, 3), (None, 4), which do not broadcast"),
    (lambda: L.Concatenate(axis=1)([shown((3, 2)), shown((3, 3))]), "tensors that differ only in axis 1"),
    (lambda: L.Concatenate(axis=5)([shown((3,)), shown((3,))]), "tensors that differ only in axis 5"),
    (lambda: L.Dot(axes=1)([shown((3,)), shown((4,))]), "shapes (None, 3) and (None, 4) over axes (1, 1)"),
    (lambda: L.Dot(axes=0)([shown((3,)), shown((3,))]), "over axes (0, 0)"),
    (lambda: L.Dot(axes=(1, 2, 3)), "axes must be an integer or two integers"),
    (lambda: L.PReLU(shared_axes=[4])(shown((5,))), "shared_axes [4] must be different axes from 1 to 1"),
    (lambda: L.Softmax(axis=3)(shown((5,))), "axis 3 is out of range for shape (None, 5)"),
    (lambda: L.ReLU(max_value=-1), "ReLU: max_value must be a number of at least 0, got -1"),
    (lambda: L.LeakyReLU("steep"), "LeakyReLU: alpha must be a number, got 'steep'"),
    (lambda: L.deserialize({"class_name": "Dens", "config": {}}), "Unknown layer 'Dens'; did you mean 'Dense'?"),
]  # fmt: skip


@pytest.mark.parametrize(("action", "message"), WRONG, ids=[message for _, message in WRONG])
def test_wrong_arguments(action, message) -> None:
    with pytest.raises((ValueError, TypeError, AttributeError), match=re.escape(message)) as caught:
        action()
    assert "\n" not in str(caught.value)


def test_a_built_layer_keeps_its_input_size() -> None:
    layer = L.Dense(3, name="d")
    layer(L.Input((4,)))
    with pytest.raises(ValueError, match=re.escape("layer 'd' (Dense) got shape (batch, 5); expected axis -1")):
        layer(L.Input((5,)))
    layer(L.Input((4,)))
    with pytest.raises(AttributeError, match="ambiguous; use get_output_at"):
        _ = layer.output


# ---- weights given, called on arrays


def test_weights_argument_and_call_on_an_array() -> None:
    w, b = np.arange(6.0).reshape(3, 2), np.array([1.0, -1.0])
    layer = L.Dense(2, weights=[w, b])
    x = np.array([[1.0, 2.0, 3.0]])
    np.testing.assert_allclose(layer(x), x @ w + b, rtol=1e-6)
    assert [v.name for v in layer.weights] == [f"{layer.name}/kernel:0", f"{layer.name}/bias:0"]


def test_regularizers_and_activity() -> None:
    x = L.Input((3,))
    layer = L.Dense(
        2,
        kernel_regularizer="l2",
        bias_regularizer="l1",
        activity_regularizer="l1",
        weights=[np.ones((3, 2)), np.ones(2)],
    )
    y = L.ActivityRegularization(l1=0.5, l2=0.25)(layer(x))
    model = keras.Model(x, y)
    total = sum(model.losses[1:], model.losses[0])
    # 0.01 * 6 + 0.01 * 2 from the weights; outputs are 4: 0.01 * 4 * 4 and (0.5 * 4 + 0.25 * 16) * 4 from activity, for
    # both samples together: as in tf.keras, the mean counts.
    (value,) = outputs(x, total, np.ones((2, 3)))
    np.testing.assert_allclose(value, 0.06 + 0.02 + (0.16 + 24.0) / 2, rtol=1e-6)


def test_a_layer_as_activation_is_trained() -> None:
    layer = L.Dense(2, activation=L.PReLU())
    model = keras.Sequential([L.Dense(3, input_shape=(3,)), layer])
    assert [w.name.split("/")[1] for w in layer.trainable_weights] == ["kernel:0", "bias:0", "alpha:0"]
    model.compile("sgd", "mse")
    before = layer.get_weights()
    model.train_on_batch(np.random.RandomState(0).normal(size=(8, 3)), np.ones((8, 2)))
    assert all((a != b).any() for a, b in zip(before, layer.get_weights(), strict=True))


# ---- dropout


@pytest.mark.parametrize(
    ("layer", "shape", "mask_shape"),
    [
        (L.Dropout(0.25, seed=3), (64, 50), (64, 50)),
        (L.Dropout(0.25, noise_shape=(None, 1, None), seed=3), (64, 5, 50), (64, 1, 50)),
        (L.SpatialDropout1D(0.25), (64, 5, 50), (64, 1, 50)),
        (L.SpatialDropout2D(0.25), (16, 3, 4, 200), (16, 1, 1, 200)),
        (L.SpatialDropout2D(0.25, "channels_first"), (16, 200, 3, 4), (16, 200, 1, 1)),
        (L.SpatialDropout3D(0.25), (16, 2, 3, 2, 200), (16, 1, 1, 1, 200)),
        (L.SpatialDropout3D(0.25, data_format="channels_first"), (16, 200, 2, 3, 2), (16, 200, 1, 1, 1)),
    ],
    ids=lambda item: type(item).__name__ if isinstance(item, L.Layer) else None,
)
def test_dropout(layer, shape, mask_shape) -> None:
    x = L.Input(shape[1:])
    y = layer(x)
    ones = np.ones(shape, np.float32)
    (quiet,) = outputs(x, y, ones)
    np.testing.assert_array_equal(quiet, ones)
    function = K.function([x, K.learning_phase()], [y])
    (first,), (second,) = function([ones, 1]), function([ones, 1])
    np.testing.assert_allclose(np.unique(first), [0, 1 / 0.75], rtol=1e-6)
    corner = first[tuple(slice(size) for size in mask_shape)]
    np.testing.assert_array_equal(first, np.broadcast_to(corner, shape))  # constant along the axes of size 1
    kept, count = (corner > 0).mean(), corner.size
    assert abs(kept - 0.75) < 5 * np.sqrt(0.25 * 0.75 / count)  # five standard deviations
    assert (first != second).any()


def test_dropout_of_nothing_and_of_everything() -> None:
    x = L.Input((4,))
    ones = np.ones((2, 4), np.float32)
    none, all_ = outputs(x, [L.Dropout(0)(x), L.Dropout(1)(x)], ones, training=True)
    np.testing.assert_array_equal(none, ones)
    np.testing.assert_array_equal(all_, 0 * ones)
    np.testing.assert_array_equal(outputs(x, L.Dropout(1.0)(x), ones)[0], ones)


def test_a_dropout_called_twice_draws_two_masks_and_a_seed_repeats_them() -> None:
    ones = np.ones((8, 64), np.float32)

    def masks(seed):
        x = L.Input((64,))
        layer = L.Dropout(0.5, seed=seed)
        return outputs(x, [layer(x), layer(x)], ones, training=True)

    K.clear_session()
    keras.utils.set_random_seed(1)
    first = masks(2**31 + 7)
    assert (first[0] != first[1]).any()
    keras.utils.set_random_seed(1)
    np.testing.assert_array_equal(masks(2**31 + 7), first)
    keras.utils.set_random_seed(1)
    unseeded = masks(None)
    keras.utils.set_random_seed(1)
    np.testing.assert_array_equal(masks(None), unseeded)
    assert (unseeded[0] != first[0]).any()


# ---- shapes of unknown size


def test_unknown_sizes() -> None:
    x = L.Input((None, 4))
    tensors = {
        (None, None, 3): L.Dense(3)(x),
        (None, None): L.Flatten()(x),
        (None, None, 2): L.Reshape((-1, 2))(x),
        (None, 4, None): L.Permute((2, 1))(x),
        (None, None, 8): L.Concatenate()([x, x]),
        (None, None, 4): L.Multiply()([x, x]),
    }
    data = np.random.RandomState(0).normal(size=(2, 6, 4)).astype("float32")
    values = outputs(x, list(tensors.values()), data)
    for (shape, tensor), value in zip(tensors.items(), values, strict=True):
        assert K.int_shape(tensor) == shape
        assert len(value) == 2
        assert all(size in (None, actual) for size, actual in zip(shape, value.shape, strict=True))
    np.testing.assert_array_equal(values[2], data.reshape(2, 12, 2))


# ---- Lambda


def double(x, factor=2):
    return x * factor


def test_lambda() -> None:
    x = L.Input((3,))
    data = np.random.RandomState(0).normal(size=(2, 3)).astype("float32")
    square = L.Lambda(lambda t: t**2)
    several = L.Lambda(lambda ts: [ts[0] + ts[1], K.sum(ts[0], axis=-1, keepdims=True)])
    triple = L.Lambda(double, arguments={"factor": 3})
    phases = L.Lambda(lambda t, training=None: t + 1 if training else t - 1)
    tensors = [square(x), *several([x, x]), triple(x), phases(x), phases(x, training=True)]
    expected = [data**2, 2 * data, data.sum(-1, keepdims=True), 3 * data, data - 1, data + 1]
    for value, target in zip(outputs(x, tensors, data), expected, strict=True):
        np.testing.assert_allclose(value, target, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(outputs(x, tensors[4], data, training=True)[0], data + 1, rtol=1e-6)


def test_lambda_shape_mask_and_configuration() -> None:
    assert L.Lambda(double, output_shape=(5, 2)).compute_output_shape((None, 3)) == (None, 5, 2)
    assert L.Lambda(double, output_shape=lambda s: (*s, 7)).compute_output_shape((None, 3)) == (None, 3, 7)
    assert L.Lambda(lambda x: K.sum(x, axis=1)).compute_output_shape((None, 3, 4)) == (None, 4)
    x = L.Masking()(L.Input((3, 2)))
    assert L.Lambda(double, mask=lambda inputs, mask: K.logical_not(mask))(x)._keras_mask is not None
    config = L.Lambda(double, arguments={"factor": 4}, name="f").get_config()
    assert (config["function"], config["function_type"], config["arguments"]) == ("double", "function", {"factor": 4})
    assert L.Lambda.from_config(config).function is double
    with pytest.raises(ValueError, match="Unknown function of Lambda layer 'f': 'double'"):
        L.Lambda.from_config({**config, "function": "double"})  # as a file holds it
    again = L.deserialize({"class_name": "Lambda", "config": config}, custom_objects={"double": double})
    assert again.get_config() == config
    with pytest.raises(TypeError, match="bytecode, which kcompile does not run"):
        L.Lambda.from_config({"function": ["4wEAAAA=", None, None], "function_type": "lambda"})


# ---- masks


def mask_of(tensor, inputs, arrays):
    return outputs(inputs, tensor._keras_mask, arrays)[0]


def test_masks() -> None:
    a, b = L.Input((3,), dtype="int32"), L.Input((3,), dtype="int32")
    x = L.Embedding(5, 4, mask_zero=True)(a)
    y = L.Embedding(5, 4, mask_zero=True)(b)
    plain = L.Embedding(5, 4)(b)
    data = [np.array([[1, 2, 0], [3, 0, 0]], "int32"), np.array([[1, 0, 0], [2, 2, 2]], "int32")]
    m, n = data[0] > 0, data[1] > 0
    cases = [
        (L.Dense(2)(x), m),
        (L.Dropout(0.5)(L.Activation("relu")(L.LeakyReLU()(x))), m),
        (L.Add()([x, y]), m & n),
        (L.Multiply()([x, plain]), m),
        (L.Concatenate(axis=1)([x, y]), np.concatenate([m, n], 1)),
        (L.Concatenate()([x, plain]), m),
    ]
    for tensor, expected in cases:
        np.testing.assert_array_equal(mask_of(tensor, [a, b], data), expected)
    assert plain._keras_mask is None
    assert L.Dot(axes=2)([x, y])._keras_mask is None
    with pytest.raises(TypeError, match="does not support masks but got one"):  # as in tf.keras
        L.Flatten().compute_mask(x, x._keras_mask)


def test_masking_layer() -> None:
    x = L.Input((3, 2))
    y = L.Masking(mask_value=-1.0)(x)
    data = np.array([[[1, -1], [-1, -1], [0, 0]]], np.float32)
    value, mask = outputs(x, [y, y._keras_mask], data)
    np.testing.assert_array_equal(value, [[[1, -1], [0, 0], [0, 0]]])
    np.testing.assert_array_equal(mask, [[True, False, True]])


# ---- Embedding


def test_embedding_takes_whole_numbers_of_any_type() -> None:
    table = np.arange(20.0).reshape(10, 2)
    for dtype in ("float32", "int32", "int64", "uint8"):
        x = L.Input((3,), dtype=dtype)
        layer = L.Embedding(10, 2, weights=[table])
        indices = np.array([[0, 9, 3]], dtype)
        np.testing.assert_array_equal(outputs(x, layer(x), indices)[0], table[[[0, 9, 3]]])


def test_embedding_first_in_a_model() -> None:
    model = keras.Sequential([L.Embedding(10, 4, input_length=3), L.Flatten(), L.Dense(1)])
    model.compile("sgd", "mse")
    assert model.input_shape == (None, 3)
    table = model.layers[0].get_weights()[0]
    model.train_on_batch(np.array([[1.0, 2.0, 2.0]]), np.ones((1, 1)))
    changed = (model.layers[0].get_weights()[0] != table).any(axis=1)
    np.testing.assert_array_equal(np.flatnonzero(changed), [1, 2])
    before = model.get_weights()
    for bad, said in [([[1, 2, 10]], "10"), ([[-1, 2, 3]], "-1"), ([[1.7, 2, 3]], "1.7"), ([[np.nan, 2, 3]], "nan")]:
        with pytest.raises(ValueError, match=re.escape(said)):
            model.train_on_batch(np.array(bad), np.ones((1, 1)))
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_embedding_knows_its_length() -> None:
    x = L.Input((None,), dtype="int32")
    assert K.int_shape(L.Embedding(10, 4, input_length=5)(x)) == (None, 5, 4)
    assert L.Embedding(10, 4, input_length=(2, None)).compute_output_shape((None, 2, 3)) == (None, 2, 3, 4)


# ---- merging


def test_merging_functions_and_ranks() -> None:
    a, b = L.Input((3, 4)), L.Input((4,))
    x, y = (np.random.RandomState(0).normal(size=s).astype("float32") for s in [(2, 3, 4), (2, 4)])
    wide = y[:, None]
    cases = [
        (L.add([a, b]), x + wide), (L.subtract([a, b]), x - wide), (L.multiply([a, b]), x * wide),
        (L.average([a, b]), (x + wide) / 2), (L.maximum([a, b]), np.maximum(x, wide)),
        (L.minimum([a, b]), np.minimum(x, wide)), (L.concatenate([a, a], axis=1), np.concatenate([x, x], 1)),
        (L.dot([a, b], axes=(2, 1)), np.einsum("bij,bj->bi", x, y)),
    ]  # fmt: skip
    values = outputs([a, b], [tensor for tensor, _ in cases], [x, y])
    for (tensor, expected), value in zip(cases, values, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)
        assert K.int_shape(tensor)[1:] == expected.shape[1:]
        layer = tensor._keras_history[0]
        assert layer.compute_output_shape(layer.input_shape)[1:] == expected.shape[1:]


# ---- configuration


def test_keras_3_spellings_and_serialize() -> None:
    assert L.LeakyReLU(negative_slope=0.1).alpha == 0.1
    layer = L.Dense(3, dtype={"class_name": "DTypePolicy", "config": {"name": "float32"}}, batch_shape=(None, 2))
    assert (layer.dtype, layer.batch_input_shape) == ("float32", (None, 2))
    config = L.serialize(layer)
    assert config["class_name"] == "Dense"
    assert L.deserialize(config).get_config() == layer.get_config()
