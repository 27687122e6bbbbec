"""Keras' module of this name: convolution, padding, cropping and upsampling, and (Keras 1) pooling."""

from kcompile.layers.base.families import export
from kcompile.layers.convolutional import convolution, depthwise, padding, transposed, upsampling
from kcompile.layers.convolutional.convolution import *
from kcompile.layers.convolutional.depthwise import *
from kcompile.layers.convolutional.padding import *
from kcompile.layers.convolutional.transposed import *
from kcompile.layers.convolutional.upsampling import *
from kcompile.layers.pooling import AveragePooling1D as AveragePooling1D
from kcompile.layers.pooling import AveragePooling2D as AveragePooling2D
from kcompile.layers.pooling import AveragePooling3D as AveragePooling3D
from kcompile.layers.pooling import MaxPooling1D as MaxPooling1D
from kcompile.layers.pooling import MaxPooling2D as MaxPooling2D
from kcompile.layers.pooling import MaxPooling3D as MaxPooling3D

export(
    globals(),
    convolution,
    depthwise,
    padding,
    transposed,
    upsampling,
    more=["AveragePooling1D", "AveragePooling2D", "AveragePooling3D", "MaxPooling1D", "MaxPooling2D", "MaxPooling3D"],
)
