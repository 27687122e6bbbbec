"""What versions of Keras mean differently by the same layer, where no argument of it says which.

New layers mean what they mean in tf.keras. Those of a file mean what they meant to the version that wrote it, also
when they are cloned, wrapped, or saved again: :attr:`Layer._convention` stays with a layer for good.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from kcompile.backend import math as m
from kcompile.backend.shape import shape
from kcompile.engine.notes import caller, with_sublayers
from kcompile.symbolic.tensor import Tensor, as_tensor

if TYPE_CHECKING:
    from kcompile.engine.layer import Layer

KEY = "kcompile_convention"
"""Under what a layer's entry in the configuration of a model tells what is unusual; other readers skip it."""


@dataclass(frozen=True)
class Convention:
    """The meaning of a layer.

    Attributes:
        sums_activity: the ``activity_regularizer`` counts the whole batch, not the mean over its samples (Keras 1 and
            2.3, and Keras 3 before 3.14).
        frees_frozen: weights that do not train cost no penalty (Keras 3).
    """

    sums_activity: bool = False
    frees_frozen: bool = False

    def activity_loss(self, regularizer: Callable[[Any], Any], y: Tensor) -> Tensor:
        """The penalty for an output."""
        loss = as_tensor(regularizer(y))
        if self.sums_activity or y.ndim == 0:
            return loss
        return loss / m.maximum(m.cast(shape(y)[0], loss.dtype), 1.0)

    def names(self) -> list[str]:
        """What differs from the usual."""
        return [name for name, value in asdict(self).items() if value]


USUAL = Convention()


def named(names: Any) -> Convention:
    """The convention of which ``names`` tell what differs; what no version has is left out."""
    known = {field.name for field in fields(Convention)}
    return Convention(**{name: True for name in names if name in known}) if isinstance(names, list) else USUAL


def of(layer: Layer) -> Convention:
    """What a layer means."""
    return layer._convention or USUAL


def give(layer: Layer, convention: Convention) -> None:
    """Let a layer, and the layers that it made for itself, mean that, unless something else was said of them."""
    for item in with_sublayers(layer):
        if item._convention is None:
            item._convention = convention


def inherit(layer: Layer) -> None:
    """A layer that another one makes while it is called means what that one means."""
    parent = caller()
    if layer._convention is None and parent is not None:
        layer._convention = parent._convention


def hand_on(old: Layer, new: Layer) -> None:
    """Give a copy of a layer, and the layers inside it, the meaning of the original."""
    new._convention = old._convention
    for source, target in zip(_parts(old), _parts(new), strict=False):
        hand_on(source, target)


def described(layer: Layer) -> dict[str, Any]:
    """What the entry of a layer in the configuration of its model tells: nothing, if all in it is as usual."""
    tree, unusual = _tree(layer)
    return {KEY: tree} if unusual else {}


def restore(layer: Layer, entry: Mapping[str, Any]) -> None:
    """Give a new layer the meaning that its entry tells; see :func:`described`."""
    if isinstance(entry.get(KEY), list):
        _restore(layer, entry[KEY])


def _tree(layer: Layer) -> tuple[list[Any], bool]:
    """The unusual of a layer, then such lists of the layers in it; and whether there is any."""
    names = of(layer).names() if _matters(layer) else []
    parts = [_tree(part) for part in _parts(layer)]
    return [names, *(tree for tree, _ in parts)], bool(names) or any(unusual for _, unusual in parts)


def _matters(layer: Layer) -> bool:
    """Whether conventions change what the layer does: it has regularizers, or is a user's own and may get some."""
    own = not type(layer).__module__.startswith("kcompile.")
    return own or any(key.endswith("_regularizer") and value is not None for key, value in vars(layer).items())


def _restore(layer: Layer, tree: list[Any]) -> None:
    layer._convention = named(tree[0] if tree else None)
    for part, inner in zip(_parts(layer), tree[1:], strict=False):
        if isinstance(inner, list):
            _restore(part, inner)


def _parts(layer: Layer) -> list[Layer]:
    """The layers in a layer; those of a model have entries of their own."""
    return [] if hasattr(layer, "_functional") else layer.sublayers
