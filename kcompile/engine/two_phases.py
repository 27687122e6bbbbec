"""Calls of layers whose Python code asks ``if training:``; they are traced for both phases, and the results joined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kcompile.backend.nn import switch
from kcompile.backend.shape import zeros_like
from kcompile.common.nest import flatten, pack
from kcompile.engine import added_metrics
from kcompile.engine.notes import made_now, with_sublayers
from kcompile.symbolic.tensor import Tensor, as_tensor
from kcompile.symbolic.variable import Variable

if TYPE_CHECKING:
    from kcompile.engine.layer import Layer

_NOTES = ("_losses", "_updates", "_metrics")


def call_in_both(layer: Layer, inputs: Any, kwargs: dict[str, Any], phase: Tensor) -> Any:
    """What ``layer.call`` gives with ``training`` true and false, joined by the learning phase.

    So are the losses, metrics and states that the layer and those inside it note; other updates are those of training.
    """
    marks = _marks(layer)
    quiet = layer.call(inputs, **{**kwargs, "training": False})
    in_quiet = _taken(layer, marks)
    kwargs["training"] = True
    trained = layer.call(inputs, **kwargs)
    in_training = _taken(layer, marks)
    for item, kind in {**in_training, **in_quiet}:
        found, others = (notes.get((item, kind), []) for notes in (in_training, in_quiet))
        notes = _JOIN[kind](phase, found, others)
        getattr(item, kind).extend(notes)
        for x in _tensors(kind, notes):
            made_now(x)
    return pack(trained, [_join(phase, a, b) for a, b in zip(flatten(trained), flatten(quiet), strict=True)])


def _marks(layer: Layer) -> dict[tuple[Layer, str], int]:
    return {(item, kind): len(getattr(item, kind)) for item in with_sublayers(layer) for kind in _NOTES}


def _taken(layer: Layer, marks: dict[tuple[Layer, str], int]) -> dict[tuple[Layer, str], list[Any]]:
    """The notes since ``marks``, which the layers lose."""
    found = {}
    for item in with_sublayers(layer):
        for kind in _NOTES:
            notes, mark = getattr(item, kind), marks.get((item, kind), 0)
            if len(notes) > mark:
                found[item, kind] = notes[mark:]
                del notes[mark:]
    return found


def _join(phase: Tensor, trained: Any, quiet: Any) -> Tensor:
    a, b = as_tensor(trained), as_tensor(quiet)
    return a if a.value is b.value else switch(phase, a, b)


def _tensors(kind: str, notes: Sequence[Any]) -> list[Tensor]:
    if kind == "_metrics":
        return [x for note in notes for x in note.tensors()]
    return [x if kind == "_losses" else as_tensor(x[1]) for x, _ in notes]


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


_JOIN: dict[str, Any] = {"_losses": _losses, "_updates": _updates, "_metrics": added_metrics.joined}
