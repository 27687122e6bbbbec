"""Metrics: functions (one value per sample), and classes that stream over batches with and without weights."""

# ruff: noqa: E501 - one case, one line

from dataclasses import dataclass, field
from typing import Any

BATCHES = (6, 6, 4)


@dataclass(frozen=True)
class MetricCase:
    """``shape`` and ``target_shape`` lack the batch dimension; target None: a metric of one stream of values."""

    name: str
    metric: str
    target: str | None
    prediction: str
    arguments: dict[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] = (4,)
    target_shape: tuple[int, ...] | None = None


@dataclass(frozen=True)
class FunctionCase:
    """A metric function; the shapes include the batch."""

    name: str
    function: str
    target: str
    prediction: str
    arguments: dict[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] = (6, 4)
    target_shape: tuple[int, ...] | None = None


MEANS = [
    MetricCase("mean", "Mean", None, "normal", shape=()),
    MetricCase("mean_of_rows", "Mean", None, "normal"),
    MetricCase("sum", "Sum", None, "normal", shape=()),
    MetricCase("mean_squared_error", "MeanSquaredError", "normal", "normal"),
    MetricCase("root_mean_squared_error", "RootMeanSquaredError", "normal", "normal"),
    MetricCase("mean_absolute_error", "MeanAbsoluteError", "normal", "normal"),
    MetricCase("mean_absolute_error_rank3", "MeanAbsoluteError", "normal", "normal", shape=(3, 2)),
    MetricCase("mean_absolute_percentage_error", "MeanAbsolutePercentageError", "offset", "normal"),
    MetricCase("mean_squared_logarithmic_error", "MeanSquaredLogarithmicError", "positive", "positive"),
    MetricCase("cosine_similarity", "CosineSimilarity", "normal", "normal"),
    MetricCase("log_cosh_error", "LogCoshError", "normal", "normal"),
    MetricCase("kl_divergence", "KLDivergence", "probabilities", "probabilities"),
    MetricCase("poisson", "Poisson", "counts", "positive"),
    MetricCase("hinge", "Hinge", "signs", "normal"),
    MetricCase("hinge_binary_labels", "Hinge", "binary", "normal"),
    MetricCase("squared_hinge", "SquaredHinge", "signs", "normal"),
    MetricCase("categorical_hinge", "CategoricalHinge", "one_hot", "normal"),
    MetricCase("binary_crossentropy", "BinaryCrossentropy", "binary", "unit"),
    MetricCase("binary_crossentropy_logits", "BinaryCrossentropy", "binary", "normal",
               {"from_logits": True, "label_smoothing": 0.1}),
    MetricCase("categorical_crossentropy", "CategoricalCrossentropy", "one_hot", "probabilities"),
    MetricCase("categorical_crossentropy_smoothing", "CategoricalCrossentropy", "one_hot", "normal",
               {"from_logits": True, "label_smoothing": 0.2}),
    MetricCase("sparse_categorical_crossentropy", "SparseCategoricalCrossentropy", "labels", "probabilities",
               target_shape=(1,)),
    MetricCase("sparse_categorical_crossentropy_logits", "SparseCategoricalCrossentropy", "labels", "normal",
               {"from_logits": True}, target_shape=(1,)),
]  # fmt: skip

ACCURACIES = [
    MetricCase("accuracy", "Accuracy", "binary", "binary"),
    MetricCase("binary_accuracy", "BinaryAccuracy", "binary", "unit"),
    MetricCase("binary_accuracy_one_column", "BinaryAccuracy", "binary", "unit", shape=(1,)),
    MetricCase("binary_accuracy_threshold", "BinaryAccuracy", "binary", "unit", {"threshold": 0.7}),
    MetricCase("categorical_accuracy", "CategoricalAccuracy", "one_hot", "probabilities"),
    MetricCase("categorical_accuracy_rank3", "CategoricalAccuracy", "one_hot", "probabilities", shape=(3, 4)),
    MetricCase("sparse_categorical_accuracy", "SparseCategoricalAccuracy", "labels", "probabilities", target_shape=(1,)),
    MetricCase("sparse_categorical_accuracy_rank3", "SparseCategoricalAccuracy", "labels", "probabilities", shape=(3, 4),
               target_shape=(3,)),
    MetricCase("top_k_categorical_accuracy", "TopKCategoricalAccuracy", "one_hot", "probabilities", {"k": 2}, (5,)),
    MetricCase("top_k_categorical_accuracy_default", "TopKCategoricalAccuracy", "one_hot", "probabilities", shape=(8,)),
    MetricCase("sparse_top_k_categorical_accuracy", "SparseTopKCategoricalAccuracy", "labels", "probabilities", {"k": 2},
               (5,), (1,)),
]  # fmt: skip

