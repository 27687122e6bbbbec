"""Layers, variables and metrics that a layer or model keeps in lists and dictionaries are its own."""

import copy
import json
import pickle
import warnings
from collections import OrderedDict, deque, namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import kcompile
from kcompile import backend as K
from kcompile import layers as L

Pair = namedtuple("Pair", "first second")
X = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
Y = np.random.default_rng(1).normal(size=(8, 3)).astype("float32")


def appended(self: Any) -> Callable[[], list[Any]]:
    self.parts = []
    self.parts.append(L.Dense(3))
    self.parts.insert(0, L.Dense(3))
    return lambda: self.parts


def dictionary(self: Any) -> Callable[[], list[Any]]:
    self.parts = {}
    self.parts["b"] = L.Dense(3)
    self.parts.update(a=L.Dense(3))
    return lambda: [self.parts["a"], self.parts["b"]]


def ordered(self: Any) -> Callable[[], list[Any]]:
    self.parts = OrderedDict(a=L.Dense(3))
    return lambda: list(self.parts.values())


def numbered(self: Any) -> Callable[[], list[Any]]:
    self.parts = {2: L.Dense(3), 10: L.Dense(3)}
    return lambda: [self.parts[2], self.parts[10]]


def mixed_keys(self: Any) -> Callable[[], list[Any]]:
    self.parts = {2: L.Dense(3), "a": L.Dense(3)}
    return lambda: list(self.parts.values())


def nested(self: Any) -> Callable[[], list[Any]]:
    self.parts = [[L.Dense(3)], {"k": [(L.Dense(3),)]}, "text", 5]
    self.parts[0].append(L.Dense(3))
    return lambda: [*self.parts[0], self.parts[1]["k"][0][0]]


def named_tuple(self: Any) -> Callable[[], list[Any]]:
    self.parts = Pair(L.Dense(3), [L.Dense(3)])
    return lambda: [self.parts.first, *self.parts.second]


def in_a_set(self: Any) -> Callable[[], list[Any]]:
    self.parts = {L.Dense(3, name="a"), L.Dense(3, name="b")}
    return lambda: sorted(self.parts, key=lambda layer: layer.name)


def in_a_deque(self: Any) -> Callable[[], list[Any]]:
    self.parts = deque([L.Dense(3), L.Dense(3)])
    return lambda: list(self.parts)


def private(self: Any) -> Callable[[], list[Any]]:
    self._part, self._parts = L.Dense(3), [L.Dense(3)]
    return lambda: [self._part, *self._parts]


def replaced(self: Any) -> Callable[[], list[Any]]:
    self.part = L.Dense(5)
    self.other = L.Dense(3)
    self.part = L.Dense(3)
    return lambda: [self.other, self.part]


def removed(self: Any) -> Callable[[], list[Any]]:
    self.gone, self.parts = L.Dense(5), [L.Dense(3), L.Dense(3)]
    del self.gone
    self.parts.pop(0)
    return lambda: self.parts


KEPT = [
    appended, dictionary, ordered, numbered, mixed_keys, nested, named_tuple, in_a_set, in_a_deque, private, replaced,
    removed,
]  # fmt: skip


def holder(base: Any, keep: Callable[[Any], Callable[[], list[Any]]], before: bool = False) -> Any:
    class Holder(base):  # type: ignore[misc]
        def __init__(self) -> None:
            if before:
                inside = keep(self)
            super().__init__()
            self.inside = inside if before else keep(self)

        def call(self, x: Any) -> Any:
            for layer in self.inside():
                x = layer(x)
            return x

    return Holder()


@pytest.mark.parametrize("before", [False, True], ids=["", "before-init"])
@pytest.mark.parametrize("base", [L.Layer, kcompile.Model], ids=["layer", "model"])
@pytest.mark.parametrize("keep", KEPT, ids=lambda keep: keep.__name__)
def test_what_is_kept_trains(keep: Any, base: Any, before: bool) -> None:
    made = holder(base, keep, before)
    model = made if base is kcompile.Model else kcompile.Sequential([L.InputLayer((3,)), made])
    model.compile("sgd", "mse")
    model.predict(X)
    inside = made.inside()
    assert made.layers_inside == inside
    assert list(model.weights) == [w for layer in inside for w in layer.weights]
    before_fit = model.get_weights()
    model.fit(X, Y, verbose=0)
    assert len(before_fit) == 2 * len(inside)
    assert all((a != b).any() for a, b in zip(before_fit, model.get_weights(), strict=True))


