"""keras.layers: the layers, and layers from their configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kcompile.engine.input_layer import Input, InputLayer
from kcompile.engine.layer import Layer
from kcompile.engine.node import InputSpec
from kcompile.layers.advanced_activations import ELU, LeakyReLU, PReLU, ReLU, Softmax, ThresholdedReLU
from kcompile.layers.core import (
    Activation,
    ActivityRegularization,
    Dense,
    Dropout,
    Flatten,
    Lambda,
    Masking,
    Permute,
    RepeatVector,
    Reshape,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
)
from kcompile.layers.embeddings import Embedding
from kcompile.layers.merge import (
    Add,
    Average,
    Concatenate,
    Dot,
    Maximum,
    Minimum,
    Multiply,
    Subtract,
    add,
    average,
    concatenate,
    dot,
    maximum,
    minimum,
    multiply,
    subtract,
)
from kcompile.utils.generic_utils import deserialize_keras_object, names_of, serialize_keras_object

_CLASSES: dict[str, type] = names_of(globals(), Layer)


def serialize(layer: Layer) -> dict[str, Any]:
    """Class name and configuration: ``{"class_name": ..., "config": ...}``."""
    config: dict[str, Any] = serialize_keras_object(layer)
    return config


def deserialize(config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
    """A new layer (or model) from its class name and configuration.

    Classes are looked up among the layers and models of Keras and the custom objects; nothing is imported by
    name.

    Raises:
        ValueError: an unknown class, or a configuration that does not fit it.
    """
    from kcompile.engine.sequential import Sequential
    from kcompile.engine.training import Model

    known = {**_CLASSES, "Model": Model, "Functional": Model, "Sequential": Sequential}
    return deserialize_keras_object(config, known, custom_objects, "layer")


__all__ = [
    "ELU",
    "Activation",
    "ActivityRegularization",
    "Add",
    "Average",
    "Concatenate",
    "Dense",
    "Dot",
    "Dropout",
    "Embedding",
    "Flatten",
    "Input",
    "InputLayer",
    "InputSpec",
    "Lambda",
    "Layer",
    "LeakyReLU",
    "Masking",
    "Maximum",
    "Minimum",
    "Multiply",
    "PReLU",
    "Permute",
    "ReLU",
    "RepeatVector",
    "Reshape",
    "Softmax",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "Subtract",
    "ThresholdedReLU",
    "add",
    "average",
    "concatenate",
    "deserialize",
    "dot",
    "maximum",
    "minimum",
    "multiply",
    "serialize",
    "subtract",
]
