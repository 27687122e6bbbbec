"""A linear stack of layers."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from kcompile.common.errors import DataTypeError, KCompileError, listed, shown
from kcompile.common.lists import unique
from kcompile.common.nest import flatten
from kcompile.common.tracebacks import short_traceback
from kcompile.engine.input_layer import Input, InputLayer
from kcompile.engine.layer import Layer
from kcompile.engine.network_config import sequential_config, sequential_from_config
from kcompile.models.model import Model
from kcompile.objects.configs import reading
from kcompile.objects.refused_hooks import refuse_ignored_call
from kcompile.objects.registry import is_ours
from kcompile.symbolic.tensor import Array, Tensor


class Sequential(Model):
    """Layers applied one after the other.

    The graph is built as soon as the first layer knows its input shape; else when data or ``build`` tell it.

    Args:
        layers: layers (or models) to add.
        name: the model's name.
    """

    takes_one_input = True
    _start: Tensor | None = None  # the input
    _end: Tensor | None = None  # the output of the last layer, once the input is known

    @short_traceback
    def __init__(self, layers: Sequence[Layer] | None = None, name: str | None = None, **kwargs: Any) -> None:
        if isinstance(name, Layer):
            raise DataTypeError(f"Sequential: name must be a string, got {shown(name)}; give the layers as one list")
        super().__init__(name=name, **kwargs)
        refuse_ignored_call(type(self))
        self._stack: list[Layer] = []
        if layers is not None and not isinstance(layers, (list, tuple)):
            raise DataTypeError(f"Sequential: layers must be a list of layers, got {shown(layers)}")
        for layer in layers or []:
            self.add(layer)

    @property
    def layers(self) -> list[Layer]:
        """The layers that were added, without the input layer."""
        return [layer for layer in super().layers if not isinstance(layer, InputLayer)]

    @property
    def layers_as_added(self) -> list[Layer]:
        return self._stack

    def items_it_keeps(self) -> list[Any]:
        return unique([*self._stack, *Layer.items_it_keeps(self)])

    @property
    def layers_inside(self) -> list[Layer]:
        known = {*self._stack, *self.input_layers}
        return [*self.layers, *unique(node.layer for node in self._nodes if node.layer not in known)]

    @short_traceback
    def add(self, layer: Any) -> None:
        """Add a layer on top.

        Raises:
            TypeError: not a layer.
            ValueError: another layer has its name, or it does not fit the output below it.
        """
        if isinstance(layer, Tensor) and layer.keras_history is not None:
            layer = layer.keras_history[0]
        if not isinstance(layer, Layer):
            hint = f"; make an instance: {layer.__name__}(...)" if isinstance(layer, type) else ""
            raise DataTypeError(f"model {self.name!r}: add takes a layer, got {shown(layer)}{hint}")
        if any(layer.name == other.name and layer is not other for other in self._stack):
            raise KCompileError(
                f"model {self.name!r} already has a layer named {layer.name!r}; its layers are "
                f"{listed(item.name for item in self._stack)}"
            )
        shape = _first_shape(layer) if not self._stack else None
        if isinstance(layer, InputLayer):
            if self._stack:
                raise KCompileError(f"model {self.name!r}: an input layer can only be the first")
            self._stack.append(layer)
            self._start = layer.call_notes.inbound_nodes[0].output_tensors[0]
            self._end = self._start
            return
        if shape is not None:
            self._start = Input(batch_shape=shape, dtype=_first_dtype(layer), name=f"{layer.name}_input")
            self._end = self._start
        if self._end is not None:
            self._end = _applied(layer, self._end)  # before anything changes: an error leaves the model as it was
        self._stack.append(layer)
        if self._end is not None:
            self._refresh()

    def pop(self) -> None:
        """Remove the last layer.

        Raises:
            TypeError: there is none.
        """
        if not self.layers:
            raise DataTypeError(f"model {self.name!r} has no layers to remove")
        layer = self._stack.pop()
        node = None
        if self._end is not None and self._end.keras_history is not None:
            nodes, index = layer.call_notes.inbound_nodes, self._end.keras_history[1]
            node = nodes[index]
            if index == len(nodes) - 1:
                layer.call_notes = layer.call_notes.but(inbound_nodes=nodes[:-1])
        if not self.layers:
            self._functional, self.built, self._end = False, False, None
            self.inputs, self.outputs = [], []
            return
        if node is not None:
            self._end = node.input_tensors[0]
            self._refresh()

    def _refresh(self) -> None:
        self.set_ends(self._start, self._end)
        self.fit_trainer.predictor = None
        self.fit_trainer.outputs_changed()

    def build(self, input_shape: Any = None) -> None:
        """Build for inputs of that shape (batch axis included)."""
        if self._functional or input_shape is None:
            if not self._functional:
                raise KCompileError(f"model {self.name!r}: build needs the input shape, batch axis included")
            return
        self._build_from(Input(batch_shape=tuple(input_shape)))

    def build_from_inputs(self, inputs: Any) -> None:
        """Build the graph from the one symbolic input."""
        if isinstance(inputs, list):
            raise KCompileError(f"model {self.name!r} is Sequential and takes one input, got {len(inputs)}")
        self._build_from(inputs)

    def _build_from(self, start: Tensor) -> None:
        if not self._stack:
            raise KCompileError(f"model {self.name!r} has no layers")
        end = start
        for layer in self._stack:
            end = _applied(layer, end)
        self._start, self._end = start, end
        self._refresh()

    def predict_classes(self, x: Any, batch_size: int = 32, verbose: int = 0) -> Array:
        """The most probable class of each sample; with one output column, whether it exceeds 0.5."""
        p: Array = self.predict(x, batch_size=batch_size, verbose=verbose)
        return p.argmax(axis=-1) if p.shape[-1] > 1 else (p > 0.5).astype("int32")

    def predict_proba(self, x: Any, batch_size: int = 32, verbose: int = 0) -> Array:
        """:meth:`predict`, with a warning if the outputs are no probabilities."""
        p: Array = self.predict(x, batch_size=batch_size, verbose=verbose)
        if p.size and (p.min() < 0 or p.max() > 1):
            warnings.warn(
                f"model {self.name!r}: outputs outside [0, 1] are no probabilities; end it with softmax or sigmoid",
                stacklevel=2,
            )
        return p

    def get_config(self) -> dict[str, Any]:
        """The layers in Keras 2's form."""
        return sequential_config(self)

    @classmethod
    def from_config(cls, config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
        """A new model from :meth:`get_config`, with fresh weights.

        A subclass with a ``get_config`` of its own gets that back as arguments.
        """
        with reading("the configuration does not describe a model"):
            if not is_ours(cls) and isinstance(config, dict) and "layers" not in config:
                return cls(**config)
            return sequential_from_config(cls, config, custom_objects)


def _applied(layer: Layer, x: Tensor) -> Tensor:
    """The one output of a layer, also where that returns it in a list."""
    outputs = flatten(layer(x))
    if len(outputs) != 1:
        raise KCompileError(f"layer {layer.name!r} has several outputs; use the functional API")
    output: Tensor = outputs[0]
    return output


def _first_shape(layer: Layer) -> tuple[int | None, ...] | None:
    """The input shape that a first layer was given, its own or that of its first layer."""
    if layer.batch_input_shape is not None and not isinstance(layer, InputLayer):
        return layer.batch_input_shape
    if isinstance(layer, Model) and layer.has_layer_graph and len(layer.inputs) == 1:
        return tuple(layer.inputs[0].shape)
    return None


def _first_dtype(layer: Layer) -> str | None:
    if isinstance(layer, Model) and layer.has_layer_graph:
        return layer.inputs[0].dtype
    return getattr(layer, "input_dtype", None) or layer.dtype
