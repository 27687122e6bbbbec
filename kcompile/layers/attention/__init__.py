"""keras.layers.attention: layers in which steps attend to steps."""

from kcompile.layers.attention import additive, attention, group_query, multi_head
from kcompile.layers.attention.additive import *
from kcompile.layers.attention.attention import *
from kcompile.layers.attention.group_query import *
from kcompile.layers.attention.multi_head import *
from kcompile.layers.base.families import export

export(globals(), additive, attention, group_query, multi_head)
