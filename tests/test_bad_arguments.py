"""Wrong names and numbers given to layers, models, compile, optimizers, losses: refused where they are given."""

import warnings

import numpy as np
import pytest

import kcompile
from kcompile import Input, Model, Sequential, layers, losses, optimizers
from kcompile.common.errors import DataTypeError, KCompileError, ShapeError, UnknownNameError
from kcompile.layers import Dense


def image(*shape):
    return Input(shape or (8, 8, 3), name="image")


def ready():
    """A model that can be compiled."""
    return Sequential([Dense(1, input_shape=(3,), name="price")])


def unbuilt():
    return Sequential([Dense(1)])


def two():
    a = Input((3,), name="a")
    return Model(a, [Dense(1, name="p")(a), Dense(3, "softmax", name="q")(a)])


def compiled(build=ready, optimizer="adam", loss="mse", *args, **kwargs):
    return lambda: build().compile(optimizer, loss, *args, **kwargs)


def fitted_without_loss():
    model = ready()
    model.compile("adam")  # which is enough to save it, and to evaluate metrics
    model.fit(np.zeros((2, 3)), np.zeros((2, 1)), verbose=0)


def disconnected():
    x, z = Input((3,), name="x"), Input((3,), name="z")
    Model(x, Dense(1)(Dense(2)(z)), name="mine")


def same_names():
    x = Input((3,))
    Model(x, Dense(1, name="twin")(Dense(2, name="twin")(x)), name="mine")


def same_inputs():
    a, b = Input((3,), name="x"), Input((3,), name="x")
    Model([a, b], layers.Add()([a, b]), name="mine")


def two_shapes(layer, first, second):
    layer(Input(first))
    layer(Input(second))


