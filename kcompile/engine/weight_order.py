"""The order of weights, which is that of tf.keras.

A layer lists the weights that train, its own first, then those of the layers inside it; then the others likewise. A
model lists its layers one after the other, and last its own. ``trainable`` flags do not change that order: they only
divide the weights into those that train and the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from kcompile.common.lists import unique
from kcompile.engine.layer_base import LayerBase
from kcompile.engine.tracking import Group
from kcompile.symbolic.variable import Variable

Item = LayerBase | Group | Variable
"""What has weights."""


def all_weights(item: Item) -> list[Variable]:
    """All weights of a layer, model or group, whatever its flags say."""
    if isinstance(item, Variable):
        return [item]
    if isinstance(item, LayerBase) and item.counts_as_model:
        inside = [w for child in item.items_it_keeps() for w in all_weights(child)]
        return unique([*inside, *item.weights_of_its_own(True), *item.weights_of_its_own(False)])
    return unique([*training(item, flags=False), *fixed(item, flags=False)])


def training(item: Item, flags: bool = True) -> list[Variable]:
    """The weights that train; without ``flags`` as if nothing were frozen."""
    if isinstance(item, Variable):
        return [item] if item.trainable else []
    if isinstance(item, Group):
        return _in_group(item, training, flags, True)
    if flags and not item.trainable:
        return []
    own, inside = item.weights_of_its_own(True), _gathered(_parts(item), training, flags)
    return unique([*inside, *own] if item.counts_as_model else [*own, *inside, *_loose(item, True)])


def fixed(item: Item, flags: bool = True) -> list[Variable]:
    """The weights that do not train; without ``flags`` as if nothing were frozen."""
    if isinstance(item, Variable):
        return [] if item.trainable else [item]
    if isinstance(item, Group):
        return _in_group(item, fixed, flags, False)
    if flags and not item.trainable:
        return frozen(item)
    own, inside = item.weights_of_its_own(False), _gathered(_parts(item), fixed, flags)
    return unique([*inside, *own] if item.counts_as_model else [*own, *inside, *_loose(item, False)])


def frozen(item: Item) -> list[Variable]:
    """The weights of something of which nothing trains: layer by layer."""
    if isinstance(item, Variable):
        return [item]
    if isinstance(item, Group):
        layers = [w for each in item.items if not isinstance(each, Variable) for w in frozen(each)]
        return [*layers, *(each for each in item.items if isinstance(each, Variable))]
    inside = [w for child in _parts(item) for w in frozen(child)]
    if item.counts_as_model:
        return unique([*item.weights_of_its_own(True), *inside, *item.weights_of_its_own(False)])
    loose = [*_loose(item, True), *_loose(item, False)]
    return unique([*item.weights_of_its_own(True), *item.weights_of_its_own(False), *inside, *loose])


def _parts(item: LayerBase) -> Iterable[Item]:
    """What is inside: a model's containers count as one thing each, those of a layer do not."""
    return item.items_it_keeps() if item.counts_as_model else item.layers_inside


def _gathered(parts: Iterable[Item], of: Callable[..., list[Variable]], flags: bool) -> Iterator[Variable]:
    for part in parts:
        if flags and isinstance(part, LayerBase):  # a class may say itself what trains
            yield from part.trainable_weights if of is training else part.non_trainable_weights
        else:
            yield from of(part, flags)


def _in_group(group: Group, of: Callable[..., list[Variable]], flags: bool, trainable: bool) -> list[Variable]:
    """Those of the layers in a container, then its own variables."""
    own = [item for item in group.items if isinstance(item, Variable) and item.trainable == trainable]
    return [*_gathered((item for item in group.items if not isinstance(item, Variable)), of, flags), *own]


def _loose(layer: LayerBase, trainable: bool) -> list[Variable]:
    """Variables that a container of a layer got after it had become an attribute."""
    groups = [item for item in layer.items_it_keeps() if isinstance(item, Group)]
    return [w for group in groups for w in group.flat() if isinstance(w, Variable) and w.trainable == trainable]
