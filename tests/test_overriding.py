"""Every hook in docs/overriding.md: a class that defines it anew has it called, or is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kcompile as keras
from kcompile import backend as K
from kcompile import layers as L
from kcompile.models import load_model
from kcompile.objects.refused_hooks import REFUSED

DOCUMENT = Path(__file__).parent.parent / "docs" / "overriding.md"
ROWS = re.findall(r"^\| (\w+) \| `(\w+)` \| (.+) \|$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)

X = np.linspace(-1, 1, 24, dtype="float32").reshape(8, 3)
Y = X[:, :1] * 2

Note = Callable[[], None]


def noting(base: type, hook: str, note: Note) -> type:
    """A subclass that notes that the hook was called, and does as the base class does."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        note()
        return getattr(super(made, self), hook)(*args, **kwargs)

    def class_method(cls: Any, *args: Any, **kwargs: Any) -> Any:
        note()
        return getattr(super(made, cls), hook)(*args, **kwargs)

    body: dict[str, Any] = {hook: classmethod(class_method) if hook == "from_config" else method}
    if hook in ("metrics", "num_batches"):
        body[hook] = property(lambda self: (note(), getattr(super(made, self), hook))[1])
    made: Any = type("Noting", (base,), body)
    return made


def model_of(layer: Any = None, cls: Any = keras.Model, **compiled: Any) -> Any:
    inputs = keras.Input((3,))
    model = cls(inputs, L.Dense(1)(inputs if layer is None else layer(inputs)))
    model.compile(**{"optimizer": "sgd", "loss": "mse", **compiled})
    return model


def used(model: Any) -> None:
    model.fit(X, Y, verbose=0)
    model.evaluate(X, Y, verbose=0)
    model.predict(X)


def saved(model: Any, path: Path, **custom: Any) -> None:
    model.fit(X, Y, verbose=0)
    model.save(path / "model.keras")
    load_model(path / "model.keras", custom_objects=custom)


class Subclassed(keras.Model):
    """Layers as attributes, a mask on the way."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.masking, self.dense = L.Masking(), L.Dense(1)

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        return self.dense(K.sum(self.masking(K.expand_dims(inputs, 1)), 1))


def a_model(hook: str, note: Note, path: Path) -> None:
    if hook in ("call", "build", "compute_mask"):
        model = noting(Subclassed, hook, note)()
        model.compile("sgd", "mse")
        used(model)
    elif hook in ("get_config", "from_config"):
        cls = noting(keras.Model, hook, note)
        saved(model_of(cls=cls), path, Noting=cls)
    elif hook in ("get_metrics_result", "compute_metrics"):
        used(model_of(cls=noting(keras.Model, hook, note), metrics=["mae"]))
    else:
        used(model_of(cls=noting(keras.Model, hook, note)))


class Scale(L.Layer):
    """A layer with a weight and every hook that a subclass calls upwards."""

    def build(self, input_shape: Any) -> None:
        self.scale = self.add_weight(name="scale", shape=(input_shape[-1],), initializer="ones")
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        return inputs * self.scale

    def get_build_config(self) -> dict[str, Any]:
        return {"input_shape": [None, 3]}

    def build_from_config(self, config: dict[str, Any]) -> None:
        assert config == {"input_shape": [None, 3]}

    def reset_states(self) -> None:
        """Nothing to reset."""


def a_layer(hook: str, note: Note, path: Path) -> None:
    layer = (cls := noting(Scale, hook, note))()
    model = model_of(layer)
    if hook == "reset_states":
        layer.stateful = True
        model.reset_states()
    elif hook == "compute_output_shape":
        assert L.TimeDistributed(layer).compute_output_shape((None, 4, 3)) == (None, 4, 3)
    else:
        saved(model, path, Noting=cls)


class Counting(keras.metrics.Metric):
    """The number of samples."""

    def __init__(self, name: str = "counting", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.count = self.add_weight(name="count", initializer="zeros")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.count.assign_add(K.sum(K.ones_like(y_pred)))

    def result(self) -> Any:
        return self.count


def a_metric(hook: str, note: Note, path: Path) -> None:
    for base in (Counting, keras.metrics.MeanAbsoluteError):
        if hook in ("get_config", "from_config"):
            cls = noting(base, hook, note)
            saved(model_of(metrics=[cls()]), path, Noting=cls)
        elif (base, hook) != (keras.metrics.MeanAbsoluteError, "add_weight"):  # made by a class above
            used(model_of(metrics=[noting(base, hook, note)()]))


class Absolute(keras.losses.Loss):
    """The mean of absolute errors."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return K.mean(K.abs(y_true - y_pred), axis=-1)


