"""keras.utils: small tools around models and data."""

from kcompile.backend.seeding import set_random_seed
from kcompile.common.absent_names import absent
from kcompile.common.progbar import Progbar
from kcompile.data.labels import normalize, to_categorical
from kcompile.data.sequence import GeneratorEnqueuer, OrderedEnqueuer, PyDataset, Sequence
from kcompile.data.unpacking import pack_x_y_sample_weight, unpack_x_y_sample_weight
from kcompile.engine.node import get_source_inputs
from kcompile.engine.summary import print_summary
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
from kcompile.saving.hdf5.matrix import HDF5Matrix
from kcompile.saving.kernels import convert_all_kernels_in_model
from kcompile.utils import conv_utils, data_utils, generic_utils, io_utils, layer_utils, np_utils

__getattr__ = absent(__name__)

__all__ = [
    "CustomObjectScope",
    "GeneratorEnqueuer",
    "HDF5Matrix",
    "OrderedEnqueuer",
    "Progbar",
    "PyDataset",
    "Sequence",
    "conv_utils",
    "convert_all_kernels_in_model",
    "custom_object_scope",
    "data_utils",
    "deserialize_keras_object",
    "generic_utils",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "get_source_inputs",
    "io_utils",
    "layer_utils",
    "normalize",
    "np_utils",
    "pack_x_y_sample_weight",
    "print_summary",
    "register_keras_serializable",
    "serialize_keras_object",
    "set_random_seed",
    "to_categorical",
    "unpack_x_y_sample_weight",
]
