"""Keras 2's surface: every name is there, takes Keras' arguments in Keras' order with Keras' defaults."""

import ast
import importlib
import inspect
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kcompile as keras
from kcompile import backend as K
from kcompile import layers as L
from kcompile.models import Model, Sequential

SIGNATURES = [
    line.split("  #")[0]
    for line in (Path(__file__).parent / "surface.txt").read_text().splitlines()
    if not line.startswith("#")
]


def resolved(path: str) -> Any:
    found: Any = keras
    for name in path.split("."):
        found = getattr(found, name)
    return found


def plain(value: Any) -> Any:
    """Sizes that are the same for all axes as one number: layers understand both."""
    return value[0] if isinstance(value, tuple) and len(set(value)) == 1 and isinstance(value[0], int) else value


@pytest.mark.parametrize("signature", SIGNATURES, ids=lambda text: text.split("(")[0])
def test_arguments(signature: str) -> None:
    path = signature.split("(")[0]
    expected = ast.parse(f"def f{signature[len(path) :]}: ...").body[0].args
    names = [argument.arg for argument in expected.args]
    taken = [p for p in inspect.signature(resolved(path)).parameters.values() if p.name != "self"]
    assert [p.name for p in taken[: len(names)]] == names
    defaults = [ast.literal_eval(node) for node in expected.defaults]
    for parameter, default in zip(taken[len(names) - len(defaults) : len(names)], defaults, strict=True):
        if (parameter.name, default) == ("data_format", "channels_last"):
            continue  # None, which means channels_last for one spatial axis; see below
        assert plain(parameter.default) == plain(default), parameter.name
    required = [p.name for p in taken[len(names) :] if p.default is p.empty and p.kind == p.POSITIONAL_OR_KEYWORD]
    assert not required


def test_one_spatial_axis_is_channels_last_whatever_is_configured() -> None:
    K.set_image_data_format("channels_first")
    try:
        layers = [L.Conv1D(2, 2), L.SeparableConv1D(2, 2), L.MaxPooling1D(), L.AveragePooling1D()]
        layers += [L.GlobalMaxPooling1D(), L.GlobalAveragePooling1D()]
        assert {layer.data_format for layer in layers} == {"channels_last"}
        assert L.Conv2D(2, 2).data_format == "channels_first"
    finally:
        K.set_image_data_format("channels_last")


