"""The metrics of a model that its layers feed: what they note while they are called, gathered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kcompile.engine.added_metrics import Noted
from kcompile.engine.network import Network
from kcompile.engine.notes import belongs
from kcompile.metrics import Mean
from kcompile.symbolic.tensor import Tensor
from kcompile.symbolic.variable import Variable

Update = tuple[Variable, Tensor]


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


def added_metrics(model: Network, means: Means) -> list[AddedMetric]:
    """The metrics that the layers of ``model`` add to it, also those inside models and wrappers.

    A layer that is called several times feeds one metric; two layers have two, even under one name. What is computed
    from other inputs than the model's belongs to other models.

    Args:
        model: a built model.
        means: what it made before.
    """
    found: dict[Any, AddedMetric] = {}
    for layer in model.layer_and_those_inside():
        for note in layer.call_notes.metrics:
            if not all(belongs(model, x) for x in note.tensors()):
                continue
            key: Any = note.metric or (layer, note.name)
            if key not in found:
                if note.metric is None and key not in means.by_origin:
                    means.by_origin[key] = Mean(name=note.name)
                found[key] = AddedMetric(note.name, note.metric or means.by_origin[key])
            found[key].notes.append(note)
    return list(found.values())
