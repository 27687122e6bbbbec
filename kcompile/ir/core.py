"""Values, nodes, ops and graphs: a program is an immutable DAG of values.

An :class:`Op` says what is computed; applying it to values makes a :class:`Node`, whose results are
:class:`Value` objects with a type. Types are inferred, and so programs verified, at construction. A
:class:`Graph` is a closed cut of that DAG: inputs, named outputs, and the next value of each variable.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from kcompile.ir import costs
from kcompile.ir.dims import Dim, Size, names_in
from kcompile.ir.errors import IRError
from kcompile.ir.target import Target
from kcompile.ir.types import TensorType, tensor_type

Array = NDArray[Any]
Permutation = tuple[int, ...]
Gradients = Sequence["Value | None"]

OPS: dict[str, type[Op]] = {}
"""Every op class by its name in the text form."""


@dataclasses.dataclass(frozen=True, eq=False)
class Op:
    """What a node computes. Its dataclass fields are its attributes.

    Ops whose fields determine their meaning are compared by value (``@dataclass(frozen=True)``), so that common
    sub-expressions can be merged; ops that hold identity (variables, random streams) declare ``eq=False``.
    """

    name: ClassVar[str] = "op"
    """The name in the text form; derived from the class name (``ReduceSum`` -> ``reduce_sum``)."""
    abstract: ClassVar[bool] = True

    free: ClassVar[bool] = False
    """Takes no time, since no element moves."""
    heavy: ClassVar[bool] = False
    """Runs the faster the more rows it gets at once: worth storing what it reads and what it makes."""
    convolves: ClassVar[bool] = False
    """Is a convolution or a gradient of one."""
    commutative: ClassVar[bool] = False
    """Is the same with its two operands exchanged, and so are its gradients."""
    in_place: ClassVar[bool] = False
    """The result may take the memory of the operand that has its shape."""
    half: ClassVar[bool] = False
    """Loses no more than rounding when operands and results are float16; see :meth:`in_half`."""
    exact_on_sizes: ClassVar[bool] = False
    """Knows its results for Python integers and symbolic sizes; see :meth:`on_sizes`."""
    aborts_if_empty: ClassVar[bool] = False
    """ONNX Runtime ends the process where an operand has no elements."""

    def __init_subclass__(cls, abstract: bool = False) -> None:
        cls.abstract = abstract
        if not abstract:
            if "name" not in cls.__dict__:
                cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", cls.__name__).lower()
            OPS[cls.name] = cls

    @property
    def regions(self) -> tuple[Graph, ...]:
        """The closed sub-graphs that this op runs (scan, cond)."""
        return ()

    def infer(self, *types: TensorType) -> TensorType | tuple[TensorType, ...]:
        """The type of each output.

        Ops with a fixed number of operands name them, for which mypy wants ``type: ignore[override]``; ``make_node``
        turns a wrong number into an :class:`IRError`.

        Raises:
            IRError: the op is not defined on inputs of these types.
        """
        raise NotImplementedError(type(self).__name__)

    def evaluate(self, *arrays: Array) -> Array | tuple[Array, ...]:
        """The meaning of the op in NumPy. Symbolic sizes among the attributes have been replaced."""
        raise NotImplementedError(type(self).__name__)

    def vjp(self, inputs: Sequence[Value], outputs: Sequence[Value], grads: Gradients) -> Gradients:
        """The vector-Jacobian product: the gradient of each input, given that of each output.

        ``None`` stands for zero, on both sides. A gradient may have the broadcast shape of its input: the
        reverse walk sums it back.
        """
        raise IRError(f"{self.name} has no gradient")

    def lower(self, b: Builder, node: Node, *names: str) -> str | tuple[str, ...]:
        """Add the ONNX nodes that compute this op on the tensors ``names``; return the names of the results."""
        raise NotImplementedError(type(self).__name__)

    def flops(self, node: Node, size: Size) -> int:
        """Floating point operations; a multiplication and an addition count as two, those of regions not at all.

        ``size`` tells what a size is. There is no default, which would be zero and go unnoticed.
        """
        raise NotImplementedError(type(self).__name__)

    def cost(self, node: Node, size: Size) -> float:
        """What it takes to run this once more, in elements moved."""
        if self.free:
            return 0.0
        made = sum(value.type.elements(size) for value in node.outputs)
        return max(made, self.flops(node, size) / costs.FLOPS_PER_MOVE)

    def in_half(self, node: Node) -> bool:
        """Whether ``node`` loses no more than rounding when its operands and results are float16."""
        return self.half

    def on_sizes(self, *arrays: Array) -> Array | tuple[Array, ...] | None:
        """The results for arrays of Python integers and symbolic sizes, if ``exact_on_sizes``.

        ``None``: they do not follow from these.
        """
        return self.evaluate(*arrays)

    def permuted(self, node: Node, permutation: Permutation) -> tuple[Op, tuple[Permutation | None, ...]] | None:
        """The op that commutes with a transpose of the first output and those with as many axes; others stay.

        Returns:
            the op that computes ``transpose(output, permutation)`` directly, and for each input the transpose
            that it wants (``None``: the input as it is); or ``None`` if there is no such op. Permutations of
            inputs of lower rank refer to the input with leading axes of size 1 added.
        """
        return None

    def batched(self, inputs: Sequence[Value], stacked: Sequence[bool]) -> tuple[Value, ...] | None:
        """What the op gives for each slice along axis 0 of the ``stacked`` inputs, all at once.

        The other inputs are the same for every slice; at least one is stacked.

        Returns:
            the results, stacked along a new axis 0; or ``None`` if this op has to be run slice by slice.
        """
        return None

    def summed(self, inputs: Sequence[Value], stacked: Sequence[bool]) -> Value | None:
        """The sum of the results of :meth:`batched`, where it takes less than making them all; else ``None``."""
        return None


class Value:
    """One result of a node. Immutable, compared by identity."""

    __slots__ = ("__weakref__", "index", "node", "type")

    def __init__(self, node: Node, index: int, type: TensorType) -> None:
        self.node = node
        self.index = index
        self.type = type

    @property
    def op(self) -> Op:
        return self.node.op

    @property
    def shape(self) -> tuple[Dim, ...]:
        return self.type.shape

    @property
    def dtype(self) -> str:
        return self.type.dtype

    @property
    def rank(self) -> int:
        return len(self.type.shape)

    def __repr__(self) -> str:
        return f"<{self.op.name}{f'#{self.index}' if self.index else ''}: {self.type}>"


class Node:
    """An op applied to values.

    ``scope`` tells who asked for it, for example the layer ``dense_1``; ``serial`` grows with each node that is made.
    """

    __slots__ = ("inputs", "op", "outputs", "scope", "serial")

    def __init__(self, op: Op, inputs: tuple[Value, ...], types: Sequence[TensorType], scope: str) -> None:
        self.op = op
        self.inputs = inputs
        self.scope = scope
        self.serial = next(_serials)
        self.outputs = tuple(Value(self, index, type) for index, type in enumerate(types))

    def __repr__(self) -> str:
        return f"{self.op.name}({', '.join(str(v.type) for v in self.inputs)})"


_scope: ContextVar[str] = ContextVar("scope", default="")

_serials = itertools.count()


@contextlib.contextmanager
def scope(name: str) -> Iterator[None]:
    """Nodes made inside carry ``name`` (nested scopes join with ``/``)."""
    outer = _scope.get()
    token = _scope.set(f"{outer}/{name}" if outer and name else outer or name)
    try:
        yield
    finally:
        _scope.reset(token)


@contextlib.contextmanager
def scope_of(node: Node) -> Iterator[None]:
    """Nodes made inside carry the scope of ``node``: for passes that replace it."""
    token = _scope.set(node.scope)
    try:
        yield
    finally:
        _scope.reset(token)


def make_node(op: Op, *inputs: Value) -> Node:
    """Apply ``op``; the types of the results are inferred, which verifies the program.

    Raises:
        IRError: the op is not defined on these inputs.
    """
    try:
        types = op.infer(*(value.type for value in inputs))
    except IRError as error:
        listed = ", ".join(str(value.type) for value in inputs)
        raise IRError(f"{op.name}({listed}): {error}") from None
    except TypeError as error:
        if any(not isinstance(value, Value) for value in inputs):
            raise TypeError(f"{op.name} takes IR values, got {[type(v).__name__ for v in inputs]}") from None
        raise IRError(f"{op.name} does not take {len(inputs)} inputs: {error}") from error
    return Node(op, inputs, types if isinstance(types, tuple) else (types,), _scope.get())


def apply(op: Op, *inputs: Value) -> Value:
    """The only result of ``op`` on ``inputs``."""
    (output,) = make_node(op, *inputs).outputs
    return output


def apply_multi(op: Op, *inputs: Value) -> tuple[Value, ...]:
    """All results of ``op`` on ``inputs``."""
    return make_node(op, *inputs).outputs


# ---- leaves


class Leaf(Op, abstract=True):
    """An op without inputs whose value comes from outside; has no gradient rule because none is asked."""

    free = True

    def flops(self, node: Node, size: Size) -> int:
        return 0


@dataclasses.dataclass(frozen=True, eq=False)
class Input(Leaf):
    """A graph input. ``label`` is its name in the exported file."""

    label: str
    type: TensorType

    def infer(self, *types: TensorType) -> TensorType:
        return self.type


@dataclasses.dataclass(frozen=True, eq=False)
class Variable(Leaf):
    """State that a graph reads, and may update.

    ``role`` is one of ``weight`` (trained), ``statistic`` (moved by the forward pass), ``slot`` (optimizer state),
    ``state`` (what a stateful layer hands from batch to batch), ``rng``, ``metric``, ``counter``, ``hyper`` (a number
    such as the learning rate, set from outside).
    """

    label: str
    type: TensorType
    role: str = "weight"

    ROLES: ClassVar[tuple[str, ...]] = ("weight", "statistic", "slot", "state", "rng", "metric", "counter", "hyper")

    def __post_init__(self) -> None:
        if self.role not in self.ROLES:
            raise IRError(f"variable {self.label!r} has role {self.role!r}; roles are {', '.join(self.ROLES)}")

    def infer(self, *types: TensorType) -> TensorType:
        return self.type


@dataclasses.dataclass(frozen=True, eq=False)
class Constant(Leaf):
    """A known array. It must not be written to afterwards."""

    array: Array

    def infer(self, *types: TensorType) -> TensorType:
        return tensor_type(self.array.dtype, self.array.shape)

    def evaluate(self, *arrays: Array) -> Array:
        return self.array

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        return b.constant(self.array)


def input_value(label: str, dtype: DTypeLike, shape: Sequence[Dim]) -> Value:
    """A new graph input."""
    return apply(Input(label, tensor_type(dtype, tuple(shape))))


def variable_value(label: str, dtype: DTypeLike, shape: Sequence[Dim], role: str = "weight") -> Value:
    """The current value of a new variable; the variable itself is ``value.op``."""
    return apply(Variable(label, tensor_type(dtype, tuple(shape)), role))


def constant(value: ArrayLike, dtype: DTypeLike | None = None) -> Value:
    """A constant from anything that NumPy turns into an array. The array is copied."""
    array = np.array(value, dtype=dtype)
    array.setflags(write=False)
    return apply(Constant(array))


def constant_of(value: Value) -> Array | None:
    """The array of a constant, else ``None``."""
    return value.op.array if isinstance(value.op, Constant) else None


def scalar_of(value: Value) -> Any:
    """The Python number of a constant with a single element (of any rank), else ``None``."""
    array = constant_of(value)
    return array.item() if array is not None and array.size == 1 else None


Operand = Value | int | float | bool


def as_value(operand: Operand, like: Value) -> Value:
    """``operand``, or the scalar constant of that number in the element type of ``like``."""
    return operand if isinstance(operand, Value) else constant(operand, like.dtype)


# ---- graphs


def toposort(values: Iterable[Value]) -> list[Node]:
    """The nodes on which ``values`` depend, each after its inputs; the order is deterministic."""
    done: set[Node] = set()
    order: list[Node] = []
    for value in values:
        stack: list[tuple[Node, int]] = [(value.node, 0)]
        while stack:
            node, position = stack.pop()
            if node in done:
                continue
            while position < len(node.inputs) and node.inputs[position].node in done:
                position += 1
            if position == len(node.inputs):
                done.add(node)
                order.append(node)
            else:
                stack.append((node, position + 1))
                stack.append((node.inputs[position].node, 0))
    return order


class Graph:
    """A closed program: ``outputs`` by name and the next value of each updated variable, from ``inputs``.

    Raises:
        IRError: an output depends on an input that is not listed, names repeat, or an update changes a type.
    """

    __slots__ = ("inputs", "name", "outputs", "updates")

    def __init__(
        self,
        inputs: Iterable[Value],
        outputs: Mapping[str, Value] | Sequence[Value],
        updates: Mapping[Variable, Value] | None = None,
        name: str = "graph",
    ) -> None:
        self.inputs = tuple(inputs)
        if not isinstance(outputs, Mapping):
            outputs = {f"output_{i}" if i else "output": value for i, value in enumerate(outputs)}
        self.outputs = dict(outputs)
        self.updates = dict(updates or {})
        self.name = name
        self._verify()

    def _verify(self) -> None:
        labels: set[str] = set()
        for value in self.inputs:
            if not isinstance(value.op, Input):
                raise IRError(f"graph {self.name!r}: {value} is listed as an input but is computed by {value.op.name}")
            if value.op.label in labels:
                raise IRError(f"graph {self.name!r}: two inputs are named {value.op.label!r}")
            labels.add(value.op.label)
        for variable, value in self.updates.items():
            if not value.type.may_be(variable.type):
                raise IRError(
                    f"graph {self.name!r}: variable {variable.label!r} of type {variable.type} "
                    f"would be updated to {value.type}"
                )
        listed = {value.node for value in self.inputs}
        for node in self.nodes():
            if isinstance(node.op, Input) and node not in listed:
                raise IRError(
                    f"graph {self.name!r} depends on input {node.op.label!r}, which is not among its inputs "
                    f"({', '.join(sorted(labels)) or 'none'})"
                )

    @property
    def results(self) -> tuple[Value, ...]:
        """Outputs, then updates."""
        return (*self.outputs.values(), *self.updates.values())

    def nodes(self) -> list[Node]:
        """All nodes in execution order."""
        return toposort(self.results)

    def variables(self) -> list[Variable]:
        """The variables read or updated, in order of first use."""
        found = {node.op: None for node in self.nodes() if isinstance(node.op, Variable)}
        found.update(dict.fromkeys(self.updates))
        return list(found)

    def with_results(self, results: Sequence[Value], inputs: Iterable[Value] | None = None) -> Graph:
        """The same graph with other outputs and updates, in the order of :attr:`results` (and other inputs)."""
        count = len(self.outputs)
        return Graph(
            self.inputs if inputs is None else inputs,
            dict(zip(self.outputs, results[:count], strict=True)),
            dict(zip(self.updates, results[count:], strict=True)),
            self.name,
        )

    def dim_names(self) -> set[str]:
        """The names of the symbolic sizes of the inputs."""
        return {name for value in self.inputs for dim in value.shape for name in names_in(dim)}


# ---- lowering


class Builder(Protocol):
    """What :meth:`Op.lower` sees of the ONNX graph under construction; tensors are named by strings.

    ``kcompile.passes.onnx.emit`` implements it.
    """

    target: Target

    def op(self, op_type: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output; an empty input name is an omitted optional input."""

    def multi(self, op_type: str, *inputs: str, outputs: int, domain: str = "", **attributes: Any) -> tuple[str, ...]:
        """Add a node with several outputs."""

    def constant(self, array: ArrayLike, dtype: str | None = None) -> str:
        """An initializer; equal ones are shared."""

    def dims(self, dims: Sequence[Dim]) -> str:
        """The int64 vector of these sizes: an initializer if all are known, else computed from the inputs."""

    def subgraph(self, graph: Graph, names: Sequence[str | None]) -> Any:
        """A GraphProto for a region.

        ``names`` binds each of the region's inputs to a tensor of the outer graph, or (``None``) makes it an input
        of the sub-graph.
        """

    def inline(self, graph: Graph, names: Sequence[str]) -> tuple[str, ...]:
        """Add the nodes of ``graph``, its inputs bound to ``names``; return the names of its outputs."""

    def reshape(self, name: str, source: TensorType, shape: Sequence[Dim]) -> str:
        """Reshape a tensor of type ``source``, without computing sizes at run time where possible."""
