"""The last pass: write a graph as an ONNX model. Only this file (and the importer) knows the ``onnx`` package."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from kcompile.ir.core import Array, Constant, Graph, Input, Value, Variable
from kcompile.ir.dims import Dim, FloorDiv, SymbolicDim, named
from kcompile.ir.errors import IRError
from kcompile.ir.target import Target
from kcompile.ir.types import TensorType
from kcompile.passes.onnx.initializers import fingerprint, tensors_of
from kcompile.passes.onnx.kept_pads import keep_pads
from kcompile.passes.onnx.opsets import IR_VERSIONS, spelled

if TYPE_CHECKING:
    import onnx


@dataclass
class Emitted:
    """An ONNX model and what its tensors are.

    ``state_inputs`` and ``state_outputs`` name, for each variable that is not frozen, the graph input that takes its
    value and (for the updated ones) the graph output that returns the next one. ``weights`` are the arrays of
    initializers that the model refers to as external data, because it would be too large with them; otherwise none.
    """

    model: onnx.ModelProto
    inputs: list[str]
    outputs: list[str]
    state_inputs: dict[Variable, str] = field(default_factory=dict)
    state_outputs: dict[Variable, str] = field(default_factory=dict)
    weights: dict[str, Array] = field(default_factory=dict)


def emit(
    graph: Graph,
    target: Target | None = None,
    frozen: Mapping[Variable, Array] | None = None,
    metadata: Mapping[str, str] | None = None,
    defaults: Mapping[Variable, Array] | None = None,
    labels: Mapping[Variable, str] | None = None,
) -> Emitted:
    """Lower ``graph`` to an ONNX model.

    Args:
        graph: the program; its inputs and outputs keep their names.
        target: for whom (default: portable, opset 21).
        frozen: values of variables that become initializers; the others become graph inputs, and their
            updates graph outputs called ``<name of the input>.next``.
        metadata: written to ``metadata_props``.
        defaults: values of variables that stay graph inputs, but may be left out when the model is run.
        labels: names of variables, where they are not to be called by their own labels.

    Raises:
        IRError: a symbolic size cannot be computed from the inputs.
    """
    import onnx

    target = target or Target()
    frozen = frozen or {}
    names = Names()
    outputs = {names.reserve(name): value for name, value in graph.outputs.items()}
    inputs: list[tuple[str, TensorType]] = []
    tensors: dict[Value, str] = {}
    for value in graph.inputs:
        assert isinstance(value.op, Input)
        tensors[value] = names.reserve(value.op.label)
        inputs.append((tensors[value], value.type))
    state_inputs: dict[Variable, str] = {}
    state_outputs: dict[Variable, str] = {}
    values_of: dict[Variable, list[Value]] = {}
    for node in graph.nodes():
        if isinstance(node.op, Variable):
            values_of.setdefault(node.op, []).append(node.outputs[0])
    builder = GraphBuilder(target, names, inputs)
    for variable in graph.variables():
        if variable in frozen:
            if variable in values_of:
                name = names.unique(variable.label)
                builder.add_initializer(name, np.asarray(frozen[variable], dtype=variable.type.dtype))
                tensors.update(dict.fromkeys(values_of[variable], name))
            continue
        state_inputs[variable] = name = names.unique((labels or {}).get(variable, variable.label))
        inputs.append((name, variable.type))
        tensors.update(dict.fromkeys(values_of.get(variable, ()), name))
    results = dict(outputs)
    for variable, value in graph.updates.items():
        if variable not in frozen:
            state_outputs[variable] = names.unique(f"{state_inputs[variable]}.next")
            results[state_outputs[variable]] = value
    builder.lower(graph, tensors, results)
    builder.drop_unused()
    for variable, array in (defaults or {}).items():
        if variable in state_inputs:
            builder.add_initializer(state_inputs[variable], np.asarray(array, dtype=variable.type.dtype))
    initializers, weights = tensors_of(builder.initializers)
    onnx_graph = onnx.GraphProto(name=graph.name, node=builder.nodes, initializer=initializers)
    onnx_graph.input.extend(value_info(name, type) for name, type in inputs)
    onnx_graph.output.extend(value_info(name, value.type) for name, value in results.items())
    model = onnx.ModelProto(ir_version=IR_VERSIONS[target.opset], producer_name="kcompile", graph=onnx_graph)
    model.opset_import.add(domain="", version=target.opset)
    for domain in sorted(builder.domains):
        model.opset_import.add(domain=domain, version=1)
    for key, text in (metadata or {}).items():
        model.metadata_props.add(key=key, value=text)
    return Emitted(model, [tensors[v] for v in graph.inputs], list(outputs), state_inputs, state_outputs, weights)


def value_info(name: str, type: TensorType) -> onnx.ValueInfoProto:
    """The declaration of a tensor; symbolic sizes keep their text (``batch``, ``2*time+1``)."""
    import onnx

    info = onnx.ValueInfoProto(name=name)
    info.type.tensor_type.elem_type = element_type(type.dtype)
    shape = info.type.tensor_type.shape
    shape.SetInParent()
    for dim in type.shape:
        if isinstance(dim, int):
            shape.dim.add(dim_value=dim)
        else:
            shape.dim.add(dim_param=str(dim))
    return info


def element_type(dtype: str) -> int:
    """ONNX's number for an element type."""
    import onnx

    return int(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


class Names:
    """Hands out tensor names: readable, stable from run to run, never twice."""

    def __init__(self) -> None:
        self._used: dict[str, int] = {}

    def reserve(self, name: str) -> str:
        """``name`` as it is.

        Raises:
            IRError: it is taken.
        """
        if name in self._used:
            raise IRError(f"two inputs or outputs of the graph are named {name!r}; give them different names")
        self._used[name] = 1
        return name

    def unique(self, name: str) -> str:
        """``name``, or ``name_1``, ``name_2``... if it is taken."""
        name = re.sub(r"[^\w./:-]", "_", name) or "tensor"
        while name in self._used:
            base, self._used[name] = name, self._used[name] + 1
            name = f"{base}_{self._used[base] - 1}"
        self._used[name] = 1
        return name


class GraphBuilder:
    """Collects ONNX nodes; implements :class:`kcompile.ir.builder.Builder`."""

    def __init__(
        self,
        target: Target,
        names: Names,
        inputs: Sequence[tuple[str, TensorType]],
        outer: GraphBuilder | None = None,
    ) -> None:
        self.target = target
        self.names = names
        self.inputs = inputs
        self.outer = outer
        self.root: GraphBuilder = outer.root if outer else self
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, Array] = {}
        self.domains: set[str] = set() if outer is None else outer.root.domains
        self._scope = ""
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._arrays: dict[str, Array] = {}
        self._dims: dict[Dim, str] = {}

    # -- what Op.lower calls

    def op(self, op_type: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        if op_type == "Transpose" and inputs[0] in self.root._arrays:
            # Frozen weights are written in the order that the operator wants.
            return self.constant(np.transpose(self.root._arrays[inputs[0]], attributes["perm"]))
        (name,) = self.multi(op_type, *inputs, outputs=1, domain=domain, **attributes)
        return name

    def multi(self, op_type: str, *inputs: str, outputs: int, domain: str = "", **attributes: Any) -> tuple[str, ...]:
        import onnx

        if not domain:
            inputs, attributes = self._in_opset(op_type, inputs, attributes)
        base = f"{self._scope}/{op_type}" if self._scope else op_type
        results = tuple(self.names.unique(base) for _ in range(outputs))
        node = onnx.NodeProto(op_type=op_type, name=results[0], input=inputs, output=results, domain=domain)
        if op_type == "Cast":
            attributes["to"] = element_type(attributes["to"])
        for key, item in attributes.items():
            if item is not None:
                node.attribute.append(onnx.helper.make_attribute(key, item))
        if domain:
            self.domains.add(domain)
        self.nodes.append(node)
        return results

    def _in_opset(
        self, op_type: str, inputs: tuple[str, ...], attributes: Mapping[str, Any]
    ) -> tuple[tuple[str, ...], dict[str, Any]]:
        """What the target's opset takes instead.

        Raises:
            IRError: it has no such operator; the message names the layer that asked for it.
        """
        try:
            return spelled(op_type, inputs, attributes, self.target.opset, self.root._arrays.get)
        except IRError as error:
            raise IRError(f"{self._scope}: {error}" if self._scope else str(error)) from None

    def constant(self, array: ArrayLike, dtype: str | None = None) -> str:
        made = np.ascontiguousarray(np.asarray(array, dtype=dtype)).reshape(np.shape(array))
        key = fingerprint(made)
        if key not in self.root._constants:
            name = self.names.unique("constant")
            self.root._constants[key] = name
            self.root._arrays[name] = made
            self.root.add_initializer(name, made)
        return self.root._constants[key]

    def add_initializer(self, name: str, array: Array) -> None:
        self.initializers[name] = np.asarray(array)

    def drop_unused(self) -> None:
        """Remove initializers that no node reads."""
        used: set[str] = set()
        stack = list(self.nodes)
        while stack:
            node = stack.pop()
            used.update(node.input)
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    stack.extend(attribute.g.node)
                    used.update(output.name for output in attribute.g.output)
        self.initializers = {name: array for name, array in self.initializers.items() if name in used}

    def dims(self, dims: Sequence[Dim]) -> str:
        if all(isinstance(dim, int) for dim in dims):
            return self.constant(np.array(dims, dtype=np.int64))
        if self.outer is not None:
            return self.root.dims(dims)
        parts = [self._dim(dim) for dim in dims]
        return parts[0] if len(parts) == 1 else self.op("Concat", *parts, axis=0)

    def reshape(self, name: str, source: TensorType, shape: Sequence[Dim]) -> str:
        if source.shape == tuple(shape):
            return name
        if all(isinstance(dim, int) for dim in shape):
            return self.op("Reshape", name, self.dims(shape), allowzero=1 if 0 in shape else None)
        copied = [source.shape[i] == d if i < source.rank else False for i, d in enumerate(shape)]
        spec = [d if isinstance(d, int) else 0 if same else -1 for d, same in zip(shape, copied, strict=True)]
        ambiguous = spec.count(-1) > 1 or 0 in shape or (-1 in spec and 0 in source.shape)
        if ambiguous:
            return self.op("Reshape", name, self.dims(shape), allowzero=1 if 0 in shape else None)
        return self.op("Reshape", name, self.constant(np.array(spec, dtype=np.int64)))

    def subgraph(self, graph: Graph, names: Sequence[str | None]) -> onnx.GraphProto:
        import onnx

        tensors: dict[Value, str] = {}
        inputs: list[tuple[str, TensorType]] = []
        for value, name in zip(graph.inputs, names, strict=True):
            assert isinstance(value.op, Input)
            tensors[value] = self.names.unique(value.op.label) if name is None else name
            if name is None:
                inputs.append((tensors[value], value.type))
        inner = GraphBuilder(self.target, self.names, inputs, outer=self)
        results = {self.names.unique(name): value for name, value in graph.outputs.items()}
        inner.lower(graph, tensors, results)
        proto = onnx.GraphProto(name=self.names.unique(graph.name), node=inner.nodes)
        proto.input.extend(value_info(name, type) for name, type in inputs)
        proto.output.extend(value_info(name, value.type) for name, value in results.items())
        return proto

    def inline(self, graph: Graph, names: Sequence[str]) -> tuple[str, ...]:
        tensors = dict(zip(graph.inputs, names, strict=True))
        self._lower_nodes(graph, tensors)
        return tuple(tensors[value] for value in graph.outputs.values())

    # -- the walk

    def lower(self, graph: Graph, tensors: dict[Value, str], results: Mapping[str, Value]) -> None:
        """Add the nodes of ``graph``; the tensors in ``results`` get those names."""
        self._lower_nodes(graph, tensors)
        produced = {name: (node, i) for node in self.nodes for i, name in enumerate(node.output)}
        renamed: dict[str, str] = {}
        for name, value in results.items():
            source = tensors[value]
            if source in produced and source not in renamed:
                renamed[source] = name
            else:
                source = renamed.get(source, source)
                self.nodes.append(_identity(source, name))
        for proto in self.nodes:
            _rename(proto, renamed)
        self.nodes = keep_pads(self.nodes, self.names.unique)

    def _lower_nodes(self, graph: Graph, tensors: dict[Value, str]) -> None:
        outer = self._scope
        for node in graph.nodes():
            if node.outputs[0] in tensors:
                continue
            if isinstance(node.op, Constant):
                tensors[node.outputs[0]] = node.op.lower(self, node)
                continue
            self._scope = node.scope or outer
            lowered = node.op.lower(self, node, *(tensors[value] for value in node.inputs))
            lowered = (lowered,) if isinstance(lowered, str) else lowered
            tensors.update(zip(node.outputs, lowered, strict=True))
        self._scope = outer

    def _dim(self, dim: Dim) -> str:
        """A tensor int64[1] that holds ``dim``."""
        if isinstance(dim, int):
            return self.constant(np.array([dim], dtype=np.int64))
        if dim not in self._dims:
            self._dims[dim] = self._compute_dim(dim)
        return self._dims[dim]

    def _compute_dim(self, dim: SymbolicDim) -> str:
        for name, type in self.inputs:
            if dim in type.shape:
                axis = type.shape.index(dim)
                return self.op("Shape", name, start=axis, end=axis + 1)
        if len(dim.terms) == 1 and dim.terms[0][1] == 1 and len(dim.terms[0][0]) == 1:
            (atom,) = dim.terms[0][0]
            if isinstance(atom, FloorDiv):
                return self.op("Div", self._dim(atom.numerator), self._dim(atom.divisor))
            return self._solve(atom)
        total = ""
        for monomial, coefficient in dim.terms:
            term = ""
            for atom in monomial:
                factor = self._dim(SymbolicDim([((atom,), 1)]))
                term = self.op("Mul", term, factor) if term else factor
            if not term:
                term = self._dim(coefficient)
            elif coefficient != 1:
                term = self.op("Mul", term, self._dim(coefficient))
            total = self.op("Add", total, term) if total else term
        return total

    def _solve(self, name: str) -> str:
        """A size that no input has as such, from one of the form ``a * name + b``."""
        for source, type in self.inputs:
            for axis, dim in enumerate(type.shape):
                if not isinstance(dim, SymbolicDim):
                    continue
                terms = dict(dim.terms)
                scale, offset = terms.pop((name,), 0), terms.pop((), 0)
                if scale and not terms:
                    size = self.op("Shape", source, start=axis, end=axis + 1)
                    shifted = self.op("Sub", size, self._dim(offset)) if offset else size
                    return self.op("Div", shifted, self._dim(scale)) if scale != 1 else shifted
        raise IRError(f"the size {named(name)} cannot be computed from the graph's inputs")


def _identity(source: str, name: str) -> onnx.NodeProto:
    import onnx

    return onnx.NodeProto(op_type="Identity", name=name, input=[source], output=[name])


def _rename(node: onnx.NodeProto, renamed: Mapping[str, str]) -> None:
    """Replace tensor names, in the node and in the sub-graphs that capture them."""
    for names in (node.input, node.output):
        for index, name in enumerate(names):
            if name in renamed:
                names[index] = renamed[name]
    for attribute in node.attribute:
        if attribute.HasField("g"):
            for inner in attribute.g.node:
                _rename(inner, renamed)
            for output in attribute.g.output:
                output.name = renamed.get(output.name, output.name)
