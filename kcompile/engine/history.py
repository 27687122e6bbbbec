"""Which IR values are outputs of layers."""

from __future__ import annotations

from weakref import WeakValueDictionary

from kcompile import ir
from kcompile.engine.tensor import Tensor

_layer_outputs: WeakValueDictionary[ir.Value, Tensor] = WeakValueDictionary()


def remember(x: Tensor) -> None:
    """Note that ``x`` was made by a layer."""
    _layer_outputs[x.value] = x


def forget(x: Tensor) -> None:
    """Take back that ``x`` was made by a layer."""
    if _layer_outputs.get(x.value) is x:
        del _layer_outputs[x.value]


def made_by_layer(value: ir.Value) -> Tensor | None:
    """The layer's tensor for this IR value, if there is one."""
    return _layer_outputs.get(value)
