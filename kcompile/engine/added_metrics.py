"""Metrics that layers add while they are called: ``self.add_metric(value)``, and Metric objects used in ``call``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from kcompile.backend.nn import switch
from kcompile.engine.notes import belongs, with_sublayers
from kcompile.symbolic.tensor import Tensor, as_tensor
from kcompile.symbolic.variable import Variable

if TYPE_CHECKING:
    from kcompile.metrics import Metric
    from kcompile.models.model import Model

Update = tuple[Variable, Tensor]


@dataclass(frozen=True)
class Noted:
    """What one call of a layer adds to a metric.

    Attributes:
        name: the metric's.
        value: a tensor whose mean is the metric.
        metric: the layer's own Metric object instead, which the call updated; updates: what that changes.
        training: in which phase alone the call adds it, if not in both.
    """

    name: str
    value: Tensor | None = None
    metric: Metric | None = None
    updates: tuple[Update, ...] = ()
    training: bool | None = None

    def tensors(self) -> list[Tensor]:
        """What it is computed from."""
        return [as_tensor(value) for _, value in self.updates] if self.value is None else [self.value]

    def same_as(self, other: Noted) -> bool:
        return self.name == other.name and self.metric is other.metric


@dataclass
class Means:
    """The metrics that a model made for what its layers add: no weights of the model, as a dict of them would be."""

    by_origin: dict[Any, Any] = field(default_factory=dict)


@dataclass
class AddedMetric:
    """A metric of a model that layers feed, with what each call of a layer adds to it."""

    name: str
    metric: Any
    notes: list[Noted] = field(default_factory=list)

    def idle(self) -> bool:
        """Whether layers feed it in one phase only, which has not been run since the last reset."""
        one_phase = all(note.training is not None for note in self.notes)
        return one_phase and not any(w.numpy().any() for w in self.metric.weights)

    def updates(self, training: bool) -> list[Update]:
        """The changes of its state in one step."""
        found: list[Update] = []
        for note in self.notes:
            if note.training is None or note.training == training:
                found += note.updates if note.value is None else self.metric.symbolic_update(note.value)
        return found


def added_metrics(model: Model) -> list[AddedMetric]:
    """The metrics that the layers of ``model`` add to it, also those inside models and wrappers.

    A layer that is called several times feeds one metric; two layers have two, even under one name. What is computed
    from other inputs than the model's belongs to other models.
    """
    from kcompile.metrics import Mean

    found: dict[Any, AddedMetric] = {}
    for layer in with_sublayers(model):
        for note in layer._metrics:
            if not all(belongs(model, x) for x in note.tensors()):
                continue
            key: Any = note.metric or (layer, note.name)
            if key not in found:
                known = model._means.by_origin
                if note.metric is None and key not in known:
                    known[key] = Mean(name=note.name)
                found[key] = AddedMetric(note.name, note.metric or known[key])
            found[key].notes.append(note)
    return list(found.values())


def joined(phase: Tensor, trained: Sequence[Noted], quiet: Sequence[Noted]) -> list[Noted]:
    """The notes of a call that was traced for training and for inference."""
    if len(trained) != len(quiet) or not all(a.same_as(b) for a, b in zip(trained, quiet, strict=True)):
        return [*(replace(a, training=True) for a in trained), *(replace(b, training=False) for b in quiet)]
    return [_joined(phase, a, b) for a, b in zip(trained, quiet, strict=True)]


def _joined(phase: Tensor, trained: Noted, quiet: Noted) -> Noted:
    if trained.value is not None and quiet.value is not None:
        return replace(trained, value=switch(phase, trained.value, quiet.value))
    one, other = dict(trained.updates), dict(quiet.updates)
    variables = dict.fromkeys([*one, *other])
    pairs = ((v, switch(phase, one.get(v, v), other.get(v, v))) for v in variables)
    return replace(trained, updates=tuple(pairs))
