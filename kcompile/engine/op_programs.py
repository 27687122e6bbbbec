"""Operations outside of layers (``x + y``, ``K.exp(x)``) as programs, which can be applied again, and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kcompile import ir
from kcompile.backend import math as tensor_math
from kcompile.common import config
from kcompile.common.errors import KCompileError, shown
from kcompile.ir.ops.elementwise.functions import Sigmoid
from kcompile.ir.ops.products.softmax import Softmax
from kcompile.ir.parsing import parse_graph
from kcompile.ir.printing import large_constants, print_graph
from kcompile.ir.substitution import substitute
from kcompile.symbolic.history import made_by_layer, made_from_logits
from kcompile.symbolic.tensor import Tensor

PROGRAM_LENGTH = 1_000_000
"""The most characters of a program in a configuration."""

CONSTANT_ELEMENTS = 100_000
"""The most elements of a constant of a program; what is larger belongs into weights."""


@dataclass(frozen=True)
class Program:
    """How a value is computed of others.

    Attributes:
        sources: those others.
        result: the value.
        logits: for each source of which the operations read the logits: which activation made it of them.
    """

    sources: tuple[ir.Value, ...]
    result: ir.Value
    logits: tuple[str | None, ...]

    def applied(self, tensors: Sequence[Tensor]) -> Tensor:
        """The result for other sources."""
        read = (_logits(x, kind) for x, kind in zip(tensors, self.logits, strict=True))
        return Tensor(substitute([self.result], dict(zip(self.sources, read, strict=True)))[0])

    def graph(self) -> ir.Graph:
        """The program alone, with inputs of its own."""
        inputs = [ir.input_value(f"x{i}", x.dtype, x.shape) for i, x in enumerate(self.sources)]
        results = substitute([self.result], dict(zip(self.sources, inputs, strict=True)))
        return ir.Graph(inputs, results, name="program")

    def __reduce__(self) -> tuple[Any, ...]:
        return _of_graph, (self.graph(), self.logits)

    def written(self, owner: str) -> dict[str, Any]:
        """As a configuration holds it: ``program`` is the text form, ``constants`` the large ones that it names.

        Args:
            owner: whose program it is, for messages.

        Raises:
            ValueError: the operations use a variable, or very large constants.
        """
        graph = self.graph()
        for node in ir.toposort(graph.results):
            if isinstance(node.op, ir.Variable):
                kind = "draws random numbers" if node.op.role == "rng" else f"uses the variable {node.op.label!r}"
                raise KCompileError(f"{owner} and {kind}, which no configuration can hold; make it a layer")
        constants = large_constants(graph)
        for array in constants.values():
            if array.size > CONSTANT_ELEMENTS:
                raise KCompileError(f"{owner} with a constant of shape {array.shape}; make it a weight")
        arrays = {key: {"dtype": array.dtype.name, "values": array.tolist()} for key, array in constants.items()}
        logits = {"logits": list(self.logits)} if any(self.logits) else {}
        return {"program": print_graph(graph, scopes=False), "constants": arrays, **logits}


def _of_graph(graph: ir.Graph, logits: Sequence[str | None]) -> Program:
    return Program(tuple(graph.inputs), graph.results[0], tuple(logits))


def read_program(config: Mapping[str, Any], owner: str) -> Program:
    """The program of a configuration, the opposite of :meth:`Program.written`.

    Raises:
        ValueError: it is none.
    """
    program, constants, logits = config.get("program"), config.get("constants", {}), config.get("logits")
    if not isinstance(program, str) or len(program) > PROGRAM_LENGTH or not isinstance(constants, dict):
        raise KCompileError(f"{owner}: program must be the text form of a graph, got {shown(program)}")
    try:
        arrays = {key: np.array(item["values"], item["dtype"]) for key, item in constants.items()}
        graph = parse_graph(program, arrays, CONSTANT_ELEMENTS)
    except (ir.IRError, ValueError, TypeError, KeyError, AttributeError, RecursionError, MemoryError) as error:
        raise KCompileError(f"{owner}: program cannot be read: {type(error).__name__}: {error}") from error
    if len(graph.results) != 1 or graph.updates or graph.variables():
        raise KCompileError(f"{owner}: program must have one result and no variables")
    kinds = [None] * len(graph.inputs) if logits is None else logits
    known = isinstance(kinds, list) and all(kind in (None, "sigmoid", "softmax") for kind in kinds)
    if not known or len(kinds) != len(graph.inputs):
        raise KCompileError(f"{owner}: logits tell of each input None, sigmoid or softmax, got {shown(logits)}")
    return _of_graph(graph, kinds)


def program_of(x: Tensor) -> tuple[list[Tensor], Program]:
    """The outputs of layers that ``x`` is computed from, none for a constant; and how it is computed from these."""
    sources: dict[ir.Value, tuple[Tensor, str | None]] = {}
    seen: set[ir.Value] = set()
    stack = [x.value]
    while stack:
        value = stack.pop()
        if value in seen:
            continue
        seen.add(value)
        if (tensor := made_by_layer(value)) is not None:
            sources[value] = tensor, None
        elif (tensor := made_from_logits(value)) is not None:
            sources[value] = tensor, "sigmoid" if isinstance(tensor.value.op, Sigmoid) else "softmax"
        else:
            stack.extend(value.node.inputs)
    values = tuple(reversed(sources))
    return [sources[v][0] for v in values], Program(values, x.value, tuple(sources[v][1] for v in values))


def _logits(x: Tensor, activation: str | None) -> ir.Value:
    """The tensor itself, or of what it is the sigmoid or softmax (but for a constant in each row)."""
    if activation is None:
        return x.value
    if isinstance(x.value.op, Sigmoid if activation == "sigmoid" else Softmax):
        return x.value.node.inputs[0]
    p = tensor_math.clip(x, config.epsilon(), 1 - config.epsilon())
    return (tensor_math.log(p) - tensor_math.log(1 - p)).value if activation == "sigmoid" else tensor_math.log(p).value
