"""What ``compile`` makes of its arguments for each output: the form of accuracy, metrics, names, weights of losses."""

import functools
import json

import numpy as np
import pytest

import kcompile as keras
from kcompile import backend as K

X = np.float32([[1, 2], [3, 4]])
YA, YB = np.float32([[1], [2]]), np.float32([[1, 2, 3], [4, 5, 6]])


def one(shape=(3,)):
    """A model that returns its input."""
    x = keras.layers.Input(shape, name="x")
    return keras.models.Model(x, keras.layers.Activation("linear", name="out")(x))


def two():
    x = keras.layers.Input((2,))
    dense = [keras.layers.Dense(units, kernel_initializer="ones", name=name)(x) for units, name in ((1, "a"), (3, "b"))]
    return keras.models.Model(x, dense)


def evaluated(model, y, **arguments):
    """Names and numbers, of arrays and of a generator that yields them."""
    model.compile("sgd", **arguments)
    x = X if model.input_shape == (None, 2) else PREDICTIONS[model.input_shape[1:]]
    found = model.evaluate(x, y, verbose=0)
    batch = model.test_on_batch(x, y)
    np.testing.assert_allclose(found, batch, rtol=1e-6)
    return dict(zip(model.metrics_names, np.atleast_1d(found), strict=True))


# ---- accuracy and crossentropy

_random = np.random.default_rng(1)
PREDICTIONS = {shape: _random.dirichlet(np.ones(shape[-1]), (6, *shape[:-1])).astype("f") for shape in [(3,), (2, 3)]}
PREDICTIONS[(1,)] = _random.uniform(0.1, 0.9, (6, 1)).astype("f")
LABELS = {shape: _random.integers(0, max(shape[-1], 2), (6, *shape[:-1])) for shape in PREDICTIONS}


def scce(y, p):
    return K.sparse_categorical_crossentropy(y, p)


