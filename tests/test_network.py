"""Models as graphs of layers: shared layers, nested models, operators, subclasses, configurations, summaries."""

import json
import re

import numpy as np
import pytest

import kcompile as keras
from kcompile import backend as K
from kcompile import layers as L

RANDOM = np.random.RandomState(0)


def arrays(model, samples=3):
    """Random data for each input."""
    data = []
    for x in model.inputs:
        shape = (samples, *x.shape[1:])
        data.append(RANDOM.randint(0, 10, shape) if "int" in x.dtype else RANDOM.normal(size=shape).astype("float32"))
    return data if len(data) > 1 else data[0]


def predictions(model, data):
    result = model.predict(data)
    return result if isinstance(result, list) else [result]


def assert_same_predictions(first, second, data=None):
    data = arrays(first) if data is None else data
    for a, b in zip(predictions(first, data), predictions(second, data), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


# ---- models of every kind


class Context(L.Layer):
    """A layer with sublayers whose call takes another tensor and a number."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = L.Dense(2, name="inside")

    def call(self, inputs, context=None, scale=1.0):
        return self.dense(inputs) * scale + context


def shared():
    x = L.Input((4,), name="x")
    dense = L.Dense(4, activation="relu", name="d")
    once = dense(x)
    return keras.Model(x, L.Dense(3, name="e")(L.add([once, dense(once)], name="sum")), name="shared")


def several():
    x, y = L.Input((6,), name="x"), L.Input((5,), name="y")
    a, b = L.Dense(3, name="a")(x), L.Dense(3, name="b")(y)
    first = L.Dense(1, name="first")(L.concatenate([a, b], name="both"))
    return keras.Model([x, y], [first, L.multiply([a, b], name="second")], name="several")


def inner():
    return keras.Sequential([L.Dense(4, input_shape=(4,), name="p"), L.LeakyReLU(name="leaky")], name="inner")


def nested():
    x, block, other = L.Input((4,), name="x"), inner(), shared()
    once = block(x)
    return keras.Model(x, L.Concatenate(name="all")([block(once), other(once)]), name="nested")


def with_arguments():
    x, y = L.Input((3,), name="x"), L.Input((2,), name="y")
    late = L.Dense(2, name="late")(y)
    return keras.Model([x, y], Context(name="context")(x, context=late, scale=2.0), name="with_arguments")


def embedded():
    layers = [L.Embedding(10, 4, input_length=3, name="em"), L.Flatten(name="flat"), L.Dense(2, name="out")]
    return keras.Sequential(layers, name="embedded")


def nested_sequential():
    return keras.Sequential([inner(), L.Dropout(0.5, name="drop"), L.Dense(2, name="out")], name="nested_sequential")


def built_later():
    model = keras.Sequential([L.Dense(3, name="one"), L.Dense(2, name="two")], name="built_later")
    model.build((None, 4))
    return model


def with_input_layer():
    return keras.Sequential([L.InputLayer((4,), name="start"), L.Dense(2, name="out")], name="with_input_layer")


MODELS = [
    shared, several, nested, with_arguments, embedded, nested_sequential, built_later, with_input_layer
]  # fmt: skip


@pytest.mark.parametrize("make", MODELS)
def test_configuration_round_trip(make) -> None:
    model = make()
    config = model.get_config()
    again = type(model).from_config(json.loads(json.dumps(config)), custom_objects={"Context": Context})
    assert json.dumps(again.get_config()) == json.dumps(config)
    assert [w.name for w in again.weights] == [w.name for w in model.weights]
    data = arrays(model)
    assert any((a != b).any() for a, b in zip(predictions(model, data), predictions(again, data), strict=True))
    again.set_weights(model.get_weights())
    assert_same_predictions(model, again, data)


@pytest.mark.parametrize("make", MODELS)
def test_clone(make) -> None:
    model = make()
    clone = keras.models.clone_model(model)
    assert [layer.name for layer in clone.layers] == [layer.name for layer in model.layers]
    assert not {id(w) for w in clone.weights} & {id(w) for w in model.weights}
    clone.set_weights(model.get_weights())
    assert_same_predictions(model, clone)


def test_configuration_has_the_form_of_keras_2() -> None:
    """Names and places as in files of Keras 2.3: two calls of one layer, then a call on both results."""
    config = shared().get_config()
    assert {layer["name"]: layer["inbound_nodes"] for layer in config["layers"]} == {
        "x": [],
        "d": [[["x", 0, 0, {}]], [["d", 0, 0, {}]]],
        "sum": [[["d", 0, 0, {}], ["d", 1, 0, {}]]],
        "e": [[["sum", 0, 0, {}]]],
    }
    assert (config["input_layers"], config["output_layers"]) == ([["x", 0, 0]], [["e", 0, 0]])
    inbound = {layer["name"]: layer["inbound_nodes"] for layer in nested().get_config()["layers"]}
    assert inbound["inner"] == [[["x", 0, 0, {}]], [["inner", 1, 0, {}]]]  # a model is its own first node
    arguments = with_arguments().get_config()["layers"][-1]["inbound_nodes"]
    assert arguments == [[["x", 0, 0, {"context": ["late", 0, 0], "scale": 2.0}]]]
    assert keras.Sequential.from_config(inner().get_config()["layers"]).count_params() == 20  # Keras before 2.2.3


def test_order_of_layers() -> None:
    """As tf_keras 2.21 lists them: by distance from the outputs, then as a walk from the outputs meets them."""
    x = L.Input((4,), name="x")
    one = L.Dense(2, name="one")(x)
    two = L.Dense(3, name="two")(one)
    three = L.Dense(2, name="three")(two)
    model = keras.Model(x, [three, L.subtract([one, three], name="minus"), two])
    assert [layer.name for layer in model.layers] == ["x", "one", "two", "three", "minus"]
    assert [layer.name for layer in several().layers] == ["x", "y", "a", "b", "both", "first", "second"]


def test_clone_on_other_inputs_and_with_a_function() -> None:
    model = shared()
    x = L.Input((4,))
    made = []

    def halve(layer):
        made.append(layer.name)
        return layer.clone_of_layer()

    clone = keras.models.clone_model(model, input_tensors=x * 0.5, clone_function=halve)
    assert made == ["d", "sum", "e"]
    clone.set_weights(model.get_weights())
    data = arrays(model)
    (expected,), (actual,) = predictions(model, data * 0.5), predictions(keras.Model(x, clone.outputs[0]), data)
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


# ---- calls


def test_shared_layers_count_once_and_train() -> None:
    model = shared()
    assert [w.name for w in model.weights] == ["d/kernel:0", "d/bias:0", "e/kernel:0", "e/bias:0"]
    w, b, v, c = model.get_weights()
    data = arrays(model)
    once = np.maximum(data @ w + b, 0)
    expected = (once + np.maximum(once @ w + b, 0)) @ v + c
    np.testing.assert_allclose(model.predict(data), expected, rtol=1e-5, atol=1e-6)
    dense = model.get_layer("d")
    with pytest.raises(AttributeError, match="'d' was called 2 times, so its output is ambiguous"):
        _ = dense.output
    assert K.int_shape(dense.get_output_at(1)) == (None, 4)


def test_a_model_as_a_layer() -> None:
    model, x, y = several(), L.Input((6,)), L.Input((5,))
    first, second = model([x, y])
    outer = keras.Model([x, y], [first + 1, L.Dense(2)(second)])
    assert [w.name for w in outer.weights][:6] == [w.name for w in model.weights]
    data = arrays(model)
    np.testing.assert_allclose(outer.predict(data)[0], model.predict(data)[0] + 1, rtol=1e-6)
    assert model.output_shape == [(None, 1), (None, 3)]
    assert model.compute_output_shape([(None, 6), (None, 5)]) == [(None, 1), (None, 3)]
    with pytest.raises(ValueError, match=re.escape("takes 2 inputs ('x', 'y'), got 1")):
        model(x)


def test_names_of_outputs() -> None:
    x = L.Input((4,))
    split = L.Lambda(lambda t: [t, t + 1, t + 2], name="split")
    assert keras.Model(x, split(x)).output_names == ["split", "split_1", "split_2"]


def test_one_output_in_a_list_is_an_array_to_predict() -> None:
    x = L.Input((4,))
    assert keras.Model([x], [L.Dense(2)(x)]).predict(np.ones((3, 4))).shape == (3, 2)


def test_operators_between_layers() -> None:
    x = L.Input((3,))
    dense = L.Dense(3)
    model = keras.Model(x, (K.exp(x) * 2 + dense(x)) / 2 - K.variable(np.ones(3)))
    data = arrays(model)
    w, b = dense.get_weights()
    np.testing.assert_allclose(model.predict(data), (np.exp(data) * 2 + data @ w + b) / 2 - 1, rtol=1e-5, atol=1e-6)
    again = L.Input((3,))
    np.testing.assert_allclose(
        keras.Model(again, model(again * 2)).predict(data), model.predict(data * 2), rtol=1e-6, atol=1e-6
    )
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    assert_same_predictions(model, clone)
    model.compile("sgd", "mse")
    model.train_on_batch(data, data)
    assert (dense.get_weights()[0] != w).all()
    with pytest.raises(ValueError, match=r"computes outside of layers .* uses the variable"):
        model.get_config()


def test_the_graph_behind_a_call_argument_belongs_to_the_model() -> None:
    model = with_arguments()
    assert [w.name for w in model.get_layer("late").weights] == [w.name for w in model.weights][:2]
    before = model.get_layer("late").get_weights()
    model.compile("sgd", "mse")
    model.train_on_batch(arrays(model), np.ones((3, 2)))
    assert all((a != b).any() for a, b in zip(before, model.get_layer("late").get_weights(), strict=True))


# ---- subclasses


class PlusOrMinus(L.Layer):
    """Branches on ``training`` in Python."""

    def build(self, input_shape):
        self.scale = self.add_weight("scale", (input_shape[-1],), initializer="ones")
        super().build(input_shape)

    def call(self, inputs, training=None):
        if training:
            return inputs * self.scale + 1
        return inputs * self.scale - 1


class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.first = L.Dense(4, activation="relu")
        self.shift = PlusOrMinus()
        self.last = L.Dense(1)

    def call(self, inputs, training=None):
        x = self.first(inputs)
        if training:
            x = self.shift(x)
        return self.last(x)


def test_a_layer_that_branches_on_training() -> None:
    x = L.Input((3,))
    layer = PlusOrMinus()
    function = K.function([x, K.learning_phase()], [layer(x), layer(x, training=True)])
    ones = np.ones((2, 3), np.float32)
    for phase, expected in [(0, [0, 2]), (1, [2, 2])]:
        for value, target in zip(function([ones, phase]), expected, strict=True):
            np.testing.assert_array_equal(value, target * ones)


def test_subclassed_model() -> None:
    model = Net()
    x, y = RANDOM.normal(size=(16, 3)), RANDOM.normal(size=(16, 1))
    model.compile("sgd", "mse")
    model.fit(x, y, verbose=0)
    w, b, scale, v, c = model.get_weights()
    assert (scale != 1).any()  # the training branch was trained
    np.testing.assert_allclose(model.predict(x), np.maximum(x @ w + b, 0) @ v + c, rtol=1e-4, atol=1e-5)
    inputs = L.Input((3,))
    outer = keras.Model(inputs, model(inputs))
    np.testing.assert_allclose(outer.predict(x), model.predict(x), rtol=1e-6)
    with pytest.raises(NotImplementedError, match=r"\(Net\) is subclassed: its architecture is Python code"):
        model.get_config()
    with pytest.raises(ValueError, match="is subclassed; make a new one with its class"):
        keras.models.clone_model(model)
    built = Net()
    built.build((None, 3))
    assert [w.storage.shape for w in built.weights] == [w.storage.shape for w in model.weights]


# ---- wrong graphs


def test_wrong_graphs() -> None:
    a, b = L.Input((4,), name="a"), L.Input((4,), name="b")
    twice = L.Dense(2, name="same")(L.Dense(2, name="same")(a))
    cases = [
        (lambda: keras.Model(a, L.add([a, b])), "depend on input 'b', which is not among its inputs ('a')"),
        (lambda: keras.Model([a, a], L.Dense(2)(a)), "an input is listed twice"),
        (lambda: keras.Model(a, twice), "two layers are named 'same'"),
        (lambda: keras.Sequential([L.Dense(2, name="q"), L.Dense(2, name="q")]), "already has a layer named 'q'"),
        (lambda: keras.Model(a), "needs both inputs and outputs"),
        (lambda: keras.Model(a, []), "has no outputs"),
        (lambda: keras.Model(a, 3), "must be tensors"),
        (lambda: keras.Model(a, K.variable(3.0)), "does not depend on any input"),
        (lambda: keras.Sequential([L.Dense(2)]).summary(), "is not built, so its shapes are unknown"),
        (lambda: keras.Sequential([L.Dense(2)]).get_layer("dens"), "Unknown layer of model"),
        (lambda: keras.compile(keras.Sequential([L.Dense(2)])), "is not built"),
        (lambda: keras.compile(3), "kcompile.compile takes a model, got int"),
        (lambda: keras.models.clone_model(L.Dense(2)), "clone_model takes a model, got Dense"),
    ]  # fmt: skip
    for action, message in cases:
        with pytest.raises((ValueError, TypeError), match=re.escape(message)):
            action()


def test_a_configuration_that_is_not_complete() -> None:
    config = shared().get_config()
    config["layers"][1]["inbound_nodes"].pop()
    with pytest.raises(ValueError, match="the calls of layers 'sum', 'e' have inputs that no layer makes"):
        keras.Model.from_config(config)


# ---- summary


def lines(model, **arguments):
    printed: list[str] = []
    model.summary(print_fn=printed.append, **arguments)
    return "\n".join(line.rstrip() for line in printed)


def test_summary_of_a_chain() -> None:
    model = keras.Sequential(name="net")
    model.add(L.Dense(8, input_shape=(4,), name="hidden"))
    model.add(L.BatchNormalization(name="a_name_that_is_longer"))
    model.add(L.Dense(1024, name="out"))
    model.layers[2].trainable = False
    assert lines(model) == (
        'Model: "net"\n'
        "_________________________________________________________________\n"
        "Layer (type)                 Output Shape              Param #\n"
        "=================================================================\n"
        "hidden (Dense)               (None, 8)                 40\n"
        "_________________________________________________________________\n"
        "a_name_that_is_longer (Batch (None, 8)                 32\n"
        "_________________________________________________________________\n"
        "out (Dense)                  (None, 1024)              9216\n"
        "=================================================================\n"
        "Total params: 9,288\n"
        "Trainable params: 56\n"
        "Non-trainable params: 9,232\n"
        "_________________________________________________________________"
    )


def test_summary_with_connections() -> None:
    assert lines(shared()) == (
        'Model: "shared"\n'
        "__________________________________________________________________________________________________\n"
        "Layer (type)                    Output Shape         Param #     Connected to\n"
        "==================================================================================================\n"
        "x (InputLayer)                  (None, 4)            0\n"
        "__________________________________________________________________________________________________\n"
        "d (Dense)                       (None, 4)            20          x[0][0]\n"
        "                                                                 d[0][0]\n"
        "__________________________________________________________________________________________________\n"
        "sum (Add)                       (None, 4)            0           d[0][0]\n"
        "                                                                 d[1][0]\n"
        "__________________________________________________________________________________________________\n"
        "e (Dense)                       (None, 3)            15          sum[0][0]\n"
        "==================================================================================================\n"
        "Total params: 35\n"
        "Trainable params: 35\n"
        "Non-trainable params: 0\n"
        "__________________________________________________________________________________________________"
    )


def test_summary_of_what_is_inside() -> None:
    inner = keras.Sequential([L.Dense(3, input_shape=(2,), name="a"), L.ReLU(name="r")], name="inner")
    middle = keras.Sequential([inner, L.Dense(1, name="b")], name="middle")
    middle.build((None, 2))
    lines: list[str] = []
    keras.Sequential([L.InputLayer((2,)), middle], name="outer").summary(expand_nested=True, print_fn=lines.append)
    rows = [line.split("  ")[0] for line in lines if "(None" in line]
    assert rows == ["middle (Sequential)", "| inner (Sequential)", "| | a (Dense)", "| | r (ReLU)", "| b (Dense)"]
    assert lines[-4] == "Total params: 13"


def test_summary_arguments_and_nested_models() -> None:
    model = nested_sequential()
    text = lines(model, line_length=40, positions=[0.5, 0.8, 1.0])
    assert {len(line) for line in text.split("\n") if set(line) == {"_"}} == {40}
    assert "inner (Sequential)  (None, 4)   20" in text
    keras.utils.print_summary(model, print_fn=lambda line: None)
    with pytest.raises(ValueError, match="positions needs 3 entries, one per column"):
        model.summary(positions=[0.5, 1.0])


# ---- frozen models


def test_compiled_model(tmp_path) -> None:
    model = several()
    data = arrays(model, samples=7)
    expected = model.predict(data)
    compiled = keras.compile(model, device="cpu")
    model.set_weights([w * 0 for w in model.get_weights()])
    named = dict(zip(model.input_names, data, strict=True))
    for result in (compiled(*data), compiled(data), compiled(named), compiled.predict(data, batch_size=3)):
        for a, b in zip(result, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)
    assert not compiled.graph.variables()
    assert "fold" in str(compiled.report())
    compiled.save(tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").stat().st_size > 100
    with pytest.raises(ValueError, match=re.escape("takes 2 inputs ('x', 'y'), got 1")):
        compiled(data[0])
    with pytest.raises(ValueError, match="got arrays for 'x', 'z'"):
        compiled({"x": data[0], "z": data[1]})
    with pytest.raises(ValueError, match="as many samples each"):
        compiled(data[0], data[1][:1])
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        compiled.predict(data, batch_size=0)
    single = keras.compile(inner())
    assert single(np.ones((2, 4))).shape == single([np.ones((2, 4))]).shape == (2, 4)
