"""``model.export``: the inference graph as one ONNX file of standard operators."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kcompile.common.checks import check_flag
from kcompile.common.errors import DataTypeError, KCompileError, shown
from kcompile.common.html import PrintedHtml
from kcompile.common.version import __version__
from kcompile.engine.inference_graph import graph_name, predict_graph, require_built
from kcompile.engine.network import Network
from kcompile.export.checked_indices import check_indices
from kcompile.export.notes import notes
from kcompile.export.quantization import Int8Report, quantized
from kcompile.export.sizes import Dims, sizes_of
from kcompile.ir.rebuilding import bind_graph
from kcompile.ir.target import Target
from kcompile.passes.algebra.specialize import freeze
from kcompile.passes.fusion.half import half
from kcompile.passes.onnx.emit import Emitted, emit
from kcompile.passes.onnx.opsets import OPSETS
from kcompile.passes.onnx.protos import nodes
from kcompile.passes.pipelines import INFERENCE, run_pipeline
from kcompile.runtime.onnx_files import write_model
from kcompile.runtime.storage import storage_of

if TYPE_CHECKING:
    import onnx


@dataclass
class ExportReport(PrintedHtml):
    """What :func:`export_model` wrote.

    Attributes:
        files: the model, and what belongs to it.
        opset: of the model.
        parameters: how many numbers its weights have.
        operators: how often each ONNX operator occurs, in sub-graphs too.
        sizes: named sizes of the model's inputs that are fixed in the file.
        notes: what was left out or changed on the way, a sentence each.
        int8: with ``int8``, what the outputs lost.
    """

    files: list[Path]
    opset: int
    parameters: int
    operators: Counter[str]
    sizes: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    int8: Int8Report | None = None

    def __str__(self) -> str:
        size = sum(path.stat().st_size for path in self.files if path.exists())
        lines = [f"{', '.join(map(str, self.files))}: opset {self.opset}, {size:,} bytes"]
        lines += [f"{self.parameters:,} parameters, {self.operators.total()} operators", *self.notes]
        return "\n".join([*lines, str(self.int8)] if self.int8 else lines)


def check_opset(opset: Any) -> int:
    """The opset, if it is one that we write and stock ONNX Runtime reads.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(opset, int) or opset not in OPSETS:
        raise KCompileError(f"export: opset is {opset!r}; use {OPSETS[0]} to {OPSETS[-1]}")
    return int(opset)


def to_onnx(
    model: Network,
    opset: int = 21,
    dims: Dims | None = None,
    batch_size: int | None = None,
    fp16: bool = False,
    int8: Any = None,
    metadata: Mapping[str, str] | None = None,
    per_channel: bool = True,
) -> onnx.ModelProto:
    """The inference graph with the present weights, in memory; the arguments are those of :func:`export_model`.

    Raises:
        ValueError: as :func:`export_model`; or the weights are too large for one ``ModelProto``.
    """
    emitted, _, _ = _converted(model, opset, dims, batch_size, fp16, int8, metadata, per_channel)
    if emitted.weights:
        total = sum(array.nbytes for array in emitted.weights.values())
        raise KCompileError(
            f"model {model.name!r} has {total:,} bytes of weights, more than a ModelProto holds; use "
            "model.export(path), which puts them in a file of their own"
        )
    return emitted.model


