"""Parsing the text form of graphs (see :mod:`kcompile.ir.text`)."""

from __future__ import annotations

import ast
import difflib
import importlib
import math
import pkgutil
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kcompile.ir import ops
from kcompile.ir.core import (
    OPS,
    Array,
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
from kcompile.ir.dims import parse_dim
from kcompile.ir.errors import IRError
from kcompile.ir.printing import default_names, type_text
from kcompile.ir.types import LONG_NAMES, TensorType


def parse_graph(text: str, arrays: Mapping[str, Array] | None = None, constant_elements: int | None = None) -> Graph:
    """Read a graph from its text form.

    Args:
        text: one function in the text form; comments are ignored.
        arrays: the large constants by digest (see :func:`large_constants`).
        constant_elements: the most elements that a constant may have, for a text that nobody vouches for.

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
    for module in pkgutil.walk_packages(ops.__path__, f"{ops.__name__}."):
        importlib.import_module(module.name)  # an op is known once its class is
    return _Parser(arrays or {}, constant_elements).graph(function)


class _Parser:
    def __init__(self, arrays: Mapping[str, Array], constant_elements: int | None) -> None:
        self.arrays = arrays
        self.constant_elements = constant_elements
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
                self.regions[statement.name] = _Parser(self.arrays, self.constant_elements).graph(statement)
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
                    raise self.error(call, f"{_name(call)} has {len(outputs)} results, {len(targets)} names are given")
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
                self.outputs = dict(zip(default_names(len(results)), parsed, strict=True))
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
            actual = ", ".join(type_text(value.type) for value in outputs)
            raise self.error(call, f"{_name(call)} has type {actual}, declared is {type_text(type)}")
        return outputs[0]

    def constant(self, type: TensorType, argument: ast.expr) -> Value:
        if self.constant_elements is not None and math.prod(type.static_shape) > self.constant_elements:
            raise self.error(argument, f"a constant of type {type_text(type)} is too large")
        match argument:
            case ast.Constant(value=str(key)):
                if key not in self.arrays:
                    raise self.error(argument, f"the array of constant {key!r} is not given; pass arrays={{...}}")
                array = np.asarray(self.arrays[key])
                if array.dtype.name != type.dtype or array.shape != type.shape:
                    found = f"{array.dtype}{list(array.shape)}"
                    raise self.error(argument, f"constant {key!r} is {found}, declared is {type_text(type)}")
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
            raise self.error(call, f"attributes of {name}: {error}") from None
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
            raise self.error(expression, str(error)) from None

    def type(self, annotation: ast.expr) -> TensorType:
        match annotation:
            case ast.Name(short) if short in LONG_NAMES:
                return TensorType(LONG_NAMES[short], ())
            case ast.Subscript(value=ast.Name(short), slice=inner) if short in LONG_NAMES:
                parts: Sequence[ast.expr] = inner.elts if isinstance(inner, ast.Tuple) else [inner]
                try:
                    return TensorType(LONG_NAMES[short], tuple(parse_dim(ast.unparse(part)) for part in parts))
                except ValueError as error:
                    raise self.error(annotation, str(error)) from None
        raise self.error(annotation, f"{ast.unparse(annotation)!r} is not a type: write for example f32[batch, 3]")

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
