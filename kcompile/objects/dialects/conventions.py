"""What versions of Keras mean differently by the same layer, where no argument of it says which.

New layers mean what they mean in tf.keras. Those of a file mean what they meant to the version that wrote it, also
when they are cloned, wrapped, or saved again: :attr:`Layer.keras_convention` stays with a layer for good.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol

from kcompile.objects.registry import is_ours

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

    def names(self) -> list[str]:
        """What differs from the usual."""
        return [name for name, value in asdict(self).items() if value]


USUAL = Convention()


class Holder(Protocol):
    """What has a convention, and may hold others that do."""

    keras_convention: Convention | None
    counts_as_model: bool

    @property
    def layers_inside(self) -> Sequence[Any]: ...


def named(names: Any) -> Convention:
    """The convention of which ``names`` tell what differs; what no version has is left out."""
    known = {field.name for field in fields(Convention)}
    return Convention(**{name: True for name in names if name in known}) if isinstance(names, list) else USUAL


_of_file: ContextVar[Convention | None] = ContextVar("convention", default=None)


def of_file() -> Convention | None:
    """What the layers mean that are being made from a file, where they do not say it themselves."""
    return _of_file.get()


@contextlib.contextmanager
def as_written(convention: Convention | None) -> Iterator[None]:
    """Inside, new layers of files mean that, where they do not say it themselves."""
    token = _of_file.set(convention)
    try:
        yield
    finally:
        _of_file.reset(token)


def of(layer: Holder) -> Convention:
    """What a layer means."""
    return layer.keras_convention or USUAL


def give(layer: Holder, convention: Convention) -> None:
    """Let a layer, and the layers that it made for itself, mean that, unless something else was said of them."""
    done: set[int] = set()
    waiting = [layer]
    while waiting:
        item = waiting.pop()
        if id(item) not in done:
            done.add(id(item))
            if item.keras_convention is None:
                item.keras_convention = convention
            waiting += item.layers_inside


def inherit(layer: Holder, parent: Holder | None) -> None:
    """A layer that another one makes while it is called means what that one means."""
    if layer.keras_convention is None and parent is not None:
        layer.keras_convention = parent.keras_convention


def hand_on(old: Holder, new: Holder) -> None:
    """Give a copy of a layer, and the layers inside it, the meaning of the original."""
    new.keras_convention = old.keras_convention
    for source, target in zip(_parts(old), _parts(new), strict=False):
        hand_on(source, target)


def described(layer: Holder) -> dict[str, Any]:
    """What the entry of a layer in the configuration of its model tells: nothing, if all in it is as usual."""
    tree, unusual = _tree(layer)
    return {KEY: tree} if unusual else {}


def restore(layer: Holder, entry: Mapping[str, Any]) -> None:
    """Give a new layer the meaning that its entry tells; see :func:`described`."""
    if isinstance(entry.get(KEY), list):
        _restore(layer, entry[KEY])


def _tree(layer: Holder) -> tuple[list[Any], bool]:
    """The unusual of a layer, then such lists of the layers in it; and whether there is any."""
    names = of(layer).names() if _matters(layer) else []
    parts = [_tree(part) for part in _parts(layer)]
    return [names, *(tree for tree, _ in parts)], bool(names) or any(unusual for _, unusual in parts)


def _matters(layer: Holder) -> bool:
    """Whether conventions change what the layer does: it has regularizers, or is a user's own and may get some."""
    own = not is_ours(type(layer))
    return own or any(key.endswith("_regularizer") and value is not None for key, value in vars(layer).items())


def _restore(layer: Holder, tree: list[Any]) -> None:
    layer.keras_convention = named(tree[0] if tree else None)
    for part, inner in zip(_parts(layer), tree[1:], strict=False):
        if isinstance(inner, list):
            _restore(part, inner)


def _parts(layer: Holder) -> Sequence[Holder]:
    """The layers in a layer; those of a model have entries of their own."""
    return [] if layer.counts_as_model else layer.layers_inside
