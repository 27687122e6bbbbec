"""Which IR values are outputs of layers."""

from __future__ import annotations

from weakref import WeakValueDictionary

from kcompile import ir
from kcompile.ir.ops.elementwise.functions import Sigmoid
from kcompile.ir.ops.products.softmax import Softmax
from kcompile.symbolic.tensor import Tensor

_layer_outputs: WeakValueDictionary[ir.Value, Tensor] = WeakValueDictionary()
_by_logits: WeakValueDictionary[ir.Value, Tensor] = WeakValueDictionary()


def remember(x: Tensor) -> None:
    """Note that ``x`` was made by a layer."""
    _layer_outputs[x.value] = x
    if isinstance(x.value.op, (Sigmoid, Softmax)):
        _by_logits[x.value.node.inputs[0]] = x


def forget(x: Tensor) -> None:
    """Take back that ``x`` was made by a layer."""
    if _layer_outputs.get(x.value) is x:
        del _layer_outputs[x.value]
    if isinstance(x.value.op, (Sigmoid, Softmax)) and _by_logits.get(x.value.node.inputs[0]) is x:
        del _by_logits[x.value.node.inputs[0]]


def made_by_layer(value: ir.Value) -> Tensor | None:
    """The layer's tensor for this IR value, if there is one."""
    return _layer_outputs.get(value)


def made_from_logits(value: ir.Value) -> Tensor | None:
    """The layer's tensor that is the sigmoid or softmax of this IR value: losses compute with the value itself."""
    return _by_logits.get(value)
