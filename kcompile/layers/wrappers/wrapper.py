"""Wrapper: a layer that holds another one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from kcompile.common.errors import DataTypeError, shown
from kcompile.common.lists import is_shape_list
from kcompile.engine.cloning import copy_of
from kcompile.engine.layer import Layer
from kcompile.engine.notes import move_inside
from kcompile.layers.base.types import Shapes
from kcompile.objects.configs import layer_from_config
from kcompile.objects.custom import get_registered_name
from kcompile.symbolic.tensor import Tensor

__all__ = ["Wrapper"]


class Wrapper(Layer):
    """The base of layers that do something with another layer: its weights, losses and updates are theirs too.

    Subclasses define ``call``, in which they call ``self.layer`` (or use its weights) as they need. This class itself
    returns its input, as in Keras.

    Args:
        layer: the inner layer, or a model.

    Raises:
        TypeError (also a ValueError): ``layer`` is not a layer.
    """

    # An activity regularizer belongs to the inner layer, which applies it where it is called.
    _allowed = tuple(name for name in Layer._allowed if name != "activity_regularizer")

    def __init__(self, layer: Layer, **kwargs: Any) -> None:
        check_layer(type(self).__name__, "layer", layer)
        super().__init__(**kwargs)
        self.layer = layer

    @property
    def activity_regularizer(self) -> Any:
        """That of the inner layer."""
        return getattr(self.layer, "activity_regularizer", None)

    def _regularize_activity(self, inputs: Any, outputs: Sequence[Any]) -> None:
        """The inner layer does this where it is called."""

    def build(self, input_shape: Shapes | None = None) -> None:
        """Make the weights of the inner layer for inputs of that shape."""
        if input_shape is not None:
            build_inside(self.layer, input_shape)
        self.built = True

    def get_config(self) -> dict[str, Any]:
        layer = {"class_name": get_registered_name(type(self.layer)), "config": self.layer.get_config()}
        return {**super().get_config(), "layer": layer}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
        """A new layer around a new inner layer.

        Raises:
            ValueError: the class of the inner layer is neither known nor among the custom objects.
        """
        return cls(**{**config, "layer": layer_from_config(config["layer"], custom_objects)})

    def clone_of_layer(self) -> Any:
        return type(self)(**{**self.get_config(), "layer": clone_of(self.layer)})


def check_layer(owner: str, argument: str, layer: object) -> None:
    """Refuse what is not a layer.

    Raises:
        TypeError (also a ValueError): naming what was given.
    """
    if isinstance(layer, Layer):
        return
    hint = f"; make an instance: {layer.__name__}(...)" if isinstance(layer, type) else ""
    raise DataTypeError(f"{owner}: {argument} must be a layer or a model, got {shown(layer)}{hint}")


def build_inside(layer: Layer, input_shape: Shapes) -> None:
    """Make the weights of a layer in a wrapper, and give it those that it was constructed with."""
    if not layer.built:
        nested = is_shape_list(input_shape)
        layer.build_for_shapes(list(input_shape) if nested else [tuple(input_shape)], nested)


def clone_of(layer: Layer) -> Any:
    """A layer or model of the same configuration with weights of its own; no class is looked up by name."""
    return copy_of(layer)


@contextmanager
def calls_inside(outer: Layer, layer: Layer, inputs: Sequence[Tensor]) -> Iterator[None]:
    """Inside, ``outer`` calls ``layer`` on ``inputs``, of which it may have computed some.

    As in Keras, such calls are no places of ``layer`` in the graph of layers: its output stays what it was.
    """
    before = layer.call_notes
    computed = [x for x in inputs if x.keras_history is None]
    for x in computed:  # a layer is making it, so it needs no node of its own
        x.keras_history = (outer, len(outer.call_notes.inbound_nodes), 0)
    try:
        yield
    finally:
        move_inside(layer, before)
        for x in computed:
            x.keras_history = None
