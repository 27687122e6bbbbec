"""What the sweep over names puts into files: for each class a base, for each argument a value that is not the default.

The generator asks the library for its names and for the arguments that ``get_config`` writes; here stands only what it
cannot ask for: shapes, and values by the name of the argument.
"""

from __future__ import annotations

from typing import Any

FAMILIES = ("losses", "metrics", "optimizers", "layers", "masks", "outputs")
WRITERS = ("tf_keras", "keras")
FORMATS = ("h5", "keras")
KEPT = {"layers": ("tf_keras.h5", "keras.keras"), "optimizers": ("tf_keras.h5",)}
"""The formats of large families that are recorded. Keras 3 forgets the optimizer of a model that it saved as HDF5."""


def parts(family: str) -> list[tuple[str, str]]:
    """The golden files of a family, each with what the names of its records begin with."""
    formats = KEPT.get(family, ("",))
    return [(f"sweep_{family}{f'_{i + 1}' if len(formats) > 1 else ''}", format) for i, format in enumerate(formats)]


SAME, BINARY, CLASSES, LABELS = "same", "binary", "classes", "labels"
"""The kinds of targets: numbers, 0 and 1 in three columns, one column of three for each class, class numbers."""


def target_kind(name: str) -> str:
    """The targets that a loss or metric of this name takes."""
    lower = name.lower().replace("_", "")
    if lower.startswith("sparse"):
        return LABELS
    if lower.startswith(("categorical", "topk", "onehot", "accuracy", "f1", "fbeta")):
        return CLASSES
    binary = "binary", "precision", "recall", "auc", "true", "false", "sensitivity", "specificity", "hinge", "squaredh"
    if lower.startswith(binary):
        return BINARY
    return SAME if lower not in ("meaniou", "iou") else LABELS


# ---- losses and metrics

OBJECT_VALUES: dict[str, Any] = {
    "reduction": "sum", "name": "other", "label_smoothing": 0.25, "axis": 1, "delta": 0.5,
    "ignore_class": 1, "alpha": 0.5, "gamma": 1.0, "apply_class_balancing": True, "dtype": "float32", "threshold": 0.3,
    "thresholds": [0.3, 0.6], "top_k": 2, "class_id": 1, "k": 2, "num_thresholds": 20, "curve": "PR",
    "summation_method": "minoring", "multi_label": True, "num_labels": 3, "label_weights": [0.5, 1.0, 2.0],
    "num_classes": 4, "specificity": 0.25, "sensitivity": 0.25,
}  # fmt: skip
OBJECT_BASES: dict[str, dict[str, Any]] = {
    "MeanIoU": {"num_classes": 3, "sparse_y_pred": False},
    "MeanRelativeError": {"normalizer": [1.0, 2.0, 4.0]},
    "SensitivityAtSpecificity": {"specificity": 0.5},
    "SpecificityAtSensitivity": {"sensitivity": 0.5},
    "AUC": {"num_thresholds": 10},
    "IoU": {"num_classes": 3, "target_class_ids": [0, 1], "sparse_y_pred": False},
    "OneHotIoU": {"num_classes": 3, "target_class_ids": [0, 1]},
    "OneHotMeanIoU": {"num_classes": 3},
    "PrecisionAtRecall": {"recall": 0.5},
    "RecallAtPrecision": {"precision": 0.5},
}
NOT_ALONE = {"num_labels": {"multi_label": True}, "label_weights": {"multi_label": True}}
"""Arguments that need another."""

NO_CASE = {
    # Base classes, and what is no loss or metric of targets and predictions.
    "Loss", "Metric", "Mean", "Sum", "MeanTensor", "MeanMetricWrapper", "Reduction", "get", "serialize", "deserialize",
    "CTC", "ctc",
}  # fmt: skip

# ---- optimizers

OPTIMIZER_VALUES: dict[str, Any] = {
    "learning_rate": 0.05, "name": "other", "momentum": 0.5, "nesterov": True, "rho": 0.75, "epsilon": 0.1,
    "centered": True, "beta_1": 0.5, "beta_2": 0.75, "amsgrad": True, "initial_accumulator_value": 0.5, "decay": 0.1,
    "clipnorm": 0.1, "global_clipnorm": 0.1, "clipvalue": 0.05, "weight_decay": 0.1, "use_ema": True,
    "ema_momentum": 0.5, "ema_overwrite_frequency": 1, "loss_scale_factor": 4.0, "gradient_accumulation_steps": 2,
    "jit_compile": True,
}  # fmt: skip
OPTIMIZER_NEEDS: dict[str, dict[str, Any]] = {"nesterov": {"momentum": 0.5}}

# ---- layers

_CONVOLUTION = {"filters": 4, "kernel_size": 2}
_UNITS = {"units": 2}