# A list of thresholds gives a list of results.
CONFUSION = [
    MetricCase(f"{snake}{suffix}", name, "binary", "unit", arguments, shape)
    for snake, name in [
        ("true_positives", "TruePositives"), ("true_negatives", "TrueNegatives"),
        ("false_positives", "FalsePositives"), ("false_negatives", "FalseNegatives"),
        ("precision", "Precision"), ("recall", "Recall"),
    ]
    for suffix, arguments, shape in [
        ("", {}, (1,)),
        ("_thresholds", {"thresholds": [0.2, 0.5, 0.8]}, (4,)),
    ]
] + [
    MetricCase("true_positives_threshold", "TruePositives", "binary", "unit", {"thresholds": 0.3}),
    MetricCase("precision_threshold", "Precision", "binary", "unit", {"thresholds": 0.7}),
    MetricCase("precision_none", "Precision", "binary", "unit", {"thresholds": 1.0}),
    MetricCase("precision_top_k", "Precision", "binary", "unit", {"top_k": 2}),
    MetricCase("precision_class", "Precision", "binary", "unit", {"class_id": 1}),
    MetricCase("recall_top_k_class", "Recall", "binary", "unit", {"top_k": 2, "class_id": 2}),
    MetricCase("auc", "AUC", "binary", "unit", shape=(1,)),
    MetricCase("auc_flat", "AUC", "binary", "unit"),
    MetricCase("auc_few_thresholds", "AUC", "binary", "unit", {"num_thresholds": 5}),
    MetricCase("auc_given_thresholds", "AUC", "binary", "unit", {"thresholds": [0.25, 0.4, 0.8]}),
    MetricCase("auc_minoring", "AUC", "binary", "unit", {"num_thresholds": 7, "summation_method": "minoring"}),
    MetricCase("auc_majoring", "AUC", "binary", "unit", {"num_thresholds": 7, "summation_method": "majoring"}),
    MetricCase("auc_pr", "AUC", "binary", "unit", {"curve": "PR"}),
    MetricCase("auc_pr_few_thresholds", "AUC", "binary", "unit", {"curve": "PR", "num_thresholds": 6}),
    MetricCase("auc_pr_majoring", "AUC", "binary", "unit", {"curve": "PR", "num_thresholds": 6,
                                                          "summation_method": "majoring"}),
    MetricCase("mean_iou", "MeanIoU", "labels", "float_labels", {"num_classes": 4}, (1,)),
    MetricCase("mean_iou_absent_class", "MeanIoU", "binary", "binary", {"num_classes": 3}, (1,)),
]  # fmt: skip

CASES = MEANS + ACCURACIES + CONFUSION

FUNCTIONS = [
    FunctionCase("function_binary_accuracy", "binary_accuracy", "binary", "unit"),
    FunctionCase("function_binary_accuracy_threshold", "binary_accuracy", "binary", "unit", {"threshold": 0.3}),
    FunctionCase("function_categorical_accuracy", "categorical_accuracy", "one_hot", "probabilities"),
    FunctionCase("function_categorical_accuracy_rank3", "categorical_accuracy", "one_hot", "probabilities", shape=(2, 3, 4)),
    FunctionCase("function_sparse_categorical_accuracy", "sparse_categorical_accuracy", "labels", "probabilities",
                 target_shape=(6, 1)),
    FunctionCase("function_sparse_categorical_accuracy_flat", "sparse_categorical_accuracy", "labels", "probabilities",
                 target_shape=(6,)),
    FunctionCase("function_top_k_categorical_accuracy", "top_k_categorical_accuracy", "one_hot", "probabilities", {"k": 3}),
    FunctionCase("function_sparse_top_k_categorical_accuracy", "sparse_top_k_categorical_accuracy", "labels", "probabilities",
                 {"k": 3}, target_shape=(6, 1)),
]  # fmt: skip
