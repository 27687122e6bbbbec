"""Layers that lie in several models of one configuration, or in a model and beside it: they have numbers there.

tf.keras and we read the number, so that they are one layer again; a loss on tensors of an inner model needs that.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from contextvars import ContextVar

from kcompile.engine.input_layer import InputLayer
from kcompile.engine.layer_base import LayerBase

_numbers: ContextVar[dict[LayerBase, int] | None] = ContextVar("numbers", default=None)


@contextlib.contextmanager
def numbering(model: LayerBase) -> Iterator[None]:
    """Inside, the configuration of ``model`` is written; of models in it the numbers go on."""
    if _numbers.get() is not None:
        yield
        return
    counts: Counter[LayerBase] = Counter()
    _count(model, counts, set())
    several = [layer for layer, count in counts.items() if count > 1 and not isinstance(layer, InputLayer)]
    token = _numbers.set({layer: number for number, layer in enumerate(several, 1)})
    try:
        yield
    finally:
        _numbers.reset(token)


def _count(model: LayerBase, counts: Counter[LayerBase], seen: set[LayerBase]) -> None:
    stack = model.layers_as_added or ()  # in which a layer may stand twice
    for layer in [*stack, *(layer for layer in model.layers_inside if layer not in stack)]:
        counts[layer] += 1
        if layer.counts_as_model and layer not in seen:
            seen.add(layer)
            _count(layer, counts, seen)


def number_of(layer: LayerBase) -> dict[str, int]:
    """What the entry of a layer tells: nothing, if it lies in one place."""
    known = _numbers.get() or {}
    return {"shared_object_id": known[layer]} if layer in known else {}
