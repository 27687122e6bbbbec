"""A model's graph before and after the passes."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import types
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kcompile.common.errors import KCompileError, UnknownNameError, did_you_mean, listed
from kcompile.engine.inference_graph import graph_name, predict_graph, require_built
from kcompile.inspecting.tables import section, table
from kcompile.ir import Graph
from kcompile.ir.core import Constant, Leaf
from kcompile.ir.text import print_graph
from kcompile.models.model import Model
from kcompile.passes import pipelines
from kcompile.passes.algebra.specialize import freeze
from kcompile.passes.machinery.flops import work_of_graph
from kcompile.passes.machinery.report import Report
from kcompile.passes.pipelines import INFERENCE, TRAINING, run_pipeline
from kcompile.runtime.storage import storage_of


def load_model_function(path: str, name: str) -> Model:
    """The model that ``name`` in the Python file ``path`` is, or returns when called without arguments.

    The file is run, as ``python`` would run it but for ``__name__``.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file or the function fails, has no such name, or gives no model.
    """
    module = run_file(path)
    if not hasattr(module, name):
        hint = did_you_mean(name, vars(module))
        raise UnknownNameError(f"{path!r} defines no {name!r}{hint}")
    found = getattr(module, name)
    if not isinstance(found, Model) and callable(found):
        with _blamed(f"{name}() in {path}"):
            found = found()
    if not isinstance(found, Model):
        kind = type(found).__name__
        raise KCompileError(f"{name!r} in {path!r} gives {kind}; expected a function that returns a model")
    return found


def run_file(path: str) -> types.ModuleType:
    """The module that a Python file makes; the user's file, named by the user.

    Raises:
        OSError: the file cannot be read.
        ValueError: it fails.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {path!r}")
    spec = importlib.util.spec_from_file_location("inspected_model", file)
    if spec is None or spec.loader is None:
        raise KCompileError(f"{path!r} is not a Python file; expected FILE.py:FUNCTION")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(file.resolve().parent))
    with _blamed(path):
        spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def _blamed(place: str) -> Iterator[None]:
    """Turns what the user's code raises into one sentence."""
    try:
        yield
    except Exception as error:
        raise KCompileError(f"{place} raised {type(error).__name__}: {error}") from error


def describe_model(model: Model, training: bool = False, dump_after: str | None = None) -> str:
    """The IR before and after the passes, what each pass did, operators, parameters and floating point operations.

    Args:
        model: a built model; for ``training`` also compiled.
        training: the training step instead of the inference graph with constant weights.
        dump_after: print the IR (to standard error) after the pass of this name, after several ones with commas
            between them, or after each (``all``).

    Raises:
        ValueError: the model is not built or not compiled, or there is no such pass.
    """
    require_built(model)
    if training:
        model.fit_trainer.require_compiled("inspecting its training step")
    report = Report()
    with _dumping(dump_after, training):
        before, after = (_training if training else _inference)(model, report)
    trainable = sum(w.value.type.size for w in model.trainable_weights)
    frozen = sum(w.value.type.size for w in model.non_trainable_weights)
    lines = [
        f"{type(model).__name__} {model.name!r}, {'training step' if training else 'inference graph'}",
        table([*_values("input", before.inputs, before), *_values("output", list(before.outputs.values()), before)]),
        table([["parameters", trainable + frozen], ["trainable", trainable], ["not trainable", frozen]]),
        section("before the passes"),
        print_graph(before).rstrip(),
        section("passes"),
        str(report),
        section("after the passes"),
        print_graph(after).rstrip(),
        section("operators"),
        _operators(before, after),
        section("floating point operations of one run with every symbolic size (as batch) 1"),
        _work(before, after),
    ]
    return "\n".join(lines)


def _inference(model: Model, report: Report) -> tuple[Graph, Graph]:
    graph = predict_graph(model, graph_name(model.name))
    frozen = freeze(graph, {v: storage_of(v).read() for v in graph.variables() if v not in graph.updates})
    return graph, run_pipeline(frozen, INFERENCE, report=report)


def _training(model: Model, report: Report) -> tuple[Graph, Graph]:
    trainer = model.fit_trainer
    if trainer.has_own_steps:
        own = trainer.own_step(True)
        return own.plain(), run_pipeline(own.whole(report), TRAINING, report=report)
    step = trainer.step_graph(training=True)
    with_gradients = step.whole("train_step", report)
    return step.forward("forward"), run_pipeline(with_gradients, TRAINING, report=report)


@contextlib.contextmanager
def _dumping(passes: str | None, training: bool) -> Iterator[None]:
    """Inside, pipelines print the IR after these passes."""
    if passes is None:
        yield
        return
    used = (*pipelines.FORWARD_TRAINING, *pipelines.TRAINING) if training else pipelines.INFERENCE
    known = {pipelines.pass_name(function) for function in used} | {"all"}
    for name in passes.partition(":")[0].split(","):
        if name.strip() not in known:
            hint = did_you_mean(name, known)
            raise UnknownNameError(f"--dump-after: there is no pass {name!r}{hint} Passes are {listed(sorted(known))}.")
    with pipelines.dumping(passes):
        yield


def _values(kind: str, values: Any, graph: Graph) -> list[list[object]]:
    names = {id(value): name for name, value in graph.outputs.items()}
    return [
        [kind, names.get(id(v)) if kind == "output" else v.op.label, f"{v.dtype}({', '.join(map(str, v.shape))})"]
        for v in values
    ]


def _operators(before: Graph, after: Graph) -> str:
    counts = [count_operators(before), count_operators(after)]
    rows: list[list[object]] = [["", "before", "after"]]
    rows += [[name, counts[0][name], counts[1][name]] for name in sorted(counts[0] | counts[1])]
    return table([*rows, ["total", counts[0].total(), counts[1].total()]])


def count_operators(graph: Graph) -> Counter[str]:
    """How often each operator occurs, in regions too; inputs, variables and constants are none."""
    found: Counter[str] = Counter()
    for node in graph.nodes():
        if not isinstance(node.op, (Leaf, Constant)):
            found[node.op.name] += 1
        for region in node.op.regions:
            found += count_operators(region)
    return found


def _work(before: Graph, after: Graph) -> str:
    work = [work_of_graph(before), work_of_graph(after)]
    return table(
        [
            ["", "before", "after"],
            ["FLOPs", work[0].flops, work[1].flops],
            ["bytes read and written", work[0].bytes, work[1].bytes],
        ]
    )
