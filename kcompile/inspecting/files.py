"""What is in an ONNX file."""

from __future__ import annotations

import math
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from kcompile.common.errors import KCompileError
from kcompile.common.limits import ONNX_BYTES, check_size
from kcompile.inspecting.checks import bits, check_model
from kcompile.inspecting.tables import section, table
from kcompile.passes.onnx.protos import nodes

if TYPE_CHECKING:
    import onnx

Shape = tuple[int | str, ...]

METADATA_SHOWN = 60


def describe_file(path: str | os.PathLike[str]) -> str:
    """Inputs, outputs, versions, operators, parameters and an estimate of the floating point operations.

    Data that the model keeps in other files is not read.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not an ONNX model.
    """
    model = read_model(path)
    graph = model.graph
    initialized = {tensor.name for tensor in graph.initializer}
    inputs = [["input", v.name, _type_text(v)] for v in graph.input if v.name not in initialized]
    defaults = [["input with default", v.name, _type_text(v)] for v in graph.input if v.name in initialized]
    outputs = [["output", v.name, _type_text(v)] for v in graph.output]
    opsets = ", ".join(f"{item.domain or 'ai.onnx'} {item.version}" for item in model.opset_import)
    lines = [
        f"{Path(path).name}: ONNX IR version {model.ir_version}, opset {opsets}"
        + (f", written by {model.producer_name} {model.producer_version}".rstrip() if model.producer_name else ""),
        table([*inputs, *defaults, *outputs]),
        section("parameters"),
        _parameters(graph),
        section("operators"),
        _operators(graph),
        section("floating point operations of one run with every symbolic size (as batch) 1, estimated"),
        _work(model),
    ]
    if model.metadata_props:
        lines += [section("metadata"), table([[item.key, _cut(item.value)] for item in model.metadata_props])]
    return "\n".join(lines)


def read_model(path: str | os.PathLike[str]) -> onnx.ModelProto:
    """The model without data that it keeps in other files.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not an ONNX model, or one that asks for what no model needs.
    """
    import onnx
    from google.protobuf.message import DecodeError

    if Path(path).exists() and not Path(path).is_file():
        raise KCompileError(f"{str(path)!r} is not a file")
    check_size(repr(str(path)), Path(path).stat().st_size, ONNX_BYTES)
    data = Path(path).read_bytes()
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError:
        model.Clear()
    if not model.opset_import or not model.HasField("graph"):
        raise KCompileError(f"{str(path)!r} is not an ONNX model (or it is cut off)")
    check_model(model, path)
    return model


def _type_text(value: onnx.ValueInfoProto) -> str:
    import onnx

    if not value.type.HasField("tensor_type"):
        return value.type.WhichOneof("value") or "unknown"
    number = value.type.tensor_type.elem_type
    known = number in onnx.TensorProto.DataType.values()
    dtype = onnx.TensorProto.DataType.Name(number).lower() if number and known else "unknown"
    shape = _shape(value)
    return f"{dtype}({', '.join(map(str, shape))})" if shape is not None else dtype


def _shape(value: onnx.ValueInfoProto) -> Shape | None:
    """Sizes as numbers or names, ``?`` for those without either; ``None`` if the rank is unknown."""
    if not value.type.tensor_type.HasField("shape"):
        return None
    return tuple(
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?" for dim in value.type.tensor_type.shape.dim
    )


