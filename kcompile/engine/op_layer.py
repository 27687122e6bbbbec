"""Operations outside of layers (``x + y``, ``K.exp(x)``) as nodes of the layer graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kcompile import ir
from kcompile.common.errors import KCompileError, ShapeError, shown
from kcompile.engine.layer import Layer
from kcompile.ir.ops.elementwise.functions import Sigmoid
from kcompile.ir.ops.products.softmax import Softmax
from kcompile.ir.parsing import parse_graph
from kcompile.ir.printing import large_constants, print_graph
from kcompile.symbolic.history import made_by_layer, made_from_logits
from kcompile.symbolic.tensor import Tensor

PROGRAM_LENGTH = 1_000_000
"""The most characters of a program in a configuration."""

CONSTANT_ELEMENTS = 100_000
"""The most elements of a constant of a program; what is larger belongs into weights."""


class OpLayer(Layer):
    """Replays IR operations on other inputs.

    It is made where a tensor that K functions or operators computed enters a layer or ends a model, so that such
    models work without ``Lambda``. Its configuration holds the operations in the text form of the IR, which is no code:
    it names ops and nothing else. Other packages cannot read it.
    """

    def __init__(
        self, sources: Sequence[ir.Value], result: ir.Value, logits: Sequence[str | None] = (), **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self._sources = list(sources)
        self._logits = list(logits) if any(logits) else [None] * len(self._sources)
        """For each source of which the operations read the logits: which activation made it of them."""
        self._result = result
        self.built = True

    def call(self, inputs: Any) -> Tensor:
        from kcompile.ir.substitution import substitute

        tensors = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        if len(tensors) != len(self._sources):
            raise ShapeError(f"layer {self.name!r} takes {len(self._sources)} inputs, got {len(tensors)}")
        read = (_logits(x, kind) for x, kind in zip(tensors, self._logits, strict=True))
        new = dict(zip(self._sources, read, strict=True))
        return Tensor(substitute([self._result], new)[0])

    def _clone(self) -> OpLayer:
        return OpLayer(self._sources, self._result, self._logits, name=self.name)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        return None

    def get_config(self) -> dict[str, Any]:
        """Its arguments; ``program`` is the text form, ``constants`` the large constants that it names.

        Raises:
            ValueError: the operations use a variable, or very large constants.
        """
        from kcompile.ir.substitution import substitute

        inputs = [ir.input_value(f"x{i}", x.dtype, x.shape) for i, x in enumerate(self._sources)]
        (result,) = substitute([self._result], dict(zip(self._sources, inputs, strict=True)))
        for node in ir.toposort([result]):
            if isinstance(node.op, ir.Variable):
                kind = "draws random numbers" if node.op.role == "rng" else f"uses the variable {node.op.label!r}"
                raise KCompileError(f"{self._outside()} and {kind}, which no configuration can hold; make it a layer")
        graph = ir.Graph(inputs, [result], name="program")
        constants = large_constants(graph)
        for array in constants.values():
            if array.size > CONSTANT_ELEMENTS:
                raise KCompileError(f"{self._outside()} with a constant of shape {array.shape}; make it a weight")
        arrays = {key: {"dtype": array.dtype.name, "values": array.tolist()} for key, array in constants.items()}
        logits = {"logits": self._logits} if any(self._logits) else {}
        return {**super().get_config(), "program": print_graph(graph, scopes=False), "constants": arrays, **logits}

    def __getstate__(self) -> dict[str, Any]:
        from kcompile.ir.substitution import substitute

        inputs = [ir.input_value(f"x{i}", x.dtype, x.shape) for i, x in enumerate(self._sources)]
        results = substitute([self._result], dict(zip(self._sources, inputs, strict=True)))
        state = super().__getstate__()
        return {**state, "_sources": [], "_result": ir.Graph(inputs, results, name="program")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        program = state["_result"]
        super().__setstate__({**state, "_sources": list(program.inputs), "_result": program.results[0]})

    def _outside(self) -> str:
        return f"the model computes outside of layers (node {self.name!r})"

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> OpLayer:
        """The layer of a configuration.

        Raises:
            ValueError: the program is none.
        """
        rest = dict(config)
        program, constants = rest.pop("program", None), rest.pop("constants", {})
        logits = rest.pop("logits", None)
        owner = f"layer {rest.get('name')!r} (OpLayer)"
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
        return cls(graph.inputs, graph.results[0], kinds, **rest)


def _logits(x: Tensor, activation: str | None) -> ir.Value:
    """The tensor itself, or of what it is the sigmoid or softmax (but for a constant in each row)."""
    from kcompile.backend import math as tensor_math
    from kcompile.common import config

    if activation is None:
        return x.value
    if isinstance(x.value.op, Sigmoid if activation == "sigmoid" else Softmax):
        return x.value.node.inputs[0]
    p = tensor_math.clip(x, config.epsilon(), 1 - config.epsilon())
    return (tensor_math.log(p) - tensor_math.log(1 - p)).value if activation == "sigmoid" else tensor_math.log(p).value


def wrap_operations(x: Tensor) -> Tensor:
    """``x`` as the output of an :class:`OpLayer` over the layer outputs that it depends on.

    A tensor that depends on none (a constant) is returned as it is.
    """
    known = made_by_layer(x.value)
    if known is not None:
        return known
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
    if not sources:
        return x
    values = list(reversed(sources))
    ordered = [sources[value][0] for value in values]
    layer = OpLayer(values, x.value, [sources[value][1] for value in values])
    wrapped: Tensor = layer(ordered if len(ordered) > 1 else ordered[0])
    return wrapped
