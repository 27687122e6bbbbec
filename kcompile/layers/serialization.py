"""Keras' module of this name: layers from their configuration; with what all layers are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kcompile.engine.input_layer import Input, InputLayer
from kcompile.engine.layer import Layer
from kcompile.engine.node import InputSpec
from kcompile.objects.configs import layer_from_config
from kcompile.objects.making import serialize_keras_object

__all__ = ["Input", "InputLayer", "InputSpec", "Layer", "deserialize", "serialize"]


def serialize(layer: Layer) -> dict[str, Any]:
    """Class name and configuration: ``{"class_name": ..., "config": ...}``."""
    config: dict[str, Any] = serialize_keras_object(layer)
    return config


def deserialize(config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
    """A new layer (or model) from its class name and configuration, as any version of Keras writes it.

    Classes are looked up among the layers and models of Keras and the custom objects; nothing is imported by
    name.

    Raises:
        ValueError: unknown classes, or a configuration that does not fit its class.
    """
    return layer_from_config(config, custom_objects)
