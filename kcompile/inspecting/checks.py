"""ONNX files that nobody vouches for: every tensor, wherever it is, and the functions, before anything uses them.

Tensors can lie in initializers (sparse ones too), in attributes, in graphs inside nodes, in functions and in training
information; each can name a file and a part of it.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kcompile.common.errors import KCompileError
from kcompile.common.limits import ONNX_NODES, UnsafeFileError, size_text

if TYPE_CHECKING:
    import onnx

_KEYS = ("location", "offset", "length", "checksum", "basepath")
_LARGEST = 2**62
_PACKED = {"UINT4": 4, "INT4": 4, "FLOAT4E2M1": 4, "UINT2": 2, "INT2": 2}
"""Bits of elements that share bytes."""


def check_model(model: onnx.ModelProto, path: str | os.PathLike[str]) -> None:
    """Refuse what no model needs, or what is not as it says.

    Args:
        model: an ``onnx.ModelProto`` without its external data.
        path: its file, beside which (or below whose folder) external data must be.

    Raises:
        UnsafeFileError: data outside the folder, links and hard links, parts beyond a file's end, functions that call
            themselves or stand for more than a million nodes.
        KCompileError: sizes, element types or bytes of tensors that contradict each other.
    """
    file = repr(Path(path).name)
    for tensor in tensors(model):
        try:
            _check_tensor(tensor, Path(path).parent)
        except KCompileError as error:
            raise type(error)(f"{file}: tensor {tensor.name[:100]!r} {error}") from None
    _check_functions(model, file)


def tensors(message: onnx.ModelProto) -> Iterator[Any]:
    """Every TensorProto inside a message."""
    stack = [message]
    while stack:
        item = stack.pop()
        if item.DESCRIPTOR.name == "TensorProto":
            yield item
            continue
        for field, value in item.ListFields():
            if field.message_type is not None:
                stack += value if hasattr(value, "append") or hasattr(value, "add") else [value]


def _check_tensor(tensor: onnx.TensorProto, folder: Path) -> None:
    import onnx

    if tensor.data_type not in onnx.TensorProto.DataType.values() or tensor.data_type == onnx.TensorProto.UNDEFINED:
        raise KCompileError(f"has the unknown element type {tensor.data_type}")
    count = math.prod(tensor.dims)
    if any(size < 0 for size in tensor.dims) or count > _LARGEST:
        raise KCompileError(f"has the shape {tuple(tensor.dims)[:32]}")
    size = None
    if tensor.data_type != onnx.TensorProto.STRING:
        size = -(-count * bits(tensor.data_type) // 8)
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        _check_external({entry.key: entry.value for entry in tensor.external_data}, size, folder)
    elif tensor.HasField("raw_data") and len(tensor.raw_data) != size:
        text = size_text(size or 0)
        raise KCompileError(f"declares {text} for its shape, but stores {size_text(len(tensor.raw_data))}")


def bits(kind: int) -> int:
    """Bits of one element; 0 for strings, whose length is not known."""
    import onnx

    if kind == onnx.TensorProto.STRING:
        return 0
    packed = _PACKED.get(onnx.TensorProto.DataType.Name(kind))
    if packed is not None:
        return packed
    return int(onnx.helper.tensor_dtype_to_np_dtype(kind).itemsize * 8)


def _check_external(entries: dict[str, str], size: int | None, folder: Path) -> None:
    if unknown := sorted(set(entries).difference(_KEYS)):
        raise UnsafeFileError(f"has external data with the unknown key {unknown[0][:100]!r}")
    location = entries.get("location", "")
    parts = location.split("/")
    if any(sign in location for sign in "\\\0:*") or any(part in ("", "..") for part in parts):
        raise UnsafeFileError(f"has its data in {location[:100]!r}, which is no place beside the model")
    target = folder / location
    if not target.resolve().is_relative_to(folder.resolve()):
        raise UnsafeFileError(f"has its data in {location[:100]!r}, a link that leads out of the model's folder")
    numbers = [entries.get(key, "0") for key in ("offset", "length")]
    if not all(re.fullmatch(r"\d{1,18}", number) for number in numbers):
        raise UnsafeFileError(f"has external data at offset {numbers[0][:50]!r} with length {numbers[1][:50]!r}")
    offset, length = map(int, numbers)
    if size is not None and "length" in entries and length != size:
        raise KCompileError(f"takes {size_text(size)}, but has external data of {size_text(length)}")
    if not target.exists():
        return  # nothing to read; whoever wants the data is told
    if not target.is_file() or target.stat().st_nlink > 1:
        raise UnsafeFileError(f"has its data in {location[:100]!r}, which is no file of its own")
    if offset + (length or size or 0) > target.stat().st_size:
        raise UnsafeFileError(f"has data beyond the end of {location[:100]!r}")


def _check_functions(model: onnx.ModelProto, file: str) -> None:
    """Count the nodes that are there once functions are written out."""
    functions = {(item.domain, item.name): item for item in model.functions}
    calls = {key: Counter((n.domain, n.op_type) for n in _nodes(item.node)) for key, item in functions.items()}
    sizes: dict[Any, int] = {}
    path: dict[Any, None] = {}
    stack = [(key, False) for key in functions]
    while stack:
        key, leaving = stack.pop()
        if leaving:
            del path[key]
            sizes[key] = sum(count * sizes.get(called, 1) for called, count in calls[key].items())
        elif key in path:
            names = [name for _, name in [*path, key]]
            raise UnsafeFileError(f"{file}: function {key[1][:100]!r} calls itself ({' -> '.join(names[-5:])[:200]})")
        elif key not in sizes:
            path[key] = None
            stack.append((key, True))
            stack += [(called, False) for called in calls[key] if called in functions]
    total = sum(sizes.get((node.domain, node.op_type), 1) for node in _nodes(model.graph.node))
    if total > ONNX_NODES:
        text = f"{total:,}" if total < 10**15 else "far more"
        raise UnsafeFileError(f"{file} stands for {text} nodes, more than the {ONNX_NODES:,} that are allowed")


def _nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[Any]:
    """Nodes, and those of the graphs inside them."""
    stack = [nodes]
    while stack:
        for node in stack.pop():
            yield node
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    stack.append(attribute.g.node)
                stack += [graph.node for graph in attribute.graphs]