BASES: dict[str, tuple[dict[str, Any], list[tuple[int, ...]]]] = {
    "Activation": ({"activation": "relu"}, [(4,)]),
    "ActivityRegularization": ({}, [(4,)]),
    "Add": ({}, [(4,), (4,)]),
    "AlphaDropout": ({"rate": 0.5}, [(4,)]),
    "Average": ({}, [(4,), (4,)]),
    "AveragePooling1D": ({"pool_size": 2}, [(5, 2)]),
    "AveragePooling2D": ({"pool_size": 2}, [(4, 5, 2)]),
    "AveragePooling3D": ({"pool_size": 2}, [(4, 3, 2, 2)]),
    "BatchNormalization": ({}, [(3, 3)]),
    "Concatenate": ({}, [(3, 3), (3, 3)]),
    "Conv1D": (_CONVOLUTION, [(5, 2)]),
    "Conv1DTranspose": (_CONVOLUTION, [(5, 2)]),
    "Conv2D": (_CONVOLUTION, [(4, 5, 2)]),
    "Conv2DTranspose": (_CONVOLUTION, [(3, 2, 2)]),
    "Conv3D": (_CONVOLUTION, [(3, 3, 3, 2)]),
    "Conv3DTranspose": (_CONVOLUTION, [(2, 2, 1, 2)]),
    "ConvLSTM1D": ({"filters": 1, "kernel_size": 2}, [(2, 3, 2)]),
    "ConvLSTM2D": ({"filters": 1, "kernel_size": 2}, [(2, 3, 3, 1)]),
    "Cropping1D": ({"cropping": 1}, [(5, 2)]),
    "Cropping2D": ({"cropping": 1}, [(4, 5, 2)]),
    "Cropping3D": ({"cropping": 1}, [(3, 3, 4, 1)]),
    "Dense": ({"units": 3}, [(4,)]),
    "DepthwiseConv1D": ({"kernel_size": 2}, [(5, 2)]),
    "DepthwiseConv2D": ({"kernel_size": 2}, [(4, 5, 2)]),
    "Dot": ({"axes": 1}, [(3, 3), (3, 3)]),
    "Dropout": ({"rate": 0.5}, [(4,)]),
    "ELU": ({}, [(4,)]),
    "Embedding": ({"input_dim": 5, "output_dim": 2}, [(4,)]),
    "Flatten": ({}, [(2, 3)]),
    "GRU": (_UNITS, [(3, 2)]),
    "GaussianDropout": ({"rate": 0.5}, [(4,)]),
    "GaussianNoise": ({"stddev": 0.5}, [(4,)]),
    "GlobalAveragePooling1D": ({}, [(5, 2)]),
    "GlobalAveragePooling2D": ({}, [(4, 5, 2)]),
    "GlobalAveragePooling3D": ({}, [(4, 3, 2, 2)]),
    "GlobalMaxPooling1D": ({}, [(5, 2)]),
    "GlobalMaxPooling2D": ({}, [(4, 5, 2)]),
    "GlobalMaxPooling3D": ({}, [(4, 3, 2, 2)]),
    "LSTM": (_UNITS, [(3, 2)]),
    "LeakyReLU": ({}, [(4,)]),
    "LocallyConnected1D": ({"filters": 2, "kernel_size": 2}, [(4, 2)]),
    "LocallyConnected2D": ({"filters": 2, "kernel_size": 2}, [(3, 3, 2)]),
    "Masking": ({}, [(3, 2)]),
    "MaxPooling1D": ({"pool_size": 2}, [(5, 2)]),
    "MaxPooling2D": ({"pool_size": 2}, [(4, 5, 2)]),
    "MaxPooling3D": ({"pool_size": 2}, [(4, 3, 2, 2)]),
    "Maximum": ({}, [(4,), (4,)]),
    "Minimum": ({}, [(4,), (4,)]),
    "Multiply": ({}, [(4,), (4,)]),
    "PReLU": ({}, [(3, 2)]),
    "Permute": ({"dims": (2, 1)}, [(3, 2)]),
    "ReLU": ({}, [(4,)]),
    "RepeatVector": ({"n": 2}, [(4,)]),
    "Reshape": ({"target_shape": (2, 2)}, [(4,)]),
    "SeparableConv1D": (_CONVOLUTION, [(5, 2)]),
    "SeparableConv2D": (_CONVOLUTION, [(4, 5, 2)]),
    "SimpleRNN": (_UNITS, [(3, 2)]),
    "Softmax": ({}, [(3, 3)]),
    "SpatialDropout1D": ({"rate": 0.5}, [(3, 2)]),
    "SpatialDropout2D": ({"rate": 0.5}, [(3, 2, 2)]),
    "SpatialDropout3D": ({"rate": 0.5}, [(2, 2, 2, 2)]),
    "Subtract": ({}, [(4,), (4,)]),
    "ThresholdedReLU": ({}, [(4,)]),
    "UpSampling1D": ({"size": 2}, [(3, 2)]),
    "UpSampling2D": ({"size": 2}, [(2, 3, 1)]),
    "UpSampling3D": ({"size": 2}, [(2, 1, 2, 1)]),
    "ZeroPadding1D": ({}, [(3, 2)]),
    "ZeroPadding2D": ({}, [(2, 2, 2)]),
    "ZeroPadding3D": ({}, [(2, 1, 1, 2)]),
}
SAME_AS = {
    "AvgPool": "AveragePooling", "GlobalAvgPool": "GlobalAveragePooling", "GlobalMaxPool": "GlobalMaxPooling",
    "MaxPool": "MaxPooling", "Convolution": "Conv", "SeparableConvolution": "SeparableConv",
}  # fmt: skip
"""Beginnings of the other names of some layers."""