@pytest.mark.parametrize("layer", [L.Conv2D, L.Convolution2D, L.SeparableConv2D])
def test_kernels_as_keras_1_writes_them_are_noted(layer: Any) -> None:
    with pytest.warns(RuntimeWarning, match=r"\(64, 3, 3\) has a kernel of 3x3 and strides of 3; write .*64, \(3, 3\)"):
        layer(64, 3, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for quiet in (layer(64, 3, 2), layer(64, 1, 1), layer(64, (3, 3), (3, 3)), layer(64, 3, strides=3)):
            assert quiet.filters == 64
        L.Conv2DTranspose(64, 2, 2)


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("layers.core", "Dense Dropout Activation Flatten Reshape Permute RepeatVector Lambda Masking"),
        ("layers.core", "SpatialDropout1D SpatialDropout2D SpatialDropout3D ActivityRegularization"),
        ("layers.convolutional", "Conv1D Conv2D Conv3D Convolution2D SeparableConv2D Conv2DTranspose"),
        ("layers.convolutional", "Deconvolution2D ZeroPadding2D Cropping2D UpSampling2D MaxPooling2D"),
        ("layers.pooling", "MaxPooling1D AveragePooling3D GlobalMaxPooling2D GlobalAveragePooling1D"),
        ("layers.advanced_activations", "LeakyReLU PReLU ELU ThresholdedReLU Softmax ReLU"),
        ("layers.embeddings", "Embedding"),
        ("layers.normalization", "BatchNormalization"),
        ("layers.recurrent", "RNN SimpleRNN GRU LSTM SimpleRNNCell GRUCell LSTMCell StackedRNNCells"),
        ("layers.convolutional_recurrent", "ConvLSTM2D ConvLSTM2DCell"),
        ("layers.wrappers", "Wrapper TimeDistributed Bidirectional"),
        ("layers.merge", "Add Subtract Multiply Average Maximum Concatenate Dot add concatenate"),
        ("engine", "Layer InputSpec InputLayer Input Model Sequential Network Node get_source_inputs"),
        ("engine.topology", "Layer InputSpec Container Network Node Input InputLayer get_source_inputs"),
        ("engine.base_layer", "Layer InputSpec Node"),
        ("engine.training", "Model"),
        ("engine.sequential", "Sequential"),
        ("engine.network", "Network"),
        ("engine.input_layer", "Input InputLayer"),
        ("models", "Model Sequential Input clone_model"),
        ("errors", "KCompileError DataError ShapeError NotReadyError"),
        ("utils.np_utils", "to_categorical normalize"),
        ("utils.generic_utils", "get_custom_objects CustomObjectScope custom_object_scope Progbar"),
        ("utils.data_utils", "Sequence OrderedEnqueuer GeneratorEnqueuer"),
        ("utils.conv_utils", "conv_output_length deconv_length convert_kernel"),
        ("utils.layer_utils", "print_summary get_source_inputs"),
        ("constraints", "maxnorm max_norm nonneg non_neg unitnorm unit_norm min_max_norm"),
    ],
)
def test_module_paths(module: str, names: str) -> None:
    found = importlib.import_module(f"kcompile.{module}")
    assert [name for name in names.split() if not hasattr(found, name)] == []
    assert not hasattr(found, "NoSuchName")


@pytest.fixture(scope="module")
def model() -> Model:
    a, b = L.Input((4,), name="a"), L.Input((3,), name="b")
    hidden = L.Dense(3, name="hidden")
    y = L.Add(name="sum")([hidden(a), b])
    found = Model([a, b], [L.Dense(2, name="p")(y), L.Dense(1, name="q")(y)])
    found.compile(keras.optimizers.Adam(lr=0.5), "mse", metrics=["mae"])
    return found


def test_attributes_of_models(model: Model) -> None:
    assert [x.name for x in model.inputs] == ["a:0", "b:0"]
    assert [K.int_shape(y) for y in model.outputs] == [(None, 2), (None, 1)] == model.output_shape
    assert model.input_shape == [(None, 4), (None, 3)]
    assert (model.input_names, model.output_names) == (["a", "b"], ["p", "q"])
    assert [layer.name for layer in model.output_layers] == ["p", "q"]
    assert [layer.name for layer in model.input_layers] == ["a", "b"]
    by_depth = {depth: sorted(layer.name for layer in found) for depth, found in model.layers_by_depth.items()}
    assert by_depth == {0: ["p", "q"], 1: ["sum"], 2: ["hidden"], 3: ["a", "b"]}
    assert {layer.name for layer in model.layers} == {"a", "b", "hidden", "sum", "p", "q"}
    assert model.get_layer("hidden") is model.get_layer(name="hidden")
    assert model.get_layer(index=0) is model.layers[0]
    assert isinstance(model.optimizer, keras.optimizers.Adam)
    assert model.stop_training is False
    assert model.metrics_names == ["loss", "p_loss", "q_loss", "p_mae", "q_mae"]
    assert not model.uses_learning_phase
    assert Model(model.inputs, L.Dropout(0.5)(model.outputs[0])).uses_learning_phase


