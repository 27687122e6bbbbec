"""Operations outside of layers (``x + y``, ``K.exp(x)``) as nodes of the layer graph."""

from __future__ import annotations

from typing import Any

from kcompile import ir
from kcompile.engine.history import made_by_layer
from kcompile.engine.layer import Layer
from kcompile.engine.tensor import Tensor


class OpLayer(Layer):
    """Replays IR operations on other inputs.

    It is made where a tensor that K functions or operators computed enters a layer or ends a model, so that such
    models work without ``Lambda``. It cannot be saved in a Keras file: the operations are not Keras layers.
    """

    def __init__(self, sources: list[Tensor], result: Tensor, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._sources = [x.value for x in sources]
        self._result = result.value
        self.built = True

    def call(self, inputs: Any) -> Tensor:
        from kcompile.backend.functions import substitute

        tensors = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        new = {old: x.value for old, x in zip(self._sources, tensors, strict=True)}
        return Tensor(substitute([self._result], new)[0])

    def _clone(self) -> OpLayer:
        clone = OpLayer([], Tensor(self._result), name=self.name)
        clone._sources = list(self._sources)
        return clone

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        return None


def wrap_operations(x: Tensor) -> Tensor:
    """``x`` as the output of an :class:`OpLayer` over the layer outputs that it depends on.

    A tensor that depends on none (a constant) is returned as it is.
    """
    known = made_by_layer(x.value)
    if known is not None:
        return known
    sources: dict[ir.Value, Tensor] = {}
    seen: set[ir.Value] = set()
    stack = [x.value]
    while stack:
        value = stack.pop()
        if value in seen:
            continue
        seen.add(value)
        tensor = made_by_layer(value)
        if tensor is not None:
            sources[value] = tensor
        else:
            stack.extend(value.node.inputs)
    if not sources:
        return x
    ordered = list(reversed(sources.values()))
    layer = OpLayer(ordered, x, name=None)
    wrapped: Tensor = layer(ordered if len(ordered) > 1 else ordered[0])
    return wrapped
