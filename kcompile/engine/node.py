"""A layer call in the front end's graph of layers, and what a layer expects of its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kcompile.common.errors import KCompileError, ShapeError, shown
from kcompile.engine.advice import on_axes
from kcompile.engine.forms import arranged
from kcompile.symbolic.history import made_by_layer
from kcompile.symbolic.tensor import Tensor

if TYPE_CHECKING:
    from kcompile.engine.layer import Layer
    from kcompile.engine.meanings import LayerMeanings


class Node:
    """One call of a layer: the tensors that went in and came out.

    Attributes:
        layer: the layer that was called (Keras: ``outbound_layer``).
        inbound_layers, node_indices, tensor_indices: where each input tensor came from.
        input_tensors, output_tensors: lists of tensors.
        input_masks, output_masks: a mask or ``None`` for each.
        arguments: the keyword arguments of the call.
        nested: whether the layer was given a list.
        meanings: what the layer's functions read when it was called.
        form: the dictionary or nested lists in which it was given its inputs, if it was.
    """

    def __init__(
        self,
        layer: Layer,
        input_tensors: Sequence[Tensor],
        output_tensors: Sequence[Tensor],
        input_masks: Sequence[Tensor | None],
        output_masks: Sequence[Tensor | None],
        arguments: dict[str, Any],
        nested: bool,
        meanings: LayerMeanings | None = None,
        form: Any = None,
    ) -> None:
        self.layer = self.outbound_layer = layer
        self.input_tensors = list(input_tensors)
        self.output_tensors = list(output_tensors)
        self.input_masks = list(input_masks)
        self.output_masks = list(output_masks)
        self.input_shapes = [tuple(x.shape) for x in input_tensors]
        self.output_shapes = [tuple(x.shape) for x in output_tensors]
        self.arguments = arguments
        self.nested = nested
        self.meanings = meanings
        self.form = form
        histories = [x.keras_history for x in input_tensors if x.keras_history is not None]
        self.inbound_layers = [history[0] for history in histories]
        self.node_indices = [history[1] for history in histories]
        self.tensor_indices = [history[2] for history in histories]
        for inbound in dict.fromkeys(self.inbound_layers):
            inbound._outbound_nodes.append(self)
        layer._inbound_nodes.append(self)

    def arranged(self, tensors: Sequence[Any]) -> Any:
        """Other tensors in the form in which the layer was given its inputs."""
        return arranged(self.form, tensors, self.nested)

    def argument_tensors(self) -> list[Tensor]:
        """The tensors of layers among the keyword arguments: the call depends on them too."""
        return [x for value in self.arguments.values() for x in _tensors(value)]

    def get_config(self) -> dict[str, Any]:
        return {
            "outbound_layer": self.layer.name,
            "inbound_layers": [layer.name for layer in self.inbound_layers],
            "node_indices": self.node_indices,
            "tensor_indices": self.tensor_indices,
        }


def _tensors(argument: Any) -> list[Tensor]:
    if isinstance(argument, Tensor):
        return [argument] if argument.keras_history is not None else []
    if isinstance(argument, (list, tuple)):
        return [x for item in argument for x in _tensors(item)]
    return []


def get_source_inputs(tensor: Any, layer: Layer | None = None, node_index: int | None = None) -> list[Tensor]:
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
    waiting = [layer._inbound_nodes[node_index]]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if not node.inbound_layers:
            found.update((id(x), x) for x in node.output_tensors)
            continue
        made = [x.keras_history for x in (*node.input_tensors, *node.argument_tensors()) if x.keras_history]
        waiting += [inbound._inbound_nodes[index] for inbound, index, _ in reversed(made)]
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

    def check(self, x: Tensor, layer: Layer, position: int, count: int) -> None:
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
