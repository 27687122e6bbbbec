"""Calls that leave no trace in the layers that they go through."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kcompile.engine.history import forget

if TYPE_CHECKING:
    from kcompile.engine.layer import Layer

NOTES = ("_inbound_nodes", "_outbound_nodes", "_inner_nodes", "_losses", "_updates", "_metrics")
"""The lists in which a layer notes what happens when it is called."""


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
            tensor._keras_history = None
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
