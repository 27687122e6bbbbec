"""keras.utils: small tools around models and data."""

from kcompile.utils.generic_utils import (
    CustomObjectScope,
    custom_object_scope,
    deserialize_keras_object,
    get_custom_objects,
    serialize_keras_object,
)
from kcompile.utils.np_utils import normalize, to_categorical
from kcompile.utils.progbar import Progbar
from kcompile.utils.sequence import GeneratorEnqueuer, OrderedEnqueuer, Sequence

__all__ = [
    "CustomObjectScope",
    "GeneratorEnqueuer",
    "OrderedEnqueuer",
    "Progbar",
    "Sequence",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "normalize",
    "serialize_keras_object",
    "to_categorical",
]
