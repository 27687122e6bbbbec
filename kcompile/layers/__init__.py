"""keras.layers: the layers, and layers from their configuration.

Each module says in its ``__all__`` which layers it has.
"""

from kcompile.common.absent_names import absent
from kcompile.engine import added_layers
from kcompile.engine import layer as _layer
from kcompile.layers import (
    advanced_activations,
    attention,
    convolutional,
    core,
    embeddings,
    merge,
    noise,
    normalization,
    operations,
    pooling,
    recurrent,
    serialization,
    wrappers,
)
from kcompile.layers import convolutional_recurrent as convolutional_recurrent
from kcompile.layers.advanced_activations import *
from kcompile.layers.attention import *
from kcompile.layers.attention.group_query import GroupedQueryAttention
from kcompile.layers.base.families import export
from kcompile.layers.convolutional import *
from kcompile.layers.core import *
from kcompile.layers.embeddings import *
from kcompile.layers.merge import *
from kcompile.layers.noise import *
from kcompile.layers.normalization import *
from kcompile.layers.pooling import *
from kcompile.layers.recurrent import *
from kcompile.layers.recurrent import conv_lstm
from kcompile.layers.recurrent.conv_lstm import *
from kcompile.layers.serialization import *
from kcompile.layers.wrappers import *
from kcompile.objects.making import names_of
from kcompile.objects.registry import register

export(
    globals(),
    advanced_activations,
    attention,
    convolutional,
    core,
    embeddings,
    merge,
    noise,
    normalization,
    pooling,
    recurrent,
    serialization,
    wrappers,
    conv_lstm,
)
register("layer", names_of(globals(), serialization.Layer))
_OF_FILES_ONLY = (
    added_layers.AddLoss, added_layers.AddMetric, _layer.OpLayer, operations.SlicingOpLambda, operations.TFOpLambda,
    GroupedQueryAttention,
)  # fmt: skip
register("layer", {cls.__name__: cls for cls in _OF_FILES_ONLY})

__getattr__ = absent(__name__)
