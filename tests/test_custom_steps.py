"""Steps of a user's own: what they are as fast as, what they can hold, what ends in a sentence."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import kcompile as keras
from kcompile import backend as K
from kcompile import layers as L
from kcompile.export.training import read_state

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((32, 3)).astype("float32")
Y = RANDOM.standard_normal((32, 1)).astype("float32")
START = [RANDOM.standard_normal(shape).astype("float32") for shape in ((3, 4), (4,), (4, 1), (1,))]


def network() -> tuple[Any, Any]:
    inputs = keras.Input((3,))
    return inputs, L.Dense(1, name="out")(L.Dense(4, activation="tanh", name="hidden")(inputs))


def model_with(step: Callable[[Any, Any], Any] | None, hook: str = "train_step", **compiled: Any) -> Any:
    """A model, of fixed weights, whose class defines a step; ``None``: the built-in one."""
    cls = keras.Model if step is None else type("Own", (keras.Model,), {hook: step})
    model = cls(*network())
    model.set_weights(START)
    model.compile(**{"optimizer": keras.optimizers.Adam(0.01), "loss": "mse", "metrics": ["mae"], **compiled})
    return model


def usual(self: Any, data: Any) -> Any:
    """The built-in step, as the guide writes it."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    with keras.GradientTape() as tape:
        y_pred = self(x, training=True)
        loss = self.compute_loss(x, y, y_pred, sample_weight)
    gradients = tape.gradient(loss, self.trainable_variables)
    self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
    return self.compute_metrics(x, y, y_pred, sample_weight)


# ---- the same as the built-in step


@pytest.mark.parametrize(
    ("compiled", "fit"),
    [
        ({}, {}),
        ({"steps_per_execution": 3}, {}),
        ({"on_nan": "ignore"}, {"sample_weight": np.linspace(0.5, 2, 32)}),
        ({"weighted_metrics": ["mse"]}, {"validation_split": 0.25, "shuffle": False}),
        ({"optimizer": keras.optimizers.SGD(0.1, clipnorm=0.5, decay=0.1)}, {}),
    ],
    ids=["usual", "steps_per_execution", "on_nan", "validation", "optimizer"],
)
def test_the_usual_step_is_the_built_in_one(compiled: dict[str, Any], fit: dict[str, Any]) -> None:
    results = []
    for step in (None, usual):
        optimizer = compiled.get("optimizer")
        fresh = {"optimizer": optimizer.from_config(optimizer.get_config())} if optimizer else {}
        model = model_with(step, **{**compiled, **fresh})
        history = model.fit(X, Y, **{"batch_size": 8, "epochs": 2, "shuffle": False, "verbose": 0, **fit}).history
        results.append((history, model.get_weights(), model.train_on_batch(X, Y), model.metrics_names))
    (expected, weights, batch, names), (history, own_weights, own_batch, own_names) = results
    assert list(history) == list(expected)
    assert own_names == names
    for key, values in expected.items():
        np.testing.assert_allclose(history[key], values, rtol=1e-5)
    for w, own in zip(weights, own_weights, strict=True):
        np.testing.assert_allclose(own, w, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(own_batch, batch, rtol=1e-5)


@pytest.mark.parametrize("factors", [None, [1.0, 0.3], {"a": 2.0}, "variable"])
def test_factors_of_several_outputs(factors: Any) -> None:
    """The numbers of the built-in step, also for factors that change while it trains."""
    histories = []
    for step in (None, usual):
        x, hidden = network()
        cls = keras.Model if step is None else type("Own", (keras.Model,), {"train_step": step})
        model = cls(x, [L.Dense(1, name="a")(hidden), L.Dense(1, name="b")(x)])
        model.set_weights([np.ones_like(w) / 4 for w in model.get_weights()])
        factor = K.variable(0.0)
        weights = [factor, 0.5] if factors == "variable" else factors
        model.compile("sgd", {"a": "mse", "b": "mae"}, loss_weights=weights)
        change = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs, f=factor: K.set_value(f, epoch))
        histories.append(model.fit(X, [Y, Y], epochs=3, shuffle=False, verbose=0, callbacks=[change]).history)
    assert list(histories[1]) == ["loss", "a_loss", "b_loss"]
    for key, values in histories[0].items():
        np.testing.assert_allclose(histories[1][key], values, rtol=1e-5)