WRAPPED: dict[str, tuple[Any, list[tuple[int, ...]]]] = {
    "Bidirectional": (lambda L: {"layer": L.LSTM(2, return_sequences=True)}, [(3, 2)]),
    "TimeDistributed": (lambda L: {"layer": L.Dense(2)}, [(3, 2)]),
    "RNN": (lambda L: {"cell": L.GRUCell(2)}, [(3, 2)]),
}
OTHER_LAYERS: dict[str, list[Any]] = {
    "Bidirectional": [
        lambda L: {"layer": L.GRU(2), "merge_mode": "ave"},
        lambda L: {"layer": L.SimpleRNN(2), "backward_layer": L.LSTM(2, go_backwards=True)},
        lambda L: {"layer": L.LSTM(2, return_state=False), "merge_mode": "mul"},
    ],
    "TimeDistributed": [lambda L: {"layer": L.Bidirectional(L.GRU(2))}],
    "RNN": [
        lambda L: {"cell": L.LSTMCell(2)},
        lambda L: {"cell": L.SimpleRNNCell(2, activation="relu")},
        lambda L: {"cell": [L.GRUCell(2), L.LSTMCell(3)]},
        lambda L: {"cell": L.StackedRNNCells([L.SimpleRNNCell(2), L.GRUCell(1, reset_after=False)])},
    ],
}
"""Further variants of wrappers."""

LAYER_VALUES: dict[str, list[Any]] = {
    "activation": ["tanh", "elu", "softmax", "selu", "softplus", "softsign", "sigmoid", "hard_sigmoid", "exponential"],
    "recurrent_activation": ["tanh", "hard_sigmoid"],
    "padding": ["same", "causal"],
    "strides": [2], "dilation_rate": [2], "groups": [2], "depth_multiplier": [2], "use_bias": [False],
    "data_format": ["channels_first"], "trainable": [False], "seed": [3], "noise_shape": [(None, 1)],
    "go_backwards": [True], "return_sequences": [True], "unroll": [True], "time_major": [True],
    "zero_output_for_mask": [True], "implementation": [1], "reset_after": [False, True], "unit_forget_bias": [False],
    "dropout": [0.25], "recurrent_dropout": [0.25], "axis": [1, 2], "momentum": [0.5], "epsilon": [0.1],
    "center": [False], "scale": [False], "renorm": [False], "synchronized": [False], "mask_zero": [True],
    "input_length": [4], "keepdims": [True], "pool_size": [3], "cropping": [(0, 1)], "alpha": [0.5],
    "negative_slope": [0.5], "max_value": [1.0], "threshold": [0.5], "theta": [0.5], "shared_axes": [[1]],
    "normalize": [True], "axes": [(2, 1)], "merge_mode": ["sum", None], "n": [3], "dims": [(1, 2)],
    "target_shape": [(-1,), (1, 4)], "size": [3], "interpolation": ["bilinear"], "l1": [0.1], "l2": [0.1],
    "rate": [0.25], "stddev": [0.25], "kernel_size": [3], "filters": [2], "units": [3], "output_padding": [1],
    "mask_value": [1.0], "output_dim": [3], "input_dim": [6], "use_cudnn": [False], "ragged": [False],
    "output_size": [2], "dim": [2],
}  # fmt: skip
LAYER_VALUES_OF: dict[str, dict[str, list[Any]]] = {
    "ZeroPadding1D": {"padding": [(1, 2)]},
    "ZeroPadding2D": {"padding": [((0, 1), (2, 1))]},
    "ZeroPadding3D": {"padding": [((0, 1), (2, 1), (1, 0))]},
    "Cropping2D": {"cropping": [((0, 1), (2, 1))]},
    "Cropping3D": {"cropping": [((0, 1), (1, 1), (2, 0))]},
    "Dot": {"axes": [(2, 1), -1]},
    "AveragePooling2D": {"pool_size": [(1, 3)], "strides": [(2, 1)]},
    "BatchNormalization": {"axis": [1]},
}
"""Values for one class only."""

BY_ENDING: dict[str, Any] = {"initializer": "ones", "regularizer": "l2", "constraint": "non_neg"}
NOT_VARIED = (
    "name", "dtype", "batch_input_shape", "sparse", "layer", "cell", "cells", "quantization_config",
    "virtual_batch_size", "renorm_clipping", "renorm_momentum", "backward_layer", "return_state", "stateful", "stacked",
    "output_shape", "mask", "arguments", "function",
)  # fmt: skip
"""Arguments that the sweep leaves out: elsewhere tested, or without meaning for numbers."""

MERGES = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate")
