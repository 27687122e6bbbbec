"""Dense, activations, reshaping layers, Embedding, and the merge layers."""

from tests.golden.cases.layer_case import LayerCase

DENSE = [
    LayerCase("dense", "Dense", {"units": 3}, [(4, 5)]),
    LayerCase("dense_no_bias", "Dense", {"units": 3, "use_bias": False}, [(4, 5)]),
    LayerCase("dense_relu", "Dense", {"units": 4, "activation": "relu"}, [(3, 5)]),
    LayerCase("dense_softmax", "Dense", {"units": 4, "activation": "softmax"}, [(3, 5)]),
    LayerCase("dense_one_unit_sigmoid", "Dense", {"units": 1, "activation": "sigmoid"}, [(3, 5)]),
    LayerCase("dense_rank3_tanh", "Dense", {"units": 4, "activation": "tanh"}, [(2, 3, 5)]),
    LayerCase("dense_rank3_softmax", "Dense", {"units": 4, "activation": "softmax"}, [(2, 3, 5)]),
    LayerCase("dense_rank4_no_bias", "Dense", {"units": 2, "use_bias": False, "activation": "elu"}, [(2, 3, 2, 4)]),
    LayerCase("dense_batch1", "Dense", {"units": 2, "activation": "selu"}, [(1, 3)]),
]

# swish and gelu came with tf.keras; the other names are Keras 2.3.1's complete list.
ACTIVATION_NAMES = [
    "elu", "exponential", "gelu", "hard_sigmoid", "linear", "relu", "selu", "sigmoid", "softmax", "softplus",
    "softsign", "swish", "tanh",
]  # fmt: skip
ACTIVATIONS = [
    LayerCase(f"activation_{name}", "Activation", {"activation": name}, [(3, 7)]) for name in ACTIVATION_NAMES
]
ACTIVATIONS += [
    LayerCase("activation_softmax_rank3", "Activation", {"activation": "softmax"}, [(2, 3, 4)]),
    LayerCase("activation_softmax_rank4", "Activation", {"activation": "softmax"}, [(2, 2, 3, 4)]),
    LayerCase("activation_relu_rank4", "Activation", {"activation": "relu"}, [(2, 2, 3, 2)]),
    LayerCase("leaky_relu", "LeakyReLU", {}, [(3, 7)]),
    LayerCase("leaky_relu_alpha", "LeakyReLU", {"alpha": 0.1}, [(2, 3, 4)]),
    LayerCase("prelu", "PReLU", {}, [(3, 7)]),
    LayerCase("prelu_rank4", "PReLU", {}, [(2, 3, 4, 2)]),
    LayerCase("prelu_shared_axes", "PReLU", {"shared_axes": [1, 2]}, [(2, 3, 4, 3)]),
    LayerCase("prelu_shared_axis", "PReLU", {"shared_axes": [1]}, [(2, 3, 4)]),
    LayerCase("elu", "ELU", {}, [(3, 7)]),
    LayerCase("elu_alpha", "ELU", {"alpha": 0.3}, [(2, 3, 4)]),
    LayerCase("thresholded_relu", "ThresholdedReLU", {}, [(3, 7)]),
    LayerCase("thresholded_relu_theta", "ThresholdedReLU", {"theta": 0.4}, [(3, 7)]),
    LayerCase("softmax_layer", "Softmax", {}, [(3, 7)]),
    LayerCase("softmax_layer_axis1", "Softmax", {"axis": 1}, [(2, 3, 4)]),
    LayerCase("softmax_layer_axis2", "Softmax", {"axis": -2}, [(2, 3, 4, 2)]),
    LayerCase("relu_layer", "ReLU", {}, [(3, 7)]),
    LayerCase("relu_layer_max", "ReLU", {"max_value": 0.8}, [(3, 7)]),
    LayerCase("relu_layer_slope", "ReLU", {"negative_slope": 0.2}, [(3, 7)]),
    LayerCase("relu_layer_threshold", "ReLU", {"threshold": 0.3}, [(3, 7)]),
    LayerCase("relu_layer_all", "ReLU", {"max_value": 1.0, "negative_slope": 0.2, "threshold": 0.3}, [(4, 7)]),
    LayerCase("relu_layer_max_slope", "ReLU", {"max_value": 6.0, "negative_slope": 0.1}, [(3, 7)]),
]

