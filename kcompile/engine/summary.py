"""The table that ``model.summary()`` prints, as Keras 2.3 prints it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, cast

import numpy as np

from kcompile.common.errors import KCompileError
from kcompile.common.html import html_table
from kcompile.engine.layer_base import Node, Notes
from kcompile.symbolic.tensor import Tensor
from kcompile.symbolic.variable import Variable

Print = Callable[[str], Any]


class Summed(Protocol):
    """A layer or model, as far as tables tell of it."""

    name: str
    call_notes: Notes
    counts_as_model: bool

    @property
    def weights(self) -> list[Variable]: ...

    @property
    def trainable_weights(self) -> list[Variable]: ...

    @property
    def non_trainable_weights(self) -> list[Variable]: ...

    @property
    def output_shape(self) -> Any: ...


class SummedModel(Summed, Protocol):
    """A model, as far as tables tell of it."""

    built: bool
    inputs: list[Tensor]

    @property
    def layers(self) -> Sequence[Summed]: ...

    @property
    def nodes_of_layer_graph(self) -> Sequence[Node]: ...

    @property
    def layers_as_added(self) -> Sequence[Summed] | None: ...


def print_summary(
    model: Summed,
    line_length: int | None = None,
    positions: Sequence[float] | None = None,
    print_fn: Print | None = None,
    expand_nested: bool = False,
) -> None:
    """Print layers, output shapes, numbers of parameters and, unless the model is a chain, what is connected.

    Args:
        model: a built model, or a layer.
        line_length: width of the table; default 65, or 98 with connections.
        positions: where columns end, as fractions of the width or as columns of characters.
        print_fn: prints a line; default ``print``.
        expand_nested: show the layers of nested models below them, each after a ``|`` for every model around it.

    Raises:
        ValueError: ``positions`` has not one entry per column.
    """
    write: Print = print if print_fn is None else print_fn
    network = cast(SummedModel, model) if model.counts_as_model else None
    rows = [model] if network is None else network.layers
    chain = network is None or is_chain(network)
    header = ["Layer (type)", "Output Shape", "Param #"]
    if not chain:
        header.append("Connected to")
    width = line_length or (65 if chain else 98)
    ends = list(positions or ((0.45, 0.85, 1.0) if chain else (0.33, 0.55, 0.67, 1.0)))
    if len(ends) != len(header):
        raise KCompileError(
            f"summary: positions needs {len(header)} entries, one per column ({', '.join(header)}), got {len(ends)}"
        )
    if ends[-1] <= 1:
        ends = [int(width * end) for end in ends]
    write(f'{"Layer" if network is None else "Model"}: "{model.name}"')
    write("_" * width)
    write(_row(header, ends))
    write("=" * width)
    table = list(_rows(model, rows, expand_nested))
    for index, (name, shape, parameters, connections) in enumerate(table):
        cells = [name, shape, str(parameters)]
        if chain:
            write(_row(cells, ends))
        else:
            write(_row([*cells, connections[0]], ends))
            for connection in connections[1:]:
                write(_row(["", "", "", connection], ends))
        write(("=" if index == len(table) - 1 else "_") * width)
    trainable, fixed = _count(model.trainable_weights), _count(model.non_trainable_weights)
    write(f"Total params: {trainable + fixed:,}")
    write(f"Trainable params: {trainable:,}")
    write(f"Non-trainable params: {fixed:,}")
    write("_" * width)


def summary_html(model: SummedModel) -> str:
    """The same table for notebooks; of a model that is not built, a line that says so."""
    title = f"{type(model).__name__} {model.name!r}"
    if not model.built:
        return html_table(f"{title}, not built yet", ["Layer (type)"], [[_title(layer)] for layer in model.layers])
    chain = is_chain(model)
    header = ["Layer (type)", "Output Shape", "Param #", *([] if chain else ["Connected to"])]
    rows = [
        [name, shape, parameters, *([] if chain else ["\n".join(connections)])]
        for name, shape, parameters, connections in _rows(model, model.layers)
    ]
    trainable, fixed = _count(model.trainable_weights), _count(model.non_trainable_weights)
    counts = f"{trainable + fixed:,} parameters: {trainable:,} trainable, {fixed:,} not trainable"
    return html_table(title, header, rows, counts)


def _rows(
    model: Summed, layers: Sequence[Summed], expand_nested: bool = False, depth: int = 0
) -> Iterator[tuple[str, str, int, list[str]]]:
    """For each layer: name and class, output shape, number of parameters, and what it is connected to."""
    relevant = {id(node) for node in getattr(model, "nodes_of_layer_graph", ())}
    for layer in layers:
        title = "| " * depth + _title(layer)
        yield title, _output_shape(layer), _count(layer.weights), list(_connections(layer, relevant)) or [""]
        if expand_nested and layer is not model and layer.counts_as_model:
            yield from _rows(layer, getattr(layer, "layers", ()), expand_nested, depth + 1)


def _title(layer: Summed) -> str:
    return f"{layer.name} ({type(layer).__name__})"


def is_chain(model: SummedModel) -> bool:
    """Whether each layer's output goes to one other layer at most, and nothing is shared or joined.

    Subclassed models count as chains, as in Keras: what happens inside of ``call`` is not known as a graph.
    """
    if model.layers_as_added is not None or not model.nodes_of_layer_graph:
        return True
    layers = [node.layer for node in model.nodes_of_layer_graph]
    sources = [id(x) for node in model.nodes_of_layer_graph for x in {id(x): x for x in node.inbound_layers}.values()]
    return (
        len(model.inputs) == 1
        and len(set(layers)) == len(layers)
        and len(set(sources)) == len(sources)
        and all(len(node.inbound_layers) <= 1 for node in model.nodes_of_layer_graph)
    )


def _row(cells: Sequence[str], ends: Sequence[float]) -> str:
    """Cells cut at the ends of their columns, with a blank between them."""
    line = ""
    for index, (cell, end) in enumerate(zip(cells, ends, strict=True)):
        line = line if index == 0 else line[:-1] + " "
        line = (line + cell)[: int(end)].ljust(int(end))
    return line


def _output_shape(layer: Summed) -> str:
    try:
        return str(layer.output_shape)
    except AttributeError:  # never called, or called on inputs of several shapes
        return "multiple"


def _connections(layer: Summed, relevant: set[int]) -> Iterable[str]:
    for node in layer.call_notes.inbound_nodes:
        if id(node) in relevant:
            for inbound, node_index, tensor_index in zip(
                node.inbound_layers, node.node_indices, node.tensor_indices, strict=True
            ):
                yield f"{inbound.name}[{node_index}][{tensor_index}]"


def _count(weights: Iterable[Variable]) -> int:
    return sum(int(np.prod(weight.storage.shape, dtype=np.int64)) for weight in weights)
