"""Calls of layers whose Python code asks ``if training:``; they are traced for both phases, and the results joined."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kcompile.backend.nn import switch
from kcompile.backend.shape import zeros_like
from kcompile.common.nest import flatten, pack
from kcompile.engine import added_metrics
from kcompile.engine.layer_base import LayerBase, Notes, noting
from kcompile.engine.notes import made_now
from kcompile.symbolic.tensor import Tensor, as_tensor
from kcompile.symbolic.variable import Variable


def call_in_both(call: Callable[..., Any], inputs: Any, kwargs: dict[str, Any], phase: Tensor) -> Any:
    """What ``call`` gives with ``training`` true and false, joined by the learning phase.

    So are the losses, metrics and states that the layer and those inside it note; other updates are those of training.

    Args:
        call: the ``call`` method of a layer.
        inputs, kwargs: the arguments of the call; ``training`` is noted among them.
        phase: the learning phase.
    """
    quiet, in_quiet = _taken(lambda: call(inputs, **{**kwargs, "training": False}))
    kwargs["training"] = True
    trained, in_training = _taken(lambda: call(inputs, **kwargs))
    nothing = Notes()
    for item in {**in_training, **in_quiet}:
        found, others = in_training.get(item, nothing), in_quiet.get(item, nothing)
        losses = _losses(phase, found.losses, others.losses)
        updates = _updates(phase, found.updates, others.updates)
        metrics = added_metrics.joined(phase, found.metrics, others.metrics)
        item.call_notes = item.call_notes.and_more(losses=losses, updates=updates, metrics=metrics)
        for x in (
            *(loss for loss, _ in losses),
            *(as_tensor(value) for (_, value), _ in updates),
            *(x for note in metrics for x in note.tensors()),
        ):
            made_now(x)
    return pack(trained, [_join(phase, a, b) for a, b in zip(flatten(trained), flatten(quiet), strict=True)])


def _taken(function: Callable[[], Any]) -> tuple[Any, dict[LayerBase, Notes]]:
    """What a function gives, and what layers note meanwhile: losses, updates and metrics, which they lose."""
    with noting() as before:
        result = function()
        found = {layer: layer.call_notes.since(notes) for layer, notes in before.items()}
        for layer, notes in before.items():
            layer.call_notes = layer.call_notes.but(losses=notes.losses, updates=notes.updates, metrics=notes.metrics)
    return result, found


def _join(phase: Tensor, trained: Any, quiet: Any) -> Tensor:
    a, b = as_tensor(trained), as_tensor(quiet)
    return a if a.value is b.value else switch(phase, a, b)


def _is_state(x: Any) -> bool:
    return isinstance(x, Variable) and x.variable.role == "state"


def _losses(phase: Tensor, trained: Sequence[Any], quiet: Sequence[Any]) -> list[Any]:
    if len(trained) == len(quiet):
        return [(_join(phase, a, b), x) for (a, x), (b, _) in zip(trained, quiet, strict=True)]
    only = [(switch(phase, a, zeros_like(a)), x) for a, x in trained]
    return [*only, *((switch(phase, zeros_like(b), b), x) for b, x in quiet)]


def _updates(phase: Tensor, trained: Sequence[Any], quiet: Sequence[Any]) -> list[Any]:
    others = {id(pair[0]): pair[1] for pair, _ in quiet if _is_state(pair[0])}
    known = {id(pair[0]) for pair, _ in trained}
    found = []
    for (variable, value), x in trained:
        if _is_state(variable):
            value = _join(phase, value, others.get(id(variable), variable))
        found.append(((variable, value), x))
    for (variable, value), x in quiet:
        if _is_state(variable) and id(variable) not in known:
            found.append(((variable, _join(phase, variable, value)), x))
    return found
