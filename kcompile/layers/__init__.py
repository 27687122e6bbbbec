"""keras.layers: the layers, and layers from their configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kcompile.common.absent_names import absent
from kcompile.engine import added_layers, op_layer
from kcompile.engine.input_layer import Input, InputLayer
from kcompile.engine.layer import Layer
from kcompile.engine.node import InputSpec
from kcompile.layers import convolutional_recurrent as convolutional_recurrent
from kcompile.layers import operations
from kcompile.layers.advanced_activations import ELU, LeakyReLU, PReLU, ReLU, Softmax, ThresholdedReLU
from kcompile.layers.convolutional.convolution import (
    Conv1D,
    Conv2D,
    Conv3D,
    Convolution1D,
    Convolution2D,
    Convolution3D,
)
from kcompile.layers.convolutional.depthwise import (
    DepthwiseConv1D,
    DepthwiseConv2D,
    SeparableConv1D,
    SeparableConv2D,
    SeparableConvolution1D,
    SeparableConvolution2D,
)
from kcompile.layers.convolutional.padding import (
    Cropping1D,
    Cropping2D,
    Cropping3D,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
)
from kcompile.layers.convolutional.transposed import (
    Conv1DTranspose,
    Conv2DTranspose,
    Conv3DTranspose,
    Convolution1DTranspose,
    Convolution2DTranspose,
    Convolution3DTranspose,
    Deconv2D,
    Deconv3D,
    Deconvolution2D,
    Deconvolution3D,
)
from kcompile.layers.convolutional.upsampling import UpSampling1D, UpSampling2D, UpSampling3D
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
from kcompile.layers.noise import AlphaDropout, GaussianDropout, GaussianNoise
from kcompile.layers.normalization.batch import BatchNormalization
from kcompile.layers.pooling import (
    AveragePooling1D,
    AveragePooling2D,
    AveragePooling3D,
    AvgPool1D,
    AvgPool2D,
    AvgPool3D,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAveragePooling3D,
    GlobalAvgPool1D,
    GlobalAvgPool2D,
    GlobalAvgPool3D,
    GlobalMaxPool1D,
    GlobalMaxPool2D,
    GlobalMaxPool3D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    GlobalMaxPooling3D,
    MaxPool1D,
    MaxPool2D,
    MaxPool3D,
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
)
from kcompile.layers.recurrent import (
    GRU,
    LSTM,
    RNN,
    AbstractRNNCell,
    CuDNNGRU,
    CuDNNLSTM,
    GRUCell,
    LSTMCell,
    Recurrent,
    SimpleRNN,
    SimpleRNNCell,
    StackedRNNCells,
)
from kcompile.layers.recurrent.conv_lstm import (
    ConvLSTM1D,
    ConvLSTM1DCell,
    ConvLSTM2D,
    ConvLSTM2DCell,
    ConvLSTM3D,
    ConvLSTM3DCell,
    ConvRNN2D,
)
from kcompile.layers.wrappers.bidirectional import Bidirectional
from kcompile.layers.wrappers.time_distributed import TimeDistributed
from kcompile.layers.wrappers.wrapper import Wrapper
from kcompile.objects.configs import layer_from_config
from kcompile.objects.making import names_of, serialize_keras_object
from kcompile.objects.registry import register

register("layer", names_of(globals(), Layer))
_OF_FILES_ONLY = (
    added_layers.AddLoss, added_layers.AddMetric, op_layer.OpLayer, operations.SlicingOpLambda, operations.TFOpLambda,
)  # fmt: skip
register("layer", {cls.__name__: cls for cls in _OF_FILES_ONLY})


def serialize(layer: Layer) -> dict[str, Any]:
    """Class name and configuration: ``{"class_name": ..., "config": ...}``."""
    config: dict[str, Any] = serialize_keras_object(layer)
    return config


def deserialize(config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
    """A new layer (or model) from its class name and configuration, as any version of Keras writes it.

    Classes are looked up among the layers and models of Keras and the custom objects; nothing is imported by
    name.

    Raises:
        ValueError: unknown classes, or a configuration that does not fit its class.
    """
    return layer_from_config(config, custom_objects)


__getattr__ = absent(__name__)

__all__ = [
    "ELU",
    "GRU",
    "LSTM",
    "RNN",
    "AbstractRNNCell",
    "Activation",
    "ActivityRegularization",
    "Add",
    "AlphaDropout",
    "Average",
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "AvgPool1D",
    "AvgPool2D",
    "AvgPool3D",
    "BatchNormalization",
    "Bidirectional",
    "Concatenate",
    "Conv1D",
    "Conv1DTranspose",
    "Conv2D",
    "Conv2DTranspose",
    "Conv3D",
    "Conv3DTranspose",
    "ConvLSTM1D",
    "ConvLSTM1DCell",
    "ConvLSTM2D",
    "ConvLSTM2DCell",
    "ConvLSTM3D",
    "ConvLSTM3DCell",
    "ConvRNN2D",
    "Convolution1D",
    "Convolution1DTranspose",
    "Convolution2D",
    "Convolution2DTranspose",
    "Convolution3D",
    "Convolution3DTranspose",
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "CuDNNGRU",
    "CuDNNLSTM",
    "Deconv2D",
    "Deconv3D",
    "Deconvolution2D",
    "Deconvolution3D",
    "Dense",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "Dot",
    "Dropout",
    "Embedding",
    "Flatten",
    "GRUCell",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "GlobalAvgPool1D",
    "GlobalAvgPool2D",
    "GlobalAvgPool3D",
    "GlobalMaxPool1D",
    "GlobalMaxPool2D",
    "GlobalMaxPool3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "Input",
    "InputLayer",
    "InputSpec",
    "LSTMCell",
    "Lambda",
    "Layer",
    "LeakyReLU",
    "Masking",
    "MaxPool1D",
    "MaxPool2D",
    "MaxPool3D",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
    "Maximum",
    "Minimum",
    "Multiply",
    "PReLU",
    "Permute",
    "ReLU",
    "Recurrent",
    "RepeatVector",
    "Reshape",
    "SeparableConv1D",
    "SeparableConv2D",
    "SeparableConvolution1D",
    "SeparableConvolution2D",
    "SimpleRNN",
    "SimpleRNNCell",
    "Softmax",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "StackedRNNCells",
    "Subtract",
    "ThresholdedReLU",
    "TimeDistributed",
    "UpSampling1D",
    "UpSampling2D",
    "UpSampling3D",
    "Wrapper",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "ZeroPadding3D",
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
