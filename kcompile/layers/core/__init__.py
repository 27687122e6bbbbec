"""keras.layers.core: Dense, Activation, ActivityRegularization, Masking, and the layers of its neighbours here."""

from kcompile.layers.base.families import export
from kcompile.layers.core import dense, dropout, einsum_dense, identity, lambda_layer, reshaping, simple
from kcompile.layers.core.dense import *
from kcompile.layers.core.dropout import *
from kcompile.layers.core.einsum_dense import *
from kcompile.layers.core.identity import *
from kcompile.layers.core.lambda_layer import *
from kcompile.layers.core.reshaping import *
from kcompile.layers.core.simple import *

export(globals(), dense, dropout, einsum_dense, identity, lambda_layer, reshaping, simple)