class OwnLoss(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return scce(y_true, y_pred)


LOSSES = {
    "own function": scce,
    "lambda": lambda y, p: scce(y, p),
    "partial of our own": functools.partial(keras.losses.sparse_categorical_crossentropy, from_logits=False),
    "partial": functools.partial(lambda y, p, factor: factor * scce(y, p), factor=2.0),
    "class": OwnLoss(),
    "wrapped": keras.losses.LossFunctionWrapper(scce),
    "known": "sparse_categorical_crossentropy",
    "none": None,
}


@pytest.mark.filterwarnings("ignore:.*expects probabilities")
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("shape", [(3,), (2, 3)])
@pytest.mark.parametrize("column", [False, True], ids=["labels", "label column"])
def test_class_numbers(loss, shape, column):
    p, labels = PREDICTIONS[shape], LABELS[shape]
    found = evaluated(one(shape), labels[..., None] if column else labels, loss=LOSSES[loss], metrics=["acc", "ce"])
    assert found["acc"] == pytest.approx(np.mean(p.argmax(-1) == labels))
    assert found["ce"] == pytest.approx(-np.mean(np.log(np.take_along_axis(p, labels[..., None], -1))), rel=1e-5)


@pytest.mark.filterwarnings("ignore:.*expects probabilities")
@pytest.mark.parametrize("loss", ["categorical_crossentropy", "mse", lambda y, p: K.mean(y * p, -1), None])
@pytest.mark.parametrize("words", [("accuracy", "crossentropy"), ("Accuracy", "CE")])
def test_rows_of_classes(loss, words):
    p, labels = PREDICTIONS[(3,)], LABELS[(3,)]
    found = evaluated(one(), np.eye(3)[labels], loss=loss, metrics=list(words))
    assert found[words[0]] == pytest.approx(np.mean(p.argmax(-1) == labels))
    assert found[words[1]] == pytest.approx(-np.mean(np.log(p[np.arange(6), labels])), rel=1e-5)


@pytest.mark.filterwarnings("ignore:.*expects probabilities")
@pytest.mark.parametrize("loss", ["binary_crossentropy", "mse", lambda y, p: K.mean(y * p, -1), None])
@pytest.mark.parametrize("column", [False, True])
def test_one_column(loss, column):
    p, labels = PREDICTIONS[(1,)], LABELS[(1,)]
    found = evaluated(one((1,)), labels[:, None] if column else labels, loss=loss, metrics=["acc", "ce"])
    assert found["acc"] == pytest.approx(np.mean((p[:, 0] > 0.5) == labels))
    assert found["ce"] == pytest.approx(-np.mean(np.log(np.where(labels, p[:, 0], 1 - p[:, 0]))), rel=1e-5)


@pytest.mark.filterwarnings("ignore:.*expects probabilities")
def test_several_columns_of_a_binary_loss():
    """Each column counts, as in Keras 2.3; tf.keras would compare the largest."""
    p, y = PREDICTIONS[(3,)], np.float32(PREDICTIONS[(3,)] > 0.4)
    found = evaluated(one(), y, loss="binary_crossentropy", metrics=["accuracy"])
    assert found["accuracy"] == pytest.approx(np.mean((p > 0.5) == y))


@pytest.mark.parametrize("loss", ["mse", "binary_crossentropy", lambda y, p: K.mean(K.square(y - p), -1)])
@pytest.mark.parametrize(("output", "target"), [((2, 1), (2,)), ((2,), (2, 1)), ((2, 3), (2, 3, 1))])
@pytest.mark.filterwarnings("ignore:.*expects probabilities")
def test_targets_of_another_rank(loss, output, target):
    """A last axis of size 1, more or less, changes nothing: to a loss of ours, to one of the user's, to metrics."""
    model = one(output)
    model.compile("sgd", loss, metrics=["mae"])
    p, y = np.random.default_rng(2).uniform(0.1, 0.9, (2, 5, *output)).astype("f")
    expected = model.evaluate(p, y, verbose=0)
    assert expected[1] == pytest.approx(np.mean(np.abs(p - y)), rel=1e-5)
    assert model.evaluate(p, y.reshape(5, *target), verbose=0) == pytest.approx(expected, rel=1e-6)
    assert model.fit(p, y.reshape(5, *target), verbose=0).history["loss"] == pytest.approx(expected[:1], rel=1e-6)


def test_the_form_follows_the_targets_of_each_call():
    model = one()
    model.compile("sgd", lambda y, p: K.mean(p, -1), metrics=["acc"])
    p, labels = PREDICTIONS[(3,)], LABELS[(3,)]
    right = np.mean(p.argmax(-1) == labels)
    assert model.evaluate(p, labels, verbose=0)[1] == pytest.approx(right)
    assert model.evaluate(p, np.eye(3)[labels], verbose=0)[1] == pytest.approx(right)


def test_the_form_is_exported(tmp_path):
    """An exported step takes targets of the shape that the model was trained with."""
    model = one()
    model.compile("sgd", scce, metrics=["acc"])
    model.test_on_batch(PREDICTIONS[(3,)], LABELS[(3,)])
    model.export_training(tmp_path)
    step = json.loads((tmp_path / "manifest.json").read_text())["eval_step"]
    assert step["inputs"][1]["shape"][1:] == [1]


# ---- metrics of each output. Numbers are those of tf_keras 2.21 unless said otherwise.

BOTH = {"loss": 17.66666603, "a_loss": 14.5, "b_loss": 3.16666651}
A = {"loss": 14.5, "a_loss": 14.5}
MAE = keras.metrics.MeanAbsoluteError
LISTS = {
    "empty lists": ({"loss": "mse", "metrics": [[None], ["mae"]]}, {**BOTH, "b_mae": 1.5}),
    "none": ({"loss": "mse", "metrics": [None, ["mae"]]}, {**BOTH, "b_mae": 1.5}),
    "flat, with none": ({"loss": "mse", "metrics": [None, "mae"]}, {**BOTH, "a_mae": 3.5, "b_mae": 1.5}),
    "dictionary": ({"loss": "mse", "metrics": {"b": ["mae", "mse"]}}, {**BOTH, "b_mae": 1.5, "b_mse": 3.16666651}),
    "a name": ({"loss": "mse", "metrics": {"b": "mae", "a": None}}, {**BOTH, "b_mae": 1.5}),
    "one object": (
        {"loss": "mse", "metrics": [MAE()]},
        {**BOTH, "a_mean_absolute_error": 3.5, "b_mean_absolute_error": 1.5},
    ),
    "metrics without a loss": ({"loss": {"a": "mse"}, "metrics": {"b": ["mae"]}}, {**A, "b_mae": 1.5}),
    "metrics without any loss": ({"metrics": {"b": ["mae"]}}, {"loss": 0, "b_mae": 1.5}),
    # Keras 2.3.1; tf.keras asks for the targets of b, or logs 0.0.
    "flat, one loss": ({"loss": ["mse", None], "metrics": ["mae"]}, {**A, "a_mae": 3.5}),
    "two of one name": (  # Keras 2.3.1; tf.keras refuses
        {"loss": {"a": "mse"}, "metrics": {"a": [MAE(name="m"), keras.metrics.MeanSquaredError(name="m")]}},
        {**A, "a_m": 3.5, "a_m_1": 14.5},
    ),
    "weights of losses": ({"loss": "mse", "loss_weights": [0.5, None]}, {**BOTH, "loss": 10.41666603}),
    "weights by name": ({"loss": "mse", "loss_weights": {"a": 0.5}}, {**BOTH, "loss": 10.41666603}),
}  # fmt: skip


@pytest.mark.parametrize("name", LISTS)
def test_metrics_of_outputs(name):
    arguments, expected = LISTS[name]
    assert evaluated(two(), [YA, YB], **arguments) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("metrics", [[["mae"]], [["mae"], [None]], ["mae", None]])
def test_lists_of_one_output(metrics):
    model = one()
    model.compile("sgd", "mse", metrics=metrics)
    assert model.metrics_names == ["loss", "mae"]


TARGETS = {
    "for all": [YA, YB], "none for one": [YA, None], "by name": {"a": YA}, "all by name": {"a": YA, "b": YB},
    "for the one": YA, "in a list": [YA],
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*b/kernel, b/bias are not trained")
@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("loss", [["mse", None], {"a": "mse"}])
def test_targets_of_outputs_without_a_loss(name, loss):
    """May be given or not, for arrays, validation and generators; weights too."""
    model, y = two(), TARGETS[name]
    assert evaluated(model, y, loss=loss) == pytest.approx(A)
    weights = [np.ones(2), None] if isinstance(y, list) and len(y) == 2 else np.ones(2)
    history = model.fit(X, y, sample_weight=weights, validation_data=(X, y), verbose=0)
    assert history.history["loss"] == pytest.approx([14.5])
    assert set(history.history) == {"loss", "a_loss", "val_loss", "val_a_loss"}
    assert model.fit(iter([(X, y)] * 2), steps_per_epoch=2, verbose=0).history["loss"][0] < 14.5


def test_weights_of_outputs_without_a_loss_stay():
    """With a warning, as in tf.keras; a loss that depends on weights in no differentiable way is still refused."""
    model = two()
    model.compile("adam", {"a": "mse"}, metrics={"b": ["mae"]})
    with pytest.warns(RuntimeWarning, match=r"b/kernel, b/bias are not trained: .* output 'b'"):
        model.fit(X, [YA, YB], verbose=0)
    a, _, b, _ = model.get_weights()
    assert (a != 1).all()
    assert (b == 1).all()
    model.compile("adam", [lambda y, p: K.cast(K.argmax(p), "float32"), None])
    with pytest.raises(ValueError, match="does not depend on a/kernel"):
        model.fit(X, [YA, None], verbose=0)


def test_missing_targets_of_a_metric():
    model = two()
    model.compile("sgd", {"a": "mse"}, metrics={"b": ["mae"]})
    with pytest.raises(ValueError, match="'b'"):
        model.evaluate(X, {"a": YA}, verbose=0)


def test_class_numbers_of_a_metric_without_a_loss_are_checked():
    model = two()
    model.compile("sgd", {"a": "mse"}, metrics={"b": ["sparse_categorical_accuracy"]})
    with pytest.raises(ValueError, match=r"label 3 outside 0\.\.2"):
        model.evaluate(X, [YA, np.array([0, 3])], verbose=0)


def test_without_a_loss():
    """A model that is compiled for its metrics; nothing to measure and nothing to minimize are said."""
    model = one()
    model.compile("sgd", metrics=["mae"])
    p = PREDICTIONS[(3,)]
    assert model.evaluate(p, p + 1, verbose=0) == pytest.approx([0, 1])
    with pytest.raises(ValueError, match="nothing to minimize"):
        model.fit(p, p, verbose=0)
    model.compile("sgd")
    assert model.metrics_names == ["loss"]
    with pytest.raises(ValueError, match="nothing to measure"):
        model.evaluate(p, verbose=0)
    model.predict(p)


def test_one_object_has_one_place():
    metric = MAE()
    for arguments in ({"metrics": [[metric]] * 2}, {"metrics": [[metric], []], "weighted_metrics": [[], [metric]]}):
        with pytest.raises(ValueError, match="given twice"):
            two().compile("sgd", "mse", **arguments)


def test_a_metric_that_cannot_be_copied_for_each_output():
    class Own(keras.metrics.Mean):
        def __init__(self, needed):
            super().__init__(name="own")

    with pytest.raises(ValueError, match="'own' is for several outputs, and cannot be copied"):
        two().compile("sgd", "mse", metrics=[Own(1)])


# ---- weights of losses


def test_weights_that_are_variables():
    """A callback changes them; the compiled step stays, and exported steps read them too."""
    alpha, model = K.variable(0.5), two()
    model.compile(keras.optimizers.SGD(0.0), "mse", loss_weights=[alpha, 1.0])

    class Change(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            K.set_value(alpha, 0.5 + epoch)
            self.model.loss_weights[1] = 1 + epoch

    history = model.fit(X, [YA, YB], epochs=3, verbose=0, callbacks=[Change()]).history
    a, b = BOTH["a_loss"], BOTH["b_loss"]
    np.testing.assert_allclose(history["loss"], [0.5 * a + b, 1.5 * a + 2 * b, 2.5 * a + 3 * b], rtol=1e-6)
    assert len(model.fit_trainer.steps) == 1
    model.loss_weights = {"a": 2.0}
    assert model.evaluate(X, [YA, YB], verbose=0)[0] == pytest.approx(2 * a + b)
    assert (float(K.get_value(alpha)), model.loss_weights) == (2.0, [alpha, 1.0])


def test_changed_weights_train(tmp_path):
    """The gradient has them; a file holds their numbers of now."""
    changed, compiled = two(), two()
    changed.compile("sgd", "mse", loss_weights={"a": K.variable(1.0), "b": 1.0})
    compiled.compile("sgd", "mse", loss_weights={"a": 0.25, "b": 3.0})
    changed.train_on_batch(X, [YA, YB])
    compiled.set_weights(changed.get_weights())
    changed.loss_weights.update(a=0.25, b=3.0)
    for model in (changed, compiled):
        model.train_on_batch(X, [YA, YB])
    for one, other in zip(changed.get_weights(), compiled.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    for name in ("m.h5", "m.keras"):
        changed.save(tmp_path / name)
        assert keras.models.load_model(tmp_path / name).loss_weights == {"a": 0.25, "b": 3.0}


def test_weights_in_exported_training(tmp_path):
    """The step that is exported has them in its state."""
    alpha, model = K.variable(0.5, name="alpha"), two()
    model.compile("sgd", "mse", loss_weights=[alpha, 2.0])
    model.export_training(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert {"alpha", "loss_weights/b"} <= {entry["name"] for entry in manifest["state"]}
    assert {"alpha", "loss_weights/b"} <= set(manifest["train_step"]["state_inputs"])


@pytest.mark.parametrize(
    ("value", "words"),
    [([0.5, np.nan], "'b'"), ([0.5, "a"], "'b'"), ({"c": 1.0}, "output in loss_weights"), ([1.0], "1 entries for 2")],
)
def test_wrong_weights_change_nothing(value, words):
    model = two()
    model.compile("sgd", "mse", loss_weights=[1.0, 2.0])
    with pytest.raises(ValueError, match=words):
        model.loss_weights = value
    assert model.loss_weights == [1.0, 2.0]
    with pytest.raises(ValueError, match="must be one number"):
        model.compile("sgd", "mse", loss_weights=[K.variable([1.0, 2.0]), 1.0])


@pytest.mark.parametrize("activation", ["linear", "sigmoid", "softmax"])
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(
    ("kind", "targets", "expected"),  # by evaluate of tf_keras 2.21, for each of the activations
    [
        ("Binary", [[0, 1, 1], [1, 0, 0]], 0.65051),
        ("Categorical", [[0, 1, 0], [1, 0, 0]], 1.68708),
        ("SparseCategorical", [[1], [0]], 1.68708),
    ],
)
@pytest.mark.filterwarnings("ignore:Output")
def test_logits_are_those_before_the_activation(activation, nested, kind, targets, expected):
    logits = np.float32([[0.5, -1, 2], [3, 1, -2]])
    model = keras.Sequential([keras.layers.Activation(activation, input_shape=(3,))])
    if nested:
        model = keras.Sequential([keras.layers.InputLayer((3,)), model])
    loss, metric = (getattr(module, f"{kind}Crossentropy") for module in (keras.losses, keras.metrics))
    model.compile("sgd", loss(from_logits=True), metrics=[metric(from_logits=True)])
    np.testing.assert_allclose(model.evaluate(logits, np.array(targets), verbose=0), expected, rtol=1e-5)