def a_loss(hook: str, note: Note, path: Path) -> None:
    cls = noting(Absolute, hook, note)
    model = model_of(loss=cls())
    if hook == "__call__":
        model.fit(X, Y, sample_weight=np.ones(8), verbose=0)
    saved(model, path, Noting=cls)


def an_optimizer(hook: str, note: Note, path: Path) -> None:
    base: Any = keras.optimizers.SGD
    if hook == "build":
        base = type("Stepping", (base,), {"update_step": lambda self, g, v: v.assign_sub(self.lr * g)})
    cls = noting(base, hook, note)
    model = model_of(optimizer=cls(0.1))
    if hook in ("get_config", "from_config"):
        saved(model, path, Noting=cls)
    else:
        used(model)


def a_callback(hook: str, note: Note, path: Path) -> None:
    model, callback = model_of(), noting(keras.callbacks.Callback, hook, note)()
    model.fit(X, Y, verbose=0, callbacks=[callback], validation_data=(X, Y))
    model.predict(X, callbacks=[callback])


class Batches(keras.utils.Sequence):
    """Two batches."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Any:
        return X[index::2], Y[index::2]


def a_sequence(hook: str, note: Note, path: Path) -> None:
    base: Any = Batches
    if hook == "num_batches":
        base = type("Numbered", (keras.utils.PyDataset,), {"__getitem__": Batches.__getitem__, "num_batches": 2})
    assert model_of().fit(noting(base, hook, note)(), verbose=0).params["steps"] == 2


def a_part(kind: str, argument: str) -> Callable[[str, Note, Path], None]:
    def proof(hook: str, note: Note, path: Path) -> None:
        bases: dict[str, Any] = {
            "constraint": keras.constraints.NonNeg, "regularizer": keras.regularizers.L2, "initializer": K_ONES,
        }  # fmt: skip
        cls = noting(bases[kind], hook, note)
        saved(model_of(L.Dense(2, **{argument: cls()})), path, Noting=cls)

    return proof


K_ONES = keras.initializers.Ones

PROOFS: dict[str, Callable[[str, Note, Path], None]] = {
    "Model": a_model, "Layer": a_layer, "Metric": a_metric, "Loss": a_loss, "Optimizer": an_optimizer,
    "Callback": a_callback, "Sequence": a_sequence, "Constraint": a_part("constraint", "kernel_constraint"),
    "Regularizer": a_part("regularizer", "kernel_regularizer"),
    "Initializer": a_part("initializer", "kernel_initializer"),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "hook", "what"), ROWS, ids=lambda text: text[:40])
def test_hook(kind: str, hook: str, what: str, tmp_path: Path) -> None:
    calls: list[int] = []
    if not what.startswith("refused"):
        PROOFS[kind](hook, lambda: calls.append(1), tmp_path)
        assert calls, f"{kind}.{hook} was never called"
        return
    base = {"Layer": L.Layer, "Model": keras.Model, "Metric": Counting, "Optimizer": keras.optimizers.SGD}[kind]
    cls = type("Own", (base,), {hook: lambda self, *args, **kwargs: None})
    make = (lambda: model_of(cls=cls)) if kind == "Model" else cls
    with pytest.raises(ValueError, match=rf"\(?Own\)? overrides {hook}, which nothing calls here"):
        make()


def test_all_refused_hooks_are_in_the_table() -> None:
    named = {(kind, hook) for kind, hook, what in ROWS if what.startswith("refused")}
    functions = {("Model", f"make_{name}_function") for name in ("train", "test", "predict")}
    assert named == {(kind, hook) for kind, hooks in REFUSED.items() for hook in hooks} | functions


def test_all_callback_hooks_are_in_the_table() -> None:
    hooks = {name for name in vars(keras.callbacks.Callback) if name.startswith(("on_", "set_"))}
    assert {hook for kind, hook, _ in ROWS if kind == "Callback"} == hooks


class Momentum(keras.optimizers.Optimizer):
    """tf.keras' form."""

    def build(self, var_list: Any) -> None:
        super().build(var_list)
        self.momenta = [self.add_variable_from_reference(v, "m") for v in var_list]

    def update_step(self, gradient: Any, variable: Any) -> None:
        momentum = self.momenta[self._index_dict[self._var_key(variable)]]
        momentum.assign(momentum * 0.9 + gradient)
        variable.assign_sub(self.lr * momentum)


