"""Calls of layers in the configuration of a functional model, as all versions of Keras write them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kcompile.common.errors import KCompileError, shown


class Place(NamedTuple):
    """A tensor of the model: which call of which layer made it, and which of its outputs it is."""

    layer: str
    call: int
    output: int


@dataclass(frozen=True)
class Call:
    """One call of a layer.

    Attributes:
        inputs: the first argument: a :class:`Place`, a list of them, or a constant.
        arguments: further positional arguments.
        options: arguments by name. Both can hold places, also inside lists.
    """

    inputs: Any
    arguments: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def places(self) -> Iterator[Place]:
        """All tensors that must exist before the call can be made."""
        for item in (self.inputs, *self.arguments, *self.options.values()):
            yield from places_in(item)


def places_in(item: Any) -> Iterator[Place]:
    """The places in nested lists and dicts."""
    if isinstance(item, Place):
        yield item
    elif isinstance(item, (list, tuple)):
        for each in item:
            yield from places_in(each)
    elif isinstance(item, Mapping):
        for each in item.values():
            yield from places_in(each)


def replaced(item: Any, tensors: Mapping[Place, Any]) -> Any:
    """The same with the tensors themselves in the place of places."""
    if isinstance(item, Place):
        return tensors[item]
    if isinstance(item, (list, tuple)):
        return type(item)(replaced(each, tensors) for each in item)
    if isinstance(item, Mapping):
        return {key: replaced(each, tensors) for key, each in item.items()}
    return item


def read_calls(
    nodes: Any, layers: Collection[str], owner: str, convert: Callable[[Any], Any] = lambda item: item
) -> list[Call]:
    """The calls of one layer.

    Keras 1 and 2 write a list of ``[layer, call, output, {arguments}]`` for each call, tf.keras also a single such
    entry; Keras 3 writes ``{"args": ..., "kwargs": ...}``, in which tensors are objects.

    Args:
        nodes: the layer's ``inbound_nodes``.
        layers: the names of the model's layers, which tell places from other lists.
        owner: the layer, for messages.
        convert: makes Python objects of what stands for them (see :mod:`kcompile.objects.dialects.reader`).

    Raises:
        ValueError: it is none of these.
    """
    if not isinstance(nodes, (list, tuple)):
        raise KCompileError(f"the inbound_nodes of layer {owner!r} must be a list, got {shown(nodes)}")
    return [node if isinstance(node, Call) else _read_call(node, layers, owner, convert) for node in nodes]


def _read_call(node: Any, layers: Collection[str], owner: str, convert: Callable[[Any], Any]) -> Call:
    if isinstance(node, Mapping) and "args" in node:
        arguments, options = convert(node["args"]), convert(node.get("kwargs") or {})
        if isinstance(arguments, (list, tuple)) and isinstance(options, Mapping):
            options = {key: value for key, value in options.items() if value is not None or key not in _OPTIONAL}
            if arguments:
                return Call(arguments[0], tuple(arguments[1:]), options)
            name = next((key for key, value in options.items() if any(places_in(value))), None)
            if name is not None:
                return Call(options[name], (), {key: value for key, value in options.items() if key != name})
    elif isinstance(node, (list, tuple)) and node:
        entries = [node] if isinstance(node[0], str) else list(node)
        if all(isinstance(e, (list, tuple)) and len(e) in (3, 4) and isinstance(e[0], str) for e in entries):
            inputs = [_tensor_or_constant(entry[:3]) for entry in entries]
            options = convert(entries[0][3] or {}) if len(entries[0]) > 3 else {}
            if isinstance(options, Mapping):
                found = {key: _with_places(value, layers) for key, value in options.items()}
                return Call(inputs if len(inputs) > 1 else inputs[0], (), found)
    raise KCompileError(f"a call of layer {owner!r} cannot be read: {shown(node)}")


_OPTIONAL = ("mask", "training")  # Keras 3 writes them as None where they were not given


def _tensor_or_constant(entry: Any) -> Any:
    name, call, output = entry
    if name == "_CONSTANT_VALUE":  # how tf.keras writes a number or array among the inputs
        return output
    if not isinstance(call, int) or not isinstance(output, int):
        raise KCompileError(f"a tensor is given as [layer, call, output], two of them integers; got {shown(entry)}")
    return Place(name, call, output)


def _with_places(argument: Any, layers: Collection[str]) -> Any:
    """A call argument, in which tensors are written as lists too."""
    if isinstance(argument, (list, tuple)) and not isinstance(argument, Place):
        is_entry = len(argument) == 3 and isinstance(argument[0], str)
        if is_entry and all(isinstance(item, int) for item in argument[1:]) and argument[0] in layers:
            return Place(*argument)
        if is_entry and argument[0] == "_CONSTANT_VALUE":
            return argument[2]
        return type(argument)(_with_places(item, layers) for item in argument)
    if isinstance(argument, Mapping):
        return {key: _with_places(item, layers) for key, item in argument.items()}
    return argument


def read_ends(ends: Any, key: str, model: Any) -> tuple[list[Place], Any]:
    """The inputs or outputs of a model, and their form if they are in dictionaries or nested lists (else ``None``).

    In a file they are one entry, a list of them, or structures of them, as the model returns them.

    Raises:
        ValueError: something else.
    """
    wrong = f"{key} of model {model!r} must be a list of [layer, call, output], got {shown(ends)}"

    def form(item: Any) -> Any:
        if _is_end(item):
            return None
        if isinstance(item, Mapping) and item and all(isinstance(name, str) for name in item):
            return {name: form(each) for name, each in item.items()}
        if isinstance(item, (list, tuple)) and item:
            return [form(each) for each in item]
        raise KCompileError(wrong)

    def places(item: Any) -> list[Place]:
        if _is_end(item):
            return [Place(*item)]
        items = [item[name] for name in sorted(item)] if isinstance(item, Mapping) else item
        return [place for each in items for place in places(each)]

    found = form(ends)
    flat = found is None or (isinstance(found, list) and all(each is None for each in found))
    return places(ends), None if flat else found


def _is_end(item: Any) -> bool:
    return isinstance(item, (list, tuple)) and len(item) == 3 and isinstance(item[0], str)


def ends_from_zero(ends: Any, nested: Collection[str]) -> Any:
    """The inputs or outputs of a model of Keras 3, which counts calls of functional models from 0 where they are
    inputs of other calls, but from 1 where they are outputs of the whole model: from 0 here too.

    Args:
        ends: as in the file. nested: the names of the functional models among the layers.
    """
    if isinstance(ends, Mapping):
        return {key: ends_from_zero(each, nested) for key, each in ends.items()}
    if not isinstance(ends, (list, tuple)):
        return ends
    if len(ends) == 3 and isinstance(ends[0], str):
        shift = ends[0] in nested and isinstance(ends[1], int) and ends[1] > 0
        return [ends[0], ends[1] - 1, ends[2]] if shift else ends
    return [ends_from_zero(each, nested) for each in ends]
