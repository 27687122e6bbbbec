"""Which weight of a layer an array in a file is, where layers lie inside layers.

Keras writes the weights that train first, so that what was frozen when the file was written decides the order, and it
reads them by what is frozen then. Names tell more: those of the arrays, or, where automatic names begin to count
elsewhere, what the layers are called apart from their numbers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kcompile.engine import weight_order
from kcompile.engine.layer import Layer
from kcompile.engine.network import Network
from kcompile.symbolic.variable import Variable

Shapes = Sequence[tuple[int, ...]]


def order_by_names(
    layer: Layer, names: Sequence[str], shapes: Shapes, usual: Sequence[Variable], from_file: bool = False
) -> list[Variable]:
    """The weights of ``layer`` in the order of the file's arrays.

    Args:
        layer: a layer or model.
        names, shapes: those of the arrays in the file.
        usual: the order if names tell nothing.
        from_file: whether the layers of models have their names from the same file.
    """
    weights = layer.weights
    if len(names) != len(weights) or not layer.layers_inside:
        return list(usual)
    stored = [_Name.of(name.removesuffix(":0")) for name in names]
    own = [_Name.of(weight.label) for weight in weights]
    known = _names_in_models(layer) if from_file else set()
    found = _same(stored, own) or _numbered(stored, own, shapes, weights, known)
    if found is not None:
        return [weights[i] for i in found]
    for order in (usual, *possible_orders(layer)):
        if _consistent(stored, [_Name.of(w.label) for w in order], shapes, order):
            return list(order)
    return list(usual)


def possible_orders(layer: Layer) -> list[list[Variable]]:
    """The orders in which files have the weights: nothing frozen, what is frozen inside, everything."""
    inside = [*weight_order.training(layer, flags=False), *weight_order.fixed(layer, flags=False)]
    return [inside, trained_inside_first(layer), [*_trained(layer), *_others(layer)], weight_order.frozen(layer)]


def trained_inside_first(layer: Layer) -> list[Variable]:
    """The order of Keras up to 2.3 for what is frozen as a whole: the layers inside are asked what trains."""
    first = [*layer.weights_of_its_own(True), *(w for inner in layer.layers_inside for w in inner.trainable_weights)]
    rest = [
        *layer.weights_of_its_own(False),
        *(w for inner in layer.layers_inside for w in inner.non_trainable_weights),
    ]
    return list(dict.fromkeys([*first, *rest]))


def _trained(layer: Layer) -> list[Variable]:
    """What trains in ``layer``, as versions up to 2.3 list it at every depth."""
    if not layer.trainable:
        return []
    return list(
        dict.fromkeys([*layer.weights_of_its_own(True), *(w for s in layer.layers_inside for w in _trained(s))])
    )


def _others(layer: Layer) -> list[Variable]:
    """What does not, as there: of a frozen model first what would train if only the model's own flag were another."""
    own, inside = layer.weights_of_its_own(False), [w for s in layer.layers_inside for w in _others(s)]
    if layer.trainable:
        order = [*inside, *own] if isinstance(layer, Network) else [*own, *inside]
    elif isinstance(layer, Network):
        order = [*layer.weights_of_its_own(True), *(w for s in layer.layers_inside for w in _trained(s)), *inside, *own]
    else:
        order = [
            *layer.weights_of_its_own(True),
            *own,
            *(w for s in layer.layers_inside for w in [*_trained(s), *_others(s)]),
        ]
    return list(dict.fromkeys(order))


def _names_in_models(layer: Layer) -> set[str]:
    """The names of layers that stand in models, which configurations give; those inside of layers count on."""
    models = [item for item in layer.layer_and_those_inside() if isinstance(item, Network)]
    return {inner.name for model in models for inner in model.layers}


@dataclass(frozen=True)
class _Name:
    """``block/dense_3/kernel``: the owner ``block/dense_3``, of the kind ``dense`` and the number 3; and ``kernel``."""

    owner: str
    kind: str
    number: int
    last: str

    @classmethod
    def of(cls, name: str) -> _Name:
        owner, _, last = name.rpartition("/")
        match = re.fullmatch(r"(.*?)(?:_(\d{1,9}))?", owner.rpartition("/")[2], re.DOTALL)
        assert match is not None
        return cls(owner, match[1], int(match[2] or 0), last)


def _same(stored: Sequence[_Name], own: Sequence[_Name]) -> list[int] | None:
    """By equal names; ``None`` if some are not among the others, or not unique."""
    places = {name: i for i, name in enumerate(own)}
    if len(places) != len(own) or set(stored) != set(places):
        return None
    return [places[name] for name in stored]


def _numbered(
    stored: Sequence[_Name], own: Sequence[_Name], shapes: Shapes, weights: Sequence[Variable], known: set[str]
) -> list[int] | None:
    """By kinds of layers, in the order of their numbers, which is that in which they were made; ``known`` by names."""
    theirs, ours = _owners(stored), _owners(own)
    if {kind: len(found) for kind, found in theirs.items()} != {kind: len(found) for kind, found in ours.items()}:
        return None
    known = known & {name.owner for name in own}
    if not known <= {name.owner for name in stored}:
        known = set()
    result = [-1] * len(stored)
    for kind, found in ours.items():
        numbers = [own[places[0]].number for places in found]
        if len(set(numbers)) != len(numbers):
            return None
        for places, mine in zip(_ranked(theirs[kind], stored, known), _ranked(found, own, known), strict=True):
            by_last = {own[i].last: i for i in mine}
            if len(by_last) != len(mine) or len(places) != len(mine):
                return None
            for place in places:
                i = by_last.get(stored[place].last)
                if i is None or weights[i].storage.shape != shapes[place]:
                    return None
                result[place] = i
    return result if sorted(result) == list(range(len(result))) else None


def _ranked(groups: list[list[int]], names: Sequence[_Name], known: set[str]) -> list[list[int]]:
    """Groups of weights by owners: those of known names, then the others, each by their numbers."""

    def rank(group: list[int]) -> tuple[bool, int]:
        return names[group[0]].owner not in known, names[group[0]].number

    return sorted(groups, key=rank)


def _owners(names: Sequence[_Name]) -> dict[str, list[list[int]]]:
    """For each kind of layer the places of the weights of each, in order of first occurrence."""
    found: dict[str, dict[str, list[int]]] = {}
    for i, name in enumerate(names):
        found.setdefault(name.kind, {}).setdefault(name.owner, []).append(i)
    return {kind: list(owners.values()) for kind, owners in found.items()}


def _consistent(stored: Sequence[_Name], own: Sequence[_Name], shapes: Shapes, order: Sequence[Variable]) -> bool:
    """Whether the weights in that order have the shapes, and layers correspond to layers."""
    theirs: dict[str, str] = {}
    ours: dict[str, str] = {}
    for a, b, shape, weight in zip(stored, own, shapes, order, strict=True):
        same_last = re.sub(r"_\d{1,9}$", "", a.last) == re.sub(r"_\d{1,9}$", "", b.last)
        if not same_last or weight.storage.shape != shape:
            return False
        if theirs.setdefault(a.owner, b.owner) != b.owner or ours.setdefault(b.owner, a.owner) != a.owner:
            return False
    return True
