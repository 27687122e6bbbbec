"""Keras' module of this name: objects by name, and the progress bar."""

from kcompile.common.progbar import Progbar
from kcompile.objects.custom import (
    CustomObjectScope,
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
)
from kcompile.objects.lookup import deserialize_keras_object
from kcompile.objects.making import serialize_keras_object

__all__ = [
    "CustomObjectScope",
    "Progbar",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "register_keras_serializable",
    "serialize_keras_object",
]