def test_the_usual_step_is_as_small_as_the_built_in_one() -> None:
    counts = []
    for step in (None, usual):
        model = model_with(step, metrics=None)
        model.train_on_batch(X, Y)
        (compiled,) = model.fit_trainer.steps.values()
        counts.append(sum(1 for node in compiled.executable.graph.nodes() if node.inputs))
    assert counts[1] <= counts[0] + 10  # scalars: the mean of the loss lives in the graph, not on the host


def test_the_exported_step_trains_on(tmp_path: Path) -> None:
    model = model_with(usual)
    model.fit(X, Y, verbose=0)
    model.export_training(tmp_path)
    expected = model.train_on_batch(X, Y)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["train_step"]["outputs"] == ["loss", "mae"]
    state = read_state(tmp_path)
    for entry in manifest["state"]:
        if entry["role"] == "metric":
            state[entry["name"]] = np.zeros_like(state[entry["name"]])
    session = onnxruntime.InferenceSession(tmp_path / manifest["train_step"]["file"])
    feeds = {"x": X, "y": Y, **{name: state[name] for name in manifest["train_step"]["state_inputs"]}}
    found = dict(zip((o.name for o in session.get_outputs()), session.run(None, feeds), strict=True))
    np.testing.assert_allclose([found["loss"], found["mae"]], expected, rtol=1e-5)
    for label, name in manifest["train_step"]["state_outputs"].items():
        if name == "hidden/kernel":
            np.testing.assert_allclose(found[label], model.get_weights()[0], rtol=1e-5)


def noisy(self: Any, data: Any) -> Any:
    """The usual step on inputs with noise, drawn in the step without a seed."""
    x, y = data
    return usual(self, (x + 0.1 * K.random_normal(K.shape(x)), y))


@pytest.mark.parametrize("name", ["model.h5", "model.keras"])
def test_random_numbers_are_the_same_in_files_and_exports(tmp_path: Path, name: str) -> None:
    """They do not depend on how often the code was traced; NumPy's state, which no file holds, has no part in them."""

    class Own(keras.Model):
        train_step = noisy

    x = keras.Input((3,))
    model = Own(x, L.Dense(1, name="out")(L.Dropout(0.5)(L.GaussianNoise(0.1)(L.Dense(4)(x)))))
    model.compile("sgd", "mse")
    model.fit(X, Y, batch_size=8, verbose=0)
    model.train_on_batch(X[:3], Y[:3])  # a step for all sizes: traced again
    model.save(tmp_path / name)
    loaded = keras.models.load_model(tmp_path / name, custom_objects={"Own": Own})
    model.export_training(tmp_path / "training")
    manifest, state = json.loads((tmp_path / "training/manifest.json").read_text()), read_state(tmp_path / "training")
    step = manifest["train_step"]
    session = onnxruntime.InferenceSession(tmp_path / "training" / step["file"])
    feeds = {"x": X, "y": Y, **{known: state[known] for known in step["state_inputs"]}}
    found = dict(zip((o.name for o in session.get_outputs()), session.run(None, feeds), strict=True))
    exported = {known: found[label] for label, known in step["state_outputs"].items()}

    expected = model.train_on_batch(X, Y)
    np.random.seed(9)
    assert loaded.train_on_batch(X, Y) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(loaded.get_weights()[2], model.get_weights()[2], rtol=1e-5)
    np.testing.assert_allclose(exported["out/kernel"], model.get_weights()[2], rtol=1e-5)


def test_dropout_in_the_usual_step_is_that_of_the_built_in_one() -> None:
    results = []
    for step in (None, usual):
        cls = keras.Model if step is None else type("Own", (keras.Model,), {"train_step": step})
        x = keras.Input((3,))
        model = cls(x, L.Dense(1, kernel_initializer="ones")(L.Dropout(0.5, seed=3)(x)))
        model.compile("sgd", "mse")
        results.append(model.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0).history["loss"])
    np.testing.assert_allclose(results[1], results[0], rtol=1e-5)


# ---- what a step can hold


