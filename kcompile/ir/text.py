"""The text form of graphs: Python syntax, printed and parsed back.

::

    def model(image: f32[batch, 4], mask: bool[batch]):
        kernel: f32[4, 2] = variable("dense/kernel", "weight")
        matmul_1: f32[batch, 2] = matmul(image, kernel)
        mul_1: f32[batch, 2] = mul(matmul_1, 0.5)
        split_1_0, split_1_1 = split(mul_1, sizes=(1, 1), axis=1)  # f32[batch, 1], f32[batch, 1]
        kernel.next = mul_2
        return {"left": split_1_0}

Operands are positional, attributes are keywords (left out where they have their default), regions are nested
functions, sizes are expressions over names. A float literal is a float32 scalar, an integer literal an int64
scalar; scalars of other types read ``i32(7)``. Constants of many elements are written as a digest: to parse
those back takes the arrays (:func:`large_constants`).
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import hashlib
import json
import keyword
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from kcompile.ir.core import (
    OPS,
    Array,
    Constant,
    Graph,
    Input,
    Node,
    Op,
    Value,
    Variable,
    apply,
    constant,
    make_node,
    scope,
)
from kcompile.ir.dims import SymbolicDim, names_in, parse_dim
from kcompile.ir.errors import IRError
from kcompile.ir.types import LONG_NAMES, SHORT_NAMES, TensorType

INLINE_LIMIT = 32
"""Constants of at most so many elements are written out."""

INDENT = "    "


def print_graph(graph: Graph, scopes: bool = True) -> str:
    """The text form of ``graph``.

    Args:
        graph: any graph.
        scopes: whether to group nodes in ``with scope("dense_1"):`` blocks, where they have scopes.
    """
    return "\n".join(_Printer(graph, scopes).lines("graph")) + "\n"


def parse_graph(text: str, arrays: Mapping[str, Array] | None = None) -> Graph:
    """Read a graph from its text form.

    Args:
        text: one function in the text form; comments are ignored.
        arrays: the large constants by digest (see :func:`large_constants`).

    Raises:
        IRError: the text is not a graph, or declares a type that its op does not have; the message names the
            line.
    """
    try:
        (function,) = ast.parse(text).body
    except SyntaxError as error:
        raise IRError(f"line {error.lineno}: not Python syntax: {error.msg}") from None
    except ValueError:
        raise IRError("the text form of a graph is exactly one function") from None
    if not isinstance(function, ast.FunctionDef):
        raise IRError("the text form of a graph is a function: def name(x: f32[3]): ...")
    return _Parser(arrays or {}).graph(function)


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


# ---- printing


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
            type = _type_text(value.type)
            parameters.append(
                f"{name}: {type}" if name == label else f"{name}: input({_quoted(label)}, {type})"
            )
        yield f"def {_identifier(self.graph.name or fallback)}({', '.join(parameters)}):"
        for variable in self.graph.variables():
            self.variables[variable] = name = self.unique(variable.label.rpartition("/")[2])
            declared = f"variable({_quoted(variable.label)}, {_quoted(variable.role)})"
            yield f"{INDENT}{name}: {_type_text(variable.type)} = {declared}"
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
        if list(outputs) == _default_names(len(outputs)):
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
            yield f"{name}: {_type_text(node.outputs[0].type)} = {call}"
            return
        for value in node.outputs:
            self.names[value] = self.unique(f"{base}_{value.index}")
        targets = ", ".join(self.names[value] for value in node.outputs)
        yield f"{targets} = {call}  # {', '.join(_type_text(value.type) for value in node.outputs)}"

    def operand(self, value: Value) -> str:
        if value not in self.names:
            assert isinstance(value.op, Constant), value
            return _scalar_operand(value.op.array)
        return self.names[value]

    def unique(self, name: str) -> str:
        name = base = _identifier(name)
        number = 0
        while name in self.used or name in _RESERVED:
            number += 1
            name = f"{base}_{number}"
        self.used.add(name)
        return name


def _identifier(text: str) -> str:
    name = re.sub(r"\W", "_", text, flags=re.ASCII) or "value"
    return f"_{name}" if name[0].isdigit() or keyword.iskeyword(name) else name


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _default_names(count: int) -> list[str]:
    return [f"output_{i}" if i else "output" for i in range(count)]


def _type_text(type: TensorType) -> str:
    # An empty subscript is no Python, so a scalar is written as the bare element type.
    return str(type) if type.rank else SHORT_NAMES[type.dtype]


def _is_default(field: dataclasses.Field[Any], item: Any) -> bool:
    return (
        field.default is not dataclasses.MISSING
        and type(item) is type(field.default)
        and item == field.default
    )


def _attribute_text(item: Any, regions: Mapping[int, str]) -> str:
    match item:
        case Graph():
            return regions[id(item)]
        case TensorType():
            return _type_text(item)
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
    text = str(element)  # NumPy prints the shortest decimal that reads back to the same number.
    return text if element.dtype.kind != "f" or re.search(r"[.en]", text) else f"{text}.0"


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


# ---- parsing

_RESERVED = frozenset(
    {"nan", "inf", "True", "False", "None", "variable", "constant", "input", "scope", *LONG_NAMES}
)


class _Parser:
    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self.arrays = arrays
        self.values: dict[str, Value] = {}
        self.regions: dict[str, Graph] = {}
        self.updates: dict[Variable, Value] = {}
        self.outputs: dict[str, Value] | None = None
        self.scope = ""

    def graph(self, function: ast.FunctionDef) -> Graph:
        inputs = []
        for argument in function.args.args:
            match argument.annotation:
                case ast.Call(func=ast.Name("input"), args=[ast.Constant(value=str(label)), annotation]):
                    type = self.type(annotation)
                case ast.expr() as annotation:
                    label, type = argument.arg, self.type(annotation)
                case _:
                    raise self.error(argument, f"input {argument.arg} has no type")
            self.values[argument.arg] = apply(Input(label, type))
            inputs.append(self.values[argument.arg])
        for statement in function.body:
            self.statement(statement)
        if self.outputs is None:
            raise self.error(function, f"function {function.name} returns nothing")
        return Graph(inputs, self.outputs, self.updates, function.name)

    def statement(self, statement: ast.stmt) -> None:
        try:
            self._statement(statement)
        except IRError as error:
            text = str(error)
            if text.startswith("line "):
                raise
            raise IRError(f"line {statement.lineno}: {text}") from None

    def _statement(self, statement: ast.stmt) -> None:
        match statement:
            case ast.FunctionDef():
                self.regions[statement.name] = _Parser(self.arrays).graph(statement)
            case ast.With(items=[ast.withitem(ast.Call(ast.Name("scope"), [ast.Constant(value=str(name))]))]):
                self.scope = name
                for inner in statement.body:
                    self.statement(inner)
                self.scope = ""
            case ast.AnnAssign(target=ast.Name(name), value=ast.Call() as call):
                with scope(self.scope):
                    self.values[name] = self.declared(self.type(statement.annotation), call)
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Call() as call):
                with scope(self.scope):
                    outputs = self.node(call).outputs
                if len(outputs) != len(targets):
                    raise self.error(
                        call, f"{_name(call)} has {len(outputs)} results, {len(targets)} names are given"
                    )
                self.values.update(zip((ast.unparse(target) for target in targets), outputs, strict=True))
            case ast.Assign(targets=[ast.Attribute(ast.Name(name), "next")]):
                variable = self.lookup(statement, name).op
                if not isinstance(variable, Variable):
                    raise self.error(statement, f"{name} is not a variable")
                self.updates[variable] = self.operand(statement.value)
            case ast.Return(value=ast.Dict(keys, values)):
                names = [ast.literal_eval(key) if key is not None else "" for key in keys]
                self.outputs = {n: self.operand(v) for n, v in zip(names, values, strict=True)}
            case ast.Return(value=ast.expr() as value):
                results = value.elts if isinstance(value, ast.Tuple) else [value]
                parsed = map(self.operand, results)
                self.outputs = dict(zip(_default_names(len(results)), parsed, strict=True))
            case _:
                raise self.error(statement, f"not a statement of the text form: {ast.unparse(statement)}")

    def declared(self, type: TensorType, call: ast.Call) -> Value:
        match _name(call), call.args:
            case "variable", [ast.Constant(value=str(label)), ast.Constant(value=str(role))]:
                return apply(Variable(label, type, role))
            case "constant", [argument]:
                return self.constant(type, argument)
        outputs = self.node(call).outputs
        if len(outputs) != 1 or outputs[0].type != type:
            actual = ", ".join(_type_text(value.type) for value in outputs)
            raise self.error(call, f"{_name(call)} has type {actual}, declared is {_type_text(type)}")
        return outputs[0]

    def constant(self, type: TensorType, argument: ast.expr) -> Value:
        match argument:
            case ast.Constant(value=str(key)):
                if key not in self.arrays:
                    raise self.error(
                        argument, f"the array of constant {key!r} is not given; pass arrays={{...}}"
                    )
                array = np.asarray(self.arrays[key])
                if array.dtype.name != type.dtype or array.shape != type.shape:
                    found = f"{array.dtype}{list(array.shape)}"
                    raise self.error(argument, f"constant {key!r} is {found}, declared is {_type_text(type)}")
            case ast.List():
                array = np.array(_numbers(argument), dtype=type.dtype).reshape(type.static_shape)
            case _:
                array = np.full(type.static_shape, _numbers(argument), dtype=type.dtype)
        return constant(array)

    def node(self, call: ast.Call) -> Node:
        name = _name(call)
        if name not in OPS:
            near = difflib.get_close_matches(name, OPS, 1)
            raise self.error(call, f"unknown op {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        attributes = {k.arg: self.attribute(k.value) for k in call.keywords if k.arg is not None}
        try:
            op: Op = OPS[name](**attributes)
        except TypeError as error:
            raise self.error(call, f"attributes of {name}: {error}")
        return make_node(op, *(self.operand(argument) for argument in call.args))

    def operand(self, expression: ast.expr) -> Value:
        match expression:
            case ast.Name(name) if name not in ("nan", "inf"):
                return self.lookup(expression, name)
            case ast.Call(func=ast.Name(short), args=[number]) if short in LONG_NAMES:
                return constant(_numbers(number), LONG_NAMES[short])
        number = _numbers(expression)
        kind = "bool" if isinstance(number, bool) else "int64" if isinstance(number, int) else "float32"
        return constant(number, kind)

    def attribute(self, expression: ast.expr) -> Any:
        match expression:
            case ast.Constant(value=value):
                return value
            case ast.Tuple(elts=parts):
                return tuple(self.attribute(part) for part in parts)
            case ast.Name(name) if name in self.regions:
                return self.regions[name]
            case ast.Name(name) if name in LONG_NAMES:
                return self.type(expression)
            case ast.Subscript():
                return self.type(expression)
            case ast.Name("nan" | "inf") | ast.UnaryOp(operand=ast.Constant() | ast.Name("inf")):
                return _numbers(expression)
        try:
            return parse_dim(ast.unparse(expression))
        except ValueError as error:
            raise self.error(expression, str(error))

    def type(self, annotation: ast.expr) -> TensorType:
        match annotation:
            case ast.Name(short) if short in LONG_NAMES:
                return TensorType(LONG_NAMES[short], ())
            case ast.Subscript(value=ast.Name(short), slice=inner) if short in LONG_NAMES:
                parts: Sequence[ast.expr] = inner.elts if isinstance(inner, ast.Tuple) else [inner]
                try:
                    return TensorType(
                        LONG_NAMES[short], tuple(parse_dim(ast.unparse(part)) for part in parts)
                    )
                except ValueError as error:
                    raise self.error(annotation, str(error))
        raise self.error(
            annotation, f"{ast.unparse(annotation)!r} is not a type: write for example f32[batch, 3]"
        )

    def lookup(self, where: ast.AST, name: str) -> Value:
        if name not in self.values:
            near = difflib.get_close_matches(name, self.values, 1)
            raise self.error(where, f"no value {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        return self.values[name]

    def error(self, where: ast.AST, message: str) -> IRError:
        return IRError(f"line {getattr(where, 'lineno', '?')}: {message}")


def _name(call: ast.Call) -> str:
    return ast.unparse(call.func)


def _numbers(expression: ast.expr) -> Any:
    """Numbers and nested lists of them; ``nan`` and ``inf`` are numbers."""
    match expression:
        case ast.Constant(value=bool() | int() | float() as value):
            return value
        case ast.Name("nan" | "inf" as name):
            return float(name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_numbers(operand)
        case ast.List(elts=parts):
            return [_numbers(part) for part in parts]
    raise IRError(f"line {expression.lineno}: {ast.unparse(expression)!r} is not a number")
