"""Printing graphs in their text form (see :mod:`kcompile.ir.text`)."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import keyword
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from kcompile.ir.core import Array, Constant, Graph, Input, Node, Value, Variable
from kcompile.ir.dims import SymbolicDim, names_in
from kcompile.ir.types import LONG_NAMES, SHORT_NAMES, TensorType

INLINE_LIMIT = 32
"""Constants of at most so many elements are written out."""

INDENT = "    "

RESERVED = frozenset({"nan", "inf", "True", "False", "None", "variable", "constant", "input", "scope", *LONG_NAMES})
"""Names that mean something else in the text form."""


def print_graph(graph: Graph, scopes: bool = True) -> str:
    """The text form of ``graph``.

    Args:
        graph: any graph.
        scopes: whether to group nodes in ``with scope("dense_1"):`` blocks, where they have scopes.
    """
    return "\n".join(_Printer(graph, scopes).lines("graph")) + "\n"


def large_constants(graph: Graph) -> dict[str, Array]:
    """The arrays of ``graph`` that its text form names by digest only."""
    found: dict[str, Array] = {}
    for node in graph.nodes():
        if isinstance(node.op, Constant) and not _is_short(node.op.array):
            found[digest(node.op.array)] = node.op.array
        for region in node.op.regions:
            found.update(large_constants(region))
    return found


def digest(array: Array) -> str:
    """Sixteen hexadecimal digits that stand for the type and the content of ``array``."""
    hasher = hashlib.blake2b(f"{array.dtype.name}{array.shape}".encode(), digest_size=8)
    hasher.update(np.ascontiguousarray(array).data)
    return hasher.hexdigest()


class _Printer:
    """Prints one function; regions get a printer of their own, since they are closed."""

    def __init__(self, graph: Graph, scopes: bool) -> None:
        self.graph = graph
        self.scopes = scopes
        self.used: set[str] = set()
        self.counts: dict[str, int] = {}
        self.names: dict[Value, str] = {}
        self.variables: dict[Variable, str] = {}

    def lines(self, fallback: str) -> Iterator[str]:
        nodes = self.graph.nodes()
        parameters = []
        for value in self.graph.inputs:
            label = value.op.label if isinstance(value.op, Input) else ""
            name = self.names[value] = self.unique(label)
            type = type_text(value.type)
            parameters.append(f"{name}: {type}" if name == label else f"{name}: input({_quoted(label)}, {type})")
        yield f"def {_identifier(self.graph.name or fallback)}({', '.join(parameters)}):"
        for variable in self.graph.variables():
            self.variables[variable] = name = self.unique(variable.label.rpartition("/")[2])
            declared = f"variable({_quoted(variable.label)}, {_quoted(variable.role)})"
            yield f"{INDENT}{name}: {type_text(variable.type)} = {declared}"
        for node in nodes:  # The names of sizes are taken, so that no region is called like one.
            for value in node.outputs:
                for dim in value.shape:
                    if isinstance(dim, SymbolicDim):
                        self.used.update(names_in(dim))
        current = ""
        for node in nodes:
            if isinstance(node.op, Input) or self.is_literal(node):
                continue
            if isinstance(node.op, Variable):
                self.names[node.outputs[0]] = self.variables[node.op]
                continue
            if self.scopes and node.scope != current:
                current = node.scope
                if current:
                    yield f"{INDENT}with scope({_quoted(current)}):"
            margin = INDENT * 2 if current else INDENT
            for line in self.node_lines(node):
                yield margin + line
        for variable, value in self.graph.updates.items():
            yield f"{INDENT}{self.variables[variable]}.next = {self.operand(value)}"
        yield f"{INDENT}return {self.returned()}"

    def returned(self) -> str:
        outputs = {name: self.operand(value) for name, value in self.graph.outputs.items()}
        if list(outputs) == default_names(len(outputs)):
            return ", ".join(outputs.values()) if outputs else "()"
        return "{" + ", ".join(f"{_quoted(name)}: {value}" for name, value in outputs.items()) + "}"

    def is_literal(self, node: Node) -> bool:
        """Scalar constants are written where they are used."""
        return isinstance(node.op, Constant) and node.op.array.ndim == 0

    def node_lines(self, node: Node) -> Iterator[str]:
        op = node.op
        if isinstance(op, Constant):
            call = f"constant({_constant_text(op.array)})"
        else:
            regions: dict[int, str] = {}
            for region in op.regions:
                regions[id(region)] = name = self.unique(region.name)
                first, *rest = _Printer(region, self.scopes).lines("region")
                yield re.sub(r"^def \w+", f"def {name}", first)
                yield from rest
            arguments = [self.operand(value) for value in node.inputs]
            for field in dataclasses.fields(op):
                item = getattr(op, field.name)
                if not _is_default(field, item):
                    arguments.append(f"{field.name}={_attribute_text(item, regions)}")
            call = f"{op.name}({', '.join(arguments)})"
        self.counts[op.name] = number = self.counts.get(op.name, 0) + 1
        base = f"{op.name}_{number}"
        if len(node.outputs) == 1:
            self.names[node.outputs[0]] = name = self.unique(base)
            yield f"{name}: {type_text(node.outputs[0].type)} = {call}"
            return
        for value in node.outputs:
            self.names[value] = self.unique(f"{base}_{value.index}")
        targets = ", ".join(self.names[value] for value in node.outputs)
        yield f"{targets} = {call}  # {', '.join(type_text(value.type) for value in node.outputs)}"

    def operand(self, value: Value) -> str:
        if value not in self.names:
            assert isinstance(value.op, Constant), value
            return _scalar_operand(value.op.array)
        return self.names[value]

    def unique(self, name: str) -> str:
        name = base = _identifier(name)
        number = 0
        while name in self.used or name in RESERVED:
            number += 1
            name = f"{base}_{number}"
        self.used.add(name)
        return name


def _identifier(text: str) -> str:
    name = re.sub(r"\W", "_", text, flags=re.ASCII) or "value"
    return f"_{name}" if name[0].isdigit() or keyword.iskeyword(name) else name


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def default_names(count: int) -> list[str]:
    return [f"output_{i}" if i else "output" for i in range(count)]


def type_text(type: TensorType) -> str:
    # An empty subscript is no Python, so a scalar is written as the bare element type.
    return str(type) if type.rank else SHORT_NAMES[type.dtype]


def _is_default(field: dataclasses.Field[Any], item: object) -> bool:
    return field.default is not dataclasses.MISSING and type(item) is type(field.default) and item == field.default


def _attribute_text(item: object, regions: Mapping[int, str]) -> str:
    match item:
        case Graph():
            return regions[id(item)]
        case TensorType():
            return type_text(item)
        case SymbolicDim():
            return str(item)
        case str():
            return _quoted(item)
        case tuple() | list():
            parts = [_attribute_text(part, regions) for part in item]
            return f"({parts[0]},)" if len(parts) == 1 else f"({', '.join(parts)})"
        case np.generic():
            return repr(item.item())
    return repr(item)


def _is_short(array: Array) -> bool:
    return array.size <= INLINE_LIMIT or _is_uniform(array)


def _is_uniform(array: Array) -> bool:
    """Whether all elements are the same, to the bit."""
    if array.size == 0:
        return False
    flat = np.ascontiguousarray(array).reshape(-1).view(f"u{array.itemsize}")
    return bool((flat == flat[0]).all())


def _number(element: Any) -> str:
    """The shortest decimal that reads back to the same number, in a form that no version of NumPy decides."""
    if element.dtype.kind != "f" or not np.isfinite(element):
        return str(element)
    if element == 0 or 1e-4 <= abs(float(element)) < 1e16:
        return np.format_float_positional(element, trim="0")
    return np.format_float_scientific(element, trim="-")


def _constant_text(array: Array) -> str:
    if _is_uniform(array):
        return _number(array.reshape(-1)[0])
    if array.size > INLINE_LIMIT:
        return _quoted(digest(array))

    def nested(part: Array) -> str:
        return f"[{', '.join(map(nested, part))}]" if part.ndim else _number(part[()])

    return nested(array)


def _scalar_operand(array: Array) -> str:
    text = _number(array[()])
    if array.dtype.name in ("float32", "int64", "bool"):
        return text
    return f"{SHORT_NAMES[array.dtype.name]}({text})"