def collected(returned: Callable[[Any, Any, Any], dict[str, Any]]) -> dict[str, float]:
    """The logs of one step that computes what ``returned(model, x, y)`` says."""

    def step(self: Any, data: Any) -> Any:
        x, y = data
        return returned(self, x, y)

    logs: dict[str, float] = model_with(step).train_on_batch(X, Y, return_dict=True)
    return logs


def slope(of: Callable[[Any], Any], **tape: Any) -> Any:
    """d of(x) / dx at 3 by a tape, as a log."""

    def returned(model: Any, x: Any, y: Any) -> dict[str, Any]:
        point = K.mean(x) * 0 + 3.0
        with keras.GradientTape(**tape) as recorder:
            recorder.watch(point)
            value = of(point)
        found = recorder.gradient(value, point)
        return {"slope": -1.0 if found is None else found}

    return collected(returned)["slope"]


def second(x: Any) -> Any:
    """The slope of x^3, by a tape inside."""
    with keras.GradientTape() as inner:
        inner.watch(x)
        value = x * x * x
    return inner.gradient(value, x)


def stopped(x: Any) -> Any:
    return K.stop_gradient(x) * x


GRADIENTS: list[tuple[str, Callable[[], Any], float]] = [
    ("of a square", lambda: slope(lambda x: x * x), 6.0),
    ("of a gradient", lambda: slope(second), 18.0),
    ("by K.gradients", lambda: slope(lambda x: K.gradients(x * x * x, x)[0]), 18.0),
    ("stopped", lambda: slope(stopped), 3.0),
    ("of a constant", lambda: slope(lambda x: K.constant(1.0)), -1.0),
    ("of a list", lambda: slope(lambda x: [x * x, 2.0 * x]), 8.0),
]


@pytest.mark.parametrize(("what", "found", "expected"), GRADIENTS, ids=lambda v: v if isinstance(v, str) else "")
def test_gradients(what: str, found: Callable[[], Any], expected: float) -> None:
    assert found() == pytest.approx(expected)


def test_what_a_tape_did_not_record_is_constant() -> None:
    def returned(model: Any, x: Any, y: Any) -> dict[str, Any]:
        w = model.trainable_variables[3]
        before = K.sum(w * 2.0)
        with keras.GradientTape(persistent=True) as tape:
            inside = K.sum(w * 3.0)
            with tape.stop_recording():
                paused = K.sum(w * 5.0)
            loss = (before + inside + paused) * 1.0
        outside = inside * 1.0
        missing = tape.gradient(outside, w)
        zero = tape.gradient(outside, [w], unconnected_gradients="zero")[0]
        seeded = tape.gradient(inside, {"w": w}, output_gradients=K.constant(7.0))["w"]
        return {"loss": K.sum(tape.gradient(loss, w)), "outside": missing is None, "zero": K.sum(zero),
                "seeded": K.sum(seeded)}  # fmt: skip

    assert collected(returned) == {"loss": 3.0, "outside": 1.0, "zero": 0.0, "seeded": 21.0}


def test_variables_have_their_new_values_at_once() -> None:
    def returned(model: Any, x: Any, y: Any) -> dict[str, Any]:
        bias = model.trainable_variables[3]
        first = K.sum(bias)
        bias.assign(bias * 0.0 + 2.0)
        second = K.sum(bias)
        bias.assign_add([1.0])
        K.switch(second > 1.0, lambda: bias.assign_sub([0.5]), lambda: bias.assign_sub([100.0]))
        with keras.GradientTape() as tape:
            loss = K.sum(bias * bias)
        return {"first": first, "second": second, "third": K.sum(bias), "slope": K.sum(tape.gradient(loss, bias))}

    expected = {"first": START[3].item(), "second": 2.0, "third": 2.5, "slope": 5.0}
    assert collected(returned) == pytest.approx(expected)