class Momentum3(keras.optimizers.Optimizer):
    """Keras 3's form."""

    def build(self, variables: Any) -> None:
        super().build(variables)
        self.momenta = [self.add_variable_from_reference(reference_variable=v, name="m") for v in variables]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        momentum = self.momenta[self._get_variable_index(variable)]
        self.assign(momentum, momentum * 0.9 + gradient)
        self.assign_sub(variable, learning_rate * momentum)


class Doubled(keras.optimizers.SGD):
    """A step with gradients that are changed on the way."""

    def apply_gradients(self, grads_and_vars: Any, **kwargs: Any) -> Any:
        return super().apply_gradients([(2.0 * g, v) for g, v in grads_and_vars], **kwargs)


class Updates(keras.optimizers.SGD):
    """Keras 2.3's form."""

    def get_updates(self, loss: Any, params: Any) -> Any:
        return [(p, p - 2.0 * self.lr * g) for p, g in zip(params, self.get_gradients(loss, params), strict=True)]


@pytest.mark.parametrize("step", ["built-in", "own"])
@pytest.mark.parametrize(
    ("own", "like"),
    [
        (lambda: Momentum(0.1), lambda: keras.optimizers.SGD(0.1, momentum=0.9)),
        (lambda: Momentum3(0.1), lambda: keras.optimizers.SGD(0.1, momentum=0.9)),
        (lambda: Doubled(0.1), lambda: keras.optimizers.SGD(0.2)),
        (lambda: Updates(0.1), lambda: keras.optimizers.SGD(0.2)),
    ],
    ids=["tf.keras", "Keras 3", "apply_gradients", "get_updates"],
)
def test_optimizers_of_ones_own_step_as_they_say(own: Any, like: Any, step: str) -> None:
    def train_step(self: Any, data: Any) -> Any:
        return keras.Model.train_step(self, data)

    cls = type("Own", (keras.Model,), {"train_step": train_step} if step == "own" else {})
    found = []
    for optimizer in (own(), like()):
        model = model_of(cls=cls, optimizer=optimizer)
        model.set_weights([np.ones((3, 1)), np.zeros(1)])
        model.fit(X, Y, batch_size=4, epochs=3, shuffle=False, verbose=0)
        found.append(model.get_weights()[0])
    np.testing.assert_allclose(*found, rtol=1e-5)


def test_steps_outside_of_training() -> None:
    v = K.variable(np.ones(3))
    optimizer = Momentum(0.5)
    optimizer.apply_gradients([(np.ones(3), v)])
    np.testing.assert_array_equal(v.numpy(), 0.5)
    keras.optimizers.SGD(0.25).minimize(lambda: K.sum(v * v), [v])
    np.testing.assert_array_equal(v.numpy(), 0.25)
    assert optimizer.iterations.numpy() == 1


class FunctionalWithCall(keras.Model):
    def __init__(self) -> None:
        inputs = keras.Input((3,))
        super().__init__(inputs, L.Dense(1)(inputs))

    def call(self, inputs: Any) -> Any:
        return super().call(inputs) * 10


class SequentialWithCall(keras.Sequential):
    def call(self, inputs: Any) -> Any:
        return super().call(inputs) * 10


@pytest.mark.parametrize("make", [FunctionalWithCall, SequentialWithCall])
def test_a_call_that_would_be_ignored_is_refused(make: Any) -> None:
    with pytest.raises(ValueError, match=f"{make.__name__} overrides call, which nothing calls here"):
        make()
