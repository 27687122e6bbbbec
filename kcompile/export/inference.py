"""``model.export``: the inference graph as one ONNX file of standard operators."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kcompile.errors import KCompileError
from kcompile.ir.builder import Target
from kcompile.passes.opsets import OPSETS
from kcompile.utils.files import write_atomically

if TYPE_CHECKING:
    import onnx

    from kcompile.engine.training import Model

EXTERNAL_DATA_BYTES = 1_500_000_000
"""Models above this size keep their weights in a file beside them: protobuf files end at 2 GB."""


def check_opset(opset: Any) -> int:
    """The opset, if it is one that we write and stock ONNX Runtime reads.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(opset, int) or opset not in OPSETS:
        raise KCompileError(f"export: opset is {opset!r}; use {OPSETS[0]} to {OPSETS[-1]}")
    return int(opset)


def inference_model(model: Model, opset: int = 21, metadata: Mapping[str, str] | None = None) -> onnx.ModelProto:
    """The inference graph with the present weights, in memory.

    Inputs and outputs have the names of the Keras layers; the batch size is the symbolic size ``batch``. Only standard
    ONNX operators are used (IR version 10).

    Raises:
        ValueError: the model is not built, or the opset is not one that we write.
    """
    from kcompile.engine.steps import predict_graph
    from kcompile.passes.emit import emit
    from kcompile.passes.pipelines import INFERENCE, run_pipeline
    from kcompile.passes.specialize import freeze
    from kcompile.runtime.storage import storage_of

    require_built(model)
    graph = predict_graph(model, graph_name(model.name))
    frozen = freeze(graph, {v: storage_of(v).read() for v in graph.variables()})
    optimized = run_pipeline(frozen, INFERENCE)
    return emit(optimized, Target(opset=check_opset(opset)), metadata={**_metadata(model), **(metadata or {})}).model


def export_model(
    model: Model,
    path: str | os.PathLike[str],
    opset: int = 21,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write :func:`inference_model` to ``path``; a file that was there is replaced only when all is written.

    Above 1.5 GB the weights go to ``<path>.data`` beside it.

    Raises:
        ValueError: see :func:`inference_model`.
        OSError: the path cannot be written.
    """
    target = Path(path)
    write_model(inference_model(model, opset, metadata), target)


def write_model(proto: onnx.ModelProto, target: Path) -> None:
    """Write an ONNX model, with its weights beside it if it is too large for one file."""
    if proto.ByteSize() > EXTERNAL_DATA_BYTES:
        _move_weights(proto, target)
    write_atomically(target, proto.SerializeToString(deterministic=True))


def _move_weights(proto: onnx.ModelProto, target: Path) -> None:
    """Write large initializers to ``<target>.data`` and let the model refer to it."""
    import onnx

    location = f"{target.name}.data"
    blobs: list[bytes] = []
    offset = 0
    for tensor in proto.graph.initializer:
        if len(tensor.raw_data) < 1024:
            continue
        blobs.append(tensor.raw_data)
        entries = {"location": location, "offset": str(offset), "length": str(len(tensor.raw_data))}
        offset += len(tensor.raw_data)
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in entries.items():
            tensor.external_data.add(key=key, value=value)
    write_atomically(target.with_name(location), b"".join(blobs))


def require_built(model: Model) -> None:
    """Raise unless the model has its graph.

    Raises:
        ValueError: it was neither given an input shape nor called.
    """
    if not model._functional:
        raise KCompileError(
            f"model {model.name!r} is not built, so there is nothing to export; fit it, call it, or give the first "
            "layer an input_shape"
        )


def graph_name(name: str) -> str:
    """A name for the ONNX graph."""
    return "".join(c if c.isalnum() or c == "_" else "_" for c in name) or "model"


def _metadata(model: Model) -> dict[str, str]:
    import json

    from kcompile import __version__

    found = {"kcompile.version": __version__, "kcompile.model": model.name}
    try:
        config = {"class_name": type(model).__name__, "config": model.get_config()}
        found["kcompile.config"] = json.dumps(config, default=str)
    except (NotImplementedError, KCompileError):
        pass  # subclassed models have no configuration: their architecture is Python code
    return found
