"""What a layer expects of its inputs, and from which inputs of models a tensor comes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcompile.common.errors import KCompileError, ShapeError, shown
from kcompile.engine.advice import on_axes
from kcompile.engine.layer_base import LayerBase, called_in
from kcompile.symbolic.history import made_by_layer
from kcompile.symbolic.tensor import Tensor


def get_source_inputs(tensor: Any, layer: LayerBase | None = None, node_index: int | None = None) -> list[Tensor]:
    """The model inputs that a layer's output depends on, each once.

    Args:
        tensor: what a layer made.
        layer, node_index: the layer and the number of its call to start from, instead of those of ``tensor``.

    Raises:
        ValueError: no layer made ``tensor``.
    """
    if layer is None or node_index is None:
        if isinstance(tensor, Tensor) and tensor.keras_history is None:
            tensor = made_by_layer(tensor.value) or tensor  # another handle of it
        if getattr(tensor, "keras_history", None) is None:
            raise KCompileError(f"get_source_inputs needs the output of a layer, got {shown(tensor)}")
        layer, node_index, _ = tensor.keras_history
    found: dict[int, Tensor] = {}
    seen: set[int] = set()
    waiting = [layer.call_notes.inbound_nodes[node_index]]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if not node.inbound_layers:
            found.update((id(x), x) for x in node.output_tensors)
            continue
        made = [x for x in (*node.input_tensors, *node.argument_tensors()) if x.keras_history]
        waiting += [called_in(x) for x in reversed(made)]
    return list(found.values())


class InputSpec:
    """What a layer expects of one input.

    Args:
        dtype: element type.
        shape: the whole shape, ``None`` where any size is right.
        ndim, max_ndim, min_ndim: number of axes.
        axes: the size of single axes: ``{axis: size}``, negative axes count from the end.
    """

    def __init__(
        self,
        dtype: str | None = None,
        shape: Sequence[int | None] | None = None,
        ndim: int | None = None,
        max_ndim: int | None = None,
        min_ndim: int | None = None,
        axes: dict[int, int | None] | None = None,
    ) -> None:
        self.dtype = dtype
        self.shape = tuple(shape) if shape is not None else None
        self.ndim = len(self.shape) if self.shape is not None else ndim
        self.max_ndim = max_ndim
        self.min_ndim = min_ndim
        self.axes = axes or {}

    def check(self, x: Tensor, layer: LayerBase, position: int, count: int) -> None:
        """Raise if ``x`` does not fit.

        Raises:
            ShapeError: naming the layer, what it expects, and the shape that it got.
        """
        shape = tuple(x.shape)
        which = f"input {position} of " if count > 1 else ""
        got = f"{which}layer {layer.name!r} ({type(layer).__name__}) got shape {_text(shape)}"
        if self.ndim is not None and x.ndim != self.ndim:
            raise ShapeError(f"{got}, which has {x.ndim} axes; expected {self.ndim}{on_axes(x, self.ndim)}")
        if self.max_ndim is not None and x.ndim > self.max_ndim:
            raise ShapeError(f"{got}, which has {x.ndim} axes; expected at most {self.max_ndim}")
        if self.min_ndim is not None and x.ndim < self.min_ndim:
            raise ShapeError(f"{got}, which has {x.ndim} axes; expected at least {self.min_ndim}")
        for axis, size in self.axes.items():
            if size is not None and shape[axis] not in (size, None):
                raise ShapeError(f"{got}; expected axis {axis} to have size {size}, got {shape[axis]}")
        if self.shape is not None:
            for axis, (size, actual) in enumerate(zip(self.shape, shape, strict=True)):
                if size is not None and actual not in (size, None):
                    raise ShapeError(f"{got}; expected {_text(self.shape)}: axis {axis} is {actual}, not {size}")

    def __repr__(self) -> str:
        facts = {k: v for k, v in vars(self).items() if v}
        return f"InputSpec({', '.join(f'{k}={v}' for k, v in facts.items())})"


def _text(shape: Sequence[int | None]) -> str:
    return "(" + ", ".join("batch" if i == 0 and d is None else str(d) for i, d in enumerate(shape)) + ")"