def test_containers_stay_what_they_are() -> None:
    layer = L.Layer()
    numbers: list[Any] = [1, [2, {"a": (3, None)}]]
    layer.config = numbers
    assert layer.config is numbers
    assert type(layer.config) is list
    assert type(layer.config[1][1]) is dict
    assert json.loads(json.dumps(layer.config)) == [1, [2, {"a": [3, None]}]]
    assert pickle.loads(pickle.dumps(layer.config)) == copy.deepcopy(layer.config) == numbers


def test_variables_and_metrics_in_containers() -> None:
    """The orders are those of tf_keras 2.21, of the same classes with tf.Variable."""

    class Own(L.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.first = K.variable(np.zeros(1), name="first")
            self.listed = [K.variable(np.zeros(2), name="a"), K.variable(np.zeros(3), name="b")]
            self.listed.append(K.variable(np.zeros(4), name="late"))
            self.by_key = {"k": K.variable(np.zeros(5), name="k")}
            self.means = {"m": kcompile.metrics.Mean(name="m"), "n": [kcompile.metrics.Mean(name="n")]}

    own = Own()
    assert [w.label for w in own.weights] == ["first", "a", "b", "k", "late"]
    assert [m.name for m in own.fed_metrics()] == ["m", "n"]
    assert own.layers_inside == []
    old = own.first
    own.first = K.variable(np.zeros(1), name="new")
    assert [w.label for w in own.weights] == ["new", "a", "b", "k", "late"]
    own.again = own.first
    del own.first
    assert [w.label for w in own.weights] == ["new", "a", "b", "k", "late"]
    del own.again
    assert [w.label for w in own.weights] == ["a", "b", "k", "late"]
    assert old not in own.weights

    class Whole(kcompile.Model):
        def __init__(self) -> None:
            super().__init__()
            self.mean = kcompile.metrics.Mean(name="mean")
            self.listed = [K.variable(np.zeros(2), name="a")]
            self.listed.append(K.variable(np.zeros(4), name="late"))
            self.dense = L.Dense(2, name="dense")

        def call(self, x: Any) -> Any:
            return self.dense(x)

    whole = Whole()
    whole.predict(X)
    labels = ["mean/total", "mean/count", "a", "late", "dense/kernel", "dense/bias"]
    assert [w.label for w in whole.weights] == labels
    assert whole.layers == [whole.dense]


def forgetful(base: Any) -> Any:
    class Forgetful(base):  # type: ignore[misc]
        def __init__(self) -> None:
            self.dense = L.Dense(2)

        def call(self, x: Any) -> Any:
            return self.dense(x)

    return Forgetful()


USES: dict[str, Callable[[Any], Any]] = {
    "call on an array": lambda made: made(X),
    "call on a tensor": lambda made: made(kcompile.Input((3,))),
    "weights": lambda made: made.weights,
    "get_weights": lambda made: made.get_weights(),
    "add_weight": lambda made: made.add_weight(name="w", shape=(2,)),
    "add_loss": lambda made: made.add_loss(1.0),
    "in a Sequential": lambda made: kcompile.Sequential([made]),
    "built set": lambda made: setattr(made, "built", True) or made(X),
    "name": lambda made: made.name,
}
MODEL_USES: dict[str, Callable[[Any], Any]] = {
    "compile": lambda made: made.compile("sgd", "mse"),
    "fit": lambda made: made.fit(X, Y),
    "predict": lambda made: made.predict(X),
    "summary": lambda made: made.summary(),
    "save_weights": lambda made: made.save_weights("never.h5"),
    "layers": lambda made: made.layers,
}


@pytest.mark.parametrize(
    ("base", "use"),
    [(L.Layer, name) for name in USES] + [(kcompile.Model, name) for name in [*USES, *MODEL_USES]],
)
def test_a_forgotten_init_gets_one_sentence(base: Any, use: str) -> None:
    made = forgetful(base)
    assert repr(made) == "<Forgetful, not initialized>"
    with pytest.raises(RuntimeError, match=r"Forgetful has no attribute .* did not call super\(\).__init__\(\)"):
        {**USES, **MODEL_USES}[use](made)


class MadeInCall(kcompile.Model):
    def call(self, inputs: Any) -> Any:
        return L.Dense(1, name="lost")(inputs)


class KeptInCall(kcompile.Model):
    def call(self, inputs: Any) -> Any:
        if not hasattr(self, "dense"):
            self.dense = L.Dense(1)
        return self.dense(inputs)


class KeptAround(kcompile.Model):
    """What calls the layer does not keep it, but what calls that does."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = L.Dense(1)
        self.inner = L.Lambda(lambda x: self.dense(x))

    def call(self, inputs: Any) -> Any:
        return self.inner(inputs)


@pytest.mark.parametrize(("make", "weights"), [(MadeInCall, 0), (KeptInCall, 2), (KeptAround, 2)])
def test_layers_that_nobody_keeps_are_told(make: Any, weights: int) -> None:
    model = make()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.predict(np.zeros((2, 3)))
    assert len(model.weights) == weights
    assert len(caught) == (weights == 0)
    for warning in caught:
        assert "layer 'lost' (Dense) is used in the call of" in str(warning.message)
        assert "its weights are not trained and not saved" in str(warning.message)


FREE_NAMES = [
    "build_for",
    "check_saving",
    "cloned",
    "convention",
    "first_call",
    "flatten_layers",
    "graph",
    "has_graph",
    "is_metric",
    "is_model",
    "is_traced",
    "kept_items",
    "kind",
    "layer_nodes",
    "nodes",
    "notes",
    "own_weights",
    "part_name",
    "split_inputs",
    "stack",
    "stack_of_layers",
    "sublayers",
    "walk",
    "weight_penalties",
    "_scopes",
    "_told",
    "_trainer",
]


@pytest.mark.parametrize("name", FREE_NAMES)
def test_names_that_users_may_give_their_own(name: str) -> None:
    """What the engine asks of layers has names that nobody gives to what a model keeps."""

    class Own(kcompile.Model):
        def __init__(self) -> None:
            super().__init__()
            self.first = L.Dense(2)
            setattr(self, name, [L.Dense(3), L.Dense(2)])

        def call(self, inputs):
            for layer in getattr(self, name):
                inputs = layer(inputs)
            return self.first(inputs)

    model = Own()
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    assert len(model.weights) == 6
    assert len(model.layer_and_those_inside()) == 4


@pytest.mark.parametrize("name", FREE_NAMES)
def test_names_that_users_may_give_attributes_of_layers(name: str, tmp_path) -> None:
    """A layer with an attribute of its own by that name trains, is saved, loaded, cloned and copied."""

    class Own(L.Layer):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.inner = L.Dense(3)
            setattr(self, name, "text")

        def call(self, inputs):
            assert getattr(self, name) == "text"
            return self.inner(inputs)

    model = kcompile.Sequential([L.InputLayer(input_shape=(3,)), Own(), L.Dense(2)])
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    expected = model.predict(X)
    assert np.array_equal(copy.deepcopy(model).predict(X), expected)
    with kcompile.utils.CustomObjectScope({"Own": Own}):
        for ending in ("h5", "keras"):
            model.save(tmp_path / f"model.{ending}")
            assert np.array_equal(kcompile.models.load_model(tmp_path / f"model.{ending}").predict(X), expected)
        assert kcompile.models.clone_model(model).count_params() == model.count_params() == 20


@pytest.mark.parametrize("name", ["slot_names", "slot_groups"])
def test_names_that_users_may_give_attributes_of_optimizers(name: str, tmp_path) -> None:
    class Own(kcompile.optimizers.SGD):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            setattr(self, name, 3)

    model = kcompile.Sequential([L.Dense(2, input_shape=(3,))])
    model.compile(Own(momentum=0.5), "mse")
    model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    for ending in ("h5", "keras"):
        model.save(tmp_path / f"model.{ending}")
        again = kcompile.models.load_model(tmp_path / f"model.{ending}", custom_objects={"Own": Own})
        assert np.array_equal(again.optimizer.get_weights()[1], model.optimizer.get_weights()[1])
