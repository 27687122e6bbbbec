"""What calls leave in the layers that they go through, and calls that leave nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from kcompile import ir
from kcompile.common.errors import warn
from kcompile.symbolic.history import forget
from kcompile.symbolic.tensor import Tensor

if TYPE_CHECKING:
    from kcompile.engine.layer import Layer
    from kcompile.engine.node import Node

NOTES = ("_inbound_nodes", "_outbound_nodes", "_inner_nodes", "_losses", "_updates", "_metrics")
"""The lists in which a layer notes what happens when it is called."""


_calling: ContextVar[Layer | None] = ContextVar("calling", default=None)


_built_inside: ContextVar[list[Layer] | None] = ContextVar("built_inside", default=None)


@contextlib.contextmanager
def calling(layer: Layer) -> Iterator[None]:
    """Inside runs the ``call`` of ``layer``."""
    token = _calling.set(layer)
    around = _built_inside.get()
    built: list[Layer] = []
    building = _built_inside.set(built)
    try:
        yield
    finally:
        _calling.reset(token)
        _built_inside.reset(building)
    if built:
        _look_for_lost(layer, built, around)


def note_built(layer: Layer) -> None:
    """``layer`` has weights now; whoever is being called should keep it."""
    built = _built_inside.get()
    if built is not None and not layer._is_metric:
        built.append(layer)


def _look_for_lost(layer: Layer, built: list[Layer], around: list[Layer] | None) -> None:
    """Warn of layers that neither ``layer`` nor those around it keep: nobody trains or saves their weights."""
    kept, found = {layer}, [layer]
    while found:
        more = [inner for inner in found.pop().sublayers if inner not in kept]
        kept.update(more)
        found += more
    weighted = [inner for inner in built if inner._trainable_weights or inner._non_trainable_weights]
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


def caller() -> Layer | None:
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


@contextlib.contextmanager
def without_trace(layer: Layer) -> Iterator[None]:
    """Inside, ``layer`` may be called; afterwards it and the layers in it know nothing of that.

    Weights that were made stay. Without this, a model computed on arrays would add losses and updates of those arrays
    to every model that shares its layers, and their outputs would be ambiguous.
    """
    before = {(item, notes): len(getattr(item, notes)) for item in with_sublayers(layer) for notes in NOTES}
    try:
        yield
    finally:
        for item in with_sublayers(layer):
            for notes in NOTES:
                del getattr(item, notes)[before.get((item, notes), 0) :]


def move_inside(layer: Layer, count: int) -> None:
    """Calls of ``layer`` after the first ``count`` happened inside a model that was called.

    As in Keras, they are no places of the layer in the graph of layers: its output stays what it was.
    """
    for node in layer._inbound_nodes[count:]:
        for inbound in node.inbound_layers:
            if node in inbound._outbound_nodes:
                inbound._outbound_nodes.remove(node)
        for tensor in node.output_tensors:
            tensor.keras_history = None
            forget(tensor)
    layer._inner_nodes += layer._inbound_nodes[count:]
    del layer._inbound_nodes[count:]


def with_sublayers(layer: Layer) -> list[Layer]:
    """The layer and all layers inside it, each once."""
    found: dict[Layer, None] = {}
    waiting = [layer]
    while waiting:
        item = waiting.pop()
        if item not in found:
            found[item] = None
            waiting += reversed(item.sublayers)
    return list(found)
