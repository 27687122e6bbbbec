"""One small sample of every layer class: the layer, and the shapes of its inputs (without the batch axis)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kcompile import layers as L

Sample = tuple[Callable[[], Any], list[tuple[int, ...]]]

VECTOR, STEPS, IMAGE, VOLUME = (4,), (5, 3), (6, 6, 2), (4, 4, 4, 2)

SAMPLES: dict[str, Sample] = {
    "ELU": (lambda: L.ELU(0.5), [VECTOR]),
    "GRU": (lambda: L.GRU(3, recurrent_dropout=0.1), [STEPS]),
    "LSTM": (lambda: L.LSTM(3, return_sequences=True, implementation=1), [STEPS]),
    "RNN": (lambda: L.RNN([L.LSTMCell(2), L.GRUCell(3)]), [STEPS]),
    "Activation": (lambda: L.Activation("tanh"), [VECTOR]),
    "ActivityRegularization": (lambda: L.ActivityRegularization(0.1, 0.2), [VECTOR]),
    "Bidirectional": (lambda: L.Bidirectional(L.LSTM(2), merge_mode="ave"), [STEPS]),
    "BatchNormalization": (lambda: L.BatchNormalization(momentum=0.8, scale=False), [IMAGE]),
    "Conv1D": (lambda: L.Conv1D(3, 2, padding="causal", dilation_rate=2), [STEPS]),
    "Conv2D": (lambda: L.Conv2D(3, (2, 3), strides=2, use_bias=False), [IMAGE]),
    "Conv3D": (lambda: L.Conv3D(2, 2, activation="relu"), [VOLUME]),
    "Conv1DTranspose": (lambda: L.Conv1DTranspose(3, 2, strides=2), [STEPS]),
    "Conv2DTranspose": (lambda: L.Conv2DTranspose(3, (2, 3), padding="same"), [IMAGE]),
    "Conv3DTranspose": (lambda: L.Conv3DTranspose(2, 2), [VOLUME]),
    "ConvLSTM1D": (lambda: L.ConvLSTM1D(2, 2), [(3, *STEPS)]),
    "ConvLSTM2D": (lambda: L.ConvLSTM2D(2, 2, padding="same"), [(3, *IMAGE)]),
    "ConvLSTM3D": (lambda: L.ConvLSTM3D(2, 2), [(3, *VOLUME)]),
    "ConvRNN2D": (lambda: L.ConvRNN2D(L.ConvLSTM2DCell(2, 2)), [(3, *IMAGE)]),
    "Cropping1D": (lambda: L.Cropping1D((1, 2)), [STEPS]),
    "Cropping2D": (lambda: L.Cropping2D(((1, 0), (2, 1))), [IMAGE]),
    "Cropping3D": (lambda: L.Cropping3D(1), [VOLUME]),
    "CuDNNGRU": (lambda: L.CuDNNGRU(3), [STEPS]),
    "CuDNNLSTM": (lambda: L.CuDNNLSTM(3), [STEPS]),
    "Dense": (lambda: L.Dense(3, "elu", kernel_regularizer="l2", bias_constraint="nonneg"), [STEPS]),
    "DepthwiseConv1D": (lambda: L.DepthwiseConv1D(2, depth_multiplier=2), [STEPS]),
    "DepthwiseConv2D": (lambda: L.DepthwiseConv2D(2, depth_multiplier=2), [IMAGE]),
    "Dot": (lambda: L.Dot(-1, normalize=True), [VECTOR, VECTOR]),
    "Dropout": (lambda: L.Dropout(0.5), [VECTOR]),
    "AdditiveAttention": (lambda: L.AdditiveAttention(), [STEPS, STEPS]),
    "Attention": (lambda: L.Attention(use_scale=True, score_mode="concat"), [STEPS, STEPS]),
    "EinsumDense": (lambda: L.EinsumDense("abc,cd->abd", (None, 4), "tanh", "d"), [STEPS]),
    "GroupQueryAttention": (lambda: L.GroupQueryAttention(2, 4, 2, dropout=0.1), [STEPS]),
    "Identity": (lambda: L.Identity(), [VECTOR]),
    "MultiHeadAttention": (lambda: L.MultiHeadAttention(2, 3, value_dim=4, use_bias=False), [STEPS]),
    "Embedding": (lambda: L.Embedding(9, 3, mask_zero=True), [(5,)]),
    "Flatten": (lambda: L.Flatten(), [IMAGE]),
    "Highway": (lambda: L.Highway(), [VECTOR]),
    "InputLayer": (lambda: L.Activation("linear"), [VECTOR]),
    "Lambda": (lambda: L.Lambda(doubled), [VECTOR]),
    "LeakyReLU": (lambda: L.LeakyReLU(0.2), [VECTOR]),
    "Masking": (lambda: L.Masking(1.0), [STEPS]),
    "MaxoutDense": (lambda: L.MaxoutDense(3, 2), [VECTOR]),
    "PReLU": (lambda: L.PReLU(shared_axes=[1]), [IMAGE]),
    "Permute": (lambda: L.Permute((2, 1)), [STEPS]),
    "ReLU": (lambda: L.ReLU(6.0, 0.1, 0.2), [VECTOR]),
    "RepeatVector": (lambda: L.RepeatVector(3), [VECTOR]),
    "Reshape": (lambda: L.Reshape((3, -1)), [STEPS]),
    "SeparableConv1D": (lambda: L.SeparableConv1D(3, 2, depth_multiplier=2), [STEPS]),
    "SeparableConv2D": (lambda: L.SeparableConv2D(3, 2, depth_multiplier=2), [IMAGE]),
    "SimpleRNN": (lambda: L.SimpleRNN(3, dropout=0.2), [STEPS]),
    "Softmax": (lambda: L.Softmax(), [VECTOR]),
    "LayerNormalization": (lambda: L.LayerNormalization([1, 2], 0.01, gamma_regularizer="l2"), [STEPS]),
    "GroupNormalization": (lambda: L.GroupNormalization(2, 1, center=False), [IMAGE]),
    "UnitNormalization": (lambda: L.UnitNormalization(1), [STEPS]),
    "RMSNormalization": (lambda: L.RMSNormalization(epsilon=0.01), [STEPS]),
    "GaussianNoise": (lambda: L.GaussianNoise(0.5), [VECTOR]),
    "GaussianDropout": (lambda: L.GaussianDropout(0.3), [VECTOR]),
    "AlphaDropout": (lambda: L.AlphaDropout(0.3, (None, 1), seed=3), [VECTOR]),
    "SpatialDropout1D": (lambda: L.SpatialDropout1D(0.5), [STEPS]),
    "SpatialDropout2D": (lambda: L.SpatialDropout2D(0.5), [IMAGE]),
    "SpatialDropout3D": (lambda: L.SpatialDropout3D(0.5), [VOLUME]),
    "ThresholdedReLU": (lambda: L.ThresholdedReLU(0.3), [VECTOR]),
    "SpectralNormalization": (lambda: L.SpectralNormalization(L.Conv2D(3, 2), power_iterations=2), [IMAGE]),
    "TimeDistributed": (lambda: L.TimeDistributed(L.BatchNormalization()), [STEPS]),
    "UpSampling1D": (lambda: L.UpSampling1D(2), [STEPS]),
    "UpSampling2D": (lambda: L.UpSampling2D((2, 1)), [IMAGE]),
    "UpSampling3D": (lambda: L.UpSampling3D(2), [VOLUME]),
    "ZeroPadding1D": (lambda: L.ZeroPadding1D((1, 2)), [STEPS]),
    "ZeroPadding2D": (lambda: L.ZeroPadding2D(((1, 0), (2, 1))), [IMAGE]),
    "ZeroPadding3D": (lambda: L.ZeroPadding3D(1), [VOLUME]),
}
for _name in ("Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply", "Subtract"):
    SAMPLES[_name] = (getattr(L, _name), [VECTOR, VECTOR])
for _rank, _shape in (("1D", STEPS), ("2D", IMAGE), ("3D", VOLUME)):
    for _kind in ("Max", "Average"):
        SAMPLES[f"{_kind}Pooling{_rank}"] = (lambda name=f"{_kind}Pooling{_rank}": getattr(L, name)(2), [_shape])
        _name = f"Global{_kind}Pooling{_rank}"
        SAMPLES[_name] = (getattr(L, _name), [_shape])
SAMPLES = {name: sample for name, sample in SAMPLES.items() if hasattr(L, name)}

INSIDE = {
    "Layer",
    "Wrapper",
    "AbstractRNNCell",
    "LSTMCell",
    "GRUCell",
    "SimpleRNNCell",
    "StackedRNNCells",
    "Recurrent",
    "GroupedQueryAttention",
} | {f"ConvLSTM{rank}DCell" for rank in (1, 2, 3)}
"""Classes that are bases, stand inside of the samples of others, or have another name in files."""

APART = ("GroupQueryAttention", "GroupedQueryAttention", "MultiHeadAttention")
"""Layers whose inputs, a query and a value, are arguments of their own."""


def called(layer: Any, inputs: list[Any]) -> Any:
    """A layer on the inputs of its sample."""
    if type(layer).__name__ in APART:
        return layer(inputs[0], inputs[-1])
    return layer(inputs if len(inputs) > 1 else inputs[0])


def doubled(x: Any) -> Any:
    """What the Lambda layer does."""
    return x * 2.0
