"""ONNX files that ask for what no model needs. ``CASES``: name -> (builder, its refusal)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from onnx import TensorProto, helper

CASES: dict[str, tuple[Callable[[Path], Path], str]] = {}
"""A builder gets an empty folder and returns the path of its file."""

CANARY = b"the canary sings " * 4
OPSETS = [helper.make_opsetid("", 21), helper.make_opsetid("my", 1)]


def hostile(refusal: str) -> Callable[[Any], Any]:
    def add(build: Any) -> Any:
        CASES[build.__name__] = build, refusal
        return build

    return add


def written(folder: Path, initializers: Any = (), nodes: Any = None, functions: Any = ()) -> Path:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in "xy")
    graph = helper.make_graph(nodes or [helper.make_node("Identity", ["x"], ["y"])], "g", [x], [y], list(initializers))
    model = helper.make_model(graph, opset_imports=OPSETS, functions=list(functions))
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def tensor(dims: Any = (4,), data_type: int = TensorProto.FLOAT, raw: bytes | None = None, **external: str) -> Any:
    made = TensorProto(name="w", dims=dims, data_type=data_type)
    if raw is not None:
        made.raw_data = raw
    for key, value in external.items():
        made.data_location = TensorProto.EXTERNAL
        made.external_data.add(key=key, value=value)
    return made


# ---- data elsewhere


def _elsewhere(name: str, location: str, refusal: str, **more: str) -> None:
    def build(folder: Path) -> Path:
        (folder / "inside").mkdir()
        (folder / "secret").write_bytes(CANARY)
        (folder / "inside/data").write_bytes(bytes(16))
        os.symlink(folder / "secret", folder / "inside/link")
        os.symlink(folder, folder / "inside/up")
        os.link(folder / "secret", folder / "inside/hard")
        os.mkfifo(folder / "inside/pipe")
        return written(folder / "inside", [tensor(location=location, **more)])

    CASES[name] = build, refusal


_elsewhere("data_in_the_folder_above", "../secret", "no place beside the model")
_elsewhere("data_above_by_a_detour", "a/../../secret", "no place beside the model")
_elsewhere("data_at_an_absolute_path", "/etc/passwd", "no place beside the model")
_elsewhere("data_on_a_drive", "C:secret", "no place beside the model")
_elsewhere("data_with_backslashes", "..\\secret", "no place beside the model")
_elsewhere("data_nowhere", "", "no place beside the model")
_elsewhere("data_behind_a_link", "link", "a link that leads out")
_elsewhere("data_behind_a_linked_folder", "up/secret", "a link that leads out")
_elsewhere("data_behind_a_hard_link", "hard", "no file of its own")
_elsewhere("data_in_a_pipe", "pipe", "no file of its own")
_elsewhere("data_in_memory", "*/_ORT_MEM_ADDR_/*", "no place beside the model")
_elsewhere("data_at_an_endless_offset", "data", "at offset '1111", offset="1" * 30)
_elsewhere("data_before_the_start", "data", "at offset '-8'", offset="-8")
_elsewhere("data_beyond_the_end", "data", "beyond the end", offset="8")
_elsewhere("data_of_another_length", "data", "but has external data of", length="12")
_elsewhere("data_with_an_attribute", "data", "unknown key '__class__'", __class__="x")


@hostile("no place beside the model")
def data_of_a_constant(folder: Path) -> Path:
    return written(folder, nodes=[helper.make_node("Constant", [], ["y"], value=tensor(location="../secret"))])


@hostile("no place beside the model")
def data_of_a_graph_inside_a_node(folder: Path) -> Path:
    inner = helper.make_graph([], "inner", [], [], [tensor(location="../secret")])
    return written(folder, nodes=[helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)])


@hostile("no place beside the model")
def data_of_a_function(folder: Path) -> Path:
    node = helper.make_node("Constant", [], ["b"], value=tensor(location="../secret"))
    return written(folder, functions=[helper.make_function("my", "f", ["a"], ["b"], [node], OPSETS)])


@hostile("no place beside the model")
def data_of_a_sparse_attribute(folder: Path) -> Path:
    sparse = helper.make_sparse_tensor(
        tensor(location="../secret"), helper.make_tensor("i", TensorProto.INT64, [0], []), [4]
    )
    return written(folder, nodes=[helper.make_node("Constant", [], ["y"], sparse_value=sparse)])


# ---- not as it says


@hostile("declares 4.0 TiB for its shape, but stores 4 bytes")
def shape_bomb(folder: Path) -> Path:
    return written(folder, [tensor([2**40], raw=b"1234")])


@hostile(r"has the shape \(-5, 7\)")
def negative_shape(folder: Path) -> Path:
    return written(folder, [tensor([-5, 7])])


@hostile("has the shape")
def shape_beyond_64_bits(folder: Path) -> Path:
    return written(folder, [tensor([2**62] * 6)])


@hostile("unknown element type 999")
def unknown_element_type(folder: Path) -> Path:
    return written(folder, [tensor(data_type=999)])


@hostile("unknown element type 0")
def no_element_type(folder: Path) -> Path:
    return written(folder, [tensor(data_type=0)])


def _functions(count: int, last: str) -> list[Any]:
    """Functions that each call the next one twice."""
    names = [*(f"f{i}" for i in range(1, count)), last]
    return [
        helper.make_function(
            "my", f"f{i}", ["a"], ["b"], [helper.make_node(name, ["a"], [y], domain="my") for y in "bc"], OPSETS
        )
        for i, name in enumerate(names)
    ]


@hostile("stands for .* nodes, more than")
def functions_that_double(folder: Path) -> Path:
    return written(folder, nodes=[helper.make_node("f0", ["x"], ["y"], domain="my")], functions=_functions(40, "Relu"))


@hostile("calls itself")
def functions_in_a_circle(folder: Path) -> Path:
    return written(folder, functions=_functions(3, "f0"))


@hostile("is not an ONNX model")
def graphs_nested_too_deep(folder: Path) -> Path:
    """GraphProto.node, NodeProto.attribute, AttributeProto.g, and so on: 200 times."""
    data = b""
    for tag in (b"\x32", b"\x2a", b"\x0a") * 200:  # from the inside: g is field 6, attribute 5, node 1
        size, length = len(data), b""
        while size > 127:
            length, size = length + bytes([size & 127 | 128]), size >> 7
        data = tag + length + bytes([size]) + data
    (folder / "model.onnx").write_bytes(b"\x08\x08\x42\x02\x10\x15\x3a" + _varint(len(data)) + data)
    return folder / "model.onnx"


def _varint(number: int) -> bytes:
    found = b""
    while number > 127:
        found, number = found + bytes([number & 127 | 128]), number >> 7
    return found + bytes([number])


@hostile("is not an ONNX model")
def garbage(folder: Path) -> Path:
    (folder / "model.onnx").write_bytes(bytes(range(256)) * 10)
    return folder / "model.onnx"


@hostile("is not an ONNX model")
def cut_off(folder: Path) -> Path:
    path = written(folder, [tensor(raw=bytes(16))])
    path.write_bytes(path.read_bytes()[:-30])
    return path


@hostile("is not an ONNX model")
def empty(folder: Path) -> Path:
    (folder / "model.onnx").write_bytes(b"")
    return folder / "model.onnx"


@hostile("more than the 2.0 GiB that are allowed")
def larger_than_a_message(folder: Path) -> Path:
    path = written(folder)
    os.truncate(path, 2**40)  # with nothing stored
    return path


@hostile("is not a file")
def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "model.onnx")
    return folder / "model.onnx"