def test_attributes_of_layers(model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    hidden, join = model.get_layer("hidden"), model.get_layer("sum")
    assert hidden.input is model.inputs[0] is hidden.get_input_at(0)
    assert hidden.output is hidden.get_output_at(0) is join.input[0]
    assert (hidden.input_shape, hidden.output_shape) == ((None, 4), (None, 3))
    assert (hidden.get_input_shape_at(0), hidden.get_output_shape_at(0)) == ((None, 4), (None, 3))
    assert hidden.inbound_nodes[0].inbound_layers == [model.get_layer("a")]
    assert hidden.outbound_nodes[0].outbound_layer is join
    assert hidden.input_mask is None is hidden.output_mask
    assert hidden.weights == hidden.trainable_weights == hidden.trainable_variables == [hidden.kernel, hidden.bias]
    assert hidden.non_trainable_weights == hidden.non_trainable_variables == []
    assert hidden.count_params() == 15
    assert keras.utils.get_source_inputs(model.outputs[1]) == model.inputs
    hidden.summary()
    assert "hidden (Dense)               (None, 3)                 15" in capsys.readouterr().out
    shared = L.Dense(2)
    shared(model.inputs[0])
    shared(L.Input((4,)))
    with pytest.raises(AttributeError, match="called 2 times"):
        _ = shared.input


def test_learning_rate_is_a_variable(model: Model) -> None:
    rate = model.optimizer.lr
    assert rate.get_value() == 0.5 == K.get_value(model.optimizer.learning_rate)
    rate.set_value(0.25)
    assert K.get_value(model.optimizer.lr) == 0.25
    model.optimizer.lr = 0.125
    assert rate.get_value() == 0.125
    with pytest.raises(ValueError, match=r"made without decay, so none can be set; make it with Adam\(decay"):
        model.optimizer.decay = 0.1


def test_what_keras_raises_as_runtime_error() -> None:
    for call in (L.Dense(2).count_params, L.Dense(2).summary, lambda: Sequential([L.Dense(2, input_dim=1)]).fit([[1]])):
        with pytest.raises(RuntimeError):
            call()


@pytest.mark.parametrize(
    ("name", "message"),
    [("get_session", "no sessions here"), ("tf", "without TensorFlow"), ("concatenat", "did you mean 'concatenate'")],
)
def test_names_that_the_backend_does_not_have(name: str, message: str) -> None:
    assert not hasattr(K, name)
    with pytest.raises(AttributeError, match=f"has no attribute '{name}'; .*{message}"):
        getattr(K, name)


def test_no_optimizers_of_tensorflow() -> None:
    with pytest.raises(ValueError, match="got object, but kcompile runs without TensorFlow; use an optimizer of"):
        keras.optimizers.TFOptimizer(object())


def test_classes_and_probabilities() -> None:
    x = np.array([[1.0, 2.0], [3.0, -4.0]])
    several, one = Sequential([L.Activation("softmax", input_shape=(2,))]), Sequential([L.Lambda(
        lambda x: K.sigmoid(K.sum(x, axis=-1, keepdims=True)), input_shape=(2,))])  # fmt: skip
    assert several.predict_classes(x).tolist() == [1, 0]
    assert one.predict_classes(x).tolist() == [[1], [0]]
    np.testing.assert_array_equal(several.predict_proba(x), several.predict(x))
    with pytest.warns(UserWarning, match="no probabilities"):
        Sequential([L.Activation("linear", input_shape=(2,))]).predict_proba(x)


def test_a_batch_is_tested_with_class_weights() -> None:
    model = Sequential([L.Activation("softmax", input_shape=(2,))])
    model.compile("sgd", "categorical_crossentropy")
    x, y = np.zeros((2, 2)), np.eye(2)
    weighted = model.test_on_batch(x, y, class_weight={0: 1.0, 1: 3.0})
    np.testing.assert_allclose(weighted, 2 * model.test_on_batch(x, y), rtol=1e-6)


def test_a_model_uses_the_mask_that_it_is_called_with() -> None:
    steps = L.Input((3, 2))
    model = Model(steps, L.GlobalAveragePooling1D()(steps))
    z, mask = L.Input((3, 2)), L.Input((3,))
    run = K.function([z, mask], [model(z, mask=K.greater(mask, 0.5))])
    (y,) = run([np.arange(6.0).reshape(1, 3, 2), np.array([[1, 0, 1]])])
    np.testing.assert_allclose(y, [[2, 3]])
    (y,) = run([np.arange(6.0).reshape(1, 3, 2), np.array([[1, 0, 0]])])
    np.testing.assert_allclose(y, [[0, 1]])


def test_metrics_of_layers_are_means() -> None:
    layer = L.Dense(1)
    y = layer(L.Input((1,)))
    layer.add_metric(y, name="mine", aggregation="mean")
    with pytest.raises(ValueError, match="aggregation must be one of 'mean', None, got 'sum'"):
        layer.add_metric(y, name="sum", aggregation="sum")


def test_functions_take_variables_and_a_fixed_learning_phase() -> None:
    x, w = K.placeholder((None, 2)), K.variable([1.0, 2.0])
    (y,) = K.function([x, w], [x * w])([np.ones((1, 2)), [3.0, 4.0]])
    np.testing.assert_array_equal(y, [[3, 4]])
    np.testing.assert_array_equal(K.get_value(w), [1, 2])
    K.set_learning_phase(1)
    try:
        run = K.function([x, K.learning_phase()], [K.in_train_phase(x * 2, x)], None)
    finally:
        K.clear_session()
    np.testing.assert_array_equal(run([np.ones((1, 2)), 1])[0], [[2, 2]])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, None),
        ({"validation_data": (np.full((2, 1), 3), np.full((2, 1), 4))}, [[[3], [3]], [[4], [4]], [1, 1]]),
        ({"validation_data": (np.zeros((1, 1)), np.ones((1, 1)), np.full(1, 0.5))}, [[[0]], [[1]], [0.5]]),
        ({"validation_split": 0.5}, [[[1], [1]], [[0], [0]], [1, 1]]),
        ({"validation_data": iter([(np.ones((2, 1)), np.ones((2, 1)))]), "validation_steps": 1}, None),
    ],
)
def test_callbacks_see_the_validation_data(arguments: Any, expected: Any) -> None:
    class Look(keras.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            found = self.validation_data
            self.seen = None if found is None else [np.asarray(array).tolist() for array in found]

    model = Sequential([L.Dense(1, input_shape=(1,))])
    model.compile("sgd", "mse")
    look = Look()
    model.fit(np.ones((4, 1)), np.zeros((4, 1)), callbacks=[look], verbose=0, **arguments)
    assert look.seen == expected


def test_metrics_in_several_threads() -> None:
    """Tracing a metric for a graph in one thread leaves those that others update at once alone."""
    started, finish, results = threading.Event(), threading.Event(), []

    class Slow(keras.metrics.Mean):
        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
            started.set()
            assert finish.wait(30)
            return super().update_state(y_pred)

    def build() -> None:
        model = Sequential([L.Dense(1, input_shape=(1,))])
        model.compile("sgd", "mse", metrics=[Slow(name="slow")])
        results.append(model.train_on_batch(np.zeros((1, 1)), np.zeros((1, 1))))

    thread = threading.Thread(target=build)
    thread.start()
    assert started.wait(30)
    metric = keras.metrics.Mean()
    metric.update_state(np.array([1.0, 3.0]))
    assert metric.value() == 2.0
    finish.set()
    thread.join(30)
    assert results == [[0.0, 0.0]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: keras.losses.MeanSquaredError(axis=1), "MeanSquaredError takes reduction, name: .* 'axis'"),
        (lambda: keras.losses.Huber(dleta=2), "Huber takes delta, .*; did you mean 'delta'"),
        (lambda: keras.losses.Huber(1.0, "sum", "mine", 4), "too many positional arguments"),
        (lambda: keras.metrics.BinaryAccuracy(treshold=0.4), "did you mean 'threshold'"),
    ],
)
def test_arguments_that_classes_of_functions_do_not_take(make: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make()
