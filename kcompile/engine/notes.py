"""What calls leave in the layers that they go through, and calls that leave nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from kcompile import ir
from kcompile.common import config
from kcompile.common.errors import warn
from kcompile.common.nest import map_structure
from kcompile.symbolic.dependence import input_leaves
from kcompile.symbolic.history import forget
from kcompile.symbolic.step_trace import StepTrace
from kcompile.symbolic.tensor import Tensor, as_tensor

if TYPE_CHECKING:
    from kcompile.engine.layer import Layer
    from kcompile.engine.network import Network
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


def belongs(model: Network, x: Tensor) -> bool:
    """Whether ``x`` depends on no inputs but those of ``model``, and is not what another model's calls added."""
    if made_by_other_calls(x, model._inbound_nodes if model._subclassed else model._nodes):
        return False
    known = {id(v.value) for v in model.inputs}
    return all(id(leaf) in known for leaf in input_leaves(x))


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


# ---- calls in a step that is being traced


class TracedCalls:
    """The calls of layers in a step that is being traced, of which the layers know nothing afterwards.

    Attributes:
        called: the layers that no other layer called.
    """

    def __init__(self) -> None:
        self.called: dict[Layer, None] = {}
        self._stack: list[Layer] = []
        self._notes: dict[tuple[Layer, str], list[Any]] = {}

    def call(
        self, layer: Layer, names: Sequence[str], inputs: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """What the layer gives; arrays are constants, and a layer that does not take ``training`` hands it on.

        Args:
            layer: what is called.
            names: of the arguments of its ``call``.
            inputs, args, kwargs: its arguments.
        """
        kwargs.update(zip(names[1:], args, strict=False))
        training = kwargs.get("training")
        if "training" not in names and "kwargs" not in names:
            kwargs.pop("training", None)
        with self._calling(layer, training):
            return layer._called(map_structure(_numbers_as_tensors, inputs), **kwargs)

    @contextlib.contextmanager
    def _calling(self, layer: Layer, training: Any) -> Iterator[None]:
        """Inside, ``layer`` is called; what it calls is in the same phase, unless it says otherwise."""
        inside = with_sublayers(layer)
        for item in inside:
            for notes in NOTES:
                self._notes.setdefault((item, notes), list(getattr(item, notes)))
        if not self._stack:  # losses are those of the last call
            self.called[layer] = None
            for item in inside:
                item._losses.clear()
        self._stack.append(layer)
        try:
            if isinstance(training, (bool, int)):
                with config.phase_of_context(bool(training)):
                    yield
            else:
                yield
        finally:
            self._stack.pop()

    def is_trained(self, layer: Layer) -> bool:
        """Whether updates of ``layer`` count: not while it, or a layer around it, is frozen."""
        return all(item.trainable or item.stateful for item in [*self._stack, layer])

    def restore(self) -> None:
        """Give the layers the notes from before."""
        for (layer, notes), before in self._notes.items():
            getattr(layer, notes)[:] = before


def _numbers_as_tensors(x: Any) -> Any:
    return as_tensor(x) if isinstance(x, (np.ndarray, np.generic, int, float)) else x


def calls_in(step: StepTrace) -> TracedCalls:
    """The calls of layers in a step."""
    if step.calls is None:
        step.calls = TracedCalls()
        step.at_end.callback(step.calls.restore)
    calls: TracedCalls = step.calls
    return calls