CASES = {
    # R51: names with a near match.
    "optimizer": (compiled(optimizer="adamm"), UnknownNameError, "optimizer 'adamm' did you mean 'adam'?"),
    "loss": (
        compiled(loss="categorical_crossentrpy"),
        UnknownNameError,
        "loss did you mean 'categorical_crossentropy'?",
    ),
    "loss, not built": (
        compiled(unbuilt, loss="maen_squared_error"),
        UnknownNameError,
        "did you mean 'mean_squared_error'?",
    ),
    "loss in a list, not built": (
        compiled(unbuilt, loss=["maee"]),
        UnknownNameError,
        "loss 'maee' did you mean 'mae'?",
    ),
    "metric": (compiled(metrics=["acurracy"]), UnknownNameError, "metric 'acurracy' did you mean 'accuracy'?"),
    "metric, not built": (compiled(unbuilt, metrics=["acurracy"]), UnknownNameError, "did you mean 'accuracy'?"),
    "weighted metric": (compiled(weighted_metrics=["maee"]), UnknownNameError, "metric 'maee' did you mean 'mae'?"),
    "output in loss": (compiled(two, loss={"p": "mse", "Q": "mse"}), UnknownNameError, "loss 'Q' did you mean 'q'?"),
    "activation": (lambda: Dense(2, activation="rellu"), UnknownNameError, "activation 'rellu' did you mean 'relu'?"),
    "activation layer": (lambda: layers.Activation("sofmax"), UnknownNameError, "did you mean 'softmax'?"),
    "initializer": (
        lambda: Dense(2, kernel_initializer="glorot_unifrom"),
        UnknownNameError,
        "did you mean 'glorot_uniform'?",
    ),
    "regularizer": (lambda: Dense(2, kernel_regularizer="l3"), UnknownNameError, "regularizer 'l3' known: 'l1', 'l2'"),
    "constraint": (
        lambda: Dense(2, bias_constraint="non_negg"),
        UnknownNameError,
        "constraint did you mean 'non_neg'?",
    ),
    "padding": (
        lambda: layers.Conv2D(2, 3, padding="smae"),
        UnknownNameError,
        "Conv2D: padding 'smae' did you mean 'same'?",
    ),
    "argument of a layer": (
        lambda: Dense(2, activaton="relu"),
        DataTypeError,
        "Dense 'activaton' did you mean 'activation'?",
    ),
    "argument of a convolution": (
        lambda: layers.Conv2D(2, 3, stride=2),
        DataTypeError,
        "Conv2D 'stride' did you mean 'strides'?",
    ),
    "argument of an optimizer": (
        lambda: optimizers.Adam(learning_rat=1),
        DataTypeError,
        "Adam did you mean 'learning_rate'?",
    ),
    "argument of compile": (compiled(metric=["acc"]), DataTypeError, "compile 'metric' did you mean 'metrics'?"),
    "argument of a loss": (lambda: losses.Huber(detla=1), DataTypeError, "Huber delta 'detla'"),
    "sample_weight_mode": (
        compiled(sample_weight_mode="temporl"),
        KCompileError,
        "sample_weight_mode did you mean 'temporal'?",
    ),
    # compile
    "no loss": (fitted_without_loss, KCompileError, "nothing to minimize pass loss= to compile"),
    "no optimizer": (compiled(optimizer=None), KCompileError, "optimizer must be a name None"),
    "metrics as text": (compiled(metrics="accuracy"), DataTypeError, "metrics list 'accuracy' metrics=['accuracy']"),
    "metrics as text, not built": (compiled(unbuilt, metrics="mae"), DataTypeError, "metrics list metrics=['mae']"),
    "too few losses": (compiled(two, loss=["mse"]), KCompileError, "loss 1 entries 2 outputs 'p', 'q'"),
    "weight of losses": (compiled(two, loss_weights=["a", "b"]), DataTypeError, "loss_weights 'p' number 'a' (str)"),
    "one weight of losses": (compiled(two, loss_weights=3), DataTypeError, "loss_weights list or a dictionary 3"),
    "on_nan": (compiled(on_nan="skip"), KCompileError, "on_nan 'skip' 'raise' or 'ignore'"),
    "steps_per_execution": (compiled(steps_per_execution=0), KCompileError, "steps_per_execution at least 1 got 0"),
    # R52: numbers out of range.
    "units -1": (lambda: Dense(-1), KCompileError, "Dense: units integer of at least 1 got -1"),
    "units 2.5": (lambda: Dense(2.5), DataTypeError, "Dense: units integer got 2.5 (float)"),
    "units text": (lambda: Dense("2"), DataTypeError, "Dense: units integer got '2' (str)"),
    "rate 1.5": (lambda: layers.Dropout(1.5), KCompileError, "Dropout: rate between 0 and 1 got 1.5"),
    "lr -1": (lambda: optimizers.SGD(lr=-1), KCompileError, "SGD: lr at least 0 got -1"),
    "lr NaN": (lambda: optimizers.Adam(lr=float("nan")), KCompileError, "Adam: lr at least 0 got nan"),
    "lr text": (lambda: optimizers.Adam(lr="0.1"), DataTypeError, "Adam: lr number got '0.1' (str)"),
    "beta 1": (lambda: optimizers.Adam(beta_1=1), KCompileError, "Adam: beta_1 below 1 got 1"),
    "clipnorm": (lambda: optimizers.SGD(clipnorm=0), KCompileError, "SGD: clipnorm above 0 got 0"),
    "smoothing": (
        lambda: losses.CategoricalCrossentropy(label_smoothing=2),
        KCompileError,
        "label_smoothing between 0 and 1 got 2",
    ),
    "filters": (lambda: layers.Conv2D(0, 3), KCompileError, "Conv2D: filters at least 1 got 0"),
    "kernel of three": (lambda: layers.Conv2D(2, (3, 3, 3)), KCompileError, "Conv2D: kernel_size 2 integers 3 entries"),
    "kernel too large": (lambda: layers.Conv2D(2, 9)(image()), ShapeError, "Conv2D (9, 9) (8, 8) padding='same'"),
    "window too large": (lambda: layers.MaxPooling2D(9)(image()), ShapeError, "MaxPooling2D (9, 9) (8, 8)"),
    "strides and dilation": (
        lambda: layers.Conv2D(2, 3, strides=2, dilation_rate=2),
        KCompileError,
        "strides=(2, 2) dilation_rate=(2, 2) one of them",
    ),
    "groups": (lambda: layers.Conv2D(4, 3, groups=2)(image()), ShapeError, "groups=2 3 channels"),
    "nothing left": (lambda: layers.Cropping2D(4)(image()), ShapeError, "cropping=((4, 4), (4, 4)) (None, 8, 8, 3)"),
    "axis of a norm": (
        lambda: layers.BatchNormalization(axis=4)(image()),
        KCompileError,
        "axis=4 (None, 8, 8, 3) 1 to 3",
    ),
    "axis of a softmax": (lambda: layers.Softmax(axis=7)(image()), ShapeError, "axis 7 (None, 8, 8, 3)"),
    "axis of a join": (
        lambda: layers.Concatenate()([image(), image(8, 7, 3)]),
        ShapeError,
        "axis -1 (None, 8, 8, 3) (None, 8, 7, 3)",
    ),
    "a permutation": (lambda: layers.Permute((1, 3)), ShapeError, "Permute: dims (1, 3)"),
    "a new shape": (lambda: layers.Reshape((7,))(Input((3, 2))), ShapeError, "Reshape (3, 2) 6 elements (7,)"),
    "rows of a table": (lambda: layers.Embedding(0, 3), KCompileError, "Embedding: input_dim at least 1 got 0"),
    "a sum": (lambda: layers.Add()([image(), image(8, 7, 3)]), ShapeError, "Add (None, 8, 8, 3) (None, 8, 7, 3)"),
    # R52: shapes of inputs.
    "negative size": (lambda: Input((-3,), name="x"), KCompileError, "input 'x': shape[0] at least 1 got -3"),
    "size 2.5": (lambda: Input((2.5,), name="x"), DataTypeError, "input 'x': shape[0] integer 2.5"),
    "shape as text": (lambda: Input("ab", name="x"), DataTypeError, "input 'x': shape tuple 'ab'"),
    "input_shape as text": (lambda: Dense(1, input_shape="abc"), DataTypeError, "Dense: input_shape tuple 'abc'"),
    "no shape": (lambda: Input(), KCompileError, "Input needs shape="),
    "dtype": (lambda: Input((3,), dtype="flaot32"), UnknownNameError, "dtype did you mean 'float32'?"),
    "dtype of a layer": (lambda: Dense(1, dtype="flot32"), UnknownNameError, "Dense: dtype did you mean 'float32'?"),
    "trainable": (lambda: Dense(1, trainable="no"), DataTypeError, "Dense: trainable True or False 'no'"),
    "a number as name": (lambda: Dense(1, name=3), DataTypeError, "Dense: name string 3"),
    # R52: graphs of layers.
    "disconnected": (disconnected, KCompileError, "graph disconnected 'mine' 'z' 'x'"),
    "one name twice": (same_names, KCompileError, "'mine' two layers 'twin'"),
    "one name twice, sequential": (
        lambda: Sequential([Dense(1, name="twin", input_shape=(2,)), Dense(1, name="twin")]),
        KCompileError,
        "already 'twin'",
    ),
    "one name of two inputs": (same_inputs, KCompileError, "'mine' two layers 'x'"),
    "another shape": (
        lambda: two_shapes(Dense(2, name="shared"), (3,), (4,)),
        ShapeError,
        "'shared' (batch, 4) axis -1 size 3 got 4",
    ),
    "another number of channels": (
        lambda: two_shapes(layers.Conv2D(2, 3, name="shared"), (8, 8, 3), (8, 8, 4)),
        ShapeError,
        "'shared' size 3 got 4",
    ),
    "another rank": (
        lambda: layers.Conv2D(2, 3, name="first")(image(8, 8)),
        ShapeError,
        "'first' (batch, 8, 8) expected 4 channel axis",
    ),
    "unknown features": (
        lambda: Dense(1, name="first")(Input((None,))),
        ShapeError,
        "'first' (None, None) Input(shape=...)",
    ),
    "arrays for tensors": (
        lambda: Model(np.ones((2, 2)), np.ones(2), name="mine"),
        DataTypeError,
        "'mine' Input() shape (2, 2)",
    ),
    "no outputs": (lambda: Model(Input((3,))), KCompileError, "inputs and outputs"),
    "a class as layer": (lambda: Sequential([Dense]), DataTypeError, "add takes a layer make an instance: Dense(...)"),
    "a layer for a list": (lambda: Sequential(Dense(1)), DataTypeError, "layers must be a list"),
    "a layer for a tensor": (lambda: Dense(1, name="b")(Dense(1, name="a")), DataTypeError, "'b' layer 'a' output"),
    "None for a tensor": (lambda: Dense(1, name="b")(None), DataTypeError, "'b' tensors or arrays None"),
    "a Lambda that returns nothing": (
        lambda: layers.Lambda(lambda x: None, name="f")(image()),
        DataTypeError,
        "'f' returned None",
    ),
    "a Lambda of other shapes": (
        lambda: layers.Lambda(lambda x: x + np.ones((1, 7)), name="f")(image()),
        ShapeError,
        "'f' (None, 8, 8, 3) 7",
    ),
    "an unknown module": (lambda: kcompile.optimisers, AttributeError, "'optimisers' did you mean 'optimizers'?"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_wrong_argument_is_refused_where_it_is_given(name):
    act, error, words = CASES[name]
    with pytest.raises(error) as caught:
        act()
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 400
    assert isinstance(caught.value, KCompileError | AttributeError)
    for word in words.split():
        assert word in text, text


def test_a_refused_compile_leaves_the_earlier_one():
    model = ready()
    model.compile("adam", "mse", metrics=["mae"])
    x = np.ones((4, 3))
    model.train_on_batch(x, np.ones(4))
    before = [model.optimizer, model.loss, model.metrics_names, dict(model.fit_trainer.steps)]
    for arguments in (("adamm", "mse"), ("sgd", "msee"), ("sgd", "mse", ["acurracy"])):
        with pytest.raises(KCompileError):
            model.compile(*arguments)
    assert [model.optimizer, model.loss, model.metrics_names, dict(model.fit_trainer.steps)] == before
    assert len(model.train_on_batch(x, np.ones(4))) == 2


def test_a_refused_layer_leaves_the_model_as_it_was():
    model = Sequential([Dense(4, input_shape=(3,), name="first")])
    for layer in (layers.Conv2D(2, 3), Dense(1, name="first"), layers.Reshape((7,))):
        with pytest.raises(KCompileError):
            model.add(layer)
    assert [layer.name for layer in model.layers] == ["first"]
    model.add(Dense(1))
    assert model.predict(np.ones((2, 3))).shape == (2, 1)


# R53: losses after an activation that they were not made for.
DOUBTFUL = {
    "logits": (3, None, "categorical_crossentropy", "activation='softmax', or pass from_logits=True"),
    "logits of classes": (3, None, "sparse_categorical_crossentropy", "activation='softmax'"),
    "logits of one unit": (1, None, "binary_crossentropy", "activation='sigmoid'"),
    "sigmoid of classes": (3, "sigmoid", "categorical_crossentropy", "use softmax, or loss='binary_crossentropy'"),
    "softmax of one unit": (1, "softmax", "binary_crossentropy", "activation='sigmoid'"),
    "one class": (1, "sigmoid", "sparse_categorical_crossentropy", "loss='binary_crossentropy'"),
    "softmax twice": (3, "softmax", losses.CategoricalCrossentropy(from_logits=True), "drop one of them"),
    "softmax for binary": (3, "softmax", "binary_crossentropy", "loss='categorical_crossentropy'"),
}


def after(units, activation, how):
    if how == "argument":
        return [Dense(units, activation, input_shape=(3,))]
    if how == "layer":
        return [Dense(units, input_shape=(3,)), layers.Activation(activation)]
    return [Sequential([Dense(units, activation, input_shape=(3,))]), layers.Reshape((units,))]


@pytest.mark.parametrize("name", DOUBTFUL)
@pytest.mark.parametrize("how", ["argument", "layer", "nested"])
def test_a_loss_that_does_not_suit_the_activation_is_warned_of(name, how):
    units, activation, loss, advice = DOUBTFUL[name]
    with pytest.warns(RuntimeWarning) as caught:
        Sequential(after(units, activation, how)).compile("sgd", loss)
    (warning,) = caught
    assert advice in str(warning.message)
    assert warning.filename == __file__


@pytest.mark.parametrize(
    ("units", "activation", "loss"),
    [
        (3, "softmax", "categorical_crossentropy"),
        (3, "softmax", "sparse_categorical_crossentropy"),
        (3, "sigmoid", "binary_crossentropy"),
        (1, "sigmoid", "binary_crossentropy"),
        (2, "softmax", "binary_crossentropy"),
        (3, None, losses.CategoricalCrossentropy(from_logits=True)),
        (3, None, "mse"),
        (3, "tanh", "hinge"),
        (3, None, lambda t, p: p),
    ],
)
@pytest.mark.parametrize("how", ["argument", "layer", "nested"])
def test_usual_pairs_are_not_warned_of(units, activation, loss, how):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Sequential(after(units, activation, how)).compile("sgd", loss)