def _parameters(graph: onnx.GraphProto) -> str:
    """Initializers by element type."""
    import onnx

    counts: Counter[int] = Counter()
    numbers: Counter[int] = Counter()
    for tensor in graph.initializer:
        counts[tensor.data_type] += 1
        numbers[tensor.data_type] += math.prod(tensor.dims)
    rows: list[list[object]] = [["type", "tensors", "elements", "bytes"]]
    for kind in sorted(counts):
        name = onnx.TensorProto.DataType.Name(kind).lower()
        rows.append([name, counts[kind], numbers[kind], numbers[kind] * bits(kind) // 8])
    total = sum(numbers[kind] * bits(kind) // 8 for kind in counts)
    return table([*rows, ["total", counts.total(), numbers.total(), total]])


def _operators(graph: onnx.GraphProto) -> str:
    found = Counter(f"{node.domain}.{node.op_type}".lstrip(".") for node in nodes(graph))
    rows: list[list[object]] = [[name, count] for name, count in sorted(found.items())]
    return table([*rows, ["total", found.total()]])


def _work(model: onnx.ModelProto) -> str:
    """Operations by operator, the largest first."""
    work: Counter[str] = Counter()
    unknown = 0
    shapes = inferred_shapes(model)
    for node in model.graph.node:
        estimate = flops(node, shapes)
        if estimate is None:
            unknown += 1
        elif estimate:
            work[node.op_type] += estimate
    rows: list[list[object]] = [[name, count] for name, count in work.most_common()]
    rows.append(["total", work.total()])
    text = table(rows)
    return text + (f"\n  (without {unknown} nodes of unknown shape)" if unknown else "")


def inferred_shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Shapes by tensor, as ONNX's shape inference finds them; symbolic sizes are 1."""
    import onnx

    # Weights are left out: only their shapes matter, and a model with them may be too large to be passed on.
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.functions[:]  # a few of them that call each other can stand for any number of nodes
    for tensor in bare.graph.initializer:
        if math.prod(tensor.dims) > 1024:
            shape = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            bare.graph.input.append(shape)
    small = [tensor for tensor in bare.graph.initializer if math.prod(tensor.dims) <= 1024]
    kept = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in small]
    del bare.graph.initializer[:]
    bare.graph.initializer.extend(kept)
    try:
        graph = onnx.shape_inference.infer_shapes(bare, data_prop=True).graph
    except Exception:  # several unrelated types; what the file declares itself is still there
        graph = bare.graph
    found: dict[str, tuple[int, ...]] = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        shape = _shape(value)
        if shape is not None:
            found.setdefault(value.name, tuple(dim if isinstance(dim, int) else 1 for dim in shape))
    return found


# fmt: off
FREE = frozenset({
    "Cast", "Concat", "Constant", "ConstantOfShape", "DepthToSpace", "Expand", "Flatten", "Gather", "Identity", "Pad",
    "Reshape", "Shape", "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
})
# fmt: on
"""Operators that move or reinterpret data."""


def flops(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> int | None:
    """Floating point operations of a node, a multiplication and an addition counting as two.

    ``None`` if they cannot be told: shapes are unknown, or other graphs are run.
    """
    if node.op_type in FREE:
        return 0
    known = [shapes.get(name) for name in node.input]
    output = shapes.get(node.output[0]) if node.output else None
    if output is None or any(attribute.HasField("g") for attribute in node.attribute):
        return None
    size = math.prod(output)
    if node.op_type in ("Conv", "ConvTranspose"):
        x, w = known[0], known[1]
        if x is None or w is None:
            return None
        # Each element of the output (of the input, if transposed) meets one filter, w without its first axis.
        return 2 * (size if node.op_type == "Conv" else math.prod(x)) * math.prod(w[1:])
    if node.op_type in ("MatMul", "Gemm"):
        x = known[0]
        if not x:
            return None
        transposed = any(a.name == "transA" and a.i for a in node.attribute)
        return 2 * size * x[0 if transposed else -1]
    if node.op_type.startswith("Reduce") or node.op_type in ("ArgMax", "ArgMin", "GlobalAveragePool", "GlobalMaxPool"):
        return math.prod(known[0]) if known[0] is not None else None
    if node.op_type in ("MaxPool", "AveragePool"):
        window = next((a.ints for a in node.attribute if a.name == "kernel_shape"), ())
        return size * math.prod(window)
    if node.op_type in ("BatchNormalization", "Softmax", "LogSoftmax"):
        return 4 * size
    return size


def _cut(text: str) -> str:
    return text if len(text) <= METADATA_SHOWN else f"{text[:METADATA_SHOWN]}... ({len(text):,} characters)"
