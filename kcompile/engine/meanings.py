"""What the names in the functions of a layer meant when it was called."""

from __future__ import annotations

import contextlib
import functools
import types
from collections.abc import Callable, Iterator
from typing import Any

from kcompile.common.cached import cached
from kcompile.common.meanings import Meanings, meant_now
from kcompile.engine.layer_base import LayerBase
from kcompile.objects.registry import is_ours

_NOTHING = object()


class LayerMeanings:
    """The functions of a layer and of those inside it, with what their names mean now.

    They are those that it keeps as attributes, and, of classes that users wrote, methods.
    """

    def __init__(self, layer: LayerBase) -> None:
        self._layer = layer
        self.found: list[tuple[int, str, Any, Callable[[], Any]]] = []
        for index, item in enumerate(_without_models(layer)):
            functions = {**_methods(type(item)), **vars(item)}
            for name, value in functions.items():
                if isinstance(value, types.MethodType) and name in _methods(type(item)):
                    value = value.__func__  # one that is restored at the moment
                if isinstance(value, (types.FunctionType, functools.partial)):
                    self.found.append((index, name, value, meant_now(value)))

    @contextlib.contextmanager
    def restored(self, copy: LayerBase | None = None) -> Iterator[None]:
        """Inside, the functions that the layers had then are in their places, with what their names meant.

        Args:
            copy: a layer made with the attributes of the first one, whose methods are restored.
        """
        layers = _without_models(copy or self._layer)
        before: list[tuple[LayerBase, str, Any]] = []
        try:
            for index, name, function, then in self.found:
                restored = then()
                method = index < len(layers) and name in _methods(type(layers[index]))
                now = _methods(type(layers[index]))[name] if method else function
                if restored is now or (copy is not None and not method):
                    continue
                layer, own = layers[index], vars(layers[index])
                before.append((layer, name, own.get(name, _NOTHING)))
                own[name] = types.MethodType(restored, layer) if method else restored
            yield
        finally:
            for layer, name, value in reversed(before):
                if value is _NOTHING:
                    vars(layer).pop(name, None)
                else:
                    vars(layer)[name] = value

    def differs(self, other: LayerMeanings) -> str | None:
        """The name of a variable that means something else in ``other``, if there is one."""
        for (*_, mine), (*_, theirs) in zip(self.found, other.found, strict=False):
            a, b = getattr(mine, "__self__", None), getattr(theirs, "__self__", None)
            if isinstance(a, Meanings) and isinstance(b, Meanings) and (name := a.differs(b)) is not None:
                return name
        return None


def _without_models(layer: LayerBase) -> list[LayerBase]:
    """The layer and those inside it, but not those of models that are graphs: their own calls tell about them."""
    if layer.has_layer_graph:
        return [layer]
    return [layer, *(item for sublayer in layer.layers_inside for item in _without_models(sublayer))]


@cached
def _methods(cls: type) -> dict[str, Any]:
    """The functions of a user's class, those of the bases that users wrote among them."""
    found: dict[str, Any] = {}
    for base in cls.__mro__:
        if is_ours(base) or base is object:
            break
        for name, value in vars(base).items():
            if isinstance(value, types.FunctionType):
                found.setdefault(name, value)
    return found
