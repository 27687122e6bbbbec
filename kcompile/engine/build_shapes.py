"""Shapes that ``build`` takes besides that of the inputs: of tensors among the arguments of the call, as in Keras 3.

``build(self, query_shape, value_shape, key_shape=None)`` goes with ``call(self, query, value, key=None)``.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from kcompile.common.cached import cached
from kcompile.engine.layer_base import LayerBase


def named_shapes(layer: LayerBase) -> tuple[str, ...]:
    """The names of the shapes that ``build`` of a layer takes, if there are several."""
    return _named_shapes(type(layer))


@cached
def _named_shapes(cls: type) -> tuple[str, ...]:
    names = tuple(inspect.signature(cls.build).parameters)[1:]  # type: ignore[attr-defined]  # of layers
    return names if len(names) > 1 and all(name.endswith("_shape") for name in names) else ()


def further_shapes(layer: LayerBase, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The shapes after the first, of those arguments of a call that have one."""
    found = {}
    for name in named_shapes(layer)[1:]:
        value = arguments.get(name.removesuffix("_shape"))
        if value is not None and hasattr(value, "shape"):
            found[name] = tuple(value.shape)
    return found
