"""Which layer is being called, what it makes, and to which call that belongs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar
from typing import Protocol
from weakref import WeakKeyDictionary

from kcompile import ir
from kcompile.common.errors import warn
from kcompile.engine.layer_base import LayerBase, Node, Notes, for_good
from kcompile.symbolic.dependence import input_leaves
from kcompile.symbolic.history import forget
from kcompile.symbolic.tensor import Tensor

_calling: ContextVar[LayerBase | None] = ContextVar("calling", default=None)


_built_inside: ContextVar[list[LayerBase] | None] = ContextVar("built_inside", default=None)


@contextlib.contextmanager
def calling(layer: LayerBase) -> Iterator[None]:
    """Inside runs the ``call`` of ``layer``."""
    token = _calling.set(layer)
    around = _built_inside.get()
    built: list[LayerBase] = []
    building = _built_inside.set(built)
    try:
        yield
    finally:
        _calling.reset(token)
        _built_inside.reset(building)
    if built:
        _look_for_lost(layer, built, around)


def note_built(layer: LayerBase) -> None:
    """``layer`` has weights now; whoever is being called should keep it."""
    built = _built_inside.get()
    if built is not None and not layer.counts_as_metric:
        built.append(layer)


def _look_for_lost(layer: LayerBase, built: list[LayerBase], around: list[LayerBase] | None) -> None:
    """Warn of layers that neither ``layer`` nor those around it keep: nobody trains or saves their weights."""
    kept = set(layer.layer_and_those_inside())
    weighted = [inner for inner in built if inner.weights_of_its_own(True) or inner.weights_of_its_own(False)]
    lost = [inner for inner in weighted if inner not in kept]
    if around is not None:
        around += lost
        return
    for inner in lost:
        warn(
            f"layer {inner.name!r} ({type(inner).__name__}) is used in the call of {layer.name!r} "
            f"({type(layer).__name__}), which does not keep it as an attribute: its weights are not trained and not "
            "saved; make it in the __init__ of a layer or model of your own, as an attribute"
        )


def caller() -> LayerBase | None:
    """The layer whose ``call`` is running in this thread, the innermost one."""
    return _calling.get()


class Call:
    """A call of a layer that no other layer made; ``node`` is its place in the graph of layers."""

    def __init__(self) -> None:
        self.node: Node | None = None


_call: ContextVar[Call | None] = ContextVar("call", default=None)
_made_in: WeakKeyDictionary[ir.Value, list[Call]] = WeakKeyDictionary()


@contextlib.contextmanager
def one_call() -> Iterator[Call | None]:
    """Inside a layer is called: the call, unless it is a part of another."""
    if _call.get() is not None:
        yield None
        return
    call = Call()
    token = _call.set(call)
    try:
        yield call
    finally:
        _call.reset(token)


@contextlib.contextmanager
def no_call() -> Iterator[None]:
    """Inside, calls are no part of the one that is running: a layer that is built may make models of its own."""
    token = _call.set(None)
    try:
        with for_good():
            yield
    finally:
        _call.reset(token)


def made_now(x: Tensor) -> Tensor:
    """Note that what a layer adds (a loss, a metric, an update) comes from the present call."""
    if (call := _call.get()) is not None:
        _made_in.setdefault(x.value, []).append(call)
    return x


def made_by_other_calls(x: Tensor, nodes: Iterable[Node]) -> bool:
    """Whether ``x`` was added in calls of layers, and in none of those that ``nodes`` stand for."""
    calls = _made_in.get(x.value)
    return calls is not None and not {id(call.node) for call in calls} & {id(node) for node in nodes}


class Graph(Protocol):
    """A model that has its graph."""

    inputs: list[Tensor]

    @property
    def source_calls(self) -> Sequence[Node]:
        """The calls in which what belongs to it was added."""


def belongs(model: Graph, x: Tensor) -> bool:
    """Whether ``x`` depends on no inputs but those of ``model``, and is not what another model's calls added."""
    if made_by_other_calls(x, model.source_calls):
        return False
    known = {id(v.value) for v in model.inputs}
    return all(id(leaf) in known for leaf in input_leaves(x))


def move_inside(layer: LayerBase, before: Notes) -> None:
    """Calls of ``layer`` after it had the notes ``before`` happened inside a model that was called.

    As in Keras, they are no places of the layer in the graph of layers: its output stays what it was.
    """
    calls = layer.call_notes.since(before).inbound_nodes
    for node in calls:
        for inbound in dict.fromkeys(node.inbound_layers):
            others = tuple(other for other in inbound.call_notes.outbound_nodes if other is not node)
            inbound.call_notes = inbound.call_notes.but(outbound_nodes=others)
        for tensor in node.output_tensors:
            tensor.keras_history = None
            forget(tensor)
    if calls:
        inner = (*layer.call_notes.inner_nodes, *calls)
        layer.call_notes = layer.call_notes.but(inbound_nodes=before.inbound_nodes, inner_nodes=inner)
