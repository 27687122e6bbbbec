"""Random models mean the same everywhere: interpreted, compiled, live, frozen, exported, copied, in groups of steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from kcompile import Model, ir
from kcompile import backend as K
from kcompile.engine.inference_graph import predict_graph
from kcompile.export import to_onnx
from kcompile.export.training import read_state
from kcompile.models import clone_model
from kcompile.passes.algebra.specialize import specialize_training
from kcompile.runtime.storage import storage_of
from kcompile.symbolic.tensor import Tensor
from kcompile.training.step_graph import StepGraph
from tests.random_models import Recipe, random_data, random_optimizer

pytestmark = pytest.mark.filterwarnings("ignore:Output")  # losses are drawn without regard to activations
RTOL = 1e-4
FEW = range(12)
MANY = range(12, 150)
LOSSES = ["mse", "categorical_crossentropy", "mae", "binary_crossentropy", "kld", "hinge", "logcosh"]


def agree(got: Any, expected: Any, what: str, scale: float = 1.0) -> None:
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape, what
    size = float(np.abs(expected).max(initial=0)) if np.isfinite(expected).all() else 1.0
    np.testing.assert_allclose(got, expected, rtol=RTOL * scale, atol=RTOL * scale * max(size, 1e-3), err_msg=what)


def as_list(x: Any) -> list[Any]:
    return x if isinstance(x, list) else [x]


def session(model: Any) -> onnxruntime.InferenceSession:
    source = model if isinstance(model, str) else model.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def state_of(graph: ir.Graph) -> dict[ir.Variable, Any]:
    return {v: storage_of(v).read() for v in graph.variables()}


def exactly(recipe: Recipe, weights: list[Any], x: list[Any]) -> list[Any]:
    """The predictions of a model with these weights by the interpreter, in float64."""
    K.set_floatx("float64")
    try:
        model = recipe.build()
        model.set_weights([w.astype("float64") for w in weights])
        graph = predict_graph(model)
        found = ir.interpret(graph, dict(zip(model.input_names, x, strict=True)), state_of(graph))
        return list(found.outputs.values())
    finally:
        K.set_floatx("float32")


def compiled(recipe: Recipe, steps: int = 1) -> Model:
    """The model, compiled with a random optimizer and losses that suit random outputs."""
    model = recipe.build()
    chosen = []
    for i in range(len(model.outputs)):
        name = LOSSES[(recipe.seed + i) % len(LOSSES)]
        linear = model.get_layer(f"head_{i}").activation.__name__ == "linear"
        # Logarithms are clipped at probability 0: there the loss of a linear output is not smooth.
        chosen.append("mse" if linear and name in ("categorical_crossentropy", "binary_crossentropy", "kld") else name)
    weights = [1.0, 0.3][: len(chosen)]
    model.compile(
        random_optimizer(recipe.seed), chosen if len(chosen) > 1 else chosen[0], loss_weights=weights,
        metrics=["mae"], steps_per_execution=steps,
    )  # fmt: skip
    return model


def check_predictions(seed: int) -> None:
    recipe = Recipe(seed)
    model = recipe.build()
    plain = session(to_onnx(model))
    for samples in (3, 1):
        x, _ = random_data(model, samples, seed)
        expected = exactly(recipe, model.get_weights(), x)
        for kind in ("frozen", "live"):
            if kind == "live":
                model.set_weights(model.get_weights())
            got = as_list(model.predict(x if len(x) > 1 else x[0]))
            for a, b in zip(got, expected, strict=True):
                agree(a, b, f"{kind}, {samples} samples")
        exported = plain.run(None, dict(zip(model.input_names, x, strict=True)))
        for a, b in zip(exported, expected, strict=True):
            agree(a, b, f"exported, {samples} samples")


def interpreted_step(model: Model, x: list[Any], y: list[Any]) -> tuple[float, dict[ir.Variable, Any]]:
    """Loss and updates of a training step without any pass, in NumPy."""
    step = StepGraph(model.fit_trainer, [a.shape[1:] for a in y], [0] * len(y), training=True)
    forward = specialize_training(step.forward("train_step"))
    updates = dict(forward.updates)
    pairs = model.optimizer.get_updates(Tensor(forward.outputs["loss"]), model.fit_trainer.trained_weights)
    updates.update({variable.variable: value.value for variable, value in pairs})
    graph = ir.Graph(forward.inputs, forward.outputs, updates, "train_step")
    names = [value.op.label for value in graph.inputs]  # type: ignore[attr-defined]
    found = ir.interpret(graph, dict(zip(names, [*x, *y], strict=True)), state_of(graph))
    return float(found.outputs["loss"]), found.updates


def check_training(seed: int, folder: Path) -> None:
    model = compiled(Recipe(seed))
    model.export_training(folder)
    manifest = json.loads((folder / "manifest.json").read_text())["train_step"]
    state = read_state(folder)
    plain = session(str(folder / manifest["file"]))
    for step in range(3):
        x, y = random_data(model, 16 if step == 1 else 5, seed + step)
        loss, expected = interpreted_step(model, x, y)
        model.train_on_batch(x, y)
        for v, value in expected.items():
            if v.role in ("weight", "statistic", "slot"):
                agree(storage_of(v).read(), value, f"{v.label} after step {step}", 3)
        feeds = dict(zip([item["name"] for item in manifest["inputs"]], [*x, *y], strict=True))
        feeds.update({name: state[name] for name in manifest["state_inputs"]})
        results = dict(zip([o.name for o in plain.get_outputs()], plain.run(None, feeds), strict=True))
        agree(results["loss"], loss, f"exported loss of step {step}", 3)
        for output, name in manifest["state_outputs"].items():
            state[name] = results[output]
        for w in model.weights:
            if w.label in state:
                agree(state[w.label], w.numpy(), f"exported {w.label} after step {step}", 3)


def check_groups(seed: int) -> None:
    one, three = compiled(Recipe(seed)), compiled(Recipe(seed), steps=3)
    three.set_weights(one.get_weights())
    x, y = random_data(one, 28, seed)
    for model in (one, three):
        model.fit(x, y, batch_size=4, epochs=1, verbose=0, shuffle=False)
    for w, a, b in zip(one.weights, one.get_weights(), three.get_weights(), strict=False):
        agree(b, a, w.label, 3)


def check_copies(seed: int) -> None:
    model = Recipe(seed).build()
    x, _ = random_data(model, 4, seed)
    expected = as_list(model.predict(x))
    for copy in (type(model).from_config(model.get_config()), clone_model(model)):
        copy.set_weights(model.get_weights())
        for a, b in zip(as_list(copy.predict(x)), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("seed", [*FEW, *(pytest.param(s, marks=pytest.mark.slow) for s in MANY)])
def test_predictions(seed: int) -> None:
    check_predictions(seed)


@pytest.mark.parametrize("seed", [*FEW, *(pytest.param(s, marks=pytest.mark.slow) for s in MANY)])
def test_training(seed: int, tmp_path: Path) -> None:
    check_training(seed, tmp_path)


@pytest.mark.parametrize("seed", [*FEW, *(pytest.param(s, marks=pytest.mark.slow) for s in MANY)])
def test_groups_and_copies(seed: int) -> None:
    check_groups(seed)
    check_copies(seed)
