"""``model.export_training``: a folder from which any language with ONNX Runtime continues the training.

``manifest.json`` names the files, what to feed, and which output of the training step becomes which input of the next
one. ``state.bin`` holds the initial state, little-endian, tensor after tensor at the offsets that the manifest gives.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kcompile.errors import KCompileError
from kcompile.export.checked_indices import check_indices
from kcompile.export.files import write_model
from kcompile.export.inference import check_opset, graph_name, require_built
from kcompile.ir.builder import Target
from kcompile.ir.core import Graph, Input, Variable
from kcompile.runtime.storage import storage_of
from kcompile.utils.files import write_atomically

if TYPE_CHECKING:
    from kcompile.engine.training import Model
    from kcompile.passes.emit import Emitted

FORMAT = "kcompile-training"
FORMAT_VERSION = 1


def export_training(
    model: Model,
    folder: str | os.PathLike[str],
    opset: int = 21,
    sample_weight: bool = False,
) -> None:
    """Write ``train_step.onnx``, ``eval_step.onnx``, ``model.onnx``, ``state.bin`` and ``manifest.json``.

    The steps take a batch and the state, and return the loss and the next state. ``model.onnx`` is the inference
    graph: its weights are inputs with the present values as defaults, so that it runs as it is, or with the trained
    weights fed by name. Only standard ONNX operators are used.

    Args:
        model: a compiled model.
        folder: made if it does not exist; files of these names in it are replaced.
        opset: 17 to 26 (18 to 26 for models with random layers, such as dropout).
        sample_weight: whether the steps take weights per sample for each output.

    Raises:
        ValueError: the model is not compiled or not built.
        OSError: the folder cannot be written.
    """
    from kcompile.passes.emit import emit

    model._require_compiled("export_training")
    target = Target(opset=check_opset(opset))
    graphs = _graphs(model, sample_weight)
    values = {v: storage_of(v).read() for v in graphs["model"].variables()} if "model" in graphs else None
    labels = _state_names(model, list(graphs.values()))
    emitted = {
        name: emit(graph, target, defaults=values if name == "model" else None, labels=labels)
        for name, graph in graphs.items()
    }

    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    variables = dict.fromkeys(v for result in emitted.values() for v in result.state_inputs)
    entries, blob = _state(variables, labels)
    manifest = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "model": model.name,
        "state_file": "state.bin",
        "state": entries,
        "metrics": _metrics(model, emitted["eval_step"]),
        **{name: _describe(f"{name}.onnx", graphs[name], emitted[name]) for name in emitted},
    }
    write_atomically(root / "state.bin", blob)
    for name, result in emitted.items():
        write_model(result.model, result.weights, root / f"{name}.onnx")
    text = json.dumps(manifest, indent=2)
    write_atomically(root / "manifest.json", text.encode())  # last: it says that the rest is there


def _graphs(model: Model, sample_weight: bool) -> dict[str, Graph]:
    """The graphs of the files; no ``model`` where a model with a step of its own has no ``call``."""
    from kcompile.engine import custom_steps
    from kcompile.engine.network import Network
    from kcompile.engine.steps import StepGraph, predict_graph
    from kcompile.passes.pipelines import INFERENCE, run_pipeline

    graphs: dict[str, Graph] = {}
    if custom_steps.own_steps(model):
        for name, training in (("train_step", True), ("eval_step", False)):
            graphs[name] = custom_steps.known_step(model, training, sample_weight).optimized()
        if not model._functional and type(model).call is Network.call:
            return graphs
        custom_steps.build_as_fed(model)
        require_built(model)
    else:
        require_built(model)
        specs = model._target_specs()
        free = [spec.name for spec in specs if spec.kind == "any" and any(d is None for d in (spec.shape or ())[1:])]
        if free:
            raise KCompileError(f"export_training: the target shape of output {free[0]!r} is not known; fix its sizes")
        shapes = [model._target_shape(spec, None) for spec in specs]
        ranks = [(2 if spec.sample_weight_mode == "temporal" else 1) if sample_weight else 0 for spec in specs]
        for name, training in (("train_step", True), ("eval_step", False)):
            graphs[name] = check_indices(model, StepGraph(model, shapes, ranks, training).optimized(name))
    inference = check_indices(model, predict_graph(model, graph_name(model.name)))
    graphs["model"] = run_pipeline(inference, INFERENCE)
    return graphs


def _state_names(model: Model, graphs: Sequence[Graph]) -> dict[Variable, str]:
    """For each tensor of the state a name that is free in all graphs, so that it is the same in all files.

    Labels repeat where nested models have layers of the same name; the model's weights are numbered in their order.
    """
    from kcompile.passes.emit import Names

    names = Names()
    inputs = [value.op.label for graph in graphs for value in graph.inputs if isinstance(value.op, Input)]
    for name in dict.fromkeys([*inputs, *(name for graph in graphs for name in graph.outputs)]):
        names.reserve(name)
    weights = [w.variable for w in (*model.weights, *model.optimizer.weights)]
    return {v: names.unique(v.label) for v in dict.fromkeys([*weights, *(v for g in graphs for v in g.variables())])}


def _state(variables: Iterable[Variable], labels: Mapping[Variable, str]) -> tuple[list[dict[str, Any]], bytes]:
    """The state's tensors with their place in the blob."""
    entries, parts, offset = [], [], 0
    for variable in variables:
        array = storage_of(variable).read()
        data = array.astype(array.dtype.newbyteorder("<")).tobytes()
        entries.append(
            {
                "name": labels[variable], "role": variable.role, "dtype": variable.type.dtype,
                "shape": list(array.shape), "offset": offset, "bytes": len(data),
            }
        )  # fmt: skip
        parts.append(data)
        offset += len(data)
    return entries, b"".join(parts)


def _describe(file: str, graph: Graph, emitted: Emitted) -> dict[str, Any]:
    """What one of the files takes and gives."""
    inputs = [
        {"name": name, "dtype": value.dtype, "shape": [d if isinstance(d, int) else str(d) for d in value.shape]}
        for name, value in zip(emitted.inputs, graph.inputs, strict=True)
    ]
    return {
        "file": file,
        "inputs": inputs,
        "outputs": emitted.outputs,
        "state_inputs": list(emitted.state_inputs.values()),
        "state_outputs": {out: emitted.state_inputs[v] for v, out in emitted.state_outputs.items()},
    }


def _metrics(model: Model, emitted: Emitted) -> dict[str, Any]:
    """For each metric, the tensors of the state that hold it; a mean is total / count."""
    names = model.metrics_names[len(model.metrics_names) - len(model.metrics) :]
    found = {}
    for name, metric in zip(names, model.metrics, strict=True):
        weights = [emitted.state_inputs[w.variable] for w in metric.weights if w.variable in emitted.state_inputs]
        found[name] = {"class": type(metric).__name__, "state": weights}
    return found


def read_state(folder: str | os.PathLike[str]) -> dict[str, np.ndarray[Any, Any]]:
    """The tensors of ``state.bin`` by name.

    Raises:
        OSError: a file cannot be read.
        ValueError: the manifest does not fit the file.
    """
    root = Path(folder)
    manifest = json.loads((root / "manifest.json").read_text(encoding="utf-8"))
    blob = (root / manifest["state_file"]).read_bytes()
    found = {}
    for entry in manifest["state"]:
        data = blob[entry["offset"] : entry["offset"] + entry["bytes"]]
        found[entry["name"]] = np.frombuffer(data, np.dtype(entry["dtype"]).newbyteorder("<")).reshape(entry["shape"])
    return found
