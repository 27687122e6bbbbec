"""Files: models in HDF5, ``.keras`` archives, JSON and YAML, of every version of Keras.

Nothing in a file is trusted: see :mod:`kcompile.common.limits`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kcompile.common.doors import door

if TYPE_CHECKING:
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
    from kcompile.saving.models import load_model, load_weights, save_model, save_weights

_CUSTOM = (
    "CustomObjectScope", "custom_object_scope", "get_custom_objects", "get_registered_name", "get_registered_object",
    "register_keras_serializable",
)  # fmt: skip
_NAMES = {
    **dict.fromkeys(_CUSTOM, "kcompile.objects.custom"),
    "deserialize_keras_object": "kcompile.objects.lookup",
    "serialize_keras_object": "kcompile.objects.making",
    "load_model": "kcompile.saving.models",
    "load_weights": "kcompile.saving.models",
    "save_model": "kcompile.saving.models",
    "save_weights": "kcompile.saving.models",
}

__getattr__, __dir__ = door(__name__, _NAMES)

__all__ = [
    "CustomObjectScope", "custom_object_scope", "deserialize_keras_object", "get_custom_objects",
    "get_registered_name", "get_registered_object", "load_model", "load_weights", "register_keras_serializable",
    "save_model", "save_weights", "serialize_keras_object",
]  # fmt: skip