def test_phases_batch_normalization_and_dropout() -> None:
    norm, drop = L.BatchNormalization(momentum=0.5), L.Dropout(0.5)

    class Inner(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.drop = norm, drop

        def call(self, inputs: Any) -> Any:  # hands the phase of the call on
            return self.drop(self.norm(inputs))

    inner = Inner()
    frozen = L.BatchNormalization(trainable=False)

    def returned(model: Any, x: Any, y: Any) -> dict[str, Any]:
        quiet = inner(x)
        trained = inner(x, training=True)
        frozen(x, training=True)
        return {"same": K.mean(K.abs(quiet - inner(x, training=False))), "zeros": K.mean(K.equal(trained, 0.0))}

    logs = collected(returned)
    # The statistics moved between the two calls in inference, by the one in training.
    assert logs["same"] > 0.01
    assert 0.2 < logs["zeros"] < 0.8
    np.testing.assert_allclose(norm.moving_mean.numpy(), X.mean(0) * 0.5, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(frozen.moving_mean.numpy(), 0)
    assert not norm.call_notes.updates  # tracing left nothing behind
    assert not norm._inbound_nodes


DATA = [
    ("array", X, None, lambda d: d),
    ("tuple", (X, Y), None, lambda d: d[0][1]),
    ("dictionary", {"a": X, "b": Y}, None, lambda d: d["b"]),
    ("targets in a dictionary", X, {"u": Y, "v": (Y, X)}, lambda d: d[1]["v"][1]),
    ("integers", X, np.arange(32), lambda d: K.cast(d[1], "float32")),
]


@pytest.mark.parametrize(("what", "x", "y", "of"), DATA, ids=[row[0] for row in DATA])
def test_data_come_in_the_form_in_which_they_are_given(what: str, x: Any, y: Any, of: Any) -> None:
    def step(self: Any, data: Any) -> Any:
        return {"sum": K.sum(of(data))}

    model = model_with(step, loss=None, metrics=None)
    found = model.fit(x, y, verbose=0, batch_size=32, shuffle=False).history["sum"][0]
    right = {"array": X, "tuple": Y, "dictionary": Y, "targets in a dictionary": X, "integers": np.arange(32)}
    assert found == pytest.approx(right[what].sum(), rel=1e-4)
    if y is None and not isinstance(x, tuple):
        assert model.fit((x for _ in range(1)), steps_per_epoch=1, verbose=0).history["sum"][0] == found


def test_sizes_that_differ_share_a_step() -> None:
    model = model_with(lambda self, x: {"sum": K.sum(x)})
    for length in (4, 5, 6, 7):
        assert model.train_on_batch(np.ones((2, length))) == 2 * length
    assert len({id(step) for step in model.fit_trainer.steps.values()}) == 2


# ---- what ends in a sentence


def with_loss(body: Callable[[Any, Any, Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def step(self: Any, data: Any) -> Any:
        x, y = data
        with keras.GradientTape() as tape:
            loss = K.mean(K.square(self(x, training=True) - y))
        return body(self, tape, x, loss)

    return step


def counting(self: Any, tape: Any, x: Any, loss: Any) -> Any:
    self.steps_done = getattr(self, "steps_done", 0) + 1
    return {"loss": loss * self.steps_done}


def twice(self: Any, tape: Any, x: Any, loss: Any) -> Any:
    tape.gradient(loss, self.trainable_variables)
    return tape.gradient(loss, self.trainable_variables)


REFUSED: list[tuple[str, Any, str]] = [
    ("NumPy", with_loss(lambda self, tape, x, loss: {"loss": np.exp(np.asarray(loss))}), "compute with K functions"),
    ("float", with_loss(lambda self, tape, x, loss: {"loss": float(loss)}), "compute with K functions"),
    ("if", with_loss(lambda self, tape, x, loss: {"loss": loss if loss > 0 else x}), "use K.switch"),
    ("the rate", with_loss(lambda self, tape, x, loss: {"lr": float(self.optimizer.lr)}), "has no number while"),
    ("get_value", with_loss(lambda self, tape, x, loss: {"lr": K.get_value(self.optimizer.lr)}), "has no number while"),
    ("np.random", with_loss(lambda self, tape, x, loss: {"loss": loss * np.random.rand()}), "K.random_normal"),
    ("a counter", with_loss(counting), "count in a variable"),
    ("a variable", with_loss(lambda self, tape, x, loss: {"v": K.variable(1.0)}), "in __init__"),
    ("a layer", with_loss(lambda self, tape, x, loss: {"v": L.Dense(2)(x)}), "make them in __init__"),
    ("nothing", with_loss(lambda self, tape, x, loss: None), "must return a dictionary"),
    ("a text", with_loss(lambda self, tape, x, loss: {"loss": "small"}), "must be a number or a tensor"),
    ("a tape twice", with_loss(twice), "persistent=True"),
    ("no tape", with_loss(lambda self, tape, x, loss: self.optimizer.apply_gradients(
        zip(tape.gradient(loss * 1.0, self.weights), self.weights, strict=True))), "inside `with GradientTape"),
    ("no pairs", with_loss(lambda self, tape, x, loss: self.optimizer.apply_gradients([loss])), "zip"),
    ("shapes", with_loss(lambda self, tape, x, loss: self.weights[0].assign(loss)), "got a value of shape"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "step", "sentence"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_cannot_be_traced_ends_in_a_sentence(what: str, step: Any, sentence: str) -> None:
    model = model_with(step)
    with pytest.raises((ValueError, TypeError), match=sentence):
        model.fit(X, Y, verbose=0)
    for w, start in zip(model.get_weights(), START, strict=True):
        np.testing.assert_array_equal(w, start)


def test_arrays_have_no_gradients() -> None:
    model = model_with(None)
    with keras.GradientTape() as tape, pytest.raises(TypeError, match="define train_step"):
        tape.gradient(model(X), model.trainable_variables)


@pytest.mark.parametrize("name", ["train", "test", "predict"])
def test_functions_on_iterators(name: str) -> None:
    own = type("Own", (keras.Model,), {f"make_{name}_function": lambda self: None})
    with pytest.raises(ValueError, match=f"overrides make_{name}_function.*define {name}_step"):
        own(*network()).compile("sgd", "mse")
    model = model_with(None)
    run = getattr(model, f"make_{name}_function")()
    found = run(iter([(X, Y)]))
    assert found.shape == (32, 1) if name == "predict" else set(found) == {"loss", "mae"}


def test_a_loss_that_is_no_number_changes_nothing() -> None:
    bad = X.copy()
    bad[20, 1] = np.nan
    model = model_with(usual)
    with pytest.raises(ArithmeticError, match=r"the loss is nan at epoch 1, batch 2: x\[20, 1\] is nan"):
        model.fit(bad, Y, batch_size=8, shuffle=False, verbose=0)
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_evaluate_shows_what_was_measured() -> None:
    model = model_with(usual, loss=None, metrics=None)
    with pytest.raises(ValueError, match="measures nothing: compile with a loss"):
        model.evaluate(X, Y, verbose=0)


def test_predict_step() -> None:
    def step(self: Any, data: Any) -> Any:
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        with keras.GradientTape() as tape:
            tape.watch(x)
            y = self(x, training=False)
        return {"y": y, "slope": tape.gradient(y, x)}

    model = model_with(step, "predict_step")
    before = model.predict(X, batch_size=5)
    w1, b1, w2, _ = START
    slopes = ((1 - np.tanh(X @ w1 + b1) ** 2) * w2[:, 0]) @ w1.T
    np.testing.assert_allclose(before["slope"], slopes, rtol=1e-4, atol=1e-5)
    model.fit(X, Y, verbose=0)
    after = model.predict_on_batch(X)
    assert after["y"].shape == (32, 1)
    assert not np.allclose(after["y"], before["y"])


@pytest.mark.parametrize("name", ["own.h5", "own.keras"])
def test_files_hold_the_class(tmp_path: Path, name: str) -> None:
    class Own(keras.Model):
        train_step = usual

    model = Own(*network())
    model.compile("adam", "mse")
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / name)
    loaded = keras.models.load_model(tmp_path / name, custom_objects={"Own": Own})
    expected = model.train_on_batch(X, Y)
    assert loaded.train_on_batch(X, Y) == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(loaded.get_weights()[0], model.get_weights()[0], rtol=1e-6)


def test_threads_trace_apart_and_models_without_a_graph_are_exported(tmp_path: Path) -> None:
    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = L.Dense(1)

        def call(self, inputs: Any) -> Any:
            return self.dense(inputs)

        train_step = usual

    def run(number: int) -> None:
        model = Own()
        model.compile("adam", "mse")
        model.fit(X, Y, verbose=0, epochs=2)
        model.export_training(tmp_path / str(number))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(4):
        assert "model" in json.loads((tmp_path / str(number) / "manifest.json").read_text())
