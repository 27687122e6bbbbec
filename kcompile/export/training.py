"""``model.export_training``: a folder from which any language with ONNX Runtime continues the training.

``manifest.json`` names the files, what to feed, and which output of the training step becomes which input of the next
one. ``state.bin`` holds the initial state, little-endian, tensor after tensor at the offsets that the manifest gives.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kcompile.errors import KCompileError
from kcompile.export.inference import check_opset, graph_name, require_built, write_model
from kcompile.ir.builder import Target
from kcompile.ir.core import Graph, Variable
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
        opset: 21 to 26.
        sample_weight: whether the steps take weights per sample for each output.

    Raises:
        ValueError: the model is not compiled or not built.
        OSError: the folder cannot be written.
    """
    from kcompile.engine.steps import StepGraph, predict_graph
    from kcompile.passes.emit import emit
    from kcompile.passes.pipelines import INFERENCE, run_pipeline

    model._require_compiled("export_training")
    require_built(model)
    target = Target(opset=check_opset(opset))
    specs = model._target_specs()
    unknown = [spec.name for spec in specs if spec.kind == "any" and any(d is None for d in (spec.shape or ())[1:])]
    if unknown:
        raise KCompileError(f"export_training: the target shape of output {unknown[0]!r} is not known; fix its sizes")
    shapes = [model._target_shape(spec, None) for spec in specs]
    ranks = [(2 if spec.sample_weight_mode == "temporal" else 1) if sample_weight else 0 for spec in specs]
    emitted: dict[str, Emitted] = {}
    graphs: dict[str, Graph] = {}
    for name, training in (("train_step", True), ("eval_step", False)):
        graphs[name] = StepGraph(model, shapes, ranks, training).optimized(name)
        emitted[name] = emit(graphs[name], target)
    inference = run_pipeline(predict_graph(model, graph_name(model.name)), INFERENCE)
    values = {v: storage_of(v).read() for v in inference.variables()}
    emitted["model"] = emit(inference, target, defaults=values)
    graphs["model"] = inference

    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    variables = dict.fromkeys(v for name in emitted for v in emitted[name].state_inputs)
    entries, blob = _state(variables, emitted)
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
        write_model(result.model, root / f"{name}.onnx")
    text = json.dumps(manifest, indent=2)
    write_atomically(root / "manifest.json", text.encode())  # last: it says that the rest is there


def _state(variables: Iterable[Variable], emitted: dict[str, Emitted]) -> tuple[list[dict[str, Any]], bytes]:
    """The state's tensors with their place in the blob."""
    entries, parts, offset = [], [], 0
    for variable in variables:
        array = storage_of(variable).read()
        data = array.astype(array.dtype.newbyteorder("<")).tobytes()
        entries.append(
            {
                "name": _input_name(variable, emitted), "role": variable.role, "dtype": variable.type.dtype,
                "shape": list(array.shape), "offset": offset, "bytes": len(data),
            }
        )  # fmt: skip
        parts.append(data)
        offset += len(data)
    return entries, b"".join(parts)


def _input_name(variable: Variable, emitted: dict[str, Emitted]) -> str:
    names = {result.state_inputs[variable] for result in emitted.values() if variable in result.state_inputs}
    if len(names) != 1:
        raise KCompileError(f"export_training: two tensors of the state are called {variable.label!r}; rename a layer")
    return names.pop()


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
        "state_outputs": {out: emitted.state_inputs.get(v, v.label) for v, out in emitted.state_outputs.items()},
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
