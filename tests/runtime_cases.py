"""ONNX files, with inputs and what they must give, for other versions of ONNX Runtime (``tests/test_runtimes.py``).

Expected numbers come from the interpreter of the IR in NumPy. ONNX Runtime's optimizations look for patterns of nodes
and for constants, and what they change shows at borders and for extreme numbers; so there is each op with its inputs
fed and with all but the first as constants, and inputs that are random, all negative, all zero, all equal, and large.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx

import kcompile
from kcompile import Input, Model, layers
from kcompile.engine.inference_graph import predict_graph
from kcompile.export.inference import lowered
from kcompile.ir import Graph, Target, Value, constant, input_value, interpret, named
from kcompile.ir.errors import IRError
from kcompile.passes.onnx.emit import emit
from kcompile.runtime.storage import storage_of
from tests.op_examples import Example, all_examples
from tests.small_models import ZOO, random_inputs

Arrays = dict[str, np.ndarray]

KINDS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "random": lambda a: a,
    "negative": lambda a: -np.abs(a) - 0.5,
    "zero": np.zeros_like,
    "equal": lambda a: np.full_like(a, 0.75),
    "large": lambda a: a * 10,
}
"""What float inputs are made into; others stay."""


@dataclass
class Case:
    """A model and what it gives: for each kind of input one set of arrays."""

    name: str
    model: onnx.ModelProto
    feeds: list[Arrays]
    expected: list[Arrays]
    rtol: float
    kinds: Sequence[str] = field(default_factory=lambda: list(KINDS))

    def write(self, folder: Path) -> None:
        """As ``<name>.onnx`` and ``<name>.npz``."""
        arrays: dict[str, Any] = {"rtol": self.rtol, "count": len(self.feeds), "kinds": np.array(self.kinds)}
        for number, (feeds, expected) in enumerate(zip(self.feeds, self.expected, strict=True)):
            arrays |= {f"{number}:in:{name}": array for name, array in feeds.items()}
            arrays |= {f"{number}:out:{name}": array for name, array in expected.items()}
        np.savez(folder / f"{self.name}.npz", **arrays)
        (folder / f"{self.name}.onnx").write_bytes(self.model.SerializeToString())


def varied(feeds: Arrays) -> list[Arrays]:
    """The feeds in each of :data:`KINDS`."""
    return [{n: change(a) if a.dtype.kind == "f" else a for n, a in feeds.items()} for change in KINDS.values()]


# ---- ops

TARGETS = {"17": Target(opset=17), "21": Target(), "native": Target(portable=False)}


def of_example(example: Example, target: str, constants: bool) -> Case | None:
    """One op: with inputs fed, the batch free; or with all floats but the first as constants. ``None``: not there."""
    if ("native" if target == "native" else "portable") in example.skip:
        return None
    inputs, operands, feeds = [], [], {}
    for index, array in enumerate(example.arrays):
        array = np.asarray(array)
        if constants and index and array.dtype.kind == "f":
            operands.append(constant(array))
            continue
        free = index in example.batch and not constants
        shape = (named("batch"), *array.shape[1:]) if free else array.shape
        operands.append(input_value(f"x{index}", array.dtype.name, shape))
        inputs.append(operands[-1])
        feeds[f"x{index}"] = array
    if constants and len(inputs) == len(operands):
        return None
    built = example.build(*operands)
    graph = Graph(inputs, {f"y{i}": v for i, v in enumerate((built,) if isinstance(built, Value) else built)})
    try:
        model = emit(graph, TARGETS[target]).model
    except IRError as error:
        if "since opset" in str(error):
            return None
        raise
    sets = varied(feeds)
    name = f"op-{example}-{target}-{'constants' if constants else 'fed'}"
    return Case(name, model, sets, [interpret(graph, each).outputs for each in sets], example.rtol * 10)


# ---- models


def padded() -> Iterator[tuple[str, Model]]:
    """Zeros around what pooling and convolution take: fewer than the window has, and more; in both data formats."""
    kinds: dict[str, Callable[..., Any]] = {
        "max": lambda rank, **more: getattr(layers, f"MaxPooling{rank}D")(2, **more),
        "average": lambda rank, **more: getattr(layers, f"AveragePooling{rank}D")(2, **more),
        "overlapping": lambda rank, **more: getattr(layers, f"MaxPooling{rank}D")(3, 2, **more),
        "average_overlapping": lambda rank, **more: getattr(layers, f"AveragePooling{rank}D")(3, 2, **more),
        "conv": lambda rank, **more: getattr(layers, f"Conv{rank}D")(3, 2, **more),
    }
    for (name, make), rank, width, padding in itertools.product(kinds.items(), (1, 2, 3), (1, 2, 3), ("valid", "same")):
        sizes = (5, 4, 6)[:rank]
        for free in (False, True):
            shape = (*((None,) * rank if free else sizes), 2)
            pads = getattr(layers, f"ZeroPadding{rank}D")(width)
            inner = [layers.Input(shape), getattr(layers, f"Conv{rank}D")(3, 1), pads, make(rank, padding=padding)]
            yield f"padded-{name}-{rank}d-{width}-{padding}{'-free' if free else ''}", sequential(inner)
    for width, padding in itertools.product((1, 2), ("valid", "same")):
        first: dict[str, Any] = {"data_format": "channels_first"}
        image = Input((2, 5, 4))
        x = layers.ZeroPadding2D(width, **first)(image)
        yield (
            f"padded-first-{width}-{padding}",
            Model(image, layers.MaxPooling2D(2, padding=padding, **first)(x)),
        )
        image = Input((5, 4, 2))
        x = layers.Permute((2, 1, 3))(layers.ZeroPadding2D(width)(image))
        yield f"padded-permuted-{width}-{padding}", Model(image, layers.MaxPooling2D(2, padding=padding)(x))


def masked() -> Iterator[tuple[str, Model]]:
    """Sequences of which some have no valid step."""
    for kind, whole in itertools.product(("SimpleRNN", "GRU", "LSTM"), (False, True)):
        words = Input((None,), dtype="int32")
        x = layers.Embedding(5, 3, mask_zero=True)(words)
        make = getattr(layers, kind)
        yield f"masked-{kind}-{whole}", Model(words, make(4, return_sequences=whole)(x))
        both = layers.Bidirectional(make(2, return_sequences=whole))
        yield f"masked-{kind}-{whole}-both", Model(words, both(x))


MASKED = np.array([[1, 2, 0, 3], [0, 0, 0, 0], [4, 0, 0, 0], [0, 0, 1, 2]])


def sequential(parts: Sequence[Any]) -> Model:
    """The layers one after the other, from the tensor that is the first of them."""
    x = image = parts[0]
    for layer in parts[1:]:
        x = layer(x)
    return Model(image, x)


def sized_inputs(model: Model, samples: int = 3) -> list[np.ndarray]:
    """Inputs; what is free among spatial sizes differs from axis to axis."""
    if any(size is None for x in model.inputs for size in x.shape[2:]):
        rng = np.random.default_rng(1)
        (x,) = model.inputs
        return [rng.standard_normal((samples, *(5, 4, 6)[: len(x.shape) - 2], x.shape[-1])).astype(x.dtype)]
    if any(getattr(layer, "mask_zero", False) for layer in model.layers) and len(model.inputs) == 1:
        return [MASKED.astype(model.inputs[0].dtype)]
    return random_inputs(model, samples)


def of_model(name: str, model: Model, target: str) -> Case | None:
    """The exported file (``opset`` or ``opset-fp16``), or what runs here (``native``)."""
    graph = predict_graph(model)
    state = {variable: storage_of(variable).read() for variable in graph.variables()}
    sets = varied(dict(zip(model.input_names, sized_inputs(model), strict=True)))
    expected = []
    for feeds in sets:
        found = interpret(graph, feeds, state)
        expected.append({**found.outputs, **{f"{v.label}.next": array for v, array in found.updates.items()}})
        feeds |= {variable.label: state[variable] for variable in graph.updates}
    if target == "native":
        emitted = kcompile.compile(model, device="cpu")._executable._emitted
        if emitted is None or graph.updates:
            return None
        proto = emitted.model
    else:
        opset, _, kind = target.partition("-")
        proto = lowered(model, int(opset), fp16=kind == "fp16")[0].model
    return Case(f"model-{name}-{target}", proto, sets, expected, 5e-2 if "fp16" in target else 1e-4)


def of_step(name: str, model: Model, opset: int) -> Case | None:
    """The training step."""
    model.compile("sgd", "mse", metrics=["mae"])
    shapes = [model.fit_trainer.target_shape(spec) for spec in model.fit_trainer.targets]
    graph = model.fit_trainer.step_graph(training=True).optimized("train_step")
    try:
        emitted = emit(graph, Target(opset=opset))
    except IRError as error:
        if "since opset" in str(error):
            return None
        raise
    state = {variable: storage_of(variable).read() for variable in graph.variables()}
    x = random_inputs(model, 4)
    y = [np.random.RandomState(1).rand(4, *shape).astype("float32") for shape in shapes]
    sets = varied(dict(zip(emitted.inputs, [*x, *y], strict=True)))
    expected = []
    for feeds in sets:
        found = interpret(graph, dict(zip(_labels(graph), feeds.values(), strict=True)), state)
        expected.append({**found.outputs, **{emitted.state_outputs[v]: array for v, array in found.updates.items()}})
        feeds |= {label: state[variable] for variable, label in emitted.state_inputs.items()}
    return Case(f"step-{name}-{opset}", emitted.model, sets, expected, 1e-3)


def _labels(graph: Graph) -> list[str]:
    return [value.op.label for value in graph.inputs]  # type: ignore[attr-defined]


def cases(only: str = "", native: bool = True) -> Iterator[Case]:
    """All cases whose name contains ``only``."""
    targets = [target for target in TARGETS if native or target != "native"]
    for example, target, constants in itertools.product(all_examples(), targets, (False, True)):
        if only in f"op-{example}-{target}":
            yield from _kept(of_example(example, target, constants))
    exported = ["17", "18", "21", "21-fp16", *(["native"] if native else [])]
    for name, build in (*ZOO.items(), *((n, lambda m=m: m) for n, m in (*padded(), *masked()))):
        if only not in f"model-{name}" and only not in f"step-{name}":
            continue
        np.random.seed(3)
        model = build()
        for weight in model.weights:  # statistics and biases that are not 0 or 1
            weight.assign(weight.numpy() + np.random.uniform(-0.3, 0.5, weight.shape).astype("float32"))
        for target in exported:
            yield from _kept(of_model(name, model, target))
        if name in ZOO:
            for opset in (17, 21):
                yield from _kept(of_step(name, build(), opset))


def _kept(case: Case | None) -> Iterator[Case]:
    if case is not None:
        yield case


def write_cases(folder: Path, only: str = "", native: bool = True) -> int:
    """Write all cases; returns how many."""
    count = 0
    for case in cases(only, native):
        stem = "".join(c if c.isalnum() or c in "-_." else "_" for c in case.name)
        while (folder / f"{stem}.onnx").exists():
            stem += "_"
        case.name = stem
        case.write(folder)
        count += 1
    return count
