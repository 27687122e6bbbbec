"""``model.export_training``: a folder from which any language with ONNX Runtime continues the training.

``manifest.json`` names the files with their digests, what to feed, and which output of the training step becomes
which input of the next one. The state file holds the state, little-endian, tensor after tensor at the offsets that
the manifest gives.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kcompile.common.checks import check_flag
from kcompile.common.errors import DataTypeError, KCompileError, shown
from kcompile.engine.inference_graph import graph_name, predict_graph, require_built
from kcompile.engine.network import Network
from kcompile.export.checked_indices import check_indices
from kcompile.export.generations import MANIFEST, Folder, read_set, writing
from kcompile.export.inference import check_opset
from kcompile.export.training_report import TrainingReport
from kcompile.ir.core import Graph, Input, Variable
from kcompile.ir.target import Target
from kcompile.passes.onnx.emit import Emitted, Names, emit
from kcompile.passes.pipelines import INFERENCE, run_pipeline
from kcompile.runtime.guards import together
from kcompile.runtime.onnx_files import pieces_of, place_weights
from kcompile.runtime.storage import storage_of

FORMAT = "kcompile-training"
FORMAT_VERSION = 2
"""1 had files of fixed names, and no digests."""

CHECKS = (
    "indices of embeddings, and class numbers in losses, that are negative or too large: ONNX Runtime's CPU kernels "
    "end the run, and no state has changed"
)
"""What the steps refuse."""


def export_training(
    model: Network,
    folder: str | os.PathLike[str],
    opset: int = 21,
    sample_weight: bool = False,
) -> TrainingReport:
    """Write the training step, the evaluation step, the model, the state, and ``manifest.json``, which names them.

    The steps take a batch and the state, and return the loss and the next state. ``model`` is the inference graph: its
    weights are inputs with the present values as defaults, so that it runs as it is, or with the trained weights fed by
    name. Only standard ONNX operators are used.

    A folder that was exported before is replaced in one step, that of its manifest: readers and killed writers find the
    old files or the new ones, whole. The files of the export before stay until the next one.

    Args:
        model: a compiled model.
        folder: made if it does not exist.
        opset: 17 to 26 (18 to 26 for models with random layers, such as dropout).
        sample_weight: whether the steps take weights per sample for each output.

    Returns:
        what was written.

    Raises:
        ValueError: the model is not compiled or not built.
        OSError: the folder cannot be written; what was there is whole.
    """
    if not isinstance(folder, (str, os.PathLike)):
        raise DataTypeError(f"export_training: a folder is needed, got {shown(folder)}")
    target = Target(opset=check_opset(opset))
    graphs = training_graphs(model, check_flag("export_training", "sample_weight", sample_weight), "export_training")
    labels = state_names(model, list(graphs.values()))
    used = dict.fromkeys(v for graph in graphs.values() for v in graph.variables())
    with together(
        map(storage_of, used)
    ):  # no training in another thread between the weights in the model and those in the state
        values = {v: storage_of(v).read() for v in graphs["model"].variables()} if "model" in graphs else None
        emitted = {
            name: emit(graph, target, defaults=values if name == "model" else None, labels=labels)
            for name, graph in graphs.items()
        }
        variables = dict.fromkeys(v for result in emitted.values() for v in result.state_inputs)
        entries, blob = _state(variables, labels)
    root, named = Path(folder), {}
    with writing(root) as new:
        named["state"] = state_file = new.add("state", "bin", blob)
        for name, result in emitted.items():
            if result.weights:
                named[f"{name}_weights"] = _add_weights(new, name, result)
            named[name] = new.add(name, "onnx", result.model.SerializeToString(deterministic=True))
        manifest = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "model": model.name,
            "state_file": state_file,
            "state": entries,
            "checks": CHECKS,
            "metrics": _metrics(model, emitted["eval_step"]),
            **{name: _describe(named[name], graphs[name], emitted[name]) for name in emitted},
        }
        new.switch(manifest)
    files = {kind: root / name for kind, name in named.items()}
    inputs = emitted["train_step"].inputs
    return TrainingReport(root, root / MANIFEST, files, opset, model.count_params(), len(entries), list(inputs))


def training_graphs(model: Network, sample_weight: bool, purpose: str) -> dict[str, Graph]:
    """The graphs of the files; no ``model`` where a model with a step of its own has no ``call``.

    Raises:
        ValueError: the model is not compiled or not built, or the shape of a target is not known.
    """
    trainer = model.fit_trainer
    trainer.require_compiled(purpose)
    graphs: dict[str, Graph] = {}
    if trainer.has_own_steps:
        for name, training in (("train_step", True), ("eval_step", False)):
            graph = trainer.own_step(training, sample_weight).optimized()
            graphs[name] = check_indices(model, graph) if model.has_layer_graph else graph
        if not model.has_layer_graph and type(model).call is Network.call:
            return graphs
        trainer.build_as_fed()
        require_built(model)
    else:
        require_built(model)
        specs = trainer.targets
        free = [spec.name for spec in specs if spec.kind == "any" and any(d is None for d in (spec.shape or ())[1:])]
        if free:
            raise KCompileError(f"{purpose}: the target shape of output {free[0]!r} is not known; fix its sizes")
        for name, training in (("train_step", True), ("eval_step", False)):
            graphs[name] = check_indices(model, trainer.step_graph(training, sample_weight).optimized(name))
    inference = check_indices(model, predict_graph(model, graph_name(model.name)))
    graphs["model"] = run_pipeline(inference, INFERENCE)
    return graphs


def _add_weights(new: Folder, name: str, result: Emitted) -> str:
    """Write weights that are outside of the model, and tell the model where they are."""
    data = new.add(f"{name}_weights", "data", pieces_of(result.weights))
    place_weights(result.model, result.weights, data)
    return data


def state_names(model: Network, graphs: Sequence[Graph]) -> dict[Variable, str]:
    """For each tensor of the state a name that is free in all graphs, so that it is the same in all files.

    Labels repeat where nested models have layers of the same name; the model's weights are numbered in their order.
    """
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


def _metrics(model: Network, emitted: Emitted) -> dict[str, Any]:
    """For each metric, the tensors of the state that hold it; a mean is total / count."""
    names = model.metrics_names[len(model.metrics_names) - len(model.metrics) :]
    found = {}
    for name, metric in zip(names, model.metrics, strict=True):
        weights = [emitted.state_inputs[w.variable] for w in metric.weights if w.variable in emitted.state_inputs]
        found[name] = {"class": type(metric).__name__, "state": weights}
    return found


def read_state(folder: str | os.PathLike[str]) -> dict[str, np.ndarray[Any, Any]]:
    """The tensors of the state file by name; the file is the one that the manifest means, also while it is replaced.

    Raises:
        OSError: there is no manifest.
        ValueError: it is none of ours, or the file is missing or another one.
    """
    manifest, contents = read_set(Path(folder), ["state_file"])
    blob, found = contents["state_file"], {}
    try:
        for entry in manifest["state"]:
            data = blob[entry["offset"] : entry["offset"] + entry["bytes"]]
            kind = np.dtype(entry["dtype"]).newbyteorder("<")
            found[entry["name"]] = np.frombuffer(data, kind).reshape(entry["shape"])
    except (KeyError, TypeError, ValueError) as error:
        raise KCompileError(f"the state in {str(folder)!r} does not fit its manifest: {error}") from None
    return found
