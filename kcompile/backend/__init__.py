"""K: Keras' backend functions, symbolic, over the ops of the IR."""

from kcompile.backend.config import (
    backend,
    clear_session,
    epsilon,
    floatx,
    get_uid,
    image_data_format,
    image_dim_ordering,
    manual_variable_initialization,
    normalize_data_format,
    reset_uids,
    set_epsilon,
    set_floatx,
    set_image_data_format,
    set_image_dim_ordering,
    set_learning_phase,
)
from kcompile.backend.convolution import *
from kcompile.backend.functions import *
from kcompile.backend.math import *
from kcompile.backend.nn import *
from kcompile.backend.random import *
from kcompile.backend.shape import *
from kcompile.backend.variables import *

_BACKEND = backend()