def export_model(
    model: Network,
    path: str | os.PathLike[str],
    opset: int = 21,
    dims: Dims | None = None,
    batch_size: int | None = None,
    fp16: bool = False,
    int8: Any = None,
    metadata: Mapping[str, str] | None = None,
    ort: bool = False,
    per_channel: bool = True,
    format: str = "onnx",
) -> ExportReport:
    """Write the inference graph with the present weights; a file that was there is replaced when all is written.

    Inputs and outputs have the names of the Keras layers. The states of stateful layers are inputs too, such as
    ``lstm_1_state_h`` (zeros for a new sequence); the output ``lstm_1_state_h.next`` is what the next batch takes. Only
    standard ONNX operators are used. What only training needs (dropout, noise, augmentation) is left out, which the
    report says. Above 1.5 GB the weights go to a file ``<path>.<digest>.data`` beside it.

    Args:
        model: a built model.
        path: of the file.
        opset: 17 to 26.
        dims: for some inputs the whole shape with the batch: ``{"image": (1, None, None, 3)}``. An integer fixes a
            size that was free, a string names it, ``None`` leaves it.
        batch_size: fixes the first axis of every input (by default the batch is free, and called ``batch``).
        fp16: weights and most of the computation in float16; inputs and outputs stay float32.
        int8: data to quantize with: ``x`` as for ``predict``, ``(x, y)``, a generator or a Sequence. Weights and
            activations become int8. ``True`` quantizes weights only, activations as the model runs.
        metadata: strings to keep in the file.
        ort: also write ``<path without .onnx>.ort``, the format that small builds of ONNX Runtime load.
        per_channel: with ``int8``, a scale for each channel of a weight instead of one for all.
        format: ``onnx``; the argument that Keras 3 has, whose other formats need TensorFlow, OpenVINO or LiteRT.

    Returns:
        what was written, with notes.

    Raises:
        ValueError: the model is not built, the opset is not one that we write, ``dims`` or the data for ``int8`` do not
            fit.
        OSError: the path cannot be written.
    """
    if format != "onnx":
        raise KCompileError(
            f"export: format is {format!r}; kcompile writes 'onnx', which ONNX Runtime runs everywhere (for others "
            "convert that file, or save the model as .keras and export it with Keras)"
        )
    if not isinstance(path, (str, os.PathLike)):
        raise DataTypeError(f"export: a path is needed, got {shown(path)}; to_onnx gives the model in memory")
    target = Path(path)
    if target.suffix in (".h5", ".hdf5", ".keras"):
        raise KCompileError(f"export: {str(target)!r} would not be what its name says; such files are written by save")
    if check_flag("export", "ort", ort) and target.suffix == ".ort":
        raise KCompileError(f"export: {str(target)!r} would be both files; name the ONNX file, as in model.onnx")
    emitted, sizes, lost = _converted(model, opset, dims, batch_size, fp16, int8, metadata, per_channel)
    counts = count_operators(emitted.model)
    report = ExportReport([], opset, model.count_params(), counts, sizes, notes(model, fp16), lost)
    report.files = write_model(emitted.model, emitted.weights, target, ort)
    return report


def _converted(
    model: Network,
    opset: int,
    dims: Dims | None,
    batch_size: int | None,
    fp16: bool,
    int8: Any,
    metadata: Mapping[str, str] | None,
    per_channel: bool,
) -> tuple[Emitted, dict[str, int], Int8Report | None]:
    """The model in the wanted precision, the sizes that are fixed in it, and what int8 lost."""
    fp16 = check_flag("export", "fp16", fp16)
    if int8 is None or int8 is False:
        return (*lowered(model, opset, dims, batch_size, fp16, metadata), None)
    if fp16:
        raise KCompileError("export: choose one of fp16 and int8")
    emitted, sizes = lowered(model, opset, dims, batch_size, metadata=metadata)
    emitted.model, lost = quantized(
        model, emitted, None if int8 is True else int8, check_flag("export", "per_channel", per_channel), sizes
    )
    return emitted, sizes, lost


def lowered(
    model: Network,
    opset: int = 21,
    dims: Dims | None = None,
    batch_size: int | None = None,
    fp16: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> tuple[Emitted, dict[str, int]]:
    """The inference graph as ONNX, with large weights still outside; and which named sizes are fixed in it."""
    target = Target(opset=check_opset(opset))
    require_built(model)
    if metadata is not None and not isinstance(metadata, Mapping):
        raise DataTypeError(f"export: metadata are strings by strings, got {shown(metadata)}")
    for key, text in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise DataTypeError(f"export: metadata are strings by strings, got {key!r}: {text!r}")
    graph = check_indices(model, predict_graph(model, graph_name(model.name)))
    sizes = sizes_of(graph, dims, batch_size)
    graph = bind_graph(graph, sizes) if sizes else graph
    values = {v: storage_of(v).read() for v in graph.variables() if v not in graph.updates}
    optimized = run_pipeline(freeze(graph, values), (*INFERENCE, half) if fp16 else INFERENCE)
    emitted = emit(optimized, target, metadata={**_metadata(model), **(metadata or {})})
    return emitted, {**_batch_of(model), **{name: size for name, size in sizes.items() if isinstance(size, int)}}


def _batch_of(model: Network) -> dict[str, int]:
    """The batch size that a model was built for, if it takes no other."""
    first = next((x.value.shape[0] for x in model.inputs if x.value.rank), None)
    return {"batch": first} if isinstance(first, int) else {}


def count_operators(proto: onnx.ModelProto) -> Counter[str]:
    """How often each ONNX operator occurs."""
    return Counter(node.op_type for node in nodes(proto.graph))


def _metadata(model: Network) -> dict[str, str]:
    found = {"kcompile.version": __version__, "kcompile.model": model.name}
    try:
        config = {"class_name": type(model).__name__, "config": model.get_config()}
        found["kcompile.config"] = json.dumps(config, default=str)
    except (NotImplementedError, KCompileError):
        pass  # subclassed models have no configuration: their architecture is Python code
    return found