RESHAPING = [
    LayerCase("flatten", "Flatten", {}, [(2, 3, 4, 2)]),
    LayerCase("flatten_rank2", "Flatten", {}, [(2, 3)]),
    LayerCase("flatten_rank3", "Flatten", {}, [(2, 3, 4)]),
    LayerCase("flatten_channels_first", "Flatten", {"data_format": "channels_first"}, [(2, 3, 4, 2)]),
    LayerCase("flatten_channels_first_rank3", "Flatten", {"data_format": "channels_first"}, [(2, 3, 4)]),
    LayerCase("reshape", "Reshape", {"target_shape": [4, 3]}, [(2, 3, 4)]),
    LayerCase("reshape_unknown", "Reshape", {"target_shape": [-1, 2]}, [(2, 3, 4)]),
    LayerCase("reshape_unknown_last", "Reshape", {"target_shape": [2, 3, -1]}, [(2, 12)]),
    LayerCase("reshape_to_vector", "Reshape", {"target_shape": [-1]}, [(2, 3, 4)]),
    LayerCase("permute", "Permute", {"dims": [2, 1]}, [(2, 3, 4)]),
    LayerCase("permute_rank4", "Permute", {"dims": [3, 1, 2]}, [(2, 3, 4, 2)]),
    LayerCase("repeat_vector", "RepeatVector", {"n": 3}, [(2, 4)]),
]

EMBEDDING = [
    LayerCase("embedding", "Embedding", {"input_dim": 6, "output_dim": 3}, [(2, 4)], integers=6),
    LayerCase(
        "embedding_length",
        "Embedding",
        {"input_dim": 9, "output_dim": 2, "input_length": 5},
        [(3, 5)],
        integers=9,
    ),
    LayerCase("embedding_rank3", "Embedding", {"input_dim": 5, "output_dim": 2}, [(2, 3, 2)], integers=5),
    LayerCase(
        "embedding_mask_zero",
        "Embedding",
        {"input_dim": 5, "output_dim": 2, "mask_zero": True},
        [(2, 4)],
        integers=5,
    ),
]

MERGE = [
    LayerCase("add", "Add", {}, [(2, 3, 4), (2, 3, 4)]),
    LayerCase("add_three", "Add", {}, [(2, 5), (2, 5), (2, 5)]),
    LayerCase("add_broadcast", "Add", {}, [(2, 3, 4), (2, 1, 4)]),
    LayerCase("subtract", "Subtract", {}, [(2, 3, 4), (2, 3, 4)]),
    LayerCase("multiply", "Multiply", {}, [(2, 5), (2, 5), (2, 5)]),
    LayerCase("multiply_broadcast", "Multiply", {}, [(2, 2, 3, 4), (2, 1, 1, 4)]),
    LayerCase("average", "Average", {}, [(2, 5), (2, 5), (2, 5)]),
    LayerCase("maximum", "Maximum", {}, [(2, 5), (2, 5), (2, 5)]),
    LayerCase("minimum", "Minimum", {}, [(2, 3, 4), (2, 3, 4)]),
    LayerCase("concatenate", "Concatenate", {}, [(2, 3), (2, 4), (2, 1)]),
    LayerCase("concatenate_axis1", "Concatenate", {"axis": 1}, [(2, 3, 4), (2, 2, 4)]),
    LayerCase("concatenate_axis2", "Concatenate", {"axis": 2}, [(2, 2, 3, 2), (2, 2, 1, 2)]),
    LayerCase("concatenate_negative_axis", "Concatenate", {"axis": -2}, [(2, 2, 3, 2), (2, 2, 1, 2)]),
    LayerCase("dot_vectors", "Dot", {"axes": 1}, [(3, 4), (3, 4)]),
    LayerCase("dot_vectors_cosine", "Dot", {"axes": 1, "normalize": True}, [(3, 4), (3, 4)]),
    LayerCase("dot_negative_axis", "Dot", {"axes": -1}, [(2, 3, 4), (2, 5, 4)]),
    LayerCase("dot_matrices", "Dot", {"axes": [2, 1]}, [(2, 3, 4), (2, 4, 5)]),
    LayerCase("dot_matrices_axis1", "Dot", {"axes": 1}, [(2, 3, 4), (2, 3, 5)]),
    LayerCase("dot_matrices_normalize", "Dot", {"axes": 2, "normalize": True}, [(2, 3, 4), (2, 2, 4)]),
    LayerCase("dot_matrix_vector", "Dot", {"axes": [2, 1]}, [(2, 3, 4), (2, 4)]),
]

CASES = DENSE + ACTIVATIONS + RESHAPING + EMBEDDING + MERGE
